#pragma once
/* JSON for files that other programs read: secrets in clear, and nothing written in stead's own
 * notation. */
#include "base/json.h"

/* False: there is a text that is not UTF-8, an infinite float or NaN, or an unknown value. */
bool json_append_strict(GString *out, const Value *value, JsonFlags flags, GError **error);
