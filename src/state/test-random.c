/* Random calls to a store and to the one in memory: every answer must be the same, and what watches
 * tell. RANDOM_SEED repeats a choice. */
#include <stdlib.h>
#include <string.h>

#include "state/test-fixture.h"

#define CALLS 400

typedef struct {
    Fixture *fixture;
    int64_t leases[200];
    unsigned n_leases;
    GString *told;
    StoreWatch *watch;
    int64_t revision; /* told up to here */
} Side;

typedef struct {
    GRand *random;
    Side sides[2];  /* the store and the one in memory */
    int64_t length; /* revisions since base */
} Pair;

/* One call, chosen once and made to both. */
typedef struct {
    enum { DO_TXN, DO_RANGE, DO_COMPACT, DO_GRANT, DO_REVOKE } kind;
    unsigned n_compares, n_ops[2];
    struct {
        unsigned key;
        StoreField field;
        StoreRelation relation;
        int64_t number; /* of a revision: since base */
        char value[4];
    } compares[3];
    struct {
        unsigned kind; /* 0, 1: put; 2: delete; 3: range */
        unsigned key, lease;
        char value[4];
        bool prefix;
        unsigned limit;
        bool keys_only;
    } ops[2][4];
    int64_t revision; /* since base; 0: the present */
    unsigned lease;
} Choice;

static const struct {
    const char *bytes;
    size_t size;
} keys[] = { { "a", 1 },   { "ab", 2 },    { "abc", 3 },      { "b", 1 },
             { "a\0", 2 }, { "a\xff", 2 }, { "\xff\xff", 2 }, { "c/x", 3 } };

static GBytes *key_of(unsigned i) {
    return g_bytes_new_static(keys[i].bytes, keys[i].size);
}

static unsigned below(Pair *pair, unsigned n) {
    return (unsigned)g_rand_int_range(pair->random, 0, (gint32)n);
}

/* --- choosing */

static void choose_value(Pair *pair, char value[4]) {
    (void)g_snprintf(value, 4, "%u", below(pair, 5));
}

static void choose_txn(Pair *pair, Choice *choice) {
    choice->n_compares = below(pair, 4);
    for (unsigned i = 0; i < choice->n_compares; i++) {
        choice->compares[i].key = below(pair, G_N_ELEMENTS(keys));
        choice->compares[i].field = (StoreField)below(pair, STORE_VALUE + 1);
        /* Which of two leases has the larger number is chance. */
        choice->compares[i].relation = (StoreRelation)below(
            pair, choice->compares[i].field == STORE_LEASE ? 2 : STORE_GREATER + 1);
        choice->compares[i].number = below(
            pair, choice->compares[i].field == STORE_VERSION ? 4 : (unsigned)pair->length + 2);
        choose_value(pair, choice->compares[i].value);
    }
    for (unsigned branch = 0; branch < 2; branch++) {
        choice->n_ops[branch] = below(pair, 5);
        for (unsigned i = 0; i < choice->n_ops[branch]; i++) {
            choice->ops[branch][i].kind = below(pair, 4);
            choice->ops[branch][i].key = below(pair, G_N_ELEMENTS(keys));
            choice->ops[branch][i].prefix = below(pair, 2) == 0;
            choice->ops[branch][i].limit = below(pair, 3);
            choice->ops[branch][i].keys_only = below(pair, 2) == 0;
            choice->ops[branch][i].lease = below(pair, 5);
            choose_value(pair, choice->ops[branch][i].value);
        }
    }
}

static Choice choose(Pair *pair) {
    Choice choice = { .kind = DO_TXN };
    unsigned die = below(pair, 100);
    choice.lease = below(pair, G_N_ELEMENTS(pair->sides[0].leases));
    choose_txn(pair, &choice);
    if (die < 25)
        choice.kind = DO_RANGE;
    else if (die < 27)
        choice.kind = DO_COMPACT;
    else if (die < 32)
        choice.kind = DO_GRANT;
    else if (die < 35)
        choice.kind = DO_REVOKE;
    choice.revision = below(pair, (unsigned)pair->length + 3);
    return choice;
}

/* --- doing */

static int64_t lease_of(const Side *side, unsigned number) {
    return side->n_leases > 0 ? side->leases[number % side->n_leases] : 0;
}

