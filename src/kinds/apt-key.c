#include "kinds/apt-key.h"

#include <stdint.h>
#include <string.h>

#include "base/error.h"

#define BEGIN        "-----BEGIN PGP PUBLIC KEY BLOCK-----"
#define END          "-----END PGP PUBLIC KEY BLOCK-----"
#define BEGIN_SECRET "-----BEGIN PGP PRIVATE KEY BLOCK-----"
#define KEY_MAX      (4 * 1024 * 1024) /* bytes: a keyring of a distribution has some 50,000 */

enum { PACKET_SECRET_KEY = 5, PACKET_PUBLIC_KEY = 6 };

static bool fail(GError **error, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "it is no OpenPGP public key: %s", why);
    return false;
}

static bool check_packet(const uint8_t *data, size_t size, GError **error) {
    if (size < 4 || !(data[0] & 0x80))
        return fail(error, "it begins with no packet");
    unsigned tag = data[0] & 0x40 ? data[0] & 0x3f : (data[0] >> 2) & 0xf;
    if (tag == PACKET_SECRET_KEY)
        return fail(error, "it is a secret key, which must not be given away: export the public "
                           "one (gpg --armor --export)");
    return tag == PACKET_PUBLIC_KEY || fail(error, "its first packet is none of a public key");
}

static uint32_t checksum(const uint8_t *data, size_t size) {
    uint32_t crc = 0xb704ce;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)data[i] << 16;
        for (int bit = 0; bit < 8; bit++) {
            crc <<= 1;
            if (crc & 0x1000000)
                crc ^= 0x1864cfb;
        }
    }
    return crc & 0xffffff;
}

static bool check_sum(const char *line, const uint8_t *data, size_t size, GError **error) {
    gsize n;
    g_autofree guchar *sum = g_base64_decode(line, &n);
    if (n != 3 || ((uint32_t)sum[0] << 16 | (uint32_t)sum[1] << 8 | sum[2]) != checksum(data, size))
        return fail(error, "its checksum does not fit: a part of it was lost or changed");
    return true;
}

/* The lines after the headers, which end with an empty one, up to the checksum. */
static bool check_armour(const char *text, GError **error) {
    const char *begin = strstr(text, BEGIN), *body_at = begin ? begin + strlen(BEGIN) : NULL;
    const char *end = body_at ? strstr(body_at, END) : NULL;
    if (strstr(text, BEGIN_SECRET))
        return fail(error, "it is a secret key, which must not be given away: export the public "
                           "one (gpg --armor --export)");
    if (!begin || !end)
        return fail(error,
                    begin ? "the line '" END "' is missing" : "the line '" BEGIN "' is missing");
    g_autofree char *inner = g_strndup(body_at, (size_t)(end - body_at));
    g_auto(GStrv) lines = g_strsplit(inner, "\n", -1);
    g_autoptr(GString) body = g_string_new(NULL);
    const char *sum = NULL;
    bool inside = false;
    for (unsigned i = 1; lines[0] && lines[i] && !sum; i++) {
        g_strstrip(lines[i]);
        if (inside && *lines[i] == '=')
            sum = lines[i] + 1;
        else if (inside)
            g_string_append(body, lines[i]);
        inside = inside || *lines[i] == '\0';
    }
    if (!inside || body->len == 0)
        return fail(error, "the empty line after '" BEGIN "' is missing");
    if (strspn(body->str, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
        body->len)
        return fail(error, "its lines are not base64");
    gsize size;
    g_autofree guchar *data = g_base64_decode(body->str, &size);
    return check_packet(data, size, error) && (!sum || check_sum(sum, data, size, error));
}

bool apt_key_check(const char *data, size_t size, bool *ret_armoured, GError **error) {
    if (size > KEY_MAX)
        return fail(error, "it has more than 4 MiB");
    *ret_armoured = size == 0 || !(data[0] & 0x80);
    if (!*ret_armoured)
        return check_packet((const uint8_t *)data, size, error);
    g_autofree char *text = g_strndup(data, size);
    return check_armour(text, error);
}
