#pragma once
/* OpenPGP public keys as apt takes them: RFC 9580, sections 4.2 (packets) and 6 (armour). */
#include <glib.h>
#include <stdbool.h>

/* Armoured or binary; says which. The error tells what is wrong with it. */
bool apt_key_check(const char *data, size_t size, bool *ret_armoured, GError **error);