static StoreTxn *make_txn(const Side *side, const Choice *choice) {
    StoreTxn *txn = store_txn_new();
    for (unsigned i = 0; i < choice->n_compares; i++) {
        g_autoptr(GBytes) key = key_of(choice->compares[i].key);
        g_autoptr(GBytes) value = bytes_of(choice->compares[i].value);
        StoreField field = choice->compares[i].field;
        bool counts = field == STORE_CREATE_REVISION || field == STORE_MOD_REVISION;
        int64_t number = choice->compares[i].number;
        if (field == STORE_VALUE)
            store_txn_compare_value(txn, key, choice->compares[i].relation, value);
        else
            store_txn_compare(txn, key, field, choice->compares[i].relation,
                              field == STORE_LEASE   ? lease_of(side, (unsigned)number)
                              : counts && number > 0 ? side->fixture->base + number
                                                     : number);
    }
    for (unsigned branch = 0; branch < 2; branch++)
        for (unsigned i = 0; i < choice->n_ops[branch]; i++) {
            g_autoptr(GBytes) key = key_of(choice->ops[branch][i].key);
            g_autoptr(GBytes) value = bytes_of(choice->ops[branch][i].value);
            unsigned lease = choice->ops[branch][i].lease;
            StoreRange range = { .key = key,
                                 .prefix = choice->ops[branch][i].prefix,
                                 .limit = choice->ops[branch][i].limit,
                                 .keys_only = choice->ops[branch][i].keys_only };
            if (choice->ops[branch][i].kind < 2)
                store_txn_put(txn, branch, key, value, lease > 3 ? lease_of(side, lease) : 0);
            else if (choice->ops[branch][i].kind == 2)
                store_txn_delete(txn, branch, key, choice->ops[branch][i].prefix);
            else
                store_txn_range(txn, branch, &range);
        }
    return txn;
}

static StoreCall *make_range(const Side *side, const Choice *choice) {
    g_autoptr(GBytes) key = key_of(choice->ops[0][0].key % G_N_ELEMENTS(keys));
    g_autoptr(GBytes) from = key_of(choice->ops[0][1].key % G_N_ELEMENTS(keys));
    bool all = choice->n_ops[0] == 0;
    StoreRange range = { .key = all ? NULL : key,
                         .prefix = choice->ops[0][0].prefix,
                         .from = choice->n_ops[1] > 2 ? from : NULL,
                         .limit = choice->ops[0][0].limit,
                         .keys_only = choice->ops[0][0].keys_only,
                         .revision =
                             choice->revision > 0 ? side->fixture->base + choice->revision : 0 };
    return store_range(side->fixture->store, &range, NULL, NULL);
}

static StoreCall *make_call(const Side *side, const Choice *choice) {
    Store *store = side->fixture->store;
    switch (choice->kind) {
    case DO_TXN: {
        g_autoptr(StoreTxn) txn = make_txn(side, choice);
        return store_commit(store, txn, NULL, NULL);
    }
    case DO_RANGE:
        return make_range(side, choice);
    case DO_COMPACT:
        return store_compact(store, side->fixture->base + MAX(choice->revision, 1), NULL, NULL);
    case DO_GRANT:
        return store_lease_grant(store, 600, NULL, NULL);
    case DO_REVOKE:
        return store_lease_revoke(store, MAX(lease_of(side, choice->lease), 1), NULL, NULL);
    }
    g_assert_not_reached();
}

/* --- showing, so that both sides can be compared */

static int lease_number(const Side *side, int64_t lease) {
    for (unsigned i = 0; i < side->n_leases; i++)
        if (side->leases[i] == lease)
            return (int)i;
    return -1;
}

static void show_bytes(GString *text, GBytes *bytes) {
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(text, g_ascii_isgraph(data[i]) ? "%c" : "\\x%02x", data[i]);
}

static void show_entry(GString *text, const Side *side, const StoreEntry *entry) {
    int64_t base = side->fixture->base;
    g_string_append_c(text, ' ');
    show_bytes(text, entry->key);
    g_string_append_c(text, '=');
    if (entry->value != NULL)
        show_bytes(text, entry->value);
    g_string_append_printf(text, "(%d %d %d %d)",
                           (int)(entry->create_revision > 0 ? entry->create_revision - base : 0),
                           (int)(entry->mod_revision - base), (int)entry->version,
                           lease_number(side, entry->lease));
}

