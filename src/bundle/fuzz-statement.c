/*
 * Any bytes, as a statement and as a chain of lists of keys: refused with an error of ours, or all
 * of it is signed; such a statement, signed again with its own words, reads back as the same. With
 * the signature of an input replaced by a right one, also what is behind the signature is reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "bundle/sign-statement.h"
#include "bundle/sign-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_statement(const char *text, size_t size, const SigningKey *key) {
    g_autoptr(GError) error = NULL;
    g_auto(Statement) statement = { 0 };
    g_auto(Statement) again = { 0 };
    if (!statement_read(text, size, &statement, &error)) {
        g_assert_true(error->domain == STEAD_ERROR && *error->message != '\0');
        return;
    }
    g_autofree char *resigned = statement_sign(&statement, key, &error);
    g_assert_no_error(error);
    const char *end = strstr(resigned, "\nkey ");
    g_assert_cmpmem(text, (size_t)(end - resigned), resigned, (size_t)(end - resigned));
    g_assert_true(statement_read(resigned, strlen(resigned), &again, &error));
    g_assert_true(statement_follows(&again, &statement, NULL));
}

static void check_chain(const char *text, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autoptr(KeyList) list = key_list_of_chain(text, size, &error);
    if (list == NULL) {
        g_assert_true(error->domain == STEAD_ERROR && *error->message != '\0');
        return;
    }
    g_assert_cmpmem(key_list_chain(list), strlen(key_list_chain(list)), text, size);
    g_autoptr(KeyList) same = key_list_advance(list, text, size, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(key_list_number(same), ==, key_list_number(list));
}

static void check_lines(const char *text, size_t size) {
    g_autofree char *lines = g_strndup(text, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(KeyList) list = key_list_of_lines(lines, &error);
    g_assert_true(list != NULL ? key_list_size(list) > 0 : error->domain == STEAD_ERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static SigningKey *key;
    const char *text = (const char *)data;
    if (key == NULL)
        key = signing_key_new(NULL);
    check_statement(text, size, key);
    check_chain(text, size);
    check_lines(text, size);
    const char *end = memmem(text, size, "\nkey ", strlen("\nkey "));
    if (end != NULL && size < KEY_LIST_MAX) {
        g_autoptr(GString) signed_again = g_string_new_len(text, end + 1 - text);
        g_assert_true(sign_text_sign(signed_again, key, NULL));
        check_statement(signed_again->str, signed_again->len, key);
        check_chain(signed_again->str, signed_again->len);
    }
    return 0;
}
