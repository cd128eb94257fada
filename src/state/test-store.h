#pragma once
/* For tests: stores of each kind, opened empty, restarted, and waited for. */
#include "state/state.h"
#include "state/test-etcd.h"

typedef struct {
    const char *kind; /* "memory", "sqlite", "etcd" */
    bool restarts;    /* keeps what it has */
} StoreKind;

typedef struct {
    const StoreKind *kind;
    Loop *loop;
    State *state;
    char *dir;
    EtcdServers *etcd; /* shared by all tests of the process */
    int64_t base;      /* its revision when the test began */
} Store;

/* Returns NULL, with the test marked as skipped, where this kind cannot be had. */
Store *store_open(const StoreKind *kind);
void store_close(Store *store);
/* As after kill -9 and a new start; state may be another one afterwards. */
void store_restart(Store *store);

/* Runs the loop until holds() says so; fails the test after 30 s. */
/* What all tests shared. */
void stores_end(void);

void store_run_until(Store *store, bool (*holds)(void *data), void *data);
void store_run_for(Store *store, uint64_t us);

GBytes *bytes_of(const char *text);

/* Waits for the call; the test fails unless it ends so. */
StateAnswer *must(StateCall *call);
void must_fail(StateCall *call, StateErrorCode code);
