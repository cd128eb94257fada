#pragma once
/* Text of unit files: systemd.syntax(7). */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

/* What systemd would warn about and pass over, or refuse: lines that are neither settings nor
 * sections nor comments, sections it does not know, a unit without what its type needs. A drop-in
 * needs nothing. size: of the text, which may have no zero bytes in it. */
bool unit_text_check(const char *text, size_t size, const char *unit, bool drop_in, GError **error);

/* A file from sections that are maps of settings; lists are a line each. Unit comes first, Install
 * last, all else in the order of its name. keeper: the resource, such as "unit 'x'". Caller frees.
 */
char *unit_text_print(const Value *sections, const char *keeper, GError **error);
