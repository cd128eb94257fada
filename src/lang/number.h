#pragma once
/* Floats as text. */
#include <glib.h>

/* Appends the shortest digits that give the same number back, always with a point or an exponent.
 * number must be finite. */
void number_append(GString *out, double number);
