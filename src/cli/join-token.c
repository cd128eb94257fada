#include "cli/join-token.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/disk.h"
#include "base/error.h"

#define VARIABLE    "STEAD_JOIN_TOKEN"
#define OPTION      "--token"
#define TOKEN_BYTES 1024u /* far more than one has */

/* One byte more than a token may have: then it is none. */
static GBytes *read_standard_input(GError **error) {
    char text[TOKEN_BYTES + 1];
    size_t size = fread(text, 1, sizeof text, stdin);
    if (!ferror(stdin))
        return g_bytes_new(text, size);
    (void)set_io_error(error, errno, "read the token from standard input");
    return NULL;
}

static GBytes *read_file(const char *path, GError **error) {
    if (strcmp(path, "-") == 0)
        return read_standard_input(error);
    GBytes *bytes = disk_read(path, TOKEN_BYTES, error);
    if (!bytes)
        g_prefix_error(error, "--token-file: ");
    return bytes;
}

char *join_token_parse(const char *text, size_t size, const char *where, GError **error) {
    const char *end = text + size;
    while (text < end && g_ascii_isspace(*text))
        text++;
    while (text < end && g_ascii_isspace(end[-1]))
        end--;
    const char *problem = text == end                          ? "there is no token in it"
                          : (size_t)(end - text) > TOKEN_BYTES ? "it is too long for a token"
                                                               : NULL;
    for (const char *p = text; p < end && !problem; p++)
        if (!g_ascii_isgraph(*p))
            problem = "what is in it is no token, which is one word";
    if (!problem)
        return g_strndup(text, (size_t)(end - text));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: %s", where, problem);
    return NULL;
}

static char *token_of_file(const char *path, GError **error) {
    g_autoptr(GBytes) bytes = read_file(path, error);
    if (!bytes)
        return NULL;
    size_t size;
    const char *text = g_bytes_get_data(bytes, &size);
    g_autofree char *where = g_strdup_printf("--token-file: read '%s'", path);
    return join_token_parse(text, size, where, error);
}

char *join_token(const Arguments *arguments, const char *missing, GError **error) {
    const char *file = arguments->token_file, *given = arguments->token;
    if (file && given) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "give --token or --token-file, not both");
        return NULL;
    }
    if (file)
        return token_of_file(file, error);
    const char *text = given ? given : g_getenv(VARIABLE);
    if (text && *text)
        return join_token_parse(text, strlen(text), given ? OPTION : VARIABLE, error);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, missing);
    return NULL;
}

void join_token_hide(char **words) {
    static const char joined[] = OPTION "=";
    for (; *words; words++) {
        char *secret = NULL;
        if (strcmp(*words, OPTION) == 0 && words[1])
            secret = *++words;
        else if (g_str_has_prefix(*words, joined))
            secret = *words + strlen(joined);
        if (secret)
            memset(secret, '*', strlen(secret));
    }
}

const Option option_join_token = {
    "token",
    0,
    G_OPTION_ARG_STRING,
    offsetof(Arguments, token),
    "TOKEN",
    "join: what lets this machine in, once; others on it may see it for a moment",
};
const Option option_join_token_file = {
    "token-file",
    0,
    G_OPTION_ARG_FILENAME,
    offsetof(Arguments, token_file),
    "FILE",
    "join: a file that has it; '-' is standard input (also: STEAD_JOIN_TOKEN has the token)",
};
