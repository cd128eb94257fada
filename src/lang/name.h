#pragma once
/* Names of resources, in every language. */
#include <stddef.h>

/* What is wrong with a name, as in "the name of this file ..."; NULL: nothing. */
const char *name_refusal(const char *name, size_t size);
