#pragma once
/*
 * JSON text to and from Value. What JSON cannot say travels as an object with one member: bytes
 * that are not UTF-8 as {"$bytes": "<base64>"}, a named secret as {"$secret": "<name>"}, an unnamed
 * one as
 * {"$secret": null}, an unknown value as {"$unknown": true}; a key that is not UTF-8 is
 * "$bytes:<base64>". A map that really has such a key is written with "$$" and read back with "$",
 * so every value returns as it was, except infinite floats and NaN, which become null.
 */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

typedef enum {
    JSON_COMPACT = 0,
    JSON_INDENT = 1 << 0, /* two spaces, one member a line */
    JSON_REVEAL =
        1 << 1, /* secrets in clear: only for digests and for feeding programs, never for files */
} JsonFlags;

/* Parses one document. where names the source in errors ("plan.json"): `where:LINE:COLUMN:
 * message`. Integers beyond 64 bits, repeated keys and nesting beyond LIMIT_NESTING are refused.
 * {"$secret"} becomes a secret whose content is an empty string. */
Value *json_parse(const char *text, size_t size, const char *where, GError **error);

/* Appends the JSON text of value; map keys in byte order, so equal values give equal text. */
void json_append(GString *out, const Value *value, JsonFlags flags);
char *json_print(const Value *value, JsonFlags flags); /* caller frees */
