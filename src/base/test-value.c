#include <math.h>
#include <string.h>
#include <time.h>

#include "base/value.h"

/* Takes ownership of both. */
static void assert_equal(Value *a, Value *b) {
    g_assert_true(value_equal(a, b));
    g_assert_cmpint(value_compare(a, b), ==, 0);
    g_assert_cmpuint(value_hash(a), ==, value_hash(b));
    value_unref(a);
    value_unref(b);
}

static void assert_differ(Value *a, Value *b) {
    g_assert_false(value_equal(a, b));
    int order = value_compare(a, b);
    g_assert_cmpint(order, !=, 0);
    g_assert_true((order < 0) == (value_compare(b, a) > 0));
    value_unref(a);
    value_unref(b);
}

static void assert_shown(Value *value, size_t max_chars, const char *expected) {
    g_autofree char *shown = value_show(value, max_chars);
    g_assert_cmpstr(shown, ==, expected);
    value_unref(value);
}

static Value *sample_map(void) {
    Value *list = value_new_list();
    value_list_append(list, value_new_int(-7));
    value_list_append(list, value_new_float(0.5));
    Value *map = value_new_map();
    value_map_set(map, "name", value_new_string("nginx"));
    value_map_set(map, "list", list);
    value_map_set(map, "on", value_new_bool(true));
    return map;
}

static void test_scalars(void) {
    g_autoptr(Value) i = value_new_int(INT64_MIN);
    g_autoptr(Value) d = value_new_float(2.5);
    g_autoptr(Value) yes = value_new_bool(true);
    g_assert_cmpint(value_int(i), ==, INT64_MIN);
    g_assert_cmpfloat(value_float(d), ==, 2.5);
    g_assert_cmpfloat(value_float(i), ==, (double)INT64_MIN);
    g_assert_true(value_bool(yes));
    g_assert_cmpint(value_type(NULL), ==, VALUE_NIL);
    g_autoptr(Value) nil = value_new_nil();
    g_assert_true(value_equal(NULL, nil));
    g_assert_null(value_ref(NULL));
    value_unref(NULL);
}

static void test_strings(void) {
    g_autoptr(Value) text = value_new_string("abc");
    g_assert_cmpstr(value_string(text), ==, "abc");
    g_assert_cmpuint(value_string_size(text), ==, 3);
    g_autoptr(Value) bytes = value_new_bytes("a\0b", 3);
    g_assert_cmpmem(value_string(bytes), value_string_size(bytes) + 1, "a\0b\0", 4);
    g_autoptr(Value) empty = value_new_bytes(NULL, 0);
    g_assert_cmpstr(value_string(empty), ==, "");
    assert_differ(value_new_bytes("a\0b", 3), value_new_bytes("a\0c", 3));
    assert_differ(value_new_string("a"), value_new_bytes("a\0", 2));
}

static void test_list(void) {
    g_autoptr(Value) list = value_new_list();
    for (int i = 0; i < 1000; i++)
        value_list_append(list, value_new_int(i));
    value_list_append(list, NULL);
    g_assert_cmpuint(value_size(list), ==, 1001);
    for (int i = 0; i < 1000; i++)
        g_assert_cmpint(value_int(value_list_at(list, (size_t)i)), ==, i);
    g_assert_cmpint(value_type(value_list_at(list, 1000)), ==, VALUE_NIL);
}

/* Keys come in any order and leave in byte order. */
static void test_map(void) {
    g_autoptr(Value) map = value_new_map();
    for (int i = 0; i < 1000; i++) {
        int n = i * 7919 % 1000; /* a permutation: 7919 is prime */
        g_autofree char *key = g_strdup_printf("key%d", n);
        value_map_set(map, key, value_new_int(n));
    }
    g_assert_cmpuint(value_size(map), ==, 1000);
    const char *previous = "", *key;
    for (size_t i = 0; i < 1000; i++) {
        const Value *item = value_map_at(map, i, &key);
        g_assert_cmpint(strcmp(previous, key), <, 0);
        g_assert_cmpint(g_ascii_strtoll(key + 3, NULL, 10), ==, value_int(item));
        g_assert_true(value_map_get(map, key) == item);
        previous = key;
    }
    g_assert_null(value_map_get(map, "key1000"));
    g_assert_null(value_map_get(map, ""));
    value_map_set(map, "key5", value_new_string("replaced"));
    g_assert_cmpuint(value_size(map), ==, 1000);
    g_assert_cmpstr(value_map_string(map, "key5", NULL), ==, "replaced");
}

