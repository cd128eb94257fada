/*
 * The first byte chooses passwd, shadow, group or gshadow; the rest is that file. It prints as it
 * was; every entry is found; one that is added and dropped leaves no trace.
 */
#include <stdint.h>
#include <string.h>

#include "host/account-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(void *data, char **fields) {
    static const unsigned counts[] = { 7, 9, 4, 4 };
    const AccountFile *file = ((const void **)data)[0];
    AccountFileKind kind = *((const AccountFileKind **)data)[1];
    g_assert_cmpuint(g_strv_length(fields), ==, counts[kind]);
    g_auto(GStrv) found = account_file_find(file, fields[0]);
    g_assert_cmpstr(found[0], ==, fields[0]);
    uint32_t id;
    if (account_file_id_of(file, fields[0], &id))
        g_assert_true(account_file_has_id(file, id) && account_file_name_of(file, id));
}

/* With a line break at its end, which printing adds. */
static GBytes *whole_lines(const char *text, size_t size) {
    g_autoptr(GString) whole = g_string_new_len(text, (gssize)size);
    if (size > 0 && text[size - 1] != '\n')
        g_string_append_c(whole, '\n');
    return g_string_free_to_bytes(g_steal_pointer(&whole));
}

static void check_printed(const AccountFile *file, GBytes *expected) {
    g_autoptr(GBytes) printed = account_file_print(file);
    g_assert_true(g_bytes_equal(printed, expected));
}

static void check_change(AccountFileKind kind, GBytes *content) {
    static const char *const entries[][10] = {
        { "new-entry", "x", "4000000000", "1", "", "/", "/bin/sh", NULL },
        { "new-entry", "!", "", "", "", "", "", "", "", NULL },
        { "new-entry", "x", "4000000000", "a,b", NULL },
        { "new-entry", "!", "", "", NULL },
    };
    g_autoptr(AccountFile) file = account_file_parse(kind, content);
    g_autoptr(GBytes) before = account_file_print(file);
    if (account_file_drop(file, "new-entry"))
        return;
    account_file_put(file, entries[kind]);
    g_assert_true(account_file_is_changed(file));
    g_auto(GStrv) found = account_file_find(file, "new-entry");
    g_assert_true(g_strv_equal((const char *const *)found, entries[kind]));
    g_autoptr(GBytes) printed = account_file_print(file);
    g_autoptr(AccountFile) again = account_file_parse(kind, printed);
    g_auto(GStrv) found_again = account_file_find(again, "new-entry");
    g_assert_true(g_strv_equal((const char *const *)found_again, entries[kind]));
    g_assert_true(account_file_drop(file, "new-entry"));
    check_printed(file, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    AccountFileKind kind = data[0] % N_ACCOUNT_FILES;
    g_autoptr(GBytes) content = g_bytes_new(data + 1, size - 1);
    g_autoptr(GBytes) expected = whole_lines((const char *)data + 1, size - 1);
    g_autoptr(AccountFile) file = account_file_parse(kind, content);
    check_printed(file, expected);
    const void *context[] = { file, &kind };
    account_file_each(file, check_entry, context);
    check_change(kind, content);
    return 0;
}
