/* What a Store does, whichever it is: every case runs over all implementations. */
#include <string.h>

#include "state/test-fixture.h"

/* --- short forms */

static int64_t put(Fixture *fixture, const char *key, const char *value) {
    g_autoptr(GBytes) k = bytes_of(key), v = bytes_of(value);
    g_autoptr(StoreAnswer) answer = must(store_put(fixture->store, k, v, 0, NULL, NULL));
    return answer->revision;
}

static int64_t put_with(Fixture *fixture, const char *key, int64_t lease) {
    g_autoptr(GBytes) k = bytes_of(key), v = bytes_of("leased");
    g_autoptr(StoreAnswer) answer = must(store_put(fixture->store, k, v, lease, NULL, NULL));
    return answer->revision;
}

static int64_t del(Fixture *fixture, const char *key) {
    g_autoptr(GBytes) k = bytes_of(key);
    g_autoptr(StoreAnswer) answer = must(store_delete(fixture->store, k, false, NULL, NULL));
    return answer->revision;
}

static StoreAnswer *get(Fixture *fixture, const char *key) {
    g_autoptr(GBytes) k = bytes_of(key);
    return must(store_get(fixture->store, k, NULL, NULL));
}

static bool is_there(Fixture *fixture, const char *key) {
    g_autoptr(StoreAnswer) answer = get(fixture, key);
    return store_answer_entry(answer) != NULL;
}

static void assert_bytes(GBytes *bytes, const char *text) {
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    g_assert_cmpmem(data, size, text, strlen(text));
}

static void assert_entry(const StoreEntry *entry, const char *value, int64_t created,
                         int64_t changed, int64_t version) {
    g_assert_nonnull(entry);
    assert_bytes(entry->value, value);
    g_assert_cmpint(entry->create_revision, ==, created);
    g_assert_cmpint(entry->mod_revision, ==, changed);
    g_assert_cmpint(entry->version, ==, version);
}

/* "a=1 b=2", "a b" with keys_only. */
static char *show(const GPtrArray *entries) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < entries->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(entries, i);
        g_string_append_printf(text, "%s%.*s", i > 0 ? " " : "", (int)g_bytes_get_size(entry->key),
                               (const char *)g_bytes_get_data(entry->key, NULL));
        if (entry->value != NULL)
            g_string_append_printf(text, "=%.*s", (int)g_bytes_get_size(entry->value),
                                   (const char *)g_bytes_get_data(entry->value, NULL));
        else if (entry->version == 0)
            g_string_append(text, "-");
    }
    return g_string_free(text, FALSE);
}

static void assert_range(Fixture *fixture, const StoreRange *range, const char *shown,
                         uint64_t count, bool more) {
    g_autoptr(StoreAnswer) answer = must(store_range(fixture->store, range, NULL, NULL));
    const StoreResult *result = store_answer_result(answer, 0);
    g_autofree char *text = show(result->entries);
    g_assert_cmpstr(text, ==, shown);
    g_assert_cmpint(result->count, ==, count);
    g_assert_cmpint(result->more, ==, more);
}

/* --- keys and revisions */

static void test_revisions(Fixture *fixture) {
    int64_t base = fixture->base;
    g_assert_false(is_there(fixture, "k"));
    g_assert_cmpint(put(fixture, "k", "one"), ==, base + 1);
    g_assert_cmpint(put(fixture, "other", "x"), ==, base + 2);
    g_assert_cmpint(put(fixture, "k", "two"), ==, base + 3);
    g_autoptr(StoreAnswer) answer = get(fixture, "k");
    g_assert_cmpint(answer->revision, ==, base + 3);
    assert_entry(store_answer_entry(answer), "two", base + 1, base + 3, 2);
    g_assert_cmpint(store_answer_result(answer, 0)->count, ==, 1);
    g_assert_cmpint(del(fixture, "k"), ==, base + 4);
    g_assert_false(is_there(fixture, "k"));
    g_assert_cmpint(put(fixture, "k", "new"), ==, base + 5);
    g_autoptr(StoreAnswer) again = get(fixture, "k");
    assert_entry(store_answer_entry(again), "new", base + 5, base + 5, 1);
}

static void test_deletes(Fixture *fixture) {
    put(fixture, "a", "1");
    put(fixture, "ab", "2");
    int64_t last = put(fixture, "b", "3");
    g_autoptr(GBytes) a = bytes_of("a"), none = bytes_of("none");
    g_autoptr(StoreAnswer) nothing = must(store_delete(fixture->store, none, true, NULL, NULL));
    g_assert_cmpint(nothing->revision, ==, last);
    g_assert_cmpint(store_answer_result(nothing, 0)->count, ==, 0);
    g_autoptr(StoreAnswer) both = must(store_delete(fixture->store, a, true, NULL, NULL));
    g_assert_cmpint(both->revision, ==, last + 1);
    g_assert_cmpint(store_answer_result(both, 0)->count, ==, 2);
    assert_range(fixture, &(StoreRange){ 0 }, "b=3", 1, false);
}

