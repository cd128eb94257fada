#include "lang/lua-base.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "lang/eval.h"
#include "lang/lua-declare.h"
#include "lang/lua-keys.h"
#include "lang/lua-missing.h"
#include "lang/lua-object.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-value.h"

/* What it costs to write a number as text, in instructions. */
#define TEXT_STEPS 20

/* tostring */

static void push_object_text(lua_State *lua, const Object *object) {
    char *shown;
    switch (object->type) {
    case OBJECT_REF:
        shown = declare_show(eval_of(lua), object->target);
        eval_push_text(lua, shown, strlen(shown));
        return;
    case OBJECT_SECRET:
        eval_raise(lua, "a secret cannot be made text: join it with '..', use it in a template or "
                        "give it as a parameter");
        return;
    case OBJECT_OUT:
        lua_pushliteral(lua, "output");
        return;
    case OBJECT_INPUT:
        lua_pushstring(lua, object->name);
        return;
    case OBJECT_ABSENT:
        eval_raise_reported(lua);
        return;
    case OBJECT_RAW:
    case OBJECT_TYPES:
        lua_pushliteral(lua, "raw text");
        return;
    }
}

void base_push_text(lua_State *lua, int index) {
    if (lua_type(lua, index) == LUA_TUSERDATA) {
        push_object_text(lua, lua_touserdata(lua, index));
        return;
    }
    bool is_plain = lua_type(lua, index) <= LUA_TSTRING && !lua_islightuserdata(lua, index);
    if (is_plain || luaL_getmetafield(lua, index, "__tostring") != LUA_TNIL) {
        if (!is_plain)
            lua_pop(lua, 1);
        eval_count(lua, TEXT_STEPS);
        luaL_tolstring(lua, index, NULL);
        return;
    }
    lua_pushstring(lua, lua_islightuserdata(lua, index) ? "null" : luaL_typename(lua, index));
}

static int base_tostring(lua_State *lua) {
    luaL_checkany(lua, 1);
    base_push_text(lua, 1);
    return 1;
}

/* What a pcall() of something short costs, in instructions. */
#define PCALL_STEPS 20

/* pcall: errors beyond a limit are not caught. */
static int base_pcall(lua_State *lua) {
    Eval *eval = eval_of(lua);
    luaL_checkany(lua, 1);
    EvalDepth depth = eval_depth(eval);
    eval_charge(lua, PCALL_STEPS);
    eval->n_pcalls++;
    int status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
    if (status == LUA_ERRMEM)
        return sandbox_raise_memory(lua);
    if (status != LUA_OK) {
        if (eval->fatal || eval->raised.reported)
            return lua_error(lua);
        eval_restore(eval, depth);
    }
    eval->n_pcalls = depth.n_pcalls;
    lua_pushboolean(lua, status == LUA_OK);
    lua_insert(lua, 1);
    return lua_gettop(lua);
}

/* setmetatable */

/* Left out: __gc and __mode, with which a program would notice the garbage collector; __len, by
 * which table functions could be sent into endless loops; __close and __name, which do nothing
 * here. */
static const char *const events[] = {
    "__add",      "__band",  "__bnot",  "__bor", "__bxor", "__call",      "__concat",   "__div",
    "__eq",       "__idiv",  "__index", "__le",  "__lt",   "__metatable", "__mod",      "__mul",
    "__newindex", "__pairs", "__pow",   "__shl", "__shr",  "__sub",       "__tostring", "__unm",
};

static bool is_event(const char *name) {
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++)
        if (strcmp(name, events[i]) == 0)
            return true;
    return false;
}

/* The first of them in byte order; NULL: all are fine. */
static const char *refused_event(lua_State *lua, int index) {
    const char *refused = NULL;
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        const char *name = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : NULL;
        if (name && strncmp(name, "__", 2) == 0 && !is_event(name) &&
            (!refused || strcmp(name, refused) < 0))
            refused = name;
    }
    return refused;
}

/* The table gets a copy of its metatable: what is put into the original later has no effect, and
 * cannot bring in what is refused here. */
