#pragma once
/* TOML 1.0 (https://toml.io/en/v1.0.0) to and from Value. Dates and times become strings as they
 * were written. */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

/* Errors read `where:LINE: text`. */
Value *toml_parse(const char *text, size_t size, const char *where, GError **error);
/* value must be a map without nil, bytes that are not text, or unknowns. Caller frees. */
char *toml_print(const Value *value, GError **error);
/* What stands after `key =`: lists and maps inline. */
bool toml_append_value(GString *out, const Value *value, GError **error);
/* The inside of a basic string; text is UTF-8. */
void toml_append_escaped(GString *out, const char *text, size_t size);