static char *show_answer(const Side *side, const StoreAnswer *answer, const GError *error) {
    GString *text = g_string_new(NULL);
    if (error != NULL) {
        g_string_append_printf(text, "error %d", error->code);
        return g_string_free(text, FALSE);
    }
    g_string_append_printf(text, "%d %d:", (int)(answer->revision - side->fixture->base),
                           answer->succeeded);
    for (unsigned i = 0; i < answer->results->len; i++) {
        const StoreResult *result = store_answer_result(answer, i);
        g_string_append_printf(text, " [%d%s", (int)result->count, result->more ? "+" : "");
        for (unsigned j = 0; result->entries != NULL && j < result->entries->len; j++)
            show_entry(text, side, g_ptr_array_index(result->entries, j));
        g_string_append_c(text, ']');
    }
    return g_string_free(text, FALSE);
}

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Side *side = data;
    g_assert_no_error(error);
    for (unsigned i = 0; i < events->len; i++)
        show_entry(side->told, side, g_ptr_array_index(events, i));
    side->revision = revision;
}

static char *run_one(Side *side, const Choice *choice) {
    g_autoptr(GError) error = NULL;
    g_autoptr(StoreAnswer) answer = store_wait(make_call(side, choice), &error);
    if (choice->kind == DO_GRANT && side->n_leases < G_N_ELEMENTS(side->leases))
        side->leases[side->n_leases++] = answer->lease;
    return show_answer(side, answer, error);
}

static void run_both(Pair *pair) {
    Choice choice = choose(pair);
    g_autofree char *ours = run_one(&pair->sides[0], &choice);
    g_autofree char *model = run_one(&pair->sides[1], &choice);
    g_assert_cmpstr(ours, ==, model);
    if (choice.kind == DO_TXN || choice.kind == DO_REVOKE)
        pair->length = MAX(pair->length, atoi(model));
}

static bool all_told(void *data) {
    const Pair *pair = data;
    return pair->sides[0].revision >= pair->sides[0].fixture->base + pair->length;
}

/* A watch that begins only when what it asks for has been compacted would say so. */
static bool has_begun(void *data) {
    return ((const Side *)data)->revision > 0;
}

static void test_random(const void *data) {
    const char *seed = g_getenv("RANDOM_SEED");
    guint32 number = seed != NULL ? (guint32)atoi(seed) : g_random_int();
    static const FixtureKind memory = { "memory", false };
    Pair pair = { .random = g_rand_new_with_seed(number) };
    pair.sides[0].fixture = fixture_open(data);
    if (pair.sides[0].fixture != NULL) {
        g_test_message("RANDOM_SEED=%u", number);
        pair.sides[1].fixture = fixture_open(&memory);
        for (unsigned i = 0; i < 2; i++) {
            Side *side = &pair.sides[i];
            side->told = g_string_new(NULL);
            side->watch = store_watch(side->fixture->store, NULL, true, 0, on_watch, side);
            fixture_run_until(side->fixture, has_begun, side);
        }
        for (unsigned i = 0; i < CALLS; i++)
            run_both(&pair);
        fixture_run_until(pair.sides[0].fixture, all_told, &pair);
        g_assert_cmpint(pair.length, >, CALLS / 10);
        g_assert_cmpstr(pair.sides[0].told->str, ==, pair.sides[1].told->str);
        for (unsigned i = 0; i < 2; i++) {
            store_watch_stop(pair.sides[i].watch);
            g_string_free(pair.sides[i].told, TRUE);
            fixture_close(pair.sides[i].fixture);
        }
    }
    g_rand_free(pair.random);
}

int main(int argc, char **argv) {
    static const FixtureKind kinds[] = { { "sqlite", .restarts = true },
                                         { "etcd", .restarts = true } };
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/random/sqlite", &kinds[0], test_random);
    g_test_add_data_func("/random/etcd", &kinds[1], test_random);
    int result = g_test_run();
    fixtures_end();
    return result;
}