static void push_checked_copy(lua_State *lua, int index) {
    lua_newtable(lua);
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : NULL;
        if (name && is_event(name)) {
            lua_pushvalue(lua, -2);
            lua_insert(lua, -2);
            lua_rawset(lua, -4);
        } else {
            lua_pop(lua, 1);
        }
    }
    lua_pushliteral(lua, "__metatable");
    if (lua_rawget(lua, -2) == LUA_TNIL) {
        lua_pushliteral(lua, "__metatable");
        lua_pushvalue(lua, index);
        lua_rawset(lua, -4);
    }
    lua_pop(lua, 1);
}

static int base_setmetatable(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    if (!lua_isnil(lua, 2))
        lua_value_check_table(lua, 2, "the metatable");
    const char *refused = lua_isnil(lua, 2) ? NULL : refused_event(lua, 2);
    if (refused)
        return eval_raise(lua, "the metatable event '%s' is not available", refused);
    lua_settop(lua, 2);
    if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL && !lua_istable(lua, -1))
        return eval_raise(lua, "this metatable is protected and cannot be changed");
    lua_settop(lua, 2);
    if (lua_isnil(lua, 2))
        lua_pushnil(lua);
    else
        push_checked_copy(lua, 2);
    lua_setmetatable(lua, 1);
    lua_settop(lua, 1);
    return 1;
}

/* ipairs. Upvalue 1: Lua's own, which ends before the first name of a map. */

/* Whether the table is no list: its first item is missing, and what it has is named. */
static bool is_map(lua_State *lua, int index) {
    if (lua_rawgeti(lua, index, 1) != LUA_TNIL ||
        (!missing_is_watched(lua, index) && lua_getmetatable(lua, index))) {
        lua_settop(lua, index);
        return false;
    }
    bool is_named = lua_next(lua, index) && lua_type(lua, index + 1) == LUA_TSTRING;
    lua_settop(lua, index);
    return is_named;
}

static int base_ipairs(lua_State *lua) {
    luaL_checkany(lua, 1);
    lua_settop(lua, 1);
    if (lua_istable(lua, 1) && is_map(lua, 1))
        return eval_raise(lua, "ipairs goes through lists, and this table has names: use pairs");
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, 1, LUA_MULTRET);
    return lua_gettop(lua);
}

static const luaL_Reg own_functions[] = {
    { "next", keys_next },         { "pairs", keys_pairs },
    { "pcall", base_pcall },       { "setmetatable", base_setmetatable },
    { "tostring", base_tostring }, { NULL, NULL },
};

static const char *const lua_functions[] = {
    "assert", "error",  "getmetatable", "ipairs",   "rawequal", "rawget",
    "rawlen", "rawset", "select",       "tonumber", "type",
};

/* Without random and randomseed, and without what some builds of Lua keep of older versions. */
static const char *const math_functions[] = {
    "abs",  "acos", "asin", "atan", "ceil",      "cos",        "deg",        "exp",  "floor",
    "fmod", "huge", "log",  "max",  "min",       "maxinteger", "mininteger", "modf", "pi",
    "rad",  "sin",  "sqrt", "tan",  "tointeger", "type",       "ult",
};

/* Copies the named fields of a standard library to the table on top of the stack. */
static void copy_fields(lua_State *lua, lua_CFunction open, const char *const *names, size_t n) {
    lua_pushcfunction(lua, open);
    lua_call(lua, 0, 1);
    for (size_t i = 0; i < n; i++) {
        lua_getfield(lua, -1, names[i]);
        lua_setfield(lua, -3, names[i]);
    }
    lua_pop(lua, 1);
}

void base_open(lua_State *lua) {
    copy_fields(lua, luaopen_base, lua_functions, G_N_ELEMENTS(lua_functions));
    luaL_setfuncs(lua, own_functions, 0);
    lua_getfield(lua, -1, "ipairs");
    lua_pushcclosure(lua, base_ipairs, 1);
    lua_setfield(lua, -2, "ipairs");
    lua_newtable(lua);
    copy_fields(lua, luaopen_math, math_functions, G_N_ELEMENTS(math_functions));
    lua_setfield(lua, -2, "math");
    lua_pushcfunction(lua, luaopen_utf8);
    lua_call(lua, 0, 1);
    lua_setfield(lua, -2, "utf8");
    /* luaopen_base() filled the global table, which nothing reaches any more. */
    lua_newtable(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}
