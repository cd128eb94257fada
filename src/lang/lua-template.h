#pragma once
/* template(path, vars, options): rendering. */
#include "lang/lua-object.h"
#include "lang/template.h"

/* A template being rendered; in Eval.outputs. */
typedef struct {
    GString *text;
    TemplateFormat format;
    bool is_secret; /* a secret was printed: the result is one */
} TemplateOutput;

void template_open(lua_State *lua);
void template_output_free(void *output);

/* Renders text with vars (a map or NULL), pushes a string or secret, or nil after adding problems.
 */
void template_render(lua_State *lua, const char *where, const char *text, size_t size,
                     TemplateFormat format, int vars);
