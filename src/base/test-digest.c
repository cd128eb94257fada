#include <string.h>

#include "base/digest.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* FIPS 180-4: one million times 'a' */
#define MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void test_known(void) {
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(NULL, 0, hex);
    g_assert_cmpstr(hex, ==, EMPTY);
    digest_bytes("abc", 3, hex);
    g_assert_cmpstr(hex, ==, ABC);
}

static void test_pieces(void) {
    char piece[1000], hex[DIGEST_HEX_SIZE];
    memset(piece, 'a', sizeof piece);
    g_autoptr(Digest) digest = digest_new();
    for (int i = 0; i < 1000; i++)
        digest_update(digest, piece, sizeof piece);
    digest_finish(digest, hex);
    g_assert_cmpstr(hex, ==, MILLION_A);
}

static void test_reuse(void) {
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(Digest) digest = digest_new();
    digest_update(digest, "x", 1);
    digest_finish(digest, hex);
    digest_update(digest, "abc", 3);
    digest_finish(digest, hex);
    g_assert_cmpstr(hex, ==, ABC);
    digest_finish(digest, hex);
    g_assert_cmpstr(hex, ==, EMPTY);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/digest/known", test_known);
    g_test_add_func("/digest/pieces", test_pieces);
    g_test_add_func("/digest/reuse", test_reuse);
    return g_test_run();
}
