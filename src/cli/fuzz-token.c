/*
 * Any bytes as the file of a token that lets a machine in: refused, saying of which file; or the
 * one word in them, which reaches a hub as it was read.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/join-token.h"

#define WHERE "token"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As it is sent to be let in. */
static void check_sent(const char *token) {
    g_autoptr(Value) body = value_new_map();
    value_map_set(body, "token", value_new_string(token));
    g_autofree char *text = json_print(body, JSON_COMPACT | JSON_REVEAL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) heard = json_parse(text, strlen(text), "body", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(value_map_string(heard, "token", NULL), ==, token);
}

static void check_word(const char *token, const uint8_t *data, size_t size) {
    size_t length = strlen(token);
    const uint8_t *at = memmem(data, size, token, length);
    g_assert_cmpuint(length, >, 0);
    g_assert_nonnull(at);
    for (const uint8_t *p = data; p < data + size; p++)
        g_assert_true(g_ascii_isgraph(*p) == (p >= at && p < at + length));
    check_sent(token);
}

/* The same from a file, which has a limit of its own. */
static void check_file(const uint8_t *data, size_t size, const char *parsed) {
    int fd = memfd_create("token", MFD_CLOEXEC);
    g_assert_cmpint(write(fd, data, size), ==, (ssize_t)size);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    const Arguments arguments = { .token_file = path };
    g_autoptr(GError) error = NULL;
    g_autofree char *token = join_token(&arguments, "missing", &error);
    close(fd);
    g_assert_true((token == NULL) == (error != NULL));
    if (token)
        g_assert_cmpstr(token, ==, parsed);
    else
        g_assert_true(g_str_has_prefix(error->message, "--token-file: read '/proc/self/fd/"));
    g_assert_true(token || !parsed || g_error_matches(error, STEAD_ERROR, STEAD_ERROR_LIMIT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autofree char *token = join_token_parse((const char *)data, size, WHERE, &error);
    g_assert_true((token == NULL) == (error != NULL));
    if (token)
        check_word(token, data, size);
    else
        g_assert_true(error->domain == STEAD_ERROR && g_str_has_prefix(error->message, WHERE ": "));
    check_file(data, size, token);
    return 0;
}
