#include "lang/lua-missing.h"

#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/suggest.h"

/* In the registry: the metatable of maps; name -> the map that lacks it; what was converted. */
static const char watch_key, maps_key, values_key;

/* What a look at a missing value costs, in instructions. */
#define MISS_STEPS 10

void missing_note(lua_State *lua, int index, const char *name) {
    Eval *eval = eval_of(lua);
    luaL_checkstack(lua, 3, "values");
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &maps_key);
    lua_pushstring(lua, name);
    if (index)
        lua_pushvalue(lua, index);
    else
        lua_pushnil(lua);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    eval_note_missing(eval, name, eval_place(eval, lua, 1));
}

/* __index of a map of values. */
static int index_missing(lua_State *lua) {
    eval_count(lua, MISS_STEPS);
    if (lua_type(lua, 2) == LUA_TSTRING)
        missing_note(lua, 1, lua_tostring(lua, 2));
    return 0;
}

/* setmetatable() may put another one in its place. */
void missing_open(lua_State *lua) {
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &values_key);
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &maps_key);
    lua_newtable(lua);
    lua_pushcfunction(lua, index_missing);
    lua_setfield(lua, -2, "__index");
    lua_newtable(lua);
    lua_setfield(lua, -2, "__metatable");
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &watch_key);
}

static void watch(lua_State *lua, int table) {
    luaL_checkstack(lua, 5, "values");
    if (lua_getmetatable(lua, table)) { /* an empty list */
        lua_pop(lua, 1);
        return;
    }
    bool is_list = lua_rawlen(lua, table) > 0;
    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        if (lua_istable(lua, -1))
            watch(lua, lua_gettop(lua));
        lua_pop(lua, 1);
    }
    if (is_list)
        return;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &watch_key);
    lua_setmetatable(lua, table);
}

void missing_watch(lua_State *lua) {
    if (lua_istable(lua, -1))
        watch(lua, lua_gettop(lua));
}

bool missing_is_watched(lua_State *lua, int index) {
    if (!lua_getmetatable(lua, index))
        return false;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &watch_key);
    bool same = lua_rawequal(lua, -1, -2);
    lua_pop(lua, 2);
    return same;
}

/* --- what is told: no function below makes anything in Lua, where memory may have run out */

/* Pushes the map that lacks name; false: none does, nothing is pushed. */
static bool push_map(lua_State *lua, const char *name) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &maps_key);
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        if (strcmp(lua_tostring(lua, -2), name) == 0) {
            lua_replace(lua, -3);
            lua_pop(lua, 1);
            return true;
        }
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
    return false;
}

/* The table on top of the stack is searched for map; path becomes the way there. */
static bool find_path(lua_State *lua, const void *map, unsigned depth, GString *path) {
    size_t size = path->len;
    if (depth > LIMIT_NESTING || !lua_checkstack(lua, 4))
        return false;
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        if (lua_istable(lua, -1)) {
            if (lua_type(lua, -2) == LUA_TSTRING)
                g_string_append_printf(path, ".%s", lua_tostring(lua, -2));
            else if (lua_isinteger(lua, -2))
                g_string_append_printf(path, "[%lld]", (long long)lua_tointeger(lua, -2));
            if (lua_topointer(lua, -1) == map || find_path(lua, map, depth + 1, path)) {
                lua_pop(lua, 2);
                return true;
            }
            g_string_truncate(path, size);
        }
        lua_pop(lua, 1);
    }
    return false;
}

/* Names of the map on top of the stack, borrowed. */
static GPtrArray *names_of(lua_State *lua) {
    GPtrArray *names = g_ptr_array_new();
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        lua_pop(lua, 1);
        if (lua_type(lua, -1) == LUA_TSTRING)
            g_ptr_array_add(names, (void *)(uintptr_t)lua_tostring(lua, -1));
    }
    return names;
}

