#pragma once
/*
 * kind-test: drives one kind through the engine's round on any host, for the tests beside the
 * kinds. It keeps between rounds what the ledger would: what kinds keep and pre-images. Whatever
 * goes wrong ends the test with the resource and the reason.
 */
#include <glib.h>

#include "graph/kind.h"
#include "graph/watcher.h"

typedef struct {
    Host *host;            /* borrowed */
    RunReason reason;      /* of the next rounds; REASON_START at first */
    bool refresh;          /* of the next rounds */
    bool brought;          /* of the next plans */
    uint64_t wall_now;     /* us */
    const char *state_dir; /* borrowed, may be NULL */
    GHashTable *kept;      /* Resource key -> Value */
    GHashTable *preimages; /* Resource key -> State */
    GHashTable *claimed;   /* set of paths other resources manage */
} KindTest;

KindTest *kind_test_new(Host *host);
void kind_test_free(KindTest *test);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindTest, kind_test_free)
void kind_test_claim(KindTest *test, const char *path);

/* What one round did. error: it failed (the rest says how far it came). */
typedef struct {
    State *before;
    Changes *changes;
    State *after; /* NULL: nothing was applied */
    Value *outputs;
    char *note;
    int exit_code;
    bool rearm;
    GError *error;
} KindRound;

void kind_round_free(KindRound *round);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindRound, kind_round_free)

/* Resources from arguments, NULL-terminated: "param=text", "param:=JSON", "param=?" (unknown until
 * applied). All are run through resource_finish(). The origin is line 1 of ORIGIN/test.lua, where
 * ORIGIN is what kind_test_origin() said last, or "/nonexistent". */
Resource *kind_test_resource(const Kind *kind, const char *name, ...) G_GNUC_NULL_TERMINATED;
/* The problems of a resource that must not be valid, one a line; caller frees. */
char *kind_test_problems(const Kind *kind, const char *name, ...) G_GNUC_NULL_TERMINATED;
void kind_test_origin(const char *directory);

/* Observe, diff, and apply when something differs; then observe and diff once more, which must find
 * nothing: otherwise error says what still differs. */
KindRound *kind_test_round(KindTest *test, const Resource *resource);
/* The same on an overlay of the host, which must stay as it is. */
KindRound *kind_test_plan(KindTest *test, const Resource *resource);

/* A plan, then the round itself: changes and final states must agree, the action must be as
 * expected, and a further round (reason: poll) must find nothing to do. Returns the real round. */
KindRound *kind_test_converge(KindTest *test, const Resource *resource, Action expected);
/* As kind_test_converge(), checked and dropped. */
void kind_test_expect(KindTest *test, const Resource *resource, Action expected);
/* A round that must fail with a message that contains text, and so must its plan. */
void kind_test_expect_error(KindTest *test, const Resource *resource, const char *text);

/* The resource that undoes resource (as it comes back from the ledger), by what was kept of the
 * host before its first change; NULL: the kind says it cannot be undone. Ends the test when the
 * kind refuses with an error. */
Resource *kind_test_reverse(KindTest *test, const Resource *resource, OnRemove how);
/* Applies that one; then nothing is kept of resource any more. */
void kind_test_undo(KindTest *test, const Resource *resource, OnRemove how);

/* For n = 1, 2, ...: a fresh host from setup, whose n-th call fails during a round of the resource.
 * Each time the round must either fail with the injected message or still be right, and the next
 * round without faults must make the resource right. Ends when a round needs fewer than n calls;
 * returns how many it needed. */
unsigned kind_test_faults(Host *(*setup)(void), const Resource *resource);

/* A watch of one resource, on a virtual loop of its own. */
typedef struct {
    Loop *loop;
    Watcher *watcher;
    unsigned n_ready, n_events;
} KindWatch;

/* Arms it; ends the test unless it gets ready. The host must live longer. */
KindWatch *kind_watch_new(Host *host, const Resource *resource);
void kind_watch_free(KindWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindWatch, kind_watch_free)
/* Lets everything come that is under way; returns how many events there were since it was armed. */
unsigned kind_watch_events(KindWatch *watch);
