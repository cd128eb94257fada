#pragma once
/*
 * Whose signatures count, and since when no more. A list is signed by a key of the list before it,
 * so that a host which was given one once follows all later ones by itself:
 *
 *     stead keys 1
 *     number 3
 *     previous sha256:...           of list 2, all of its text; none in list 1
 *     listed BASE64 ada@desk        one line for each key
 *     retired BASE64 12 bob@desk    counts for records up to 12, and signs no list
 *     key BASE64
 *     signature BASE64
 *
 * A file of lists holds them one after the other, from the first on: a chain. Keys are in byte
 * order of their base64, listed ones first; there is one way to write it.
 */
#include "bundle/sign-key.h"

#define KEY_LIST_KEYS_MAX 100u
#define KEY_LIST_MAX      (32u * 1024)   /* bytes of one list */
#define KEY_CHAIN_MAX     (1024u * 1024) /* bytes of all */

typedef struct {
    PublicKey key;
    bool retired;
    uint64_t last_record; /* of a retired key: the last for which it counts; 0: none */
    char *comment;
} ListedKey;

typedef struct KeyList KeyList; /* immutable */

/* Of public keys alone, one a line, as they are pinned by hand: number 0, nothing signed. Empty
 * lines and those with # in front are skipped. */
KeyList *key_list_of_lines(const char *text, GError **error);
/* A chain as it is trusted: each list but the first must be signed by a key of the one before.
 * Whether the first is the right one is for the caller to know: see key_list_advance(). */
KeyList *key_list_of_chain(const char *text, size_t size, GError **error);
/* Either of them. */
KeyList *key_list_of_text(const char *text, GError **error);
/* The same from a file, or a public key itself. */
KeyList *key_list_load(const char *file_or_line, GError **error);
/* Who has the private key in file, as the .pub beside it says; else the file's name. All first
 * lists of one key are made with it, so that they are the same list. */
char *key_comment_beside(const char *file, const PublicKey *key);
KeyList *key_list_ref(KeyList *list);
void key_list_unref(KeyList *list); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeyList, key_list_unref)

/* The newest list of chain, if it goes on from list: holds list itself, or from a list of pinned
 * lines a first list that one of these signed. Older ones and other chains are refused. */
KeyList *key_list_advance(KeyList *list, const char *chain, size_t size, GError **error);

/* Copies with one key more, or with one retired after last_record. The new chain is signed by key,
 * which list must have. list may be NULL: a first list of that key alone. */
KeyList *key_list_add(const KeyList *list, const PublicKey *added, const char *comment,
                      const SigningKey *key, GError **error);
KeyList *key_list_retire(const KeyList *list, const PublicKey *removed, uint64_t last_record,
                         const SigningKey *key, GError **error);

uint64_t key_list_number(const KeyList *list);
const char *key_list_chain(const KeyList *list); /* its text; "" for pinned lines */
unsigned key_list_size(const KeyList *list);
const ListedKey *key_list_at(const KeyList *list, unsigned index);
/* Whether a signature of key under record counts. what: names what was signed, for the error. */
bool key_list_accepts(const KeyList *list, const PublicKey *key, uint64_t record, const char *what,
                      GError **error);
