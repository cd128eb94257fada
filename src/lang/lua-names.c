#include "lang/lua-names.h"

#include <lauxlib.h>
#include <string.h>

#include "base/suggest.h"
#include "lang/eval.h"
#include "lang/lua-absent.h"
#include "lang/lua-base.h"
#include "lang/lua-case.h"
#include "lang/lua-declare.h"
#include "lang/lua-define.h"
#include "lang/lua-inputs.h"
#include "lang/lua-std.h"
#include "lang/lua-string.h"
#include "lang/lua-table.h"
#include "lang/lua-template.h"
#include "lang/lua-value.h"

static const char names_key, environment_key; /* in the registry */

/* What people look for that is not there, and what to use. */
static const struct {
    const char *name, *hint;
} absent_names[] = {
    { "io", "a configuration cannot do input or output: use read(\"path\")" },
    { "os", "a configuration cannot see the system: use facts, env and clock" },
    { "debug", "it is not available" },
    { "package", "a package is pkg \"NAME\" {}, a module import \"name\"" },
    { "require", "use import \"name\"" },
    { "load", "code cannot be made from text" },
    { "loadstring", "code cannot be made from text" },
    { "loadfile", "use import \"name\"" },
    { "dofile", "use import \"name\"" },
    { "collectgarbage", "memory is managed for you" },
    { "coroutine", "coroutines are not available" },
    { "xpcall", "use pcall" },
    { "print", "no kind has this name; problems are shown by expect(false, \"text\")" },
    { "warn", "problems are shown by expect(false, \"text\")" },
    { "math.random", "each evaluation would differ" },
    { "math.randomseed", "each evaluation would differ" },
    { "string.dump", "code cannot be made into text" },
    { "_G", "globals belong to their file: put what is shared into a module" },
    /* words of other languages */
    { "include", "use import \"name\"" },
    { "True", "write true" },
    { "False", "write false" },
    { "yes", "write true" },
    { "no", "write false" },
    { "null", "write nil" },
    { "None", "write nil" },
    /* values without their quotes */
    { "running", "texts have quotes: \"running\"" },
    { "stopped", "texts have quotes: \"stopped\"" },
    { "exists", "texts have quotes: \"exists\"" },
    { "present", "texts have quotes: \"present\"" },
    { "absent", "texts have quotes: \"absent\"" },
    { "installed", "texts have quotes: \"installed\"" },
    { "newest", "texts have quotes: \"newest\"" },
    { "purged", "texts have quotes: \"purged\"" },
    { "enabled", "texts have quotes: \"enabled\"" },
    { "disabled", "texts have quotes: \"disabled\"" },
};

static void add_names(lua_State *lua, int table, GPtrArray *names) {
    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        lua_pop(lua, 1);
        if (lua_type(lua, -1) == LUA_TSTRING)
            g_ptr_array_add(names, g_strdup(lua_tostring(lua, -1)));
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The nearest of the keys of up to two tables; caller frees. Order decides ties: sorted. */
static char *nearest_key(lua_State *lua, const char *name, int table, int extra) {
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (table)
        add_names(lua, table, names);
    if (extra)
        add_names(lua, extra, names);
    g_ptr_array_sort(names, compare_names);
    return g_strdup(suggest_nearest(name, (const char *const *)names->pdata, names->len));
}

static const char *hint_for(const char *name) {
    for (unsigned i = 0; i < G_N_ELEMENTS(absent_names); i++)
        if (strcmp(name, absent_names[i].name) == 0)
            return absent_names[i].hint;
    return kind_foreign_hint(name, NULL);
}

/* Needs four free slots of the stack. Caller frees. */
static char *unknown_text(lua_State *lua, const char *what, const char *name, int table,
                          int extra) {
    if (hint_for(name))
        return g_strdup_printf("no such %s '%s': %s", what, name, hint_for(name));
    g_autofree char *nearest = nearest_key(lua, name, table, extra);
    return nearest ? g_strdup_printf("no such %s '%s', did you mean '%s'?", what, name, nearest)
                   : g_strdup_printf("no such %s '%s'", what, name);
}

int names_raise_unknown(lua_State *lua, const char *what, const char *name, int table, int extra) {
    luaL_checkstack(lua, 4, "names");
    char *text = unknown_text(lua, what, name, table, extra);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

static int unknown_name(lua_State *lua) {
    lua_settop(lua, 2);
    names_push(lua);
    luaL_checkstack(lua, 8, "names");
    const char *name = luaL_tolstring(lua, 2, NULL);
    if (!absent_may_stand(lua, name))
        return names_raise_unknown(lua, "kind or name", name, 3, 0);
    char *text = unknown_text(lua, "kind or name", name, 3, 0);
    eval_push_text(lua, text, strlen(text));
    absent_push(lua, name, lua_tostring(lua, -1));
    return 1;
}

/* __index of a library table. Upvalue 1: its name. */
static int unknown_field(lua_State *lua) {
    const char *library = lua_tostring(lua, lua_upvalueindex(1));
    const char *field = luaL_tolstring(lua, 2, NULL);
    const char *full = lua_pushfstring(lua, "%s.%s", library, field);
    const char *hint = hint_for(full);
    if (hint)
        return eval_raise(lua, "no such function '%s': %s", full, hint);
    char *nearest = nearest_key(lua, field, 1, 0);
    /* Methods of strings are looked up here too. */
    const char *doubt = strcmp(library, "string") == 0 ? ": is a string used like a table?" : "";
    char *text = nearest ? g_strdup_printf("no such function '%s', did you mean '%s.%s'?", full,
                                           library, nearest)
                         : g_strdup_printf("no such function '%s'%s", full, doubt);
    g_free(nearest);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

void names_make_strict(lua_State *lua, const char *name) {
    lua_newtable(lua);
    lua_pushstring(lua, name);
    lua_pushcclosure(lua, unknown_field, 1);
    lua_setfield(lua, -2, "__index");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
}

/* A new global variable of a file: __newindex of its environment. */
static int assign_global(lua_State *lua) {
    names_push(lua);
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, -2) != LUA_TNIL)
        return eval_raise(lua, "'%s' is built in and cannot be assigned: use another name",
                          lua_tostring(lua, 2));
    lua_settop(lua, 3);
    lua_rawset(lua, 1);
    return 0;
}

void names_push(lua_State *lua) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &names_key);
}

static void make_environment_metatable(lua_State *lua) {
    lua_newtable(lua);
    names_push(lua);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, assign_global);
    lua_setfield(lua, -2, "__newindex");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &environment_key);
}

static void make_strict_libraries(lua_State *lua) {
    static const char *const libraries[] = {
        "clock", "exchange", "math", "string", "table", "utf8"
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(libraries); i++) {
        lua_getfield(lua, -1, libraries[i]);
        names_make_strict(lua, libraries[i]);
        lua_pop(lua, 1);
    }
}

int names_open(lua_State *lua) {
    eval_open_places(lua);
    lua_newtable(lua);
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &names_key);
    lua_value_open(lua);
    absent_open(lua);
    base_open(lua);
    string_open(lua);
    table_open(lua);
    inputs_open(lua);
    std_open(lua);
    template_open(lua);
    define_open(lua);
    declare_open(lua);
    if (eval_of(lua)->inputs->cases)
        case_open(lua);
    make_strict_libraries(lua);
    lua_newtable(lua);
    lua_pushcfunction(lua, unknown_name);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    make_environment_metatable(lua);
    return 0;
}

void names_set_environment(lua_State *lua) {
    lua_newtable(lua);
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &environment_key);
    lua_setmetatable(lua, -2);
    lua_setupvalue(lua, -2, 1);
}