static void test_ranges(Fixture *fixture) {
    static const char *const keys[] = { "web/2", "web/1", "web/10", "db/1", "web", "wec" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        put(fixture, keys[i], "v");
    g_autoptr(GBytes) web = bytes_of("web/"), from = bytes_of("web/10"), web_only = bytes_of("web");
    assert_range(fixture, &(StoreRange){ .key = web, .prefix = true }, "web/1=v web/10=v web/2=v",
                 3, false);
    assert_range(fixture, &(StoreRange){ .key = web, .prefix = true, .keys_only = true },
                 "web/1 web/10 web/2", 3, false);
    assert_range(fixture, &(StoreRange){ .key = web, .prefix = true, .limit = 2 },
                 "web/1=v web/10=v", 3, true);
    assert_range(fixture, &(StoreRange){ .key = web, .prefix = true, .limit = 3 },
                 "web/1=v web/10=v web/2=v", 3, false);
    assert_range(fixture, &(StoreRange){ .key = web, .prefix = true, .from = from },
                 "web/10=v web/2=v", 2, false);
    assert_range(fixture, &(StoreRange){ .key = web_only }, "web=v", 1, false);
    assert_range(fixture, &(StoreRange){ .key = web_only, .from = from }, "", 0, false);
    assert_range(fixture, &(StoreRange){ .keys_only = true }, "db/1 web web/1 web/10 web/2 wec", 6,
                 false);
    assert_range(fixture, &(StoreRange){ .keys_only = true, .from = from, .limit = 1 }, "web/10", 3,
                 true);
}

static void test_past(Fixture *fixture) {
    int64_t first = put(fixture, "k", "one");
    put(fixture, "l", "x");
    int64_t third = put(fixture, "k", "two");
    int64_t gone = del(fixture, "k");
    int64_t last = put(fixture, "k", "three");
    StoreRange all = { .revision = first };
    assert_range(fixture, &all, "k=one", 1, false);
    all.revision = first + 1;
    assert_range(fixture, &all, "k=one l=x", 2, false);
    all.revision = third;
    assert_range(fixture, &all, "k=two l=x", 2, false);
    all.limit = 1;
    assert_range(fixture, &all, "k=two", 2, true);
    all.revision = gone;
    assert_range(fixture, &all, "l=x", 1, false);
    all.limit = 0;
    all.revision = last;
    assert_range(fixture, &all, "k=three l=x", 2, false);
    all.revision = last + 1;
    must_fail(store_range(fixture->store, &all, NULL, NULL), STORE_ERROR_FUTURE_REVISION);
}

static void test_any_bytes(Fixture *fixture) {
    static const uint8_t keys[][4] = {
        { 0, 0, 0, 0 },          { 0, 0xff, 'x', 0 },        { 'a', 0, 0, 0 },
        { 0xff, 0, 0xff, 0xfe }, { 0xff, 0xff, 0xff, 0xff },
    };
    static const uint8_t sizes[] = { 1, 3, 2, 4, 4 };
    g_autoptr(StoreTxn) txn = store_txn_new();
    for (size_t i = G_N_ELEMENTS(keys); i-- > 0;) {
        g_autoptr(GBytes) key = g_bytes_new(keys[i], sizes[i]);
        g_autoptr(GBytes) value = g_bytes_new(keys[i], i); /* the first is empty */
        store_txn_put(txn, STORE_THEN, key, value, 0);
    }
    store_answer_unref(must(store_commit(fixture->store, txn, NULL, NULL)));
    g_autoptr(StoreAnswer) all = must(store_range(fixture->store, &(StoreRange){ 0 }, NULL, NULL));
    const GPtrArray *entries = store_answer_result(all, 0)->entries;
    g_assert_cmpint(entries->len, ==, G_N_ELEMENTS(keys));
    for (unsigned i = 0; i < entries->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(entries, i);
        g_assert_cmpmem(g_bytes_get_data(entry->key, NULL), g_bytes_get_size(entry->key), keys[i],
                        sizes[i]);
        g_assert_cmpmem(g_bytes_get_data(entry->value, NULL), g_bytes_get_size(entry->value),
                        keys[i], i);
    }
    g_autoptr(GBytes) high = g_bytes_new_static("\xff", 1), two = g_bytes_new_static("\xff\xff", 2);
    g_autoptr(StoreAnswer) highest = must(store_delete(fixture->store, two, true, NULL, NULL));
    g_assert_cmpint(store_answer_result(highest, 0)->count, ==, 1);
    g_autoptr(StoreAnswer) rest =
        must(store_range(fixture->store, &(StoreRange){ .key = high, .prefix = true }, NULL, NULL));
    g_assert_cmpint(store_answer_result(rest, 0)->count, ==, 1);
}

static GBytes *block(size_t size, uint8_t with) {
    uint8_t *data = g_malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(with + i * i);
    return g_bytes_new_take(data, size);
}

static void test_large_values(Fixture *fixture) {
    for (int i = 0; i < 6; i++) {
        g_autofree char *name = g_strdup_printf("big/%d", i);
        g_autoptr(GBytes) key = bytes_of(name), value = block(STORE_LIMIT_VALUE, (uint8_t)i);
        store_answer_unref(must(store_put(fixture->store, key, value, 0, NULL, NULL)));
    }
    g_autoptr(GBytes) key = bytes_of("big/"), long_key = block(STORE_LIMIT_KEY, 1);
    g_autoptr(StoreAnswer) answer =
        must(store_range(fixture->store, &(StoreRange){ .key = key, .prefix = true }, NULL, NULL));
    const GPtrArray *entries = store_answer_result(answer, 0)->entries;
    g_assert_cmpint(entries->len, ==, 6);
    for (unsigned i = 0; i < 6; i++) {
        const StoreEntry *entry = g_ptr_array_index(entries, i);
        g_autoptr(GBytes) value = block(STORE_LIMIT_VALUE, (uint8_t)i);
        g_assert_true(g_bytes_equal(entry->value, value));
    }
    g_autoptr(GBytes) above = block(STORE_LIMIT_VALUE + 1, 0);
    must_fail(store_put(fixture->store, key, above, 0, NULL, NULL), STORE_ERROR_TOO_LARGE);
    g_autoptr(GBytes) small = bytes_of("x"), above_key = block(STORE_LIMIT_KEY + 1, 1);
    store_answer_unref(must(store_put(fixture->store, long_key, small, 0, NULL, NULL)));
    must_fail(store_put(fixture->store, above_key, small, 0, NULL, NULL), STORE_ERROR_TOO_LARGE);
    must_fail(store_get(fixture->store, above_key, NULL, NULL), STORE_ERROR_TOO_LARGE);
}

/* The most that one transaction may carry. */
static void test_large_transactions(Fixture *fixture) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    for (unsigned i = 0; i < STORE_LIMIT_TXN_OPS; i++) {
        g_autofree char *name = g_strdup_printf("key/%04u", i);
        g_autoptr(GBytes) key = bytes_of(name);
        g_autoptr(GBytes) value =
            block(STORE_LIMIT_TXN_BYTES / STORE_LIMIT_TXN_OPS - 2 * strlen(name), (uint8_t)i);
        store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
        store_txn_put(txn, STORE_THEN, key, value, 0);
    }
    g_autoptr(StoreAnswer) answer = must(store_commit(fixture->store, txn, NULL, NULL));
    g_assert_true(answer->succeeded);
    g_assert_cmpint(answer->results->len, ==, STORE_LIMIT_TXN_OPS);
    g_assert_cmpint(answer->revision, ==, fixture->base + 1);
    g_autoptr(GBytes) more = bytes_of("more");
    store_txn_put(txn, STORE_THEN, more, more, 0);
    must_fail(store_commit(fixture->store, txn, NULL, NULL), STORE_ERROR_TOO_LARGE);
    g_autoptr(StoreTxn) heavy = store_txn_new();
    g_autoptr(GBytes) most = block(STORE_LIMIT_VALUE, 0);
    store_txn_put(heavy, STORE_THEN, more, most, 0);
    g_autoptr(GBytes) other = bytes_of("other");
    store_txn_put(heavy, STORE_THEN, other, most, 0);
    must_fail(store_commit(fixture->store, heavy, NULL, NULL), STORE_ERROR_TOO_LARGE);
}

