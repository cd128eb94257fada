#pragma once
/* For tests: stores of each kind, opened empty, restarted, and waited for. */
#include "state/store.h"
#include "state/test-etcd.h"

typedef struct Fixture Fixture;

typedef struct {
    const char *kind; /* "memory", "sqlite", "etcd", or one with its own open */
    bool restarts;    /* keeps what it has */
    bool remembers;   /* for watches, what was compacted lately */
    /* Of other stores: fill store, which fixture_close() frees. NULL: as kind says. */
    void (*open)(Fixture *fixture);
    void (*restart)(Fixture *fixture);
    void (*close)(Fixture *fixture); /* after store */
} FixtureKind;

/* What test-conformance.c runs over. */
extern const FixtureKind fixture_kinds[];
extern const unsigned n_fixture_kinds;

struct Fixture {
    const FixtureKind *kind;
    Loop *loop;
    Store *store;
    char *dir;
    EtcdServers *etcd; /* shared by all tests of the process */
    int64_t base;      /* its revision when the test began */
    void *under;       /* the kind's own */
};

/* Returns NULL, with the test marked as skipped, where this kind cannot be had. */
Fixture *fixture_open(const FixtureKind *kind);
void fixture_close(Fixture *fixture);
/* As after kill -9 and a new start; store may be another one afterwards. */
void fixture_restart(Fixture *fixture);

/* What all tests shared. */
void fixtures_end(void);

/* Runs the loop until holds() says so; fails the test after 30 s. */
void fixture_run_until(Fixture *fixture, bool (*holds)(void *data), void *data);
void fixture_run_for(Fixture *fixture, uint64_t us);

GBytes *bytes_of(const char *text);

/* Waits for the call; the test fails unless it ends so. */
StoreAnswer *must(StoreCall *call);
void must_fail(StoreCall *call, StoreErrorCode code);
