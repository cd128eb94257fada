#pragma once
/*
 * base: values, errors, digests, text. Uses GLib and libcrypto only; everything may use it.
 *
 * Error codes of the one GError domain of stead. Messages are lower case, verb first, names in
 * quotes, without a full stop; context is added on the way up with g_prefix_error().
 */
#include <glib.h>
#include <stdbool.h>

#define STEAD_ERROR (stead_error_quark())

typedef enum {
    STEAD_ERROR_FAILED,        /* anything without a code of its own */
    STEAD_ERROR_CONFIG,        /* the configuration is wrong; message starts with file:line: */
    STEAD_ERROR_IO,            /* the system refused; message ends with strerror() */
    STEAD_ERROR_NOT_FOUND,     /* the named thing does not exist */
    STEAD_ERROR_EXISTS,        /* it exists already, or is not what was expected */
    STEAD_ERROR_REFUSED,       /* a guard said no: protection, lock, root escape, stale plan */
    STEAD_ERROR_LIMIT,         /* a named limit was exceeded */
    STEAD_ERROR_TIMEOUT,       /* a deadline passed */
    STEAD_ERROR_CANCELLED,     /* the caller asked to stop */
    STEAD_ERROR_UNPREDICTABLE, /* an overlay host cannot know the result of this call */
    STEAD_ERROR_UNSUPPORTED,   /* this host cannot do that (no systemd, no package manager, ...) */
    STEAD_ERROR_DAMAGED,       /* bytes on disk are not what we wrote */
} SteadError;

GQuark stead_error_quark(void);

/* Sets error to STEAD_ERROR_IO (NOT_FOUND for ENOENT/ENOTDIR, EXISTS for EEXIST) from errno_value:
 * "<format...>: <strerror>". Always returns false, so that callers write `return
 * set_io_error(...)`. */
bool set_io_error(GError **error, int errno_value, const char *format, ...) G_GNUC_PRINTF(3, 4);