static void test_map_fallbacks(void) {
    g_autoptr(Value) map = sample_map();
    g_assert_cmpstr(value_map_string(map, "name", "x"), ==, "nginx");
    g_assert_cmpstr(value_map_string(map, "on", "x"), ==, "x");
    g_assert_cmpint(value_map_int(map, "absent", 5), ==, 5);
    g_assert_cmpint(value_map_int(map, "name", 5), ==, 5);
    g_assert_true(value_map_bool(map, "on", false));
    g_assert_true(value_map_bool(map, "name", true));
}

static void test_equal(void) {
    assert_equal(sample_map(), sample_map());
    assert_equal(value_new_float(0.0), value_new_float(-0.0));
    assert_equal(value_new_float(NAN), value_new_float(-NAN));
    assert_equal(value_new_list(), value_new_list());
    assert_differ(value_new_float(NAN), value_new_float(-INFINITY));
    assert_differ(value_new_int(1), value_new_float(1.0));
    assert_differ(value_new_int(INT64_MIN), value_new_int(INT64_MAX));
    assert_differ(value_new_nil(), value_new_bool(false));
    assert_differ(value_new_bool(true), value_new_bool(false));
    assert_differ(value_new_list(), value_new_map());
    assert_differ(sample_map(), value_new_map());
    Value *other = sample_map();
    value_map_set(other, "name", value_new_string("nginy"));
    assert_differ(sample_map(), other);
    Value *longer = value_new_list(), *shorter = value_new_list();
    value_list_append(longer, value_new_nil());
    assert_differ(longer, shorter);
}

/* The key decides before the item: {a = 2} < {b = 1}. */
static void test_map_order(void) {
    Value *a = value_new_map(), *b = value_new_map();
    value_map_set(a, "a", value_new_int(2));
    value_map_set(b, "b", value_new_int(1));
    g_assert_cmpint(value_compare(a, b), <, 0);
    assert_differ(a, b);
}

static void test_hash_spreads(void) {
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (int i = 0; i < 10000; i++) {
        g_autofree char *text = g_strdup_printf("/etc/conf.d/%04d.conf", i);
        g_autoptr(Value) value = value_new_string(text);
        g_hash_table_add(seen, GUINT_TO_POINTER(value_hash(value)));
    }
    /* 10,000 of 2^32 places: 0.012 collisions expected */
    g_assert_cmpuint(g_hash_table_size(seen), >=, 9998);
}

static void test_unknown(void) {
    g_autoptr(Value) unknown = value_new_unknown();
    g_assert_false(value_equal(unknown, unknown));
    g_assert_cmpint(value_compare(unknown, unknown), ==, 0);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "x", value_ref(unknown));
    g_autoptr(Value) list = value_new_list();
    value_list_append(list, value_ref(map));
    g_assert_true(value_has_unknown(list));
    g_assert_false(value_equal(list, list));
    g_autoptr(Value) known = sample_map();
    g_assert_false(value_has_unknown(known));
    g_assert_true(value_equal(known, known));
    g_autoptr(Value) secret = value_as_secret(unknown, NULL);
    g_assert_true(value_has_unknown(secret));
}

static void test_replaced_flags(void) {
    g_autoptr(Value) map = sample_map();
    value_map_set(map, "x", value_new_unknown());
    g_autoptr(Value) plain = value_new_string("hunter2");
    value_map_set(map, "y", value_as_secret(plain, NULL));
    value_map_set(map, "x", value_new_int(1));
    g_assert_false(value_has_unknown(map));
    g_assert_true(value_is_secret(map));
    value_map_set(map, "y", value_new_int(2));
    g_assert_false(value_is_secret(map));
}

static void assert_secret_copy(Value *plain, const char *name) {
    g_autoptr(Value) secret = value_as_secret(plain, name);
    g_assert_true(value_is_secret(secret));
    g_assert_true(value_is_masked(secret));
    g_assert_false(value_is_secret(plain));
    g_assert_cmpstr(value_secret_name(secret), ==, name);
    g_assert_null(value_secret_name(plain));
    g_assert_true(value_equal(secret, plain));
    g_assert_cmpuint(value_hash(secret), ==, value_hash(plain));
    assert_shown(value_ref(secret), 0, "(secret)");
    g_autoptr(Value) again = value_as_secret(secret, "other");
    g_assert_cmpstr(value_secret_name(again), ==, "other");
    value_unref(plain);
}

static void test_secret(void) {
    assert_secret_copy(value_new_string("hunter2"), "db/password");
    assert_secret_copy(value_new_string("hunter2"), NULL);
    assert_secret_copy(value_new_bytes("a\0b", 3), "x");
    assert_secret_copy(value_new_int(42), "n");
    assert_secret_copy(value_new_bool(true), "b");
    assert_secret_copy(value_new_nil(), "nil");
    assert_secret_copy(value_new_float(1.5), "f");
    assert_secret_copy(value_new_list(), "l");
    assert_secret_copy(sample_map(), "m");
}