/* --- transactions */

static bool holds(Fixture *fixture, const char *key, StoreField field, StoreRelation relation,
                  int64_t number, const char *value) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) k = bytes_of(key);
    if (field == STORE_VALUE) {
        g_autoptr(GBytes) v = bytes_of(value);
        store_txn_compare_value(txn, k, relation, v);
    } else {
        store_txn_compare(txn, k, field, relation, number);
    }
    g_autoptr(StoreAnswer) answer = must(store_commit(fixture->store, txn, NULL, NULL));
    g_assert_cmpint(answer->results->len, ==, 0);
    return answer->succeeded;
}

/* What each relation says of a number below, at and above the one that is there. */
static void assert_relations(Fixture *fixture, const char *key, StoreField field, int64_t number) {
    for (int i = -1; i <= 1; i++) {
        g_assert_cmpint(holds(fixture, key, field, STORE_EQUAL, number + i, NULL), ==, i == 0);
        g_assert_cmpint(holds(fixture, key, field, STORE_NOT_EQUAL, number + i, NULL), ==, i != 0);
        g_assert_cmpint(holds(fixture, key, field, STORE_LESS, number + i, NULL), ==, i > 0);
        g_assert_cmpint(holds(fixture, key, field, STORE_GREATER, number + i, NULL), ==, i < 0);
    }
}

static void test_compares(Fixture *fixture) {
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 60, NULL, NULL));
    int64_t first = put(fixture, "k", "m"), second = put_with(fixture, "k", granted->lease);
    put(fixture, "v", "m");
    assert_relations(fixture, "k", STORE_VERSION, 2);
    assert_relations(fixture, "k", STORE_CREATE_REVISION, first);
    assert_relations(fixture, "k", STORE_MOD_REVISION, second);
    assert_relations(fixture, "k", STORE_LEASE, granted->lease);
    for (StoreField field = STORE_VERSION; field <= STORE_LEASE; field++)
        assert_relations(fixture, "none", field, 0);
    static const char *const values[] = { "l", "m", "ma" };
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(holds(fixture, "v", STORE_VALUE, STORE_EQUAL, 0, values[i]), ==, i == 1);
        g_assert_cmpint(holds(fixture, "v", STORE_VALUE, STORE_NOT_EQUAL, 0, values[i]), ==,
                        i != 1);
        g_assert_cmpint(holds(fixture, "v", STORE_VALUE, STORE_LESS, 0, values[i]), ==, i > 1);
        g_assert_cmpint(holds(fixture, "v", STORE_VALUE, STORE_GREATER, 0, values[i]), ==, i < 1);
    }
    for (StoreRelation relation = STORE_EQUAL; relation <= STORE_GREATER; relation++)
        g_assert_false(holds(fixture, "none", STORE_VALUE, relation, 0, ""));
    store_answer_unref(must(store_lease_revoke(fixture->store, granted->lease, NULL, NULL)));
}

static void test_branches(Fixture *fixture) {
    g_autoptr(GBytes) key = bytes_of("k"), yes = bytes_of("then"), no = bytes_of("else");
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, yes, 0);
    store_txn_range(txn, STORE_ELSE, &(StoreRange){ .key = key });
    store_txn_put(txn, STORE_ELSE, key, no, 0);
    g_autoptr(StoreAnswer) first = must(store_commit(fixture->store, txn, NULL, NULL));
    g_assert_true(first->succeeded);
    g_assert_cmpint(first->results->len, ==, 1);
    g_autoptr(StoreAnswer) second = must(store_commit(fixture->store, txn, NULL, NULL));
    g_assert_false(second->succeeded);
    g_assert_cmpint(second->results->len, ==, 2);
    assert_entry(store_answer_entry(second), "then", fixture->base + 1, fixture->base + 1, 1);
    g_autoptr(StoreAnswer) after = get(fixture, "k");
    assert_entry(store_answer_entry(after), "else", fixture->base + 1, fixture->base + 2, 2);
}

static void test_one_transaction(Fixture *fixture) {
    put(fixture, "a/1", "x");
    put(fixture, "a/2", "x");
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) a = bytes_of("a/"), b = bytes_of("b"), new = bytes_of("new");
    store_txn_range(txn, STORE_THEN, &(StoreRange){ 0 });
    store_txn_delete(txn, STORE_THEN, a, true);
    store_txn_put(txn, STORE_THEN, b, new, 0);
    store_txn_delete(txn, STORE_THEN, a, true);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ 0 });
    g_autoptr(StoreAnswer) answer = must(store_commit(fixture->store, txn, NULL, NULL));
    g_assert_cmpint(answer->revision, ==, fixture->base + 3);
    g_autofree char *before = show(store_answer_result(answer, 0)->entries);
    g_assert_cmpstr(before, ==, "a/1=x a/2=x");
    g_assert_cmpint(store_answer_result(answer, 1)->count, ==, 2);
    g_assert_cmpint(store_answer_result(answer, 3)->count, ==, 0);
    const GPtrArray *after = store_answer_result(answer, 4)->entries;
    g_assert_cmpint(after->len, ==, 1);
    assert_entry(g_ptr_array_index(after, 0), "new", fixture->base + 3, fixture->base + 3, 1);
}

