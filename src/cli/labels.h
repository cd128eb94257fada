#pragma once
/* Labels of hosts as people write them. */
#include "base/value.h"

/* Adds "labels" to map, of words as NAME=TEXT; where: of what they are, for errors. */
bool labels_add(Value *map, const char *const *words, const char *where, GError **error);
Value *labels_list(const char *const *words); /* a list of the words */
