#pragma once
/* Templates as text: `{{ expression }}`, `{% Lua statements %}`, `{# comment #}`; `-` inside a
 * delimiter (`{{-`, `-}}`) drops all blank space on that side, and a line with nothing but a
 * statement or comment on it leaves no line. A template is translated into Lua with every piece on
 * the line where it stood, so errors need no translation back. */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

/* What the rendered file is: decides how expressions are escaped. */
typedef enum {
    FORMAT_PLAIN,
    FORMAT_HTML,
    FORMAT_INI,
    FORMAT_JSON,
    FORMAT_SHELL,
    FORMAT_TOML,
    FORMAT_XML,
    FORMAT_YAML,
    FORMATS,
} TemplateFormat;

/* Where an expression stands in the text around it. */
typedef enum { CONTEXT_BARE, CONTEXT_DOUBLE, CONTEXT_SINGLE } TemplateContext;

/* The Lua chunk takes (_ENV, text, out): text(n) prints texts[n - 1], out(context, value) an
 * expression. */
typedef struct {
    GString *code;
    GPtrArray *texts; /* of GBytes */
} TemplateCode;

void template_code_clear(TemplateCode *code);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TemplateCode, template_code_clear)

/* Errors read `LINE: text`. */
bool template_translate(const char *text, size_t size, TemplateFormat format,
                        TemplateCode *ret_code, GError **error);

bool template_parse_format(const char *name, TemplateFormat *ret_format, GError **error);

/* Appends value as it must stand in that context. */
bool template_escape(GString *out, TemplateFormat format, TemplateContext context,
                     const Value *value, GError **error);

/* Follows quotes and comments of the literal text. */
typedef struct {
    TemplateFormat format;
    TemplateContext context;
    bool in_comment;
    bool multiline; /* TOML: between """ or ''' */
    char previous;  /* character; 'x' after an expression, '\n' at the start */
} TemplateScanner;

void template_scanner_init(TemplateScanner *scanner, TemplateFormat format);
void template_scan(TemplateScanner *scanner, const char *text, size_t size);
