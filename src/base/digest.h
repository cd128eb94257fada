#pragma once
/* SHA-256 through libcrypto, which uses the CPU's instructions. */
#include <glib.h>
#include <stddef.h>

#define DIGEST_HEX_SIZE 65 /* 64 hexadecimal digits and NUL */

typedef struct Digest Digest;

Digest *digest_new(void);
void digest_update(Digest *digest, const void *data, size_t size);
void digest_finish(Digest *digest,
                   char ret_hex[DIGEST_HEX_SIZE]); /* digest may then be reused from empty */
void digest_free(Digest *digest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Digest, digest_free)

void digest_bytes(const void *data, size_t size, char ret_hex[DIGEST_HEX_SIZE]);
