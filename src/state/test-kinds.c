/* The stores of state/, for test-conformance.c. */
#include "state/test-fixture.h"

const FixtureKind fixture_kinds[] = {
    { "memory", .restarts = false },
    { "sqlite", .restarts = true },
    { "etcd", .restarts = true },
};

const unsigned n_fixture_kinds = G_N_ELEMENTS(fixture_kinds);
