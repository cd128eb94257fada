#pragma once
/* Lines of fstab(5), for the kind mount. */
#include <glib.h>

#include "kinds/edit.h"

#define FSTAB "/etc/fstab"

enum { FSTAB_DEVICE, FSTAB_POINT, FSTAB_TYPE, FSTAB_OPTIONS, FSTAB_DUMP, FSTAB_PASS, N_FSTAB };

/* The fields of a line without escapes; those behind the third may be NULL. */
typedef struct {
    char *fields[N_FSTAB];
} FstabLine;

void fstab_line_clear(FstabLine *line);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FstabLine, fstab_line_clear)

/* False: blank, a comment, or no line of fstab. */
bool fstab_line_parse(const EditLine *text, FstabLine *ret_line);
/* The line with these fields (NULL: none; of the last four the standard then), with its line break.
 * was, when not NULL, is the line as it is: what is the same keeps its spelling and its spaces. */
char *fstab_line_print(const FstabLine *line, const EditLine *was);
/* The first line of a mount point at or behind `at`; n_lines: there is none. */
size_t fstab_find(const EditText *text, const char *point, size_t at, FstabLine *ret_line);
/* A mount point without double or trailing slashes. Caller frees. */
char *fstab_point(const char *path);
