#include "bundle/sign-text.h"

#include <string.h>

#include "base/error.h"

bool sign_text_fail(const SignText *text, const char *why, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "line %u of the %s: %s", text->line,
                text->what, why);
    return false;
}

bool sign_text_peek(const SignText *text, const char *word) {
    size_t size = strlen(word), left = (size_t)(text->end - text->next);
    return left > size && memcmp(text->next, word, size) == 0 && text->next[size] == ' ';
}

char *sign_text_take(SignText *text, const char *word, GError **error) {
    const char *line = text->next;
    const char *end = memchr(line, '\n', (size_t)(text->end - line));
    size_t size = strlen(word);
    text->line++;
    if (end == NULL || !sign_text_peek(text, word) || (size_t)(end - line) <= size + 1 ||
        memchr(line, '\0', (size_t)(end - line)) != NULL) {
        g_autofree char *why = g_strdup_printf("expected '%s' and a value", word);
        (void)sign_text_fail(text, why, error); /* the NULL below says it */
        return NULL;
    }
    text->next = end + 1;
    return g_strndup(line + size + 1, (size_t)(end - line) - size - 1);
}

/* Decimal, without leading zeros, in 63 bits: there is one way to write a number. */
bool sign_text_parse_number(const char *digits, uint64_t *ret_number) {
    size_t size = strlen(digits);
    if (size == 0 || size > 18 || strspn(digits, "0123456789") != size ||
        (*digits == '0' && size > 1))
        return false;
    *ret_number = g_ascii_strtoull(digits, NULL, 10);
    return true;
}

bool sign_text_take_number(SignText *text, const char *word, uint64_t *ret_number, GError **error) {
    g_autofree char *value = sign_text_take(text, word, error);
    return value != NULL && (sign_text_parse_number(value, ret_number) ||
                             sign_text_fail(text, "expected a number", error));
}

bool sign_text_take_name(SignText *text, const char *word, char ret_hex[DIGEST_HEX_SIZE],
                         GError **error) {
    g_autofree char *value = sign_text_take(text, word, error);
    if (value == NULL)
        return false;
    *ret_hex = '\0';
    return strcmp(value, "none") == 0 ||
           (g_str_has_prefix(value, BUNDLE_NAME_PREFIX) &&
            bundle_parse_name(value, ret_hex, NULL)) ||
           sign_text_fail(text, "expected sha256: and 64 hexadecimal digits, or none", error);
}

bool sign_text_is_line(const char *line, size_t max) {
    if (strlen(line) > max || !g_utf8_validate(line, -1, NULL))
        return false;
    for (const char *c = line; *c != '\0'; c += g_utf8_skip[(unsigned char)*c])
        if (g_unichar_iscntrl(g_utf8_get_char(c)))
            return false;
    return true;
}

bool sign_text_sign(GString *out, const SigningKey *key, GError **error) {
    uint8_t signature[SIGNATURE_SIZE];
    char public[PUBLIC_KEY_BASE64_SIZE];
    public_key_base64(signing_key_public(key), public);
    g_string_append_printf(out, "key %s\n", public);
    if (!signing_key_sign(key, out->str, out->len, signature, error))
        return false;
    g_autofree char *text = g_base64_encode(signature, sizeof signature);
    g_string_append_printf(out, "signature %s\n", text);
    return true;
}

static bool parse_signature(const char *text, uint8_t ret_signature[SIGNATURE_SIZE]) {
    size_t size;
    g_autofree uint8_t *bytes = g_base64_decode(text, &size);
    g_autofree char *again = size == SIGNATURE_SIZE ? g_base64_encode(bytes, size) : NULL;
    if (again == NULL || strcmp(text, again) != 0)
        return false;
    memcpy(ret_signature, bytes, size);
    return true;
}

bool sign_text_verify(SignText *text, const char *start, PublicKey *ret_key, GError **error) {
    uint8_t signature[SIGNATURE_SIZE];
    g_autofree char *key = sign_text_take(text, "key", error);
    if (key == NULL)
        return false;
    if (!public_key_of_base64(key, ret_key))
        return sign_text_fail(text, "expected a key in base64", error);
    size_t size = (size_t)(text->next - start);
    g_autofree char *value = sign_text_take(text, "signature", error);
    if (value == NULL)
        return false;
    if (!parse_signature(value, signature))
        return sign_text_fail(text, "expected a signature in base64", error);
    if (text->next != text->end)
        return sign_text_fail(text, "nothing may come after the signature", error);
    if (public_key_verifies(ret_key, start, size, signature))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse the %s: its signature is wrong, so it was changed after it was signed",
                text->what);
    return false;
}
