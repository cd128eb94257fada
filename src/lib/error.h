#pragma once
/* From GError, which everything below speaks, to the errors of the public interface. */
#include <glib.h>

#include "lib/stead.h"

/* Both take what they are given over; error may be NULL. They return false, for `return
 * error_give(...)`. */
bool error_give(stead_error **error, GError *problem);
/* All of problems (of GError *), which is empty afterwards and was not before. */
bool error_give_all(stead_error **error, GPtrArray *problems);

/* Options are structures that begin with their size, so that they can grow. Copies what the caller
 * knows of them to *ret, which is zero beyond that; what we do not know must be zero. given may be
 * NULL: all zero. */
bool options_read(const void *given, void *ret, size_t size, const char *name, GError **error);
/* The other way round: fills what the caller knows of *ret. */
void options_write(void *ret, const void *from, size_t size);