/* A transaction that fails in the middle has done nothing. */
static void test_all_or_nothing(Fixture *fixture) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) a = bytes_of("a"), b = bytes_of("b");
    store_txn_put(txn, STORE_THEN, a, a, 0);
    store_txn_put(txn, STORE_THEN, b, b, 4711);
    must_fail(store_commit(fixture->store, txn, NULL, NULL), STORE_ERROR_LEASE_GONE);
    g_assert_false(is_there(fixture, "a"));
    g_assert_cmpint(put(fixture, "c", "x"), ==, fixture->base + 1);
}

static void test_no_change_no_revision(Fixture *fixture) {
    g_autoptr(StoreTxn) empty = store_txn_new(), reads = store_txn_new();
    int64_t last = put(fixture, "a", "x");
    g_autoptr(StoreAnswer) nothing = must(store_commit(fixture->store, empty, NULL, NULL));
    g_assert_true(nothing->succeeded);
    g_assert_cmpint(nothing->revision, ==, last);
    store_txn_range(reads, STORE_THEN, &(StoreRange){ 0 });
    g_autoptr(StoreAnswer) read = must(store_commit(fixture->store, reads, NULL, NULL));
    g_assert_cmpint(read->revision, ==, last);
    g_assert_cmpint(put(fixture, "a", "x"), ==, last + 1);
}

typedef struct {
    const char *first, *second; /* "+k": put, "-k": delete, "*k": delete all that begin with it */
    bool refused;
} Twice;

static void add_op(StoreTxn *txn, StoreBranch branch, const char *what) {
    g_autoptr(GBytes) key = bytes_of(what + 1);
    if (*what == '+')
        store_txn_put(txn, branch, key, key, 0);
    else
        store_txn_delete(txn, branch, key, *what == '*');
}

static const Twice twices[] = {
    { "+k", "+k", true },   { "+k", "-k", true },   { "-k", "+k", true },
    { "+key", "*k", true }, { "*k", "+key", true }, { "-k", "-k", false },
    { "*k", "*ke", false }, { "+k", "+ke", false }, { "-key", "+k", false },
};

static void test_twice(Fixture *fixture) {
    for (size_t i = 0; i < G_N_ELEMENTS(twices); i++) {
        g_autoptr(StoreTxn) txn = store_txn_new();
        add_op(txn, STORE_THEN, twices[i].first);
        add_op(txn, STORE_THEN, twices[i].second);
        if (twices[i].refused)
            must_fail(store_commit(fixture->store, txn, NULL, NULL), STORE_ERROR_INVALID);
        else
            store_answer_unref(must(store_commit(fixture->store, txn, NULL, NULL)));
    }
    g_autoptr(StoreTxn) either = store_txn_new();
    add_op(either, STORE_THEN, "+k");
    add_op(either, STORE_ELSE, "-k");
    store_answer_unref(must(store_commit(fixture->store, either, NULL, NULL)));
}

static void test_refused(Fixture *fixture) {
    g_autoptr(GBytes) empty = bytes_of(""), key = bytes_of("k");
    must_fail(store_put(fixture->store, empty, key, 0, NULL, NULL), STORE_ERROR_INVALID);
    must_fail(store_get(fixture->store, empty, NULL, NULL), STORE_ERROR_INVALID);
    must_fail(store_put(fixture->store, key, key, -1, NULL, NULL), STORE_ERROR_INVALID);
    must_fail(store_lease_grant(fixture->store, 0, NULL, NULL), STORE_ERROR_INVALID);
    must_fail(store_lease_grant(fixture->store, STORE_LIMIT_TTL + 1, NULL, NULL),
              STORE_ERROR_TOO_LARGE);
    must_fail(store_compact(fixture->store, 0, NULL, NULL), STORE_ERROR_INVALID);
    must_fail(store_lease_keep(fixture->store, 0, NULL, NULL), STORE_ERROR_INVALID);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = key, .revision = 1 });
    must_fail(store_commit(fixture->store, txn, NULL, NULL), STORE_ERROR_INVALID);
}

/* --- watches */

typedef struct {
    GString *text;    /* "5:a=1 b=2;6:a-;" : revisions with what changed in them */
    int64_t revision; /* the last that was told */
    unsigned events;
    int error; /* of the watch's end; -1: none */
    const char *wanted;
    int64_t wanted_revision;
    int64_t base; /* taken from the revisions in text */
} Seen;

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Seen *seen = data;
    seen->error = error != NULL ? error->code : -1;
    if (error != NULL) {
        seen->revision = revision;
        return;
    }
    g_assert_cmpint(revision, >=, seen->revision);
    for (unsigned i = 0; i < events->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(events, i);
        g_autoptr(GPtrArray) one = g_ptr_array_new();
        g_ptr_array_add(one, g_ptr_array_index(events, i));
        g_autofree char *shown = show(one);
        bool first =
            i == 0 || entry->mod_revision !=
                          ((const StoreEntry *)g_ptr_array_index(events, i - 1))->mod_revision;
        g_assert_cmpint(entry->mod_revision, >, first ? seen->revision : seen->revision - 1);
        g_assert_cmpint(entry->mod_revision, <=, revision);
        seen->revision = entry->mod_revision;
        if (first)
            g_string_append_printf(seen->text, "%s%d:", seen->text->len > 0 ? ";" : "",
                                   (int)(entry->mod_revision - seen->base));
        g_string_append_printf(seen->text, "%s%s", first ? "" : " ", shown);
        seen->events++;
    }
    seen->revision = revision;
}

