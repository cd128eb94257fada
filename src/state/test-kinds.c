/* The stores of state/, for test-conformance.c. */
#include "state/test-fixture.h"

/* Over a store in memory whose watches it shares. */
static void open_shared(Fixture *fixture) {
    fixture->under = store_open_memory(fixture->loop);
    fixture->store = store_open_shared(fixture->under, NULL);
}

static void close_shared(Fixture *fixture) {
    store_free(fixture->under);
}

const FixtureKind fixture_kinds[] = {
    { "memory", .restarts = false },
    { "sqlite", .restarts = true },
    { "etcd", .restarts = true },
    { "shared", .remembers = true, .open = open_shared, .close = close_shared },
};

const unsigned n_fixture_kinds = G_N_ELEMENTS(fixture_kinds);
