#pragma once
/* Whether a value from outside is of a JSON Schema as the tables of routes have them: "type",
 * "properties", "required", "items", "additionalProperties" (a schema) and "enum" (of texts).
 * Members that no schema names are let through: a newer server may say more. */
#include "base/value.h"

/* STEAD_ERROR_REFUSED: "'hosts[3].labels' is a string, not an object". schema is our own. */
bool schema_check(const Value *schema, const Value *value, GError **error);