static Seen *seen_new(Fixture *fixture) {
    Seen *seen = g_new0(Seen, 1);
    seen->text = g_string_new(NULL);
    seen->error = -1;
    seen->base = fixture->base;
    return seen;
}

static void seen_free(Seen *seen) {
    g_string_free(seen->text, TRUE);
    g_free(seen);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Seen, seen_free)

static bool saw_text(void *data) {
    const Seen *seen = data;
    return seen->text->len >= strlen(seen->wanted);
}

static bool saw_revision(void *data) {
    const Seen *seen = data;
    return seen->revision >= seen->wanted_revision;
}

static bool saw_error(void *data) {
    return ((const Seen *)data)->error >= 0;
}

static void assert_seen(Fixture *fixture, Seen *seen, const char *text) {
    seen->wanted = text;
    fixture_run_until(fixture, saw_text, seen);
    g_assert_cmpstr(seen->text->str, ==, text);
}

static StoreWatch *watch(Fixture *fixture, const char *key, bool prefix, int64_t from, Seen *seen) {
    g_autoptr(GBytes) k = key != NULL ? bytes_of(key) : NULL;
    return store_watch(fixture->store, k, prefix, from, on_watch, seen);
}

/* Until it knows from where on. */
static StoreWatch *watch_now(Fixture *fixture, const char *key, bool prefix, Seen *seen) {
    StoreWatch *started = watch(fixture, key, prefix, 0, seen);
    seen->wanted_revision = 1;
    fixture_run_until(fixture, saw_revision, seen);
    return started;
}

static void test_watch(Fixture *fixture) {
    put(fixture, "web/0", "before");
    g_autoptr(Seen) all = seen_new(fixture), webs = seen_new(fixture), one = seen_new(fixture);
    g_autoptr(StoreWatch) watch_all = watch_now(fixture, NULL, true, all);
    g_autoptr(StoreWatch) watch_webs = watch_now(fixture, "web/", true, webs);
    g_autoptr(StoreWatch) watch_one = watch_now(fixture, "web/1", false, one);
    put(fixture, "web/1", "x");
    put(fixture, "web/11", "y");
    put(fixture, "db", "z");
    del(fixture, "web/1");
    put(fixture, "web/1", "end");
    assert_seen(fixture, all, "2:web/1=x;3:web/11=y;4:db=z;5:web/1-;6:web/1=end");
    assert_seen(fixture, webs, "2:web/1=x;3:web/11=y;5:web/1-;6:web/1=end");
    assert_seen(fixture, one, "2:web/1=x;5:web/1-;6:web/1=end");
}

static void test_watch_past_and_future(Fixture *fixture) {
    put(fixture, "a", "1");
    put(fixture, "b", "2");
    del(fixture, "a");
    g_autoptr(Seen) past = seen_new(fixture), part = seen_new(fixture), future = seen_new(fixture);
    g_autoptr(StoreWatch) watch_past = watch(fixture, NULL, true, fixture->base + 1, past);
    g_autoptr(StoreWatch) watch_part = watch(fixture, "a", false, fixture->base + 2, part);
    g_autoptr(StoreWatch) watch_future = watch(fixture, NULL, true, fixture->base + 5, future);
    assert_seen(fixture, past, "1:a=1;2:b=2;3:a-");
    assert_seen(fixture, part, "3:a-");
    put(fixture, "c", "4");
    put(fixture, "a", "5");
    assert_seen(fixture, past, "1:a=1;2:b=2;3:a-;4:c=4;5:a=5");
    assert_seen(fixture, part, "3:a-;5:a=5");
    assert_seen(fixture, future, "5:a=5");
}

static void test_watch_transaction(Fixture *fixture) {
    put(fixture, "a/1", "x");
    put(fixture, "a/2", "x");
    g_autoptr(Seen) seen = seen_new(fixture), past = seen_new(fixture);
    g_autoptr(StoreWatch) now = watch_now(fixture, NULL, true, seen);
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) a = bytes_of("a/"), b = bytes_of("b"), c = bytes_of("c"), v = bytes_of("v");
    store_txn_put(txn, STORE_THEN, c, v, 0);
    store_txn_delete(txn, STORE_THEN, a, true);
    store_txn_put(txn, STORE_THEN, b, v, 0);
    store_answer_unref(must(store_commit(fixture->store, txn, NULL, NULL)));
    assert_seen(fixture, seen, "3:c=v a/1- a/2- b=v");
    g_autoptr(StoreWatch) again = watch(fixture, NULL, true, fixture->base + 3, past);
    assert_seen(fixture, past, "3:c=v a/1- a/2- b=v");
}

/* Large events, and more than fit into one message of any transport. */
static void test_watch_large(Fixture *fixture) {
    g_autoptr(Seen) seen = seen_new(fixture);
    g_autoptr(GBytes) key = bytes_of("k");
    int64_t first = 0;
    for (int i = 0; i < 5; i++) {
        g_autoptr(GBytes) value = block(STORE_LIMIT_VALUE, (uint8_t)i);
        g_autoptr(StoreAnswer) answer = must(store_put(fixture->store, key, value, 0, NULL, NULL));
        first = i == 0 ? answer->revision : first;
    }
    g_autoptr(StoreWatch) past = watch(fixture, "k", false, first, seen);
    seen->wanted_revision = first + 4;
    fixture_run_until(fixture, saw_revision, seen);
    g_assert_cmpint(seen->events, ==, 5);
}

#define MANY 300

