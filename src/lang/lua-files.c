#include <lauxlib.h>
#include <string.h>

#include "lang/lua-inputs.h"
#include "lang/lua-names.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-std.h"
#include "lang/lua-value.h"

static const char modules_key; /* registry: results of modules by name */

/* read(path [, otherwise]) */
static int read_file(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the path", NULL);
    bool has_fallback = lua_gettop(lua) >= 2;
    char *path = eval_path(eval, name);
    GError *error = NULL;
    GBytes *content = sources_load(eval->sources, path, &error);
    g_free(path);
    if (!content && has_fallback && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_error_free(error);
        lua_settop(lua, 2);
        return 1;
    }
    if (!content)
        return eval_raise_error(lua, error);
    size_t size;
    const char *text = sources_bytes(content, &size);
    lua_pushlstring(lua, text, size);
    return 1;
}

/* Modules */

static bool is_module_name(const char *name) {
    bool starts = true;
    for (; *name; name++) {
        if (*name == '.' ? starts : !g_ascii_isalnum(*name) && *name != '_' && *name != '-')
            return false;
        starts = *name == '.';
    }
    return !starts;
}

/* "web.shop" is web/shop.lua beside the entry file. Caller frees. */
static char *module_path(const Eval *eval, const char *name) {
    g_autofree char *file = g_strconcat(name, ".lua", NULL);
    for (char *p = file; p < file + strlen(name); p++)
        if (*p == '.')
            *p = '/';
    return eval_path(eval, file);
}

static void check_cycle(lua_State *lua, const char *name) {
    Eval *eval = eval_of(lua);
    unsigned start = 0;
    while (start < eval->imports->len && strcmp(eval->imports->pdata[start], name) != 0)
        start++;
    if (start == eval->imports->len)
        return;
    GString *chain = g_string_new("modules import each other: ");
    for (unsigned i = start; i < eval->imports->len; i++)
        g_string_append_printf(chain, "%s -> ", (const char *)eval->imports->pdata[i]);
    g_string_append(chain, name);
    size_t size = chain->len;
    eval_push_text(lua, g_string_free(chain, FALSE), size);
    lua_error(lua);
}

/* Pushes the module's result; nil becomes true, so that it counts as loaded. */
static void run_module(lua_State *lua, const char *name) {
    Eval *eval = eval_of(lua);
    GError *error = NULL;
    char *path = module_path(eval, name);
    GBytes *content = sources_load(eval->sources, path, &error);
    const char *kept = content ? g_intern_string(path) : NULL; /* for ever: not what is not there */
    g_free(path);
    if (!content) {
        g_prefix_error(&error, "import '%s': ", name);
        eval_raise_error(lua, error);
    }
    size_t size;
    const char *text = sources_bytes(content, &size);
    g_ptr_array_add(eval->imports, g_strdup(name));
    sandbox_load(lua, kept, text, size);
    names_set_environment(lua);
    lua_call(lua, 0, 1);
    g_ptr_array_set_size(eval->imports, (int)eval->imports->len - 1);
    if (lua_isnil(lua, -1)) {
        lua_pop(lua, 1);
        lua_pushboolean(lua, true);
    }
}

static int import(lua_State *lua) {
    const char *name = lua_value_check_text(lua, 1, "the module", NULL);
    lua_settop(lua, 1);
    if (strcmp(name, "std") == 0 || strncmp(name, "std.", 4) == 0)
        return std_import(lua, name);
    if (!is_module_name(name))
        return eval_raise(lua,
                          "import '%s': a module's name is words joined by dots, like "
                          "\"web.shop\" for web/shop.lua beside the main file",
                          name);
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &modules_key);
    lua_pushvalue(lua, 1);
    if (lua_rawget(lua, 2) != LUA_TNIL)
        return 1;
    lua_pop(lua, 1);
    check_cycle(lua, name);
    if (eval_of(lua)->frame)
        return eval_raise(lua,
                          "import '%s': a module is loaded at the top of a file, not while a "
                          "composite is declared",
                          name);
    run_module(lua, name);
    lua_pushvalue(lua, 1);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, 2);
    return 1;
}

void inputs_open_files(lua_State *lua) {
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &modules_key);
    lua_pushcfunction(lua, read_file);
    lua_setfield(lua, -2, "read");
    lua_pushcfunction(lua, import);
    lua_setfield(lua, -2, "import");
}