static void test_secret_inside(void) {
    g_autoptr(Value) plain = value_new_string("hunter2");
    g_autoptr(Value) list = value_new_list();
    value_list_append(list, value_new_int(1));
    value_list_append(list, value_as_secret(plain, "n"));
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "k", value_ref(list));
    g_assert_true(value_is_secret(map));
    g_assert_false(value_is_masked(map));
    g_assert_null(value_secret_name(map));
    assert_shown(value_ref(map), 0, "{k = [1, (secret)]}");
}

static void test_show(void) {
    assert_shown(value_new_nil(), 0, "nil");
    assert_shown(value_new_bool(false), 0, "false");
    assert_shown(value_new_int(INT64_MIN), 0, "-9223372036854775808");
    assert_shown(value_new_float(0.1), 0, "0.1");
    assert_shown(value_new_unknown(), 0, "(known after apply)");
    assert_shown(sample_map(), 0, "{list = [-7, 0.5], name = \"nginx\", on = true}");
    assert_shown(value_new_bytes("a\n\t\r\"\\\0\x1b\x7f\xff", 10), 0,
                 "\"a\\n\\t\\r\\\"\\\\\\x00\\x1b\\x7f\\xff\"");
    assert_shown(value_new_string("\u00e9\u202e"), 0, "\"\u00e9\\u{202e}\"");
    assert_shown(value_new_bytes("\xe2\x82", 2), 0, "\"\\xe2\\x82\""); /* half a character */
    Value *odd = value_new_map();
    value_map_set(odd, "a key", value_new_int(1));
    value_map_set(odd, "", value_new_int(2));
    assert_shown(odd, 0, "{\"\" = 2, \"a key\" = 1}");
}

static void test_show_short(void) {
    assert_shown(value_new_string("hello"), 7, "\"hello\"");
    assert_shown(value_new_string("hello"), 6, "\"hell…");
    assert_shown(value_new_string("hello"), 1, "…");
    assert_shown(value_new_string("ééééé"), 7, "\"ééééé\"");
    assert_shown(value_new_string("ééééé"), 6, "\"éééé…");
    assert_shown(sample_map(), 10, "{list = […");
    char *megabytes = g_strnfill(64 << 20, 'x');
    Value *large = value_new_string(megabytes);
    g_free(megabytes);
    clock_t start = clock(); /* processor time: others may be at work here, too */
    assert_shown(large, 4, "\"xx…");
    g_assert_cmpint(clock() - start, <, CLOCKS_PER_SEC / 10); /* does not read all of it */
}

/* Many in a row, so that threads are at the same count at the same time. */
static void *take_and_drop(void *data) {
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 2000; i++)
            (void)value_ref(data);
        for (int i = 0; i < 2000; i++)
            value_unref(data);
    }
    return NULL;
}

static void test_threads(void) {
    Value *map = sample_map();
    GThread *threads[4];
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("ref", take_and_drop, map);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    value_map_set(map, "still", value_new_string("ours alone")); /* asserts the count */
    value_unref(map);
}

static void test_change_after_sharing(void) {
    if (g_test_subprocess()) {
        g_autoptr(Value) list = value_new_list();
        (void)value_ref(list);
        value_list_append(list, value_new_nil());
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

static void test_wrong_type(void) {
    if (g_test_subprocess()) {
        g_autoptr(Value) text = value_new_string("5");
        (void)value_int(text);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/value/scalars", test_scalars);
    g_test_add_func("/value/strings", test_strings);
    g_test_add_func("/value/list", test_list);
    g_test_add_func("/value/map", test_map);
    g_test_add_func("/value/map-fallbacks", test_map_fallbacks);
    g_test_add_func("/value/equal", test_equal);
    g_test_add_func("/value/map-order", test_map_order);
    g_test_add_func("/value/hash-spreads", test_hash_spreads);
    g_test_add_func("/value/unknown", test_unknown);
    g_test_add_func("/value/replaced-flags", test_replaced_flags);
    g_test_add_func("/value/secret", test_secret);
    g_test_add_func("/value/secret-inside", test_secret_inside);
    g_test_add_func("/value/show", test_show);
    g_test_add_func("/value/show-short", test_show_short);
    g_test_add_func("/value/threads", test_threads);
    g_test_add_func("/value/change-after-sharing", test_change_after_sharing);
    g_test_add_func("/value/wrong-type", test_wrong_type);
    return g_test_run();
}
