/* A key of a source: what is taken as bytes is taken in armour as well, and the other way round. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "kinds/apt-key.h"

#define BEGIN "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"
#define END   "\n-----END PGP PUBLIC KEY BLOCK-----\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool accepted(const char *text, size_t size, bool *ret_armoured) {
    g_autoptr(GError) error = NULL;
    bool ok = apt_key_check(text, size, ret_armoured, &error);
    g_assert_true(ok == (error == NULL));
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bool armoured = false, again;
    bool ok = accepted((const char *)data, size, &armoured);
    if (size == 0 || armoured)
        return 0;
    g_autofree char *body = g_base64_encode(data, size);
    g_autofree char *text = g_strconcat(BEGIN, body, END, NULL);
    g_assert_true(accepted(text, strlen(text), &again) == ok);
    g_assert_true(again);
    return 0;
}
