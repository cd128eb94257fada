#include "lang/lua-template.h"

#include <lauxlib.h>
#include <string.h>

#include "lang/lua-names.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-value.h"

static const char cache_key, names_key; /* registry: compiled templates, names they see */

void template_output_free(void *data) {
    TemplateOutput *output = data;
    if (output->is_secret)
        explicit_bzero(output->text->str, output->text->len);
    g_string_free(output->text, TRUE);
    g_free(output);
}

static TemplateOutput *current_output(const Eval *eval) {
    g_assert(eval->outputs->len > 0);
    return g_ptr_array_index(eval->outputs, eval->outputs->len - 1);
}

static void check_size(lua_State *lua, const TemplateOutput *output) {
    if (output->text->len > eval_of(lua)->max_memory)
        sandbox_raise_memory(lua);
}

/* __text(n). Upvalue 1: the list of texts. */
static int print_text(lua_State *lua) {
    TemplateOutput *output = current_output(eval_of(lua));
    size_t size;
    lua_rawgeti(lua, lua_upvalueindex(1), lua_tointeger(lua, 1));
    const char *text = lua_tolstring(lua, -1, &size);
    g_string_append_len(output->text, text, (gssize)size);
    check_size(lua, output);
    return 0;
}

/* __out(context, value) */
static int print_value(lua_State *lua) {
    TemplateOutput *output = current_output(eval_of(lua));
    const Object *raw = object_at(lua, 2, OBJECT_RAW);
    GError *error = NULL;
    Value *value = raw ? value_ref(raw->value) : lua_value_get(lua, 2, &error);
    if (!value) {
        g_prefix_error(&error, "the expression ");
        return eval_raise_error(lua, error);
    }
    bool fine = template_escape(output->text, raw ? FORMAT_PLAIN : output->format,
                                (TemplateContext)lua_tointeger(lua, 1), value, &error);
    output->is_secret = output->is_secret || value_is_secret(value);
    value_unref(value);
    if (!fine)
        return eval_raise_error(lua, error);
    check_size(lua, output);
    return 0;
}

/* raw(text): printed without escaping. */
static int make_raw(lua_State *lua) {
    GError *error = NULL;
    Value *value = lua_value_get(lua, 1, &error);
    if (!value) {
        g_prefix_error(&error, "the argument of raw ");
        return eval_raise_error(lua, error);
    }
    g_ptr_array_add(eval_of(lua)->secrets, value);
    object_push(lua, OBJECT_RAW)->value = value;
    return 1;
}

/* Environment */

/* Everything that computes; nothing that declares. */
static const char *const visible_names[] = {
    "assert", "clock",    "env",      "error",    "facts",  "import", "ipairs", "math",
    "next",   "pairs",    "pcall",    "read",     "secret", "select", "std",    "string",
    "table",  "template", "tonumber", "tostring", "type",   "utf8",   "values",
};

static void push_names(lua_State *lua) {
    if (lua_rawgetp(lua, LUA_REGISTRYINDEX, &names_key) == LUA_TTABLE)
        return;
    lua_pop(lua, 1);
    lua_newtable(lua);
    names_push(lua);
    for (unsigned i = 0; i < G_N_ELEMENTS(visible_names); i++) {
        lua_getfield(lua, -1, visible_names[i]);
        lua_setfield(lua, -3, visible_names[i]);
    }
    lua_pop(lua, 1);
    lua_pushcfunction(lua, make_raw);
    lua_setfield(lua, -2, "raw");
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &names_key);
}

/* Upvalues: vars, names. */
static int index_environment(lua_State *lua) {
    lua_settop(lua, 2);
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    const char *name = lua_tostring(lua, 2);
    if (name && strcmp(name, "vars") == 0) {
        lua_pushvalue(lua, lua_upvalueindex(1));
        return 1;
    }
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(2)) != LUA_TNIL)
        return 1;
    lua_settop(lua, 2);
    Eval *eval = eval_of(lua);
    if (name && eval_is_missing(eval, lua, name)) /* handed on under its name: no other is meant */
        return eval_raise(lua, "no such variable '%s'", name);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_pushvalue(lua, lua_upvalueindex(2));
    return names_raise_unknown(lua, "variable", luaL_tolstring(lua, 2, NULL), 3, 4);
}

static void push_environment(lua_State *lua, int vars) {
    lua_newtable(lua);
    lua_newtable(lua);
    lua_pushvalue(lua, vars);
    push_names(lua);
    lua_pushcclosure(lua, index_environment, 2);
    lua_setfield(lua, -2, "__index");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
}

/* Compiling */

/* message: `LINE: text`. */
static void add_syntax_problem(Eval *eval, const char *where, const char *message) {
    char *end;
    guint64 line = g_ascii_strtoull(message, &end, 10);
    problems_add(eval->problems, (Origin){ .file = g_intern_string(where), .line = (unsigned)line },
                 g_str_has_prefix(end, ": ") ? end + 2 : message);
}

