#pragma once
/* JSON text to and from Value. Bytes that are not UTF-8 travel as {"$bytes": "<base64>"}; a named
 * secret as
 * {"$secret": "<name>"}, an unnamed one as {"$secret": null}; an unknown value as {"$unknown":
 * true}. */
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
 * message`.
 * {"$unknown"}, {"$bytes"} are decoded; {"$secret"} becomes a named secret whose content is empty.
 */
Value *json_parse(const char *text, size_t size, const char *where, GError **error);

/* Appends the JSON text of value; map keys in byte order, so equal values give equal text. */
void json_append(GString *out, const Value *value, JsonFlags flags);
char *json_print(const Value *value, JsonFlags flags); /* caller frees */
