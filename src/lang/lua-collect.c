#include "lang/lua-collect.h"

#include <lauxlib.h>
#include <string.h>

#include "graph/kind.h"
#include "lang/lua-declare.h"
#include "lang/lua-names.h"
#include "lang/lua-object.h"
#include "lang/lua-params.h"
#include "lang/lua-value.h"

/* --- filters: patterns with * and ?, or a list of them of which one must match */

static bool matches(const Value *pattern, const Value *value) {
    if (value_type(pattern) == VALUE_LIST) {
        for (size_t i = 0; i < value_size(pattern); i++)
            if (matches(value_list_at(pattern, i), value))
                return true;
        return false;
    }
    if (value_type(pattern) == VALUE_STRING && value_type(value) == VALUE_STRING)
        return g_pattern_match_simple(value_string(pattern), value_string(value));
    return value_equal(pattern, value);
}

static bool text_matches(const Value *pattern, const char *text) {
    g_autoptr(Value) value = value_new_string(text);
    return matches(pattern, value);
}

static bool resource_matches(const Resource *resource, const char *host, const Value *filter) {
    for (size_t i = 0; i < value_size(filter); i++) {
        const char *name;
        const Value *pattern = value_map_at(filter, i, &name);
        int param = kind_param_index(resource->kind, name);
        const Value *value = param >= 0 ? resource_get(resource, (unsigned)param) : NULL;
        bool is_name = strcmp(name, "name") == 0 && param < 0;
        if (strcmp(name, "from") == 0 ? !text_matches(pattern, host)
            : is_name                 ? !text_matches(pattern, resource->name)
                                      : !value || !matches(pattern, value))
            return false;
    }
    return true;
}

/* NULL with text: a word that is no filter. */
static char *unknown_filter(const Kind *kind, const Value *filter) {
    static const char *const words[] = { "from", "name" };
    for (size_t i = 0; i < value_size(filter); i++) {
        const char *name;
        (void)value_map_at(filter, i, &name);
        if (strcmp(name, "from") == 0 || strcmp(name, "name") == 0 ||
            kind_param_index(kind, name) >= 0)
            continue;
        g_autofree char *hint = kind_param_hint(kind, name, words, G_N_ELEMENTS(words));
        return g_strdup_printf("collect: no parameter '%s'%s", name, hint);
    }
    return NULL;
}

/* --- what the view has */

static const Value *exports_of(const Eval *eval, const char *kind) {
    const Value *view = eval->inputs->exchange;
    const Value *exports = view ? value_map_get(view, "export") : NULL;
    const Value *list = value_type(exports) == VALUE_MAP ? value_map_get(exports, kind) : NULL;
    return value_type(list) == VALUE_LIST ? list : NULL;
}

/* For us, and not what we declare ourselves. */
static bool is_for_us(const Eval *eval, const Value *item) {
    const char *us = value_map_string(eval->inputs->exchange, "host", "");
    const Value *to = value_map_get(item, "to");
    if (strcmp(value_map_string(item, "host", ""), us) == 0 &&
        !value_map_bool(item, "hidden", false))
        return false;
    return value_type(to) == VALUE_LIST && text_matches(to, us);
}

/* Fills eval->collected with those that match, by host and name. What another host got wrong is
 * told, and is no problem of this configuration. */
static void find(lua_State *lua, const char *kind, const Value *filter) {
    Eval *eval = eval_of(lua);
    const Value *list = exports_of(eval, kind);
    Origin origin = eval_origin(eval, eval_place(eval, lua, 1));
    g_ptr_array_set_size(eval->collected, 0);
    for (size_t i = 0; list && i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        const char *host = value_map_string(item, "host", "");
        if (value_type(item) != VALUE_MAP || !is_for_us(eval, item))
            continue;
        g_autoptr(GError) error = NULL;
        g_autoptr(Resource) resource = resource_from_value(value_map_get(item, "resource"),
                                                           eval->inputs->kinds, origin, &error);
        if (resource && strcmp(resource->kind->name, kind) != 0)
            continue;
        if (!resource)
            exchange_warn(lua, "left out what host '%s' exports: %s", host, error->message);
        else if (resource_matches(resource, host, filter))
            g_ptr_array_add(eval->collected, g_steal_pointer(&resource));
    }
}

/* --- declaring them */

/* Pushes the reference to kind "name". */
static const Object *push_reference(lua_State *lua, const char *kind, const char *name) {
    names_push(lua);
    luaL_gsub(lua, kind, ":", "_");
    lua_rawget(lua, -2);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 1);
    lua_remove(lua, -2);
    return object_at(lua, lua_gettop(lua), OBJECT_REF);
}

static void declare_all(lua_State *lua, const char *kind, int edges, int list) {
    Eval *eval = eval_of(lua);
    lua_Integer count = 0;
    for (unsigned i = 0; i < eval->collected->len; i++) {
        const Resource *resource = eval->collected->pdata[i];
        const Object *ref = push_reference(lua, kind, resource->name);
        if (!ref || g_array_index(eval->targets, Target, ref->target).is_declared) {
            lua_pop(lua, 1); /* ours, or that of a host before */
            continue;
        }
        params_adopt(lua, ref->target, resource_ref(resource), edges);
        lua_rawseti(lua, list, ++count);
    }
}

static Value *filter_at(lua_State *lua, int index, GError **error) {
    if (lua_isnoneornil(lua, index))
        return value_new_map();
    lua_value_check_table(lua, index, "the filter");
    return lua_value_get(lua, index, error);
}

/* Declares nothing and raises nothing; texts of what is wrong are new. */
static char *collect_values(lua_State *lua, const Kind *kind) {
    GError *error = NULL;
    g_autoptr(Value) filter = filter_at(lua, 2, &error);
    char *text = NULL;
    if (!filter) {
        text = g_strdup_printf("collect: the filter %s", error->message);
        g_error_free(error);
    } else if (value_type(filter) != VALUE_MAP) {
        text = g_strdup("collect: the filter is a table of names and patterns");
    } else {
        text = unknown_filter(kind, filter);
    }
    if (!text)
        find(lua, kind->name, filter);
    return text;
}

/* collect(kind [, filter [, edges]]): the references of what it declares */
static int collect(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the kind", NULL);
    const Kind *kind = kind_set_find(eval->inputs->kinds, name);
    GError *error = NULL;
    if (!kind) {
        kind_set_unknown(eval->inputs->kinds, name, &error);
        return eval_raise_error(lua, error);
    }
    if (!lua_isnoneornil(lua, 2))
        lua_value_check_table(lua, 2, "the filter");
    if (!lua_isnoneornil(lua, 3))
        lua_value_check_table(lua, 3, "the edges");
    lua_settop(lua, 3);
    value_map_set(eval->wanted_kinds, kind->name, value_new_bool(true));
    if (!eval->inputs->exchange)
        exchange_warn(lua,
                      "no exchange: collect(\"%s\") finds nothing; name a store with "
                      "--exchange",
                      name);
    char *text = collect_values(lua, kind);
    if (text) {
        eval_push_text(lua, text, strlen(text));
        return lua_error(lua);
    }
    lua_newtable(lua);
    lua_value_mark_list(lua);
    declare_all(lua, kind->name, 3, 4);
    lua_settop(lua, 4);
    return 1;
}

void collect_open(lua_State *lua) {
    lua_pushcfunction(lua, collect);
    lua_setfield(lua, -2, "collect");
}
