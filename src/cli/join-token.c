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

static char *read_standard_input(GError **error) {
    char text[TOKEN_BYTES + 1];
    size_t size = fread(text, 1, TOKEN_BYTES, stdin);
    text[size] = '\0';
    if (!ferror(stdin))
        return g_strdup(text);
    (void)set_io_error(error, errno, "read the token from standard input");
    return NULL;
}

static char *read_file(const char *path, GError **error) {
    if (strcmp(path, "-") == 0)
        return read_standard_input(error);
    g_autoptr(GBytes) bytes = disk_read(path, TOKEN_BYTES, error);
    if (bytes)
        return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    g_prefix_error(error, "--token-file: ");
    return NULL;
}

char *join_token(const Arguments *arguments, const char *missing, GError **error) {
    const char *file = arguments->token_file;
    if (file && arguments->token) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "give --token or --token-file, not both");
        return NULL;
    }
    const char *given = arguments->token ? arguments->token : g_getenv(VARIABLE);
    g_autofree char *token = file ? read_file(file, error) : g_strdup(given);
    if (file && !token)
        return NULL;
    if (token && *g_strstrip(token))
        return g_steal_pointer(&token);
    if (file)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "--token-file: read '%s': there is no token in it", file);
    else
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
