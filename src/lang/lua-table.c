#include "lang/lua-table.h"

#include <lauxlib.h>
#include <lualib.h>

#include "lang/eval.h"
#include "lang/lua-object.h"
#include "lang/lua-value.h"

static bool comparable(lua_State *lua, int a, int b) {
    int type = lua_type(lua, a);
    return type == lua_type(lua, b) &&
           (type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE);
}

/* Whether the value on top comes before the one below it; both stay. */
static bool top_is_less(lua_State *lua, int order) {
    if (!order) {
        if (!comparable(lua, -1, -2))
            eval_raise(lua, "sort: cannot compare %s with %s", object_type_name(lua, -2),
                       object_type_name(lua, -1));
        return lua_compare(lua, -1, -2, LUA_OPLT);
    }
    lua_pushvalue(lua, order);
    lua_pushvalue(lua, -2);
    lua_pushvalue(lua, -4);
    lua_call(lua, 2, 1);
    bool less = lua_toboolean(lua, -1);
    lua_pop(lua, 1);
    return less;
}

/* Merges from[low..middle) and from[middle..high) into to[low..high). */
static void merge(lua_State *lua, int from, int to, lua_Integer low, lua_Integer middle,
                  lua_Integer high, int order) {
    lua_Integer left = low, right = middle;
    for (lua_Integer out = low; out < high; out++) {
        bool take_right = left == middle;
        if (!take_right && right < high) {
            lua_rawgeti(lua, from, left);
            lua_rawgeti(lua, from, right);
            take_right = top_is_less(lua, order);
            lua_pop(lua, 2);
        }
        lua_rawgeti(lua, from, take_right ? right++ : left++);
        lua_rawseti(lua, to, out);
    }
}

/* Bottom-up merge sort: stable, no recursion, and an inconsistent order function does no harm. */
void table_sort(lua_State *lua, int index, int order) {
    luaL_checkstack(lua, 8, "sort");
    index = lua_absindex(lua, index);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, index);
    lua_createtable(lua, (int)MIN(length, G_MAXINT), 0);
    int from = index, to = lua_gettop(lua);
    for (lua_Integer width = 1; width < length; width *= 2) {
        eval_charge(lua, (uint64_t)length);
        for (lua_Integer low = 1; low <= length; low += 2 * width)
            merge(lua, from, to, low, MIN(low + width, length + 1),
                  MIN(low + 2 * width, length + 1), order);
        int swapped = from;
        from = to;
        to = swapped;
    }
    for (lua_Integer i = 1; from != index && i <= length; i++) {
        lua_rawgeti(lua, from, i);
        lua_rawseti(lua, index, i);
    }
    lua_pop(lua, 1);
}

static int sort(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    bool has_order = !lua_isnoneornil(lua, 2);
    if (has_order)
        luaL_checktype(lua, 2, LUA_TFUNCTION);
    lua_settop(lua, 2);
    table_sort(lua, 1, has_order ? 2 : 0);
    return 0;
}

/* Counts every element before the standard function moves them without being stoppable. */
static int move(lua_State *lua) {
    lua_Integer first = luaL_checkinteger(lua, 2), last = luaL_checkinteger(lua, 3);
    if (last >= first)
        eval_charge(lua, (uint64_t)last - (uint64_t)first + 1);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 1);
    return 1;
}

void table_open(lua_State *lua) {
    lua_pushcfunction(lua, luaopen_table);
    lua_call(lua, 0, 1);
    lua_pushcfunction(lua, sort);
    lua_setfield(lua, -2, "sort");
    lua_getfield(lua, -1, "move");
    lua_pushcclosure(lua, move, 1);
    lua_setfield(lua, -2, "move");
    lua_setfield(lua, -2, "table");
}