/* Watches that begin while others write: each sees every change after its start, once. */
static void test_watch_gapless(Fixture *fixture) {
    Seen *seen[10];
    StoreWatch *watches[G_N_ELEMENTS(seen)];
    for (unsigned i = 0; i < MANY; i++) {
        if (i % (MANY / G_N_ELEMENTS(seen)) == 0) {
            unsigned n = i / (MANY / G_N_ELEMENTS(seen));
            seen[n] = seen_new(fixture);
            watches[n] = watch(fixture, "k", true, fixture->base + 1, seen[n]);
        }
        g_autofree char *name = g_strdup_printf("k/%u", i % 7);
        put(fixture, name, "v");
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(seen); n++) {
        seen[n]->wanted_revision = fixture->base + MANY;
        fixture_run_until(fixture, saw_revision, seen[n]);
        g_assert_cmpint(seen[n]->events, ==, MANY);
        g_assert_cmpstr(seen[n]->text->str, ==, seen[0]->text->str);
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(seen); n++) {
        store_watch_stop(watches[n]);
        seen_free(seen[n]);
    }
}

typedef struct {
    StoreWatch *own, *other;
    unsigned calls;
} Stopper;

static void stop_both(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Stopper *stopper = data;
    if (events->len == 0)
        return;
    stopper->calls++;
    g_clear_pointer(&stopper->own, store_watch_stop);
    g_clear_pointer(&stopper->other, store_watch_stop);
}

static bool was_stopped(void *data) {
    return ((const Stopper *)data)->calls > 0;
}

/* Two watches of the same key that stop each other: only one is ever told. */
static void test_watch_stopped_inside(Fixture *fixture) {
    Stopper stopper = { 0 };
    g_autoptr(GBytes) key = bytes_of("k");
    stopper.own = store_watch(fixture->store, key, false, 0, stop_both, &stopper);
    stopper.other = store_watch(fixture->store, key, false, 0, stop_both, &stopper);
    fixture_run_for(fixture, 100000);
    put(fixture, "k", "v");
    fixture_run_until(fixture, was_stopped, &stopper);
    put(fixture, "k", "w");
    fixture_run_for(fixture, 100000);
    g_assert_cmpint(stopper.calls, ==, 1);
}

/* --- compaction */

static void test_compaction(Fixture *fixture) {
    int64_t first = put(fixture, "k", "one");
    put(fixture, "gone", "x");
    put(fixture, "k", "two");
    int64_t at = del(fixture, "gone");
    int64_t after = del(fixture, "k");
    put(fixture, "k", "three");
    store_answer_unref(must(store_compact(fixture->store, at, NULL, NULL)));
    StoreRange all = { .revision = first };
    must_fail(store_range(fixture->store, &all, NULL, NULL), STORE_ERROR_COMPACTED);
    all.revision = at - 1;
    must_fail(store_range(fixture->store, &all, NULL, NULL), STORE_ERROR_COMPACTED);
    all.revision = at;
    assert_range(fixture, &all, "k=two", 1, false);
    all.revision = after;
    assert_range(fixture, &all, "", 0, false);
    all.revision = 0;
    assert_range(fixture, &all, "k=three", 1, false);
    must_fail(store_compact(fixture->store, at, NULL, NULL), STORE_ERROR_COMPACTED);
    must_fail(store_compact(fixture->store, after + 100, NULL, NULL), STORE_ERROR_FUTURE_REVISION);
    g_autoptr(StoreAnswer) answer = get(fixture, "k");
    assert_entry(store_answer_entry(answer), "three", after + 1, after + 1, 1);
}

static void test_compacted_watch(Fixture *fixture) {
    put(fixture, "a", "1");
    put(fixture, "b", "2");
    int64_t at = del(fixture, "a");
    del(fixture, "b");
    put(fixture, "c", "3");
    store_answer_unref(must(store_compact(fixture->store, at, NULL, NULL)));
    g_autoptr(Seen) late = seen_new(fixture), edge = seen_new(fixture), fine = seen_new(fixture);
    g_autoptr(StoreWatch) watch_late = watch(fixture, NULL, true, fixture->base + 1, late);
    g_autoptr(StoreWatch) watch_edge = watch(fixture, NULL, true, at, edge);
    g_autoptr(StoreWatch) watch_fine = watch(fixture, NULL, true, at + 1, fine);
    fixture_run_until(fixture, saw_error, late);
    g_assert_cmpint(late->error, ==, STORE_ERROR_COMPACTED);
    g_assert_cmpint(late->revision, ==, at);
    /* What happened at that revision need not be known any more. */
    fixture_run_until(fixture, saw_error, edge);
    g_assert_cmpint(edge->error, ==, STORE_ERROR_COMPACTED);
    assert_seen(fixture, fine, "4:b-;5:c=3");
    g_assert_cmpint(fine->error, ==, -1);
}

/* --- leases */