/* Pushes a list of the literal texts. */
static void push_texts(lua_State *lua, const TemplateCode *code) {
    lua_createtable(lua, (int)code->texts->len, 0);
    for (unsigned i = 0; i < code->texts->len; i++) {
        size_t size;
        const char *text = g_bytes_get_data(g_ptr_array_index(code->texts, i), &size);
        lua_pushlstring(lua, text, size);
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
}

/* Pushes chunk and __text; raises after adding a problem. */
static void compile(lua_State *lua, const char *where, const char *text, size_t size,
                    TemplateFormat format) {
    Eval *eval = eval_of(lua);
    GError *error = NULL;
    template_code_clear(&eval->pending_code);
    if (!template_translate(text, size, format, &eval->pending_code, &error)) {
        add_syntax_problem(eval, where, error->message);
        g_error_free(error);
        eval_raise_reported(lua);
    }
    const GString *code = eval->pending_code.code;
    sandbox_load(lua, where, code->str, code->len);
    push_texts(lua, &eval->pending_code);
    lua_pushcclosure(lua, print_text, 1);
    template_code_clear(&eval->pending_code);
}

/* The same from the cache: registry table, key "FORMAT:path". Leaves other values below. */
static void push_compiled(lua_State *lua, const char *where, const char *text, size_t size,
                          TemplateFormat format) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &cache_key);
    lua_pushfstring(lua, "%d:%s", (int)format, where);
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, -3) != LUA_TTABLE) {
        lua_pop(lua, 1);
        lua_createtable(lua, 2, 0);
        compile(lua, where, text, size, format);
        lua_rawseti(lua, -3, 2);
        lua_rawseti(lua, -2, 1);
        lua_pushvalue(lua, -2);
        lua_pushvalue(lua, -2);
        lua_rawset(lua, -5);
    }
    int entry = lua_gettop(lua);
    lua_rawgeti(lua, entry, 1);
    lua_rawgeti(lua, entry, 2);
}

static void push_result(lua_State *lua, const TemplateOutput *output) {
    if (!output->is_secret) {
        lua_pushlstring(lua, output->text->str, output->text->len);
        return;
    }
    g_autoptr(Value) plain = value_new_bytes(output->text->str, output->text->len);
    Value *secret = value_as_secret(plain, NULL);
    g_clear_pointer(&plain, value_unref);
    object_push_secret(lua, secret);
}

/* Runs protected by sandbox_call(). Arguments: where, text (light), size, format, vars. */
static int render(lua_State *lua) {
    Eval *eval = eval_of(lua);
    TemplateFormat format = (TemplateFormat)lua_tointeger(lua, 4);
    push_compiled(lua, lua_tostring(lua, 1), lua_touserdata(lua, 2), (size_t)lua_tointeger(lua, 3),
                  format);
    TemplateOutput *output = g_new0(TemplateOutput, 1);
    output->text = g_string_new(NULL);
    output->format = format;
    g_ptr_array_add(eval->outputs, output);
    push_environment(lua, 5);
    lua_insert(lua, -2); /* chunk, _ENV, __text */
    lua_pushcfunction(lua, print_value);
    lua_call(lua, 3, 0);
    push_result(lua, output);
    g_ptr_array_set_size(eval->outputs, (int)eval->outputs->len - 1);
    return 1;
}

void template_render(lua_State *lua, const char *where, const char *text, size_t size,
                     TemplateFormat format, int vars) {
    Eval *eval = eval_of(lua);
    vars = lua_absindex(lua, vars);
    luaL_checkstack(lua, 10, "template");
    lua_pushcfunction(lua, render);
    lua_pushstring(lua, where);
    lua_pushlightuserdata(lua, (void *)(uintptr_t)text);
    lua_pushinteger(lua, (lua_Integer)size);
    lua_pushinteger(lua, (lua_Integer)format);
    lua_pushvalue(lua, vars);
    if (sandbox_call(eval, lua, 5, 1))
        return;
    if (eval->fatal)
        eval_raise(lua, "a limit was exceeded");
    eval_report_raised(eval);
    lua_pushnil(lua);
}

/* Options: {format = "json"} or "json". */
static TemplateFormat format_at(lua_State *lua, int index) {
    TemplateFormat format = FORMAT_PLAIN;
    if (lua_isnoneornil(lua, index))
        return format;
    if (lua_type(lua, index) == LUA_TTABLE) {
        lua_pushnil(lua);
        while (lua_next(lua, index)) {
            lua_pop(lua, 1);
            if (lua_type(lua, -1) != LUA_TSTRING || strcmp(lua_tostring(lua, -1), "format") != 0)
                eval_raise(lua, "template has one option: format");
        }
        lua_getfield(lua, index, "format");
        lua_replace(lua, index);
        if (lua_isnil(lua, index))
            return format;
    }
    GError *error = NULL;
    const char *name = lua_value_check_text(lua, index, "the format", NULL);
    if (!template_parse_format(name, &format, &error))
        eval_raise_error(lua, error);
    return format;
}

/* A template with a problem gives an empty text, so that the rest is checked as well. */
static int call_template(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the path", NULL);
    lua_settop(lua, 3);
    if (lua_isnil(lua, 2)) {
        lua_newtable(lua);
        lua_replace(lua, 2);
    }
    lua_value_check_table(lua, 2, "the variables");
    TemplateFormat format = format_at(lua, 3);
    GError *error = NULL;
    char *path = eval_path(eval, name);
    GBytes *content = sources_load(eval->sources, path, &error);
    const char *where =
        content ? g_intern_string(path) : NULL; /* for ever: not what is not there */
    g_free(path);
    if (!content) {
        eval_problem_here(eval, lua, error->message);
        g_error_free(error);
        lua_pushliteral(lua, "");
        return 1;
    }
    size_t size;
    const char *text = sources_bytes(content, &size);
    template_render(lua, where, text, size, format, 2);
    if (lua_isnil(lua, -1))
        lua_pushliteral(lua, "");
    return 1;
}

void template_open(lua_State *lua) {
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &cache_key);
    object_open(lua, OBJECT_RAW, "raw text", NULL);
    lua_pushcfunction(lua, call_template);
    lua_setfield(lua, -2, "template");
}
