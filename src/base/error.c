#include "base/error.h"

#include <errno.h>
#include <stdarg.h>

/* Not by G_DEFINE_QUARK, whose argument a formatter takes for a subtraction and puts blanks into.
 */
GQuark stead_error_quark(void) {
    static GQuark quark;
    if (G_UNLIKELY(quark == 0))
        quark = g_quark_from_static_string("stead-error-quark");
    return quark;
}

static int code_of_errno(int errno_value) {
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return STEAD_ERROR_NOT_FOUND;
    case EEXIST:
        return STEAD_ERROR_EXISTS;
    default:
        return STEAD_ERROR_IO;
    }
}

/* What it takes to go on, where that does not depend on what was tried. */
static const char *remedy(int errno_value) {
    switch (errno_value) {
    case EMFILE:
        return ": raise this process' limit of open files (ulimit -n, LimitNOFILE= of its service)";
    case ENFILE:
        return ": raise the system's limit of open files (sysctl fs.file-max)";
    default:
        return "";
    }
}

bool set_io_error(GError **error, int errno_value, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STEAD_ERROR, code_of_errno(errno_value), "%s: %s%s", text,
                g_strerror(errno_value), remedy(errno_value));
    return false;
}
