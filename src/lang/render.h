#pragma once
/* lang_render() with inputs of the caller's choice: limits, facts, values. */
#include "lang/lang.h"

/* inputs->kinds must be set, if only to an empty set: templates declare nothing. */
char *render_template(const LangInputs *inputs, const char *text, size_t size, const char *where,
                      const char *format, const Value *vars, GError **error);
