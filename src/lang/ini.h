#pragma once
/* INI text: `key = value` lines, `[section]` headers, comments with # or ; at the start of a line.
 * A map: keys before the first section, and one map per section; a repeated key makes a list. */
#include <glib.h>

#include "base/value.h"

Value *ini_parse(const char *text, size_t size, const char *where, GError **error);
/* The reverse; keys before sections, both in byte order. */
char *ini_print(const Value *value, GError **error);
