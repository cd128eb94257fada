#include "lang/render.h"

#include "base/error.h"
#include "lang/eval.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-template.h"
#include "lang/lua-value.h"

typedef struct {
    const char *text, *where;
    size_t size;
    TemplateFormat format;
    const Value *vars;
} Request;

/* Argument: a light Request. */
static int render(lua_State *lua) {
    const Request *request = lua_touserdata(lua, 1);
    if (request->vars)
        lua_value_push(lua, request->vars);
    else
        lua_newtable(lua);
    template_render(lua, request->where, request->text, request->size, request->format,
                    lua_gettop(lua));
    return 1;
}

static char *run(Eval *eval, const Request *request) {
    lua_State *lua = eval->lua;
    if (!lua)
        return NULL;
    lua_pushcfunction(lua, render);
    lua_pushlightuserdata(lua, (void *)(uintptr_t)request);
    if (!sandbox_call(eval, lua, 1, 1)) {
        eval_report_raised(eval);
        return NULL;
    }
    const Object *secret = object_at(lua, -1, OBJECT_SECRET);
    return g_strdup(secret ? value_string(secret->value) : lua_tostring(lua, -1));
}

char *render_template(const LangInputs *inputs, const char *text, size_t size, const char *where,
                      const char *format, const Value *vars, GError **error) {
    Request request = { .text = text, .size = size, .where = where, .vars = vars };
    if (format && !template_parse_format(format, &request.format, error))
        return NULL;
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) problems = problems_new(sources);
    sources_add_text(sources, where, text, size);
    g_autoptr(Eval) eval = eval_new(inputs, where, sources, problems);
    char *result = run(eval, &request);
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    problems_move(problems, errors);
    if (!result)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            errors->len > 0 ? ((GError *)g_ptr_array_index(errors, 0))->message
                                            : "not enough memory to start Lua");
    return result;
}

char *lang_render(const char *text, size_t size, const char *where, const char *format,
                  const Value *vars, GError **error) {
    static const KindSet no_kinds = { .kinds = NULL, .n_kinds = 0 };
    const LangInputs inputs = { .kinds = &no_kinds };
    return render_template(&inputs, text, size, where, format, vars, error);
}
