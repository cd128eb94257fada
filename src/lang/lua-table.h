#pragma once
/* table.*: Lua's, with a stable sort (the standard one picks pivots by the clock) and a bounded
 * move. */
#include <lua.h>

void table_open(lua_State *lua);
/* Sorts the list at index in place; order: 0, or the index of a function less(a, b). */
void table_sort(lua_State *lua, int index, int order);
