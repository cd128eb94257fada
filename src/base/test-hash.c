/*
 * Hashes lie in ledgers: they are the same in every version. The answers here come from another
 * implementation of the algorithm; when one changes, every entry of every ledger is out of date.
 */
#include "base/hash.h"

#include <string.h>

#include "base/json.h"
#include "base/value.h"

static void test_text(void) {
    static const struct {
        const char *text;
        guint hash;
        uint64_t continued; /* from 7 */
    } rows[] = {
        { "", 0x258d4fbe, 0xaeec5559c50a6f2b },
        { "a", 0x28437d98, 0x82fc70ad372c3759 },
        { "file", 0x5e68731f, 0xf77cbb293de686c3 },
        { "\xc3\xa4", 0x2d6c7bc0, 0x74c514721d885617 },
        { "12345678", 0xd3e86129, 0xffc53d0b18170d99 },
        { "123456789", 0x37fb3b7a, 0x4a9ac19da014d603 },
        { "/etc/hosts", 0x787e8182, 0x0d0319b0a0b7768e },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmphex(hash_string(rows[i].text), ==, rows[i].hash);
        g_assert_cmphex(hash_bytes(7, rows[i].text, strlen(rows[i].text)), ==, rows[i].continued);
    }
}

static void test_word(void) {
    g_assert_cmphex(hash_word(0, 0), ==, 0x1ff5c2923a788d2c);
    g_assert_cmphex(hash_word(1, 2), ==, 0xf7858b38a8499be9);
}

/* Not by another implementation: as of the first release. */
static void test_values(void) {
    static const struct {
        const char *json;
        guint hash;
    } rows[] = {
        { "null", 0x258d4fbe },     { "true", 0xca37d1c7 },
        { "7", 0x54fe2c26 },        { "0.5", 0xf0388747 },
        { "\"0644\"", 0xa316cac8 }, { "[1, \"a\"]", 0x13056286 },
        { "[]", 0xc0f20873 },       { "{\"b\": 1, \"a\": [2]}", 0x608ea944 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Value) value = json_parse(rows[i].json, strlen(rows[i].json), "row", NULL);
        g_assert_cmphex(value_hash(value), ==, rows[i].hash);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hash/text", test_text);
    g_test_add_func("/hash/word", test_word);
    g_test_add_func("/hash/values", test_values);
    return g_test_run();
}
