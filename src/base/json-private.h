#pragma once
/*
 * Members of a JSON object that say what JSON cannot: {"$bytes": "<base64>"}, {"$secret": "<name>"}
 * or {"$secret": null}, {"$unknown": true}, each alone in its object; and a key "$bytes:<base64>"
 * for a key that is not UTF-8. A map of somebody that has just such a key gets one more '$' in
 * front of it on the way out and loses it on the way in.
 */
#include <stdbool.h>

#include "base/value.h"

#define JSON_MARK_BYTES     "$bytes"
#define JSON_MARK_SECRET    "$secret"
#define JSON_MARK_UNKNOWN   "$unknown"
#define JSON_MARK_KEY_BYTES "$bytes:"

typedef struct {
    const char *key;
    Value *(*decode)(const Value *content); /* NULL: content is not of the form */
    const char *form;                       /* what content must be, for people */
} JsonMark;

const JsonMark *json_mark_find(const char *key); /* NULL: key is none */

/* Whether the reader would not take key for what it is. alone: the only one of its object. */
bool json_key_is_reserved(const char *key, bool alone);

/* The key that was printed as this reserved one, "$$secret" or "$bytes:/w==". NULL when it is not
 * base64 of bytes without NUL. Caller frees. */
char *json_key_restore(const char *key);
