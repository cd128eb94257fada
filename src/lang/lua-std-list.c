#include <lauxlib.h>

#include "lang/eval.h"
#include "lang/lua-keys.h"
#include "lang/lua-std.h"
#include "lang/lua-table.h"
#include "lang/lua-value.h"

enum { MAX_RANGE = 10000000 };

static lua_Integer list_at(lua_State *lua, int index) {
    lua_value_check_table(lua, index, NULL);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, index);
    eval_charge(lua, (uint64_t)length);
    return length;
}

static void check_function(lua_State *lua, int index) {
    if (lua_type(lua, index) != LUA_TFUNCTION)
        eval_raise(lua, "argument %d must be a function", index);
}

/* Pushes the result of function(item). */
static void call_on(lua_State *lua, int function, int item) {
    lua_pushvalue(lua, function);
    lua_pushvalue(lua, item);
    lua_call(lua, 1, 1);
}

static int map(lua_State *lua) {
    lua_Integer length = list_at(lua, 1), count = 0;
    check_function(lua, 2);
    lua_settop(lua, 2);
    lua_createtable(lua, (int)MIN(length, G_MAXINT), 0);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        call_on(lua, 2, 4);
        if (lua_isnil(lua, -1))
            lua_pop(lua, 1);
        else
            lua_rawseti(lua, 3, ++count);
        lua_settop(lua, 3);
    }
    return 1;
}

static int filter(lua_State *lua) {
    lua_Integer length = list_at(lua, 1), count = 0;
    check_function(lua, 2);
    lua_settop(lua, 2);
    lua_newtable(lua);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        call_on(lua, 2, 4);
        bool keep = lua_toboolean(lua, -1);
        lua_settop(lua, 4);
        if (keep)
            lua_rawseti(lua, 3, ++count);
        lua_settop(lua, 3);
    }
    return 1;
}

static int find(lua_State *lua) {
    lua_Integer length = list_at(lua, 1);
    check_function(lua, 2);
    lua_settop(lua, 2);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        call_on(lua, 2, 3);
        bool found = lua_toboolean(lua, -1);
        lua_settop(lua, 3);
        if (found) {
            lua_pushinteger(lua, i);
            return 2;
        }
        lua_settop(lua, 2);
    }
    lua_pushnil(lua);
    return 1;
}

/* Appends all items of the list at index to the list at out. */
static lua_Integer append_all(lua_State *lua, int index, int out, lua_Integer count) {
    lua_Integer length = list_at(lua, index);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, index, i);
        lua_rawseti(lua, out, ++count);
    }
    return count;
}

static int sort(lua_State *lua) {
    list_at(lua, 1);
    bool has_order = !lua_isnoneornil(lua, 2);
    if (has_order)
        check_function(lua, 2);
    lua_settop(lua, 2);
    lua_newtable(lua);
    append_all(lua, 1, 3, 0);
    table_sort(lua, 3, has_order ? 2 : 0);
    return 1;
}

static int concat(lua_State *lua) {
    int n_lists = lua_gettop(lua);
    lua_Integer count = 0;
    lua_newtable(lua);
    for (int i = 1; i <= n_lists; i++)
        count = append_all(lua, i, n_lists + 1, count);
    return 1;
}

static int unique(lua_State *lua) {
    lua_Integer length = list_at(lua, 1), count = 0;
    lua_settop(lua, 1);
    lua_newtable(lua);
    lua_newtable(lua); /* 3: seen */
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        if (lua_isnil(lua, 4) ||
            (lua_isnumber(lua, 4) && lua_tonumber(lua, 4) != lua_tonumber(lua, 4)))
            return eval_raise(lua, "std.list.unique: item %d is no value", (int)i);
        lua_pushvalue(lua, 4);
        if (lua_rawget(lua, 3) == LUA_TNIL) {
            lua_pushvalue(lua, 4);
            lua_pushboolean(lua, true);
            lua_rawset(lua, 3);
            lua_pushvalue(lua, 4);
            lua_rawseti(lua, 2, ++count);
        }
        lua_settop(lua, 3);
    }
    lua_settop(lua, 2);
    return 1;
}

