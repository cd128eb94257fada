/* Seats: who holds one, and that there are never more than max holders. */
#include <string.h>

#include "base/exchange-key.h"
#include "fleet/seats.h"
#include "fleet/test-fleet.h"

#define SECOND  G_USEC_PER_SEC
#define N_HOSTS 6

typedef struct {
    Fleet *fleet;
    char name[8];
    Store *line;
    Seats *seats; /* NULL: does not run */
} Member;

static void ignore(void *data) {
}

static void ignore_failure(void *data, const GError *error) {
}

static const SeatsListener silent = { .changed = ignore, .failed = ignore_failure };

static void join(Member *member, Fleet *fleet, const char *name, const SeatsOptions *options) {
    member->fleet = fleet;
    g_strlcpy(member->name, name, sizeof member->name);
    member->line = line_new(fleet);
    member->seats = seats_new(fleet->loop, member->line, name, "job", options, &silent);
}

static void crash(Member *member) {
    g_clear_pointer(&member->seats, seats_free);
    g_clear_pointer(&member->line, store_free);
}

static bool is_settled(void *data) {
    return seats_is_settled(((Member *)data)->seats);
}

static void settle(Member *member) {
    fleet_run_until(member->fleet, is_settled, member);
}

static void assert_holders(const Member *member, const char *expected) {
    g_autoptr(Value) holders = seats_holders(member->seats);
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < value_size(holders); i++) {
        const char *host;
        (void)value_map_at(holders, i, &host);
        g_string_append_printf(text, "%s%s", i ? " " : "", host);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

static const SeatsOptions two = { .max = 2, .ttl_s = 10 };

static void test_first_come(void) {
    Fleet fleet;
    Member a, b, c;
    fleet_open(&fleet);
    join(&c, &fleet, "c", &two);
    settle(&c);
    join(&b, &fleet, "b", &two);
    settle(&b);
    join(&a, &fleet, "a", &two);
    settle(&a);
    assert_holders(&a, "b c");
    g_assert_false(seats_has(a.seats));
    g_assert_true(seats_has(c.seats));
    seats_leave(c.seats); /* at once */
    settle(&c);
    fleet_run_for(&fleet, SECOND / 10);
    assert_holders(&a, "a b");
    crash(&b); /* only when the lease ends */
    fleet_run_for(&fleet, 5 * SECOND);
    assert_holders(&a, "a b");
    fleet_run_for(&fleet, 6 * SECOND);
    assert_holders(&a, "a");
    crash(&a);
    crash(&c);
    fleet_close(&fleet);
}

static void test_alphabetical(void) {
    SeatsOptions alpha = two;
    alpha.strategy = SEATS_ALPHABETICAL;
    Fleet fleet;
    Member a, b, c;
    fleet_open(&fleet);
    join(&b, &fleet, "b", &alpha);
    join(&c, &fleet, "c", &alpha);
    fleet_run_for(&fleet, SECOND);
    assert_holders(&b, "b c");
    join(&a, &fleet, "a", &alpha);
    fleet_run_for(&fleet, SECOND);
    assert_holders(&c, "a b");
    crash(&a);
    fleet_run_for(&fleet, 11 * SECOND);
    assert_holders(&c, "b c");
    crash(&b);
    crash(&c);
    fleet_close(&fleet);
}

static void test_persist(void) {
    SeatsOptions persist = { .max = 1, .ttl_s = 2, .persist = true };
    Fleet fleet;
    Member a, b;
    fleet_open(&fleet);
    join(&a, &fleet, "a", &persist);
    settle(&a);
    join(&b, &fleet, "b", &persist);
    settle(&b);
    line_cut(a.line, true);
    fleet_run_for(&fleet, 60 * SECOND);
    assert_holders(&a, "a");
    crash(&a);
    fleet_run_for(&fleet, 60 * SECOND);
    assert_holders(&b, "a");
    join(&a, &fleet, "a", &persist);
    settle(&a);
    assert_holders(&a, "a");
    persist.withdraw = true;
    seats_set(a.seats, &persist);
    fleet_run_for(&fleet, SECOND);
    assert_holders(&a, "b");
    crash(&a);
    crash(&b);
    fleet_close(&fleet);
}

/* Who is cut off gives up before another is in. */
static void test_cut(void) {
    SeatsOptions one = { .max = 1, .ttl_s = 10 };
    Fleet fleet;
    Member a, b;
    fleet_open(&fleet);
    join(&a, &fleet, "a", &one);
    settle(&a);
    join(&b, &fleet, "b", &one);
    settle(&b);
    line_cut(a.line, true);
    bool had_none = false;
    for (unsigned i = 0; i < 200 && !seats_has(b.seats); i++) {
        fleet_run_for(&fleet, SECOND / 10);
        g_assert_false(seats_has(a.seats) && seats_has(b.seats));
        had_none |= !seats_has(a.seats) && !seats_has(b.seats);
    }
    g_assert_true(had_none && seats_has(b.seats));
    line_cut(a.line, false);
    fleet_run_for(&fleet, 15 * SECOND);
    assert_holders(&a, "b");
    assert_holders(&b, "b");
    crash(&a);
    crash(&b);
    fleet_close(&fleet);
}

/* A seat that a process left and its successor finds is its own again, for as long as that runs. */
static void test_restart(void) {
    Fleet fleet;
    Member a, b;
    fleet_open(&fleet);
    join(&a, &fleet, "a", &(SeatsOptions){ .max = 1, .ttl_s = 10 });
    settle(&a);
    crash(&a);
    join(&b, &fleet, "b", &(SeatsOptions){ .max = 1, .ttl_s = 10 });
    join(&a, &fleet, "a", &(SeatsOptions){ .max = 1, .ttl_s = 10 });
    fleet_run_for(&fleet, 30 * SECOND);
    assert_holders(&a, "a");
    assert_holders(&b, "a");
    crash(&a);
    crash(&b);
    fleet_close(&fleet);
}

static void test_fewer(void) {
    SeatsOptions options = two;
    Fleet fleet;
    Member a, b;
    fleet_open(&fleet);
    join(&a, &fleet, "a", &options);
    settle(&a);
    join(&b, &fleet, "b", &options);
    settle(&b);
    assert_holders(&a, "a b");
    options.max = 1;
    seats_set(a.seats, &options);
    seats_set(b.seats, &options);
    fleet_run_for(&fleet, SECOND);
    assert_holders(&a, "a");
    assert_holders(&b, "a");
    crash(&a);
    crash(&b);
    fleet_close(&fleet);
}

/* --- anything may happen at any time */

static unsigned count_holders(Member *members) {
    unsigned count = 0;
    for (unsigned i = 0; i < N_HOSTS; i++)
        count += members[i].seats && seats_has(members[i].seats);
    return count;
}

static void disturb(Fleet *fleet, Member *member, const SeatsOptions *options) {
    switch (g_test_rand_int_range(0, 6)) {
    case 0:
        if (member->seats)
            crash(member);
        break;
    case 1:
    case 2:
        if (member->line)
            line_cut(member->line, g_test_rand_int_range(0, 2));
        break;
    case 3:
        if (member->seats)
            seats_leave(member->seats);
        break;
    case 4:
        if (member->seats)
            seats_set(member->seats, options);
        break;
    default:
        if (!member->seats)
            join(member, fleet, member->name, options);
    }
}

static void run_randomly(SeatsStrategy strategy) {
    SeatsOptions options = { .max = 2, .ttl_s = 4, .strategy = strategy };
    Fleet fleet;
    Member members[N_HOSTS] = { 0 };
    unsigned most = 0;
    fleet_open(&fleet);
    for (unsigned i = 0; i < N_HOSTS; i++)
        members[i].name[0] = (char)('a' + i);
    for (unsigned step = 0; step < 4000; step++) {
        disturb(&fleet, &members[g_test_rand_int_range(0, N_HOSTS)], &options);
        fleet_run_for(&fleet, (uint64_t)g_test_rand_int_range(0, 700000));
        unsigned count = count_holders(members);
        g_assert_cmpuint(count, <=, options.max);
        most = MAX(most, count);
    }
    g_assert_cmpuint(most, ==, options.max);
    for (unsigned i = 0; i < N_HOSTS; i++) { /* and it always comes to rest */
        if (!members[i].seats)
            join(&members[i], &fleet, members[i].name, &options);
        line_cut(members[i].line, false);
        seats_set(members[i].seats, &options);
    }
    fleet_run_for(&fleet, 20 * SECOND);
    g_assert_cmpuint(count_holders(members), ==, options.max);
    for (unsigned i = 0; i < N_HOSTS; i++)
        crash(&members[i]);
    fleet_close(&fleet);
}

static void test_random_first_come(void) {
    run_randomly(SEATS_FIRST_COME);
}

static void test_random_alphabetical(void) {
    run_randomly(SEATS_ALPHABETICAL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/seats/first-come", test_first_come);
    g_test_add_func("/seats/alphabetical", test_alphabetical);
    g_test_add_func("/seats/persist", test_persist);
    g_test_add_func("/seats/cut", test_cut);
    g_test_add_func("/seats/restart", test_restart);
    g_test_add_func("/seats/fewer", test_fewer);
    g_test_add_func("/seats/random/first-come", test_random_first_come);
    g_test_add_func("/seats/random/alphabetical", test_random_alphabetical);
    return g_test_run();
}
