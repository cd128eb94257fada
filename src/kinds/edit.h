#pragma once
/*
 * Editing text files that several resources share: each reads, changes its part and writes the
 * whole file in one step. Edits of one path by this process come one after the other, so none is
 * lost; everything an edit does not touch stays byte for byte.
 */
#include <glib.h>

#include "graph/kind.h"

/* A file seen as lines. text is borrowed from the bytes; eol is "\n" or "\r\n", as its first line
 * ends. */
typedef struct {
    const char *start;
    size_t size;  /* without what ends it */
    size_t whole; /* with it */
} EditLine;

typedef struct {
    EditLine *lines;
    size_t n_lines;
    const char *eol;
    bool open_end; /* the last line is not ended */
} EditText;

void edit_text_init(EditText *text, GBytes *bytes);
void edit_text_clear(EditText *text);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EditText, edit_text_clear)
bool edit_line_is(const EditLine *line, const char *text, size_t size);
/* Appends lines first..end-1 as they are. */
void edit_append_lines(GString *out, const EditText *text, size_t first, size_t end);
/* Appends the text with lines first..end-1 replaced by those of block, each of which ends with "\n"
 * (NULL: by none). The block's lines end as the file's do. */
void edit_splice(GString *out, const EditText *text, size_t first, size_t end, const char *block);
/* Appends text as a line of its own, ending an open line before it. */
void edit_append_line(GString *out, const EditText *text, const char *line, size_t size);

/* The content (empty when missing: *ret_exists false), which has no zero byte: a file of nothing
 * else counts as empty, any other with one is refused. A link at path is followed. Fails with
 * STEAD_ERROR_UNPREDICTABLE when a command that the plan does not run decides what it is. */
GBytes *edit_read(KindRun *run, const char *path, bool *ret_exists, GError **error);

/* Appends to after what before becomes. */
typedef bool (*EditFunction)(const void *data, GBytes *before, GString *after, GError **error);

typedef struct {
    const char *path;
    bool create;               /* a missing file is made; else it is an error */
    bool remove_empty;         /* a file that ends up empty is removed */
    FileAttributes attributes; /* of the file when it is written; without any it keeps its own */
    EditFunction edit;
    const void *data;
} Edit;

bool edit_apply(KindRun *run, const Edit *edit, GError **error);
/* What was done to a file that did not exist: kept with the resource, so that undoing it removes
 * the file again. */
void edit_keep_created(KindRun *run, const char *path); /* before it is made */
bool edit_was_created(const KindRun *run);
/* Text found in place of a parameter, as secret as the parameter itself. */
Value *edit_value(const Resource *resource, unsigned param, const char *text);
/* Removes what a killed edit of path left beside it. */
bool edit_clean(KindRun *run, const char *path, GError **error);
/* What it would change, in unified format; NULL when it cannot be shown. */
char *edit_diff(KindRun *run, const Edit *edit);
