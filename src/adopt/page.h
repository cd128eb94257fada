#pragma once
/*
 * Page: Lua text for people, the only place that knows how stead's Lua is laid out: quoting, long
 * strings, lines of at most PAGE_WIDTH columns, comments, one resource a block.
 */
#include <glib.h>
#include <stdbool.h>

#define PAGE_WIDTH 100
#define PAGE_EACH  4 /* so many resources without parameters are not worth a loop */

typedef struct Page Page;

Page *page_new(void);
void page_free(Page *page); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Page, page_free)
const char *page_text(const Page *page); /* borrowed until the next call */

/* A heading, with a rule that makes it stand out. */
void page_heading(Page *page, const char *title);
/* A comment, broken into lines; a newline in it begins a paragraph. */
void page_comment(Page *page, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Items of a comment, separated by ", ", broken between them. indent: blanks behind the "--". */
void page_comment_list(Page *page, const char *const *items, size_t n);
void page_blank(Page *page);                  /* one empty line, never two, none at the start */
void page_line(Page *page, const char *line); /* as it is */

/* The members of a resource, in their order: "key = value". */
typedef struct {
    char *key;
    char *value; /* Lua text */
} PageItem;

/* On one line when it fits. */
void page_resource(Page *page, const char *kind, const char *name, const PageItem *items,
                   size_t n_items);
/* Resources without parameters: for _, name in ipairs { "a", "b" } do KIND(name) {} end */
void page_each(Page *page, const char *kind, const char *const *names, size_t n);

/* Lua text of values; caller frees. */
char *page_quote(const char *text, size_t size);
char *page_list(const char *const *items); /* NULL-terminated */
/* A text of several lines as [[ ]], anything else quoted. */
char *page_text_value(const char *text, size_t size);
/* Whether page_text_value() gives something that a person can read. */
bool page_is_readable(const char *text, size_t size);
