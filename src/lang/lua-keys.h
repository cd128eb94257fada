#pragma once
/* Tables in key order: numbers ascending, then strings by bytes, then false, true, then references
 * in the order of their first mention. Other keys have no order that is the same in each run and
 * are refused. An iteration sees the keys that were there when it began. */
#include <lua.h>

int keys_pairs(lua_State *lua); /* pairs(t) */
int keys_next(lua_State *lua);  /* next(t, key) */
/* Pushes a list of all keys of the table at index, in order. */
void keys_push_sorted(lua_State *lua, int index);
