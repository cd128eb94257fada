/* Text forms: PEM, and errors of libcrypto. We take PEM apart ourselves: what surrounds the one
 * object we want is refused, not skipped. */
#include <openssl/err.h>
#include <string.h>

#include "base/error.h"
#include "pki/pki-private.h"

bool set_crypto_error(GError **error, const char *what) {
    char text[256] = "libcrypto refused";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s: %s", what, text);
    return false;
}

static GBytes *refuse(GError **error, const char *where, const char *label, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: read the %s: %s", where, label, why);
    return NULL;
}

/* Removes the spaces around. */
static void trim(const char **text, size_t *size) {
    while (*size > 0 && g_ascii_isspace(**text))
        (*text)++, (*size)--;
    while (*size > 0 && g_ascii_isspace((*text)[*size - 1]))
        (*size)--;
}

static bool is_base64(const char *text, size_t size) {
    size_t signs = 0;
    for (size_t i = 0; i < size; i++) {
        if (g_ascii_isspace(text[i]))
            continue;
        if (!g_ascii_isalnum(text[i]) && !strchr("+/=", text[i]))
            return false;
        signs++;
    }
    return signs > 0 && signs % 4 == 0;
}

GBytes *pem_decode(const char *text, size_t size, const char *label, const char *where,
                   GError **error) {
    if (size > PKI_PEM_LIMIT)
        return refuse(error, where, label, "it is larger than 16384 bytes");
    if (memchr(text, '\0', size))
        return refuse(error, where, label, "it has a zero byte");
    trim(&text, &size);
    g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----", label);
    g_autofree char *end = g_strdup_printf("-----END %s-----", label);
    size_t first = strlen(begin), last = strlen(end);
    if (size < first + last || memcmp(text, begin, first) != 0 ||
        memcmp(text + size - last, end, last) != 0) {
        g_autofree char *why =
            g_strdup_printf("it must begin with '%s' and end with '%s'", begin, end);
        return refuse(error, where, label, why);
    }
    if (!is_base64(text + first, size - first - last))
        return refuse(error, where, label, "what is between its first and last line is not base64");
    g_autofree char *body = g_strndup(text + first, size - first - last);
    size_t decoded;
    guchar *data = g_base64_decode(body, &decoded);
    return g_bytes_new_take(data, decoded);
}

char *pem_encode(const char *label, const void *data, size_t size) {
    g_autofree char *base64 = g_base64_encode(data, size);
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "-----BEGIN %s-----\n", label);
    for (const char *at = base64; *at; at += MIN(64, strlen(at)))
        g_string_append_printf(out, "%.64s\n", at);
    g_string_append_printf(out, "-----END %s-----\n", label);
    return g_string_free(out, FALSE);
}