static int contains(lua_State *lua) {
    lua_Integer length = list_at(lua, 1);
    luaL_checkany(lua, 2);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        bool same = lua_compare(lua, -1, 2, LUA_OPEQ);
        lua_pop(lua, 1);
        if (same) {
            lua_pushboolean(lua, true);
            return 1;
        }
    }
    lua_pushboolean(lua, false);
    return 1;
}

/* range(last), range(first, last [, step]) */
static int range(lua_State *lua) {
    bool has_first = !lua_isnoneornil(lua, 2);
    int64_t first = has_first ? lua_value_check_int(lua, 1, NULL) : 1;
    int64_t last = lua_value_check_int(lua, has_first ? 2 : 1, NULL);
    int64_t step = lua_isnoneornil(lua, 3) ? 1 : lua_value_check_int(lua, 3, NULL);
    if (step == 0)
        return eval_raise(lua, "the step of a range cannot be 0");
    bool is_empty = step > 0 ? first > last : first < last;
    uint64_t distance =
        step > 0 ? (uint64_t)last - (uint64_t)first : (uint64_t)first - (uint64_t)last;
    uint64_t stride = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    uint64_t count = is_empty ? 0 : distance / stride + 1;
    if (count > MAX_RANGE || (!is_empty && count == 0))
        return eval_raise(lua, "this range has more than %d numbers", MAX_RANGE);
    eval_charge(lua, count);
    lua_createtable(lua, (int)count, 0);
    for (uint64_t i = 0; i < count; i++) {
        lua_pushinteger(lua, (lua_Integer)((uint64_t)first + i * (uint64_t)step));
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int keys(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    keys_push_sorted(lua, 1);
    return 1;
}

static int values(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    lua_settop(lua, 1);
    keys_push_sorted(lua, 1);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, 2);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 2, i);
        lua_rawget(lua, 1);
        lua_rawseti(lua, 2, i);
    }
    return 1;
}

/* group(list, key): table of key(item) to the list of such items */
static int group(lua_State *lua) {
    lua_Integer length = list_at(lua, 1);
    check_function(lua, 2);
    lua_settop(lua, 2);
    lua_newtable(lua);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        call_on(lua, 2, 4);
        if (lua_isnil(lua, 5))
            return eval_raise(lua, "std.list.group: the function gives no key for item %d", (int)i);
        lua_pushvalue(lua, 5);
        if (lua_rawget(lua, 3) == LUA_TNIL) {
            lua_pop(lua, 1);
            lua_newtable(lua);
            lua_pushvalue(lua, 5);
            lua_pushvalue(lua, 6);
            lua_rawset(lua, 3);
        }
        lua_pushvalue(lua, 4);
        lua_rawseti(lua, 6, (lua_Integer)lua_rawlen(lua, 6) + 1);
        lua_settop(lua, 3);
    }
    return 1;
}

static int reverse(lua_State *lua) {
    lua_Integer length = list_at(lua, 1);
    lua_createtable(lua, (int)MIN(length, G_MAXINT), 0);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, length - i + 1);
        lua_rawseti(lua, -2, i);
    }
    return 1;
}

/* flatten(list): lists inside the list are put in their place, one level deep */
static int flatten(lua_State *lua) {
    lua_Integer length = list_at(lua, 1), count = 0;
    lua_settop(lua, 1);
    lua_newtable(lua);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        if (lua_istable(lua, 3))
            count = append_all(lua, 3, 2, count);
        else
            lua_rawseti(lua, 2, ++count);
        lua_settop(lua, 2);
    }
    return 1;
}

void std_open_list(lua_State *lua) {
    static const luaL_Reg functions[] = {
        { "concat", concat },   { "contains", contains }, { "filter", filter },
        { "find", find },       { "flatten", flatten },   { "group", group },
        { "keys", keys },       { "map", map },           { "range", range },
        { "reverse", reverse }, { "sort", sort },         { "unique", unique },
        { "values", values },   { NULL, NULL },
    };
    luaL_newlib(lua, functions);
}