static GPtrArray *names_given(const Value *values) {
    GPtrArray *names = g_ptr_array_new();
    for (size_t i = 0; values && i < value_size(values); i++) {
        const char *name;
        (void)value_map_at(values, i, &name);
        g_ptr_array_add(names, (void *)(uintptr_t)name);
    }
    return names;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *text_of(const Eval *eval, const char *path, const char *name, GPtrArray *names) {
    const LangInputs *inputs = eval->inputs;
    g_ptr_array_sort(names, compare_names); /* order decides ties */
    const char *nearest = suggest_nearest(name, (const char *const *)names->pdata, names->len);
    if (nearest)
        return g_strdup_printf("; values%s.%s is not set, did you mean '%s'?", path, name, nearest);
    if (!inputs->values)
        return g_strdup_printf("; values%s.%s is not set: give it in a file with --values", path,
                               name);
    return inputs->values_file ? g_strdup_printf("; values%s.%s is not set in '%s'", path, name,
                                                 inputs->values_file)
                               : g_strdup_printf("; values%s.%s is not set", path, name);
}

char *missing_text(const Eval *eval, const char *name) {
    lua_State *lua = eval->lua;
    g_autoptr(GString) path = g_string_new(NULL);
    if (!lua_checkstack(lua, 6))
        return NULL;
    int top = lua_gettop(lua);
    if (!push_map(lua, name)) {
        g_autoptr(GPtrArray) names = names_given(eval->inputs->values);
        return text_of(eval, "", name, names);
    }
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &values_key);
    bool found = find_path(lua, lua_topointer(lua, -2), 0, path);
    lua_pop(lua, 1);
    g_autoptr(GPtrArray) names = found ? names_of(lua) : NULL;
    char *text = found ? text_of(eval, path->str, name, names) : NULL;
    lua_settop(lua, top);
    return text;
}

/* --- parameters */

/* Whether the line has `param = values.some.name` and nothing else for it. */
static bool is_given_in(const char *line, const char *param, const char *name) {
    g_autofree char *quoted = g_regex_escape_string(name, -1);
    g_autofree char *pattern =
        g_strdup_printf("\\b%s\\s*=\\s*\\w[\\w.]*\\.%s\\s*(?:[,;}]|--|$)", param, quoted);
    return g_regex_match_simple(pattern, line, 0, 0);
}

static void warn(Eval *eval, const Resource *resource, const Miss *miss, const char *param) {
    g_autofree char *hint = missing_text(eval, miss->name);
    if (!hint)
        return;
    const char *told = hint + strlen("; ");
    bool is_near = g_str_has_suffix(told, "?");
    g_autofree char *shown = resource_show(resource);
    g_ptr_array_add(eval->warnings,
                    g_strdup_printf("%s:%u: %s: '%s' is not set: %s%s", miss->place.file,
                                    miss->place.line, shown, param, told,
                                    is_near ? "" : "; where that is meant, say so: or \"\""));
}

static void warn_of(Eval *eval, const Resource *resource, const Param *param, Place place) {
    enum { CALL_LINES = 30 }; /* that a declaration may take */
    for (unsigned i = 0; i < eval->recent_misses->len; i++) {
        const Miss *miss = &g_array_index(eval->recent_misses, Miss, i);
        if (miss->place.file != place.file || miss->place.frame != place.frame ||
            miss->place.line < place.line || miss->place.line > place.line + CALL_LINES)
            continue;
        g_autofree char *line = sources_line(eval->sources, place.file, miss->place.line);
        if (line && is_given_in(line, param->name, miss->name)) {
            warn(eval, resource, miss, param->name);
            return;
        }
    }
}

void missing_warn(Eval *eval, const Resource *resource, Place place) {
    const Kind *kind = resource->kind;
    for (unsigned i = 0; eval->recent_misses->len > 0 && i < kind->n_params; i++)
        if ((kind->params[i].flags & PARAM_ESSENCE) && !resource_get(resource, i) &&
            !resource_receives(resource, i))
            warn_of(eval, resource, &kind->params[i], place);
    g_array_set_size(eval->recent_misses, 0);
}
