#pragma once
/* What the tests of the ledger share: a directory of their own and samples to put into it. */
#include <glib.h>

#include "ledger/ledger.h"

typedef struct {
    char *top; /* removed afterwards, with everything in it */
    char *dir; /* top/state: the ledger's, not made yet */
    Ledger *ledger;
} Fixture;

void fixture_set_up(Fixture *fixture, gconstpointer data);
void fixture_tear_down(Fixture *fixture, gconstpointer data);
void fixture_open(Fixture *fixture);   /* for writing */
void fixture_reopen(Fixture *fixture); /* closes, then opens again */
/* Does work on the ledger in a process that ends without closing it. */
void fixture_in_killed_process(const Fixture *fixture, void (*work)(Ledger *ledger));
char *fixture_path(const Fixture *fixture, const char *name); /* in dir; caller frees */

#define ADD_TEST(path, function)                                                                   \
    g_test_add(path, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

/* A state directory without a Fixture, for processes that must not abort. */
void remove_tree(const char *path);

/* An entry as a file resource would have; number and version make it differ from others. */
LedgerEntry *sample_entry(const char *name, int version);
char *sample_name(unsigned number); /* "/etc/app/0007.conf" */
/* n entries with a status each, flushed. */
void put_samples(Ledger *ledger, unsigned n);
int entry_version(const LedgerEntry *entry);
Value *map_of(const char *key, Value *value); /* takes ownership */
JournalEntry *sample_journal(int64_t time, const char *name, bool corrective);

/* Name, size and mtime of every file in dir but its lock, and of dir itself. */
char *describe_files(const char *dir);
void write_text(const char *path, const char *text, gssize size);
/* Runs function in a child in a mount namespace of its own, where it may mount. False when this
 * user may not; else asserts that it returned true. */
bool run_in_namespace(bool (*function)(const char *dir), const char *dir);
