#pragma once
/*
 * What an operator signs when something is deployed:
 *
 *     stead deploy 1
 *     bundle sha256:9f86...
 *     record 12
 *     previous sha256:60303...     the bundle of record 11; or none
 *     time 1795270472              seconds since 1970, by the operator's clock
 *     message why, on one line
 *     key BASE64
 *     signature BASE64             ed25519, over every byte before this line
 *
 * There is one way to write it: anything else is refused. The first line keeps signatures of other
 * texts by the same key from counting here.
 */
#include "bundle/sign-keys.h"

#define STATEMENT_MAX         4096 /* bytes */
#define STATEMENT_MESSAGE_MAX 1000 /* bytes */

typedef struct {
    char digest[DIGEST_HEX_SIZE];
    uint64_t record;                /* 1, 2, 3, ... */
    char previous[DIGEST_HEX_SIZE]; /* "": there was none */
    uint64_t time;
    char *message; /* owned */
    PublicKey key; /* that signed it */
} Statement;

void statement_clear(Statement *statement);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Statement, statement_clear)

/* The signed text, ending in a newline; statement->key is not looked at. Caller frees. */
char *statement_sign(const Statement *statement, const SigningKey *key, GError **error);
/* True says only that the key in it has signed it, not that this key counts: see below. */
bool statement_read(const char *text, size_t size, Statement *ret_statement, GError **error);
/* Whether it counts: its key is listed, or was when this record was made. */
bool statement_is_signed_by(const Statement *statement, const KeyList *keys, GError **error);
/* Whether next may come after last (NULL: there was none). Refused are older records, another one
 * of the same number, and a next record that was not made after last. Records may be skipped: a
 * host that was away sees the newest alone. */
bool statement_follows(const Statement *next, const Statement *last, GError **error);
