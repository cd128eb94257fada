#pragma once
/* Private to ledger: the hash that its records and rows are checked with, and keys. */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "base/value.h"

#define KEY_SEPARATOR "\x1f"

/* FNV-1a, 64 bits (Fowler, Noll, Vo). Finds damage and tells texts apart; proves nothing against
 * somebody who means harm. Never 0, so that 0 can stand for "none". */
uint64_t text_hash(const void *text, size_t size);

char *step_key(const char *kind, const char *name); /* "kind\x1fname"; caller frees */

/* JSON of a string that may hold any bytes. */
void append_json_string(GString *out, const char *text);
