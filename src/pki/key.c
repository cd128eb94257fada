#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "pki/pki-private.h"

#define LABEL "PRIVATE KEY"

static PkiKey *wrap(EVP_PKEY *key) {
    PkiKey *wrapped = g_new0(PkiKey, 1);
    wrapped->key = key;
    return wrapped;
}

PkiKey *pki_key_new(GError **error) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key)
        return wrap(key);
    (void)set_crypto_error(error, "make a key");
    return NULL;
}

void pki_key_free(PkiKey *key) {
    if (!key)
        return;
    EVP_PKEY_free(key->key);
    g_free(key);
}

bool check_p256(const EVP_PKEY *key, const char *where, GError **error) {
    char group[64] = "";
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
        (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0))
        return true;
    const char *type = EVP_PKEY_get0_type_name(key);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "%s: the key is %s%s%s; stead uses ECDSA keys on the curve P-256", where,
                type ? type : "unknown", *group ? " " : "", group);
    return false;
}

PkiKey *pki_key_parse(const char *pem, size_t size, const char *where, GError **error) {
    g_autoptr(GBytes) der = pem_decode(pem, size, LABEL, where, error);
    if (!der)
        return NULL;
    const unsigned char *data = g_bytes_get_data(der, NULL);
    g_autoptr(EVP_PKEY) key = d2i_AutoPrivateKey(NULL, &data, (long)g_bytes_get_size(der));
    if (!key) {
        (void)set_crypto_error(error, where);
        return NULL;
    }
    return check_p256(key, where, error) ? wrap(g_steal_pointer(&key)) : NULL;
}

/* PKCS#8, as `openssl genpkey` writes it. */
char *pki_key_pem(const PkiKey *key) {
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->key);
    unsigned char *der = NULL;
    int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    g_assert(size > 0); /* fails for lack of memory only */
    char *pem = pem_encode(LABEL, der, (size_t)size);
    OPENSSL_clear_free(der, (size_t)size);
    return pem;
}

/* --- files */

/* Linked to its name when it is whole: a crash leaves no half a key, and none is replaced. */
bool pki_key_save(const PkiKey *key, const char *path, GError **error) {
    g_autofree char *pem = pki_key_pem(key);
    g_autofree char *temporary = g_strdup_printf("%s.new-%d", path, getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "write '%s'", temporary);
    bool ok = (disk_write(fd, pem, strlen(pem)) && fsync(fd) == 0) ||
              set_io_error(error, errno, "write '%s'", path);
    close(fd);
    if (ok && link(temporary, path) < 0)
        ok = set_io_error(error, errno, "write '%s'", path);
    (void)unlink(temporary); /* a left one is replaced next time */
    return ok && disk_sync_parent(path, error);
}

PkiKey *pki_key_load(const char *path, GError **error) {
    struct stat st;
    if (stat(path, &st) < 0) {
        (void)set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    if (st.st_mode & 077) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "read '%s': others may read this private key (mode %04o); make it 0600, and "
                    "replace the key if somebody could have seen it",
                    path, st.st_mode & 07777u);
        return NULL;
    }
    g_autoptr(GBytes) bytes = disk_read(path, PKI_PEM_LIMIT, error);
    if (!bytes)
        return NULL;
    size_t size;
    const char *text = g_bytes_get_data(bytes, &size);
    PkiKey *key = pki_key_parse(text, size, path, error);
    memset((void *)(uintptr_t)text, 0, size); /* nobody else has it */
    return key;
}
