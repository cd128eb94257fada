#include "lang/lua-std.h"

#include <lauxlib.h>
#include <string.h>

#include "base/suggest.h"
#include "lang/lua-names.h"
#include "lang/lua-object.h"

static const char std_key; /* registry */

static const char *const modules[] = {
    "digest", "ini", "json", "list", "net", "text", "toml", "yaml",
};

static void push_module(lua_State *lua, const char *name) {
    if (strcmp(name, "digest") == 0)
        std_open_digest(lua);
    else if (strcmp(name, "list") == 0)
        std_open_list(lua);
    else if (strcmp(name, "net") == 0)
        std_open_net(lua);
    else if (strcmp(name, "text") == 0)
        std_open_text(lua);
    else
        std_open_formats(lua, name);
}

static int raise_unknown(lua_State *lua, const char *name) {
    const char *nearest = suggest_nearest(name, modules, G_N_ELEMENTS(modules));
    return eval_raise(lua, "no such module 'std.%s'%s%s%s", name,
                      nearest ? ", did you mean 'std." : "", nearest ? nearest : "",
                      nearest ? "'?" : "");
}

static int index_std(lua_State *lua) {
    return raise_unknown(lua, luaL_tolstring(lua, 2, NULL));
}

void std_open(lua_State *lua) {
    char name[32];
    lua_newtable(lua);
    for (unsigned i = 0; i < G_N_ELEMENTS(modules); i++) {
        push_module(lua, modules[i]);
        g_snprintf(name, sizeof name, "std.%s", modules[i]);
        names_make_strict(lua, name);
        lua_setfield(lua, -2, modules[i]);
    }
    lua_newtable(lua);
    lua_pushcfunction(lua, index_std);
    lua_setfield(lua, -2, "__index");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &std_key);
    lua_setfield(lua, -2, "std");
}

int std_import(lua_State *lua, const char *name) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &std_key);
    if (strcmp(name, "std") == 0)
        return 1;
    lua_pushstring(lua, name + strlen("std."));
    if (lua_rawget(lua, -2) != LUA_TTABLE)
        return raise_unknown(lua, name + strlen("std."));
    return 1;
}

void std_push_text(lua_State *lua, char *text, size_t size, bool is_secret) {
    if (!is_secret) {
        eval_push_text(lua, text, size);
        return;
    }
    Value *plain = value_new_bytes(text, size);
    Value *secret = value_as_secret(plain, NULL);
    value_unref(plain);
    explicit_bzero(text, size);
    g_free(text);
    object_push_secret(lua, secret);
}
