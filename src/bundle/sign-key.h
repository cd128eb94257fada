#pragma once
/*
 * ed25519 keys of people. A public key is one printable line, "stead-ed25519 BASE64 COMMENT". A
 * private one is a file in PEM (PKCS #8), as openssl(1) makes and reads them, that nobody but its
 * owner may read.
 */
#include <stdint.h>

#include "bundle/bundle.h"

#define PUBLIC_KEY_SIZE        32
#define PUBLIC_KEY_BASE64_SIZE 45 /* 44 characters and NUL */
#define SIGNATURE_SIZE         64
#define KEY_COMMENT_MAX        100 /* bytes */

typedef struct {
    uint8_t bytes[PUBLIC_KEY_SIZE];
} PublicKey;

typedef struct SigningKey SigningKey;

SigningKey *signing_key_new(GError **error);
SigningKey *signing_key_load(const char *path, GError **error); /* refuses what others may read */
/* Mode 0600; a file that exists is refused. */
bool signing_key_save(const SigningKey *key, const char *path, GError **error);
void signing_key_free(SigningKey *key); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SigningKey, signing_key_free)
const PublicKey *signing_key_public(const SigningKey *key);
bool signing_key_sign(const SigningKey *key, const void *data, size_t size,
                      uint8_t ret_signature[SIGNATURE_SIZE], GError **error);

bool public_key_verifies(const PublicKey *key, const void *data, size_t size,
                         const uint8_t signature[SIGNATURE_SIZE]);
bool public_key_equal(const PublicKey *a, const PublicKey *b);
void public_key_base64(const PublicKey *key, char ret_text[PUBLIC_KEY_BASE64_SIZE]);
bool public_key_of_base64(const char *text, PublicKey *ret_key);
/* The line without its end; caller frees. */
char *public_key_line(const PublicKey *key, const char *comment);
/* ret_comment is the caller's to free; may be NULL. */
bool public_key_parse(const char *line, PublicKey *ret_key, char **ret_comment, GError **error);
