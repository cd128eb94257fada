#pragma once
/* A few kinds for the tests of this directory, with tables as real kinds have them, and helpers to
 * evaluate texts. */
#include "lang/lang.h"

extern const KindSet test_kinds;

/* Everything one evaluation gave. */
typedef struct {
    LangResult result;
    GPtrArray *problems; /* of GError */
    bool fine;
    char *messages; /* of all problems, each with a line end */
} TestRun;

/* Writes text as NAME into a new temporary directory, evaluates it there as `NAME` and removes the
 * directory. inputs NULL: none but the kinds. more: further names and texts, NULL-terminated. */
TestRun *test_run(const char *name, const char *text, const LangInputs *inputs,
                  const char *const *more);
TestRun *test_lua(const char *text);
void test_run_free(TestRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestRun, test_run_free)

/* The text evaluates, and `name` of its only `value` resource shows as this JSON. */
void test_expect_value(const char *text, const char *json);
/* The text fails, and this is part of the messages. */
void test_expect_error(const char *text, const char *part);
/* Any value of a `value` resource as JSON; NULL: not there. */
char *test_value_of(const TestRun *run, const char *name);
const Resource *test_find(const TestRun *run, const char *kind, const char *name);
/* Edges as "file /a>svc b!" sorted and joined by blanks: ! notify, ~ auto, $ send. */
char *test_edges(const TestRun *run);
/* A file of the source tree's test/lang directory; caller frees. */
char *test_data_path(const char *name);
