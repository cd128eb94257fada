#include "bundle/sign-key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/sign-text.h"

#define KEY_WORD     "stead-ed25519"
#define KEY_FILE_MAX 10000 /* bytes */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)

struct SigningKey {
    EVP_PKEY *pair;
    PublicKey public;
};

/* --- private keys */

/* Takes pair over. */
static SigningKey *key_of(EVP_PKEY *pair, const char *name, GError **error) {
    size_t size = PUBLIC_KEY_SIZE;
    g_autoptr(SigningKey) key = g_new0(SigningKey, 1);
    key->pair = pair;
    if (pair == NULL || EVP_PKEY_get_base_id(pair) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pair, key->public.bytes, &size) != 1) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "'%s' holds no ed25519 key without a passphrase; make one with 'stead key new "
                    "FILE'",
                    name);
        return NULL;
    }
    return g_steal_pointer(&key);
}

SigningKey *signing_key_new(GError **error) {
    EVP_PKEY *pair = NULL;
    g_autoptr(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
    if (context != NULL && EVP_PKEY_keygen_init(context) == 1)
        (void)EVP_PKEY_keygen(context, &pair); /* NULL then is refused below */
    return key_of(pair, "libcrypto", error);
}

void signing_key_free(SigningKey *key) {
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pair);
    g_free(key);
}

const PublicKey *signing_key_public(const SigningKey *key) {
    return &key->public;
}

static int no_passphrase(char *buffer, int size, int writes, void *data) {
    return 0; /* instead of asking on the terminal */
}

SigningKey *signing_key_load(const char *path, GError **error) {
    struct stat info;
    g_autoptr(GBytes) text = disk_read(path, KEY_FILE_MAX, error);
    if (text == NULL) {
        g_prefix_error(error, "private key: ");
        return NULL;
    }
    if (stat(path, &info) < 0 || (info.st_mode & 0077) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse the private key '%s': others may read it; chmod 600 it, and make a new "
                    "one if somebody may have done so",
                    path);
        return NULL;
    }
    size_t size;
    const void *data = g_bytes_get_data(text, &size);
    g_autoptr(BIO) bio = BIO_new_mem_buf(data, (int)size);
    return key_of(PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL), path, error);
}

static bool write_private(int fd, const SigningKey *key) {
    g_autoptr(BIO) bio = BIO_new(BIO_s_secmem());
    char *data;
    if (bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(bio, key->pair, NULL, NULL, 0, NULL, NULL) != 1) {
        errno = ENOMEM;
        return false;
    }
    long size = BIO_get_mem_data(bio, &data);
    return disk_write(fd, data, (size_t)size) && fsync(fd) == 0;
}

bool signing_key_save(const SigningKey *key, const char *path, GError **error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "write the private key '%s': it exists; name another file, keys are never "
                    "replaced",
                    path);
        return false;
    }
    if (fd < 0)
        return set_io_error(error, errno, "write the private key '%s'", path);
    bool done = write_private(fd, key);
    int problem = errno;
    close(fd);
    if (done)
        return disk_sync_parent(path, error);
    (void)unlink(path); /* a half key is of no use */
    return set_io_error(error, problem, "write the private key '%s'", path);
}

bool signing_key_sign(const SigningKey *key, const void *data, size_t size,
                      uint8_t ret_signature[SIGNATURE_SIZE], GError **error) {
    g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
    size_t written = SIGNATURE_SIZE;
    if (EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
        EVP_DigestSign(context, ret_signature, &written, data, size) == 1)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "sign: libcrypto refused");
    return false;
}

/* --- public keys */

bool public_key_verifies(const PublicKey *key, const void *data, size_t size,
                         const uint8_t signature[SIGNATURE_SIZE]) {
    g_autoptr(EVP_PKEY) public =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, PUBLIC_KEY_SIZE);
    g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
    return public != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public) == 1 &&
           EVP_DigestVerify(context, signature, SIGNATURE_SIZE, data, size) == 1;
}

bool public_key_equal(const PublicKey *a, const PublicKey *b) {
    return memcmp(a->bytes, b->bytes, PUBLIC_KEY_SIZE) == 0;
}

void public_key_base64(const PublicKey *key, char ret_text[PUBLIC_KEY_BASE64_SIZE]) {
    g_autofree char *text = g_base64_encode(key->bytes, PUBLIC_KEY_SIZE);
    g_strlcpy(ret_text, text, PUBLIC_KEY_BASE64_SIZE);
}

bool public_key_of_base64(const char *text, PublicKey *ret_key) {
    size_t size;
    g_autofree uint8_t *bytes = g_base64_decode(text, &size);
    if (size != PUBLIC_KEY_SIZE)
        return false;
    PublicKey key;
    char again[PUBLIC_KEY_BASE64_SIZE];
    memcpy(key.bytes, bytes, size);
    public_key_base64(&key, again); /* GLib skips what is no base64 */
    if (strcmp(text, again) != 0)
        return false;
    *ret_key = key;
    return true;
}

char *public_key_line(const PublicKey *key, const char *comment) {
    char text[PUBLIC_KEY_BASE64_SIZE];
    public_key_base64(key, text);
    return g_strconcat(KEY_WORD " ", text, *comment != '\0' ? " " : "", comment, NULL);
}

bool public_key_parse(const char *line, PublicKey *ret_key, char **ret_comment, GError **error) {
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    unsigned n = g_strv_length(words);
    const char *comment = n > 2 ? words[2] : "";
    if (n < 2 || strcmp(words[0], KEY_WORD) != 0 || !public_key_of_base64(words[1], ret_key) ||
        !sign_text_is_line(comment, KEY_COMMENT_MAX)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "this is no public key: it is one line '" KEY_WORD
                    " BASE64 COMMENT', as 'stead key show' prints it");
        return false;
    }
    if (ret_comment != NULL)
        *ret_comment = g_strdup(comment);
    return true;
}
