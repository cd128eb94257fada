#include "lang/lua-absent.h"

#include <string.h>

/* What a call costs, in instructions. */
#define CALL_STEPS 5

static const char reported_key; /* in the registry: "file:line:name" -> true */

/* A generic `for` asks what it takes for an iterator with nil: the end. */
static int call_absent(lua_State *lua) {
    eval_count(lua, CALL_STEPS);
    if (lua_type(lua, 2) == LUA_TNIL)
        return 0;
    lua_settop(lua, 1);
    return 1;
}

/* Fields are absent too; ipairs() finds an end. */
static int index_absent(lua_State *lua) {
    if (lua_type(lua, 2) != LUA_TSTRING)
        return 0;
    lua_settop(lua, 1);
    return 1;
}

static int assign_absent(lua_State *lua) {
    return 0;
}

/* What is calculated or joined with it is not known either. Either operand may be it. */
static int join_absent(lua_State *lua) {
    lua_settop(lua, 2);
    if (!object_at(lua, 2, OBJECT_ABSENT))
        lua_settop(lua, 1);
    return 1;
}

/* Nothing can be made of it. */
static int use_absent(lua_State *lua) {
    return eval_raise_reported(lua);
}

void absent_open(lua_State *lua) {
    static const luaL_Reg events[] = {
        { "__call", call_absent }, { "__index", index_absent },  { "__newindex", assign_absent },
        { "__add", join_absent },  { "__sub", join_absent },     { "__mul", join_absent },
        { "__div", join_absent },  { "__idiv", join_absent },    { "__mod", join_absent },
        { "__pow", join_absent },  { "__unm", join_absent },     { "__concat", join_absent },
        { "__len", use_absent },   { "__lt", use_absent },       { "__le", use_absent },
        { "__pairs", use_absent }, { "__tostring", use_absent }, { NULL, NULL },
    };
    object_open(lua, OBJECT_ABSENT, "unknown name", events);
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &reported_key);
}

static bool is_part_of_name(char c) {
    return g_ascii_isalnum(c) || c == '_';
}

/* name "..", name '..', name [[..]], name {..}, name(..) somewhere in line. */
static bool is_called_in(const char *line, const char *name) {
    size_t size = strlen(name);
    for (const char *at = strstr(line, name); at; at = strstr(at + 1, name)) {
        const char *next = at + size;
        bool whole =
            (at == line || (!is_part_of_name(at[-1]) && at[-1] != '.')) && !is_part_of_name(*next);
        next += strspn(next, " \t");
        if (whole && *next && (strchr("\"'{(", *next) || g_str_has_prefix(next, "[[")))
            return true;
    }
    return false;
}

bool absent_may_stand(lua_State *lua, const char *name) {
    Eval *eval = eval_of(lua);
    Place place = eval_place(eval, lua, 1);
    if (eval->n_pcalls > 0 || !*name)
        return false;
    g_autofree char *line = sources_line(eval->sources, place.file, place.line);
    return line && is_called_in(line, name);
}

/* Whether it is the first time at this line. */
static bool note(lua_State *lua, Place place, const char *name) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &reported_key);
    lua_pushfstring(lua, "%s:%d:%s", place.file, (int)place.line, name);
    lua_pushvalue(lua, -1);
    bool first = lua_rawget(lua, -3) == LUA_TNIL;
    lua_pop(lua, 1);
    lua_pushboolean(lua, true);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    return first;
}

void absent_push(lua_State *lua, const char *name, const char *problem) {
    Eval *eval = eval_of(lua);
    luaL_checkstack(lua, 6, "names");
    if (note(lua, eval_place(eval, lua, 1), name))
        eval_problem_here(eval, lua, problem);
    eval->has_absent = true;
    object_push(lua, OBJECT_ABSENT);
}