static void test_lease(Fixture *fixture) {
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 60, NULL, NULL));
    g_assert_cmpint(granted->lease, >, 0);
    g_assert_cmpint(granted->ttl, ==, 60);
    int64_t lease = granted->lease;
    put_with(fixture, "a", lease);
    put_with(fixture, "b", lease);
    put_with(fixture, "moved", lease);
    int64_t last = put(fixture, "moved", "x"); /* without one: it stays */
    g_autoptr(StoreAnswer) answer = get(fixture, "a");
    g_assert_cmpint(store_answer_entry(answer)->lease, ==, lease);
    g_autoptr(StoreAnswer) look = must(store_lease_look(fixture->store, lease, NULL, NULL));
    g_assert_cmpint(look->ttl, <=, 60);
    g_assert_cmpint(look->ttl, >=, 30);
    g_autoptr(StoreAnswer) kept = must(store_lease_keep(fixture->store, lease, NULL, NULL));
    g_assert_cmpint(kept->ttl, ==, 60);
    g_autoptr(Seen) seen = seen_new(fixture);
    g_autoptr(StoreWatch) all = watch_now(fixture, NULL, true, seen);
    g_autoptr(StoreAnswer) revoked = must(store_lease_revoke(fixture->store, lease, NULL, NULL));
    g_assert_cmpint(revoked->revision, ==, last + 1);
    assert_seen(fixture, seen, "5:a- b-");
    assert_range(fixture, &(StoreRange){ 0 }, "moved=x", 1, false);
    g_autoptr(GBytes) key = bytes_of("k");
    must_fail(store_put(fixture->store, key, key, lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
    must_fail(store_lease_keep(fixture->store, lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
    must_fail(store_lease_revoke(fixture->store, lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
    must_fail(store_lease_look(fixture->store, lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
}

static bool saw_events(void *data) {
    return ((const Seen *)data)->events > 0;
}

static void test_lease_expires(Fixture *fixture) {
    g_autoptr(Seen) seen = seen_new(fixture);
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 1, NULL, NULL));
    g_assert_cmpint(granted->ttl, ==, STORE_MIN_TTL);
    uint64_t start = loop_now(fixture->loop);
    put_with(fixture, "a", granted->lease);
    put_with(fixture, "b", granted->lease);
    g_autoptr(StoreWatch) all = watch_now(fixture, NULL, true, seen);
    fixture_run_until(fixture, saw_events, seen);
    g_assert_cmpint((int64_t)(loop_now(fixture->loop) - start), >=, 1900000);
    assert_seen(fixture, seen, "3:a- b-");
    must_fail(store_lease_keep(fixture->store, granted->lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
}

static void test_lease_kept_alive(Fixture *fixture) {
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 3, NULL, NULL));
    put_with(fixture, "a", granted->lease);
    for (int i = 0; i < 8; i++) {
        fixture_run_for(fixture, 500000);
        g_autoptr(StoreAnswer) kept =
            must(store_lease_keep(fixture->store, granted->lease, NULL, NULL));
        g_assert_cmpint(kept->ttl, ==, 3);
    }
    g_assert_true(is_there(fixture, "a"));
    store_answer_unref(must(store_lease_revoke(fixture->store, granted->lease, NULL, NULL)));
}

/* --- many at once */

#define WRITERS 64
#define TIMES   10

typedef struct {
    Fixture *fixture;
    GHashTable *revisions; /* of all that succeeded: none twice */
    unsigned working, lost;
} Crowd;

typedef struct {
    Crowd *crowd;
    unsigned left;
    int64_t count, revision; /* of the counter when it was read */
} Writer;

static void read_counter(Writer *writer);

static void on_counted(void *data, StoreAnswer *answer, const GError *error) {
    Writer *writer = data;
    g_assert_no_error(error);
    if (answer->succeeded) {
        g_assert_true(g_hash_table_add(writer->crowd->revisions,
                                       g_memdup2(&answer->revision, sizeof answer->revision)));
        writer->left--;
    } else {
        writer->crowd->lost++;
    }
    if (writer->left > 0)
        read_counter(writer);
    else
        writer->crowd->working--;
}

static void on_read(void *data, StoreAnswer *answer, const GError *error) {
    Writer *writer = data;
    g_assert_no_error(error);
    const StoreEntry *entry = store_answer_entry(answer);
    g_autofree char *before = entry != NULL ? g_strndup(g_bytes_get_data(entry->value, NULL),
                                                        g_bytes_get_size(entry->value))
                                            : g_strdup("0");
    g_autofree char *text =
        g_strdup_printf("%" G_GINT64_FORMAT, g_ascii_strtoll(before, NULL, 10) + 1);
    g_autoptr(GBytes) key = bytes_of("counter"), value = bytes_of(text);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, key, STORE_MOD_REVISION, STORE_EQUAL, entry ? entry->mod_revision : 0);
    store_txn_put(txn, STORE_THEN, key, value, 0);
    store_commit(writer->crowd->fixture->store, txn, on_counted, writer);
}

static void read_counter(Writer *writer) {
    g_autoptr(GBytes) key = bytes_of("counter");
    store_get(writer->crowd->fixture->store, key, on_read, writer);
}

static void on_put(void *data, StoreAnswer *answer, const GError *error) {
    Writer *writer = data;
    g_assert_no_error(error);
    g_assert_true(g_hash_table_add(writer->crowd->revisions,
                                   g_memdup2(&answer->revision, sizeof answer->revision)));
    if (writer->left-- == 0) {
        writer->crowd->working--;
        return;
    }
    g_autofree char *name = g_strdup_printf("w/%p", data);
    g_autoptr(GBytes) key = bytes_of(name);
    store_put(writer->crowd->fixture->store, key, key, 0, on_put, writer);
}

static bool is_done(void *data) {
    return ((const Crowd *)data)->working == 0;
}

/* Writers in each other's way, and some that are not. */
static void test_concurrent_writers(Fixture *fixture) {
    g_autoptr(GHashTable) revisions =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    Crowd crowd = { .fixture = fixture, .revisions = revisions, .working = WRITERS };
    Writer writers[WRITERS];
    g_autoptr(GBytes) key = bytes_of("start");
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){ .crowd = &crowd, .left = i < 8 ? 3 : TIMES };
        if (i < 8)
            read_counter(&writers[i]);
        else
            store_put(fixture->store, key, key, 0, on_put, &writers[i]);
    }
    fixture_run_until(fixture, is_done, &crowd);
    g_autoptr(StoreAnswer) answer = get(fixture, "counter");
    assert_bytes(store_answer_entry(answer)->value, "24");
    g_assert_cmpint(crowd.lost, >, 0);
    g_assert_cmpint(g_hash_table_size(revisions), ==, 24 + (WRITERS - 8) * (TIMES + 1));
    g_assert_cmpint(answer->revision, ==, fixture->base + g_hash_table_size(revisions));
}

/* --- across a restart of the fixture */

static void test_restart(Fixture *fixture) {
    int64_t first = put(fixture, "k", "one");
    put(fixture, "k", "two");
    put(fixture, "gone", "x");
    int64_t last = del(fixture, "gone");
    fixture_restart(fixture);
    g_autoptr(StoreAnswer) answer = get(fixture, "k");
    g_assert_cmpint(answer->revision, ==, last);
    assert_entry(store_answer_entry(answer), "two", first, first + 1, 2);
    assert_range(fixture, &(StoreRange){ .revision = first + 2 }, "gone=x k=two", 2, false);
    g_assert_cmpint(put(fixture, "k", "three"), ==, last + 1);
    g_autoptr(Seen) seen = seen_new(fixture);
    g_autoptr(StoreWatch) all = watch(fixture, NULL, true, first + 1, seen);
    assert_seen(fixture, seen, "2:k=two;3:gone=x;4:gone-;5:k=three");
}

static void test_restart_compacted(Fixture *fixture) {
    int64_t first = put(fixture, "k", "one");
    int64_t at = put(fixture, "k", "two");
    put(fixture, "k", "three");
    store_answer_unref(must(store_compact(fixture->store, at, NULL, NULL)));
    fixture_restart(fixture);
    must_fail(store_range(fixture->store, &(StoreRange){ .revision = first }, NULL, NULL),
              STORE_ERROR_COMPACTED);
    assert_range(fixture, &(StoreRange){ .revision = at }, "k=two", 1, false);
    must_fail(store_compact(fixture->store, at, NULL, NULL), STORE_ERROR_COMPACTED);
}

/* It is neither lost, nor does it begin anew for ever. */
static void test_restart_lease(Fixture *fixture) {
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 3, NULL, NULL));
    g_autoptr(StoreAnswer) longer = must(store_lease_grant(fixture->store, 60, NULL, NULL));
    put_with(fixture, "a", granted->lease);
    put_with(fixture, "b", longer->lease);
    fixture_run_for(fixture, 1000000);
    fixture_restart(fixture);
    g_autoptr(Seen) seen = seen_new(fixture);
    g_autoptr(StoreWatch) all = watch(fixture, NULL, true, fixture->base + 3, seen);
    g_autoptr(StoreAnswer) kept = must(store_lease_keep(fixture->store, longer->lease, NULL, NULL));
    g_assert_cmpint(kept->ttl, ==, 60);
    assert_seen(fixture, seen, "3:a-");
    must_fail(store_lease_keep(fixture->store, granted->lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
    g_assert_true(is_there(fixture, "b"));
    store_answer_unref(must(store_lease_revoke(fixture->store, longer->lease, NULL, NULL)));
}

/* --- calls */

static void must_not_come(void *data, StoreAnswer *answer, const GError *error) {
    g_assert_not_reached();
}

static void test_cancel(Fixture *fixture) {
    g_autoptr(GBytes) key = bytes_of("k"), empty = bytes_of("");
    store_call_cancel(store_put(fixture->store, key, key, 0, must_not_come, NULL));
    store_call_cancel(store_put(fixture->store, empty, key, 0, must_not_come, NULL));
    store_call_cancel(store_get(fixture->store, key, must_not_come, NULL));
    store_call_cancel(store_lease_grant(fixture->store, 5, must_not_come, NULL));
    store_answer_unref(must(store_put(fixture->store, key, key, 0, NULL, NULL)));
    store_answer_unref(must(store_get(fixture->store, key, NULL, NULL)));
}

/* Ends with calls and watches that nobody answers any more: fixture_close() frees them. */
static void test_free_amid_calls(Fixture *fixture) {
    g_autoptr(GBytes) key = bytes_of("k");
    for (int i = 0; i < 20; i++)
        store_put(fixture->store, key, key, 0, must_not_come, NULL);
    store_lease_grant(fixture->store, 5, must_not_come, NULL);
    store_get(fixture->store, key, NULL, NULL);
}

/* --- all of them over all stores */

typedef struct {
    const char *name;
    void (*run)(Fixture *fixture);
    bool restarts; /* only for stores that keep what they have */
    bool forgets;  /* and only for those that do not remember what was compacted */
} Case;

static const Case cases[] = {
    { "revisions", test_revisions, false },
    { "deletes", test_deletes, false },
    { "ranges", test_ranges, false },
    { "past", test_past, false },
    { "any-bytes", test_any_bytes, false },
    { "large-values", test_large_values, false },
    { "large-transactions", test_large_transactions, false },
    { "compares", test_compares, false },
    { "branches", test_branches, false },
    { "one-transaction", test_one_transaction, false },
    { "all-or-nothing", test_all_or_nothing, false },
    { "no-change-no-revision", test_no_change_no_revision, false },
    { "twice", test_twice, false },
    { "refused", test_refused, false },
    { "watch", test_watch, false },
    { "watch-past-and-future", test_watch_past_and_future, false },
    { "watch-transaction", test_watch_transaction, false },
    { "watch-large", test_watch_large, false },
    { "watch-gapless", test_watch_gapless, false },
    { "watch-stopped-inside", test_watch_stopped_inside, false },
    { "compaction", test_compaction, false },
    { "compacted-watch", test_compacted_watch, false, true },
    { "lease", test_lease, false },
    { "lease-expires", test_lease_expires, false },
    { "lease-kept-alive", test_lease_kept_alive, false },
    { "concurrent-writers", test_concurrent_writers, false },
    { "restart", test_restart, true },
    { "restart-compacted", test_restart_compacted, true },
    { "restart-lease", test_restart_lease, true },
    { "cancel", test_cancel, false },
    { "free-amid-calls", test_free_amid_calls, false },
};

typedef struct {
    const FixtureKind *kind;
    const Case *test;
} Run;

static void run_case(const void *data) {
    const Run *run = data;
    Fixture *fixture = fixture_open(run->kind);
    if (fixture == NULL)
        return;
    run->test->run(fixture);
    fixture_close(fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < n_fixture_kinds; i++)
        for (size_t j = 0; j < G_N_ELEMENTS(cases); j++) {
            if ((cases[j].restarts && !fixture_kinds[i].restarts) ||
                (cases[j].forgets && fixture_kinds[i].remembers))
                continue;
            g_autofree char *path =
                g_strdup_printf("/state/%s/%s", fixture_kinds[i].kind, cases[j].name);
            Run run = { &fixture_kinds[i], &cases[j] };
            g_test_add_data_func_full(path, g_memdup2(&run, sizeof run), run_case, g_free);
        }
    int result = g_test_run();
    fixtures_end();
    return result;
}
