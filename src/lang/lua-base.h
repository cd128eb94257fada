#pragma once
/* The basic functions: those of Lua that are pure, and pairs, next, tostring, setmetatable, pcall
 * in versions that are. Adds to the table on top of the stack, as every *_open() here does. */
#include <lua.h>

void base_open(lua_State *lua);
/* Pushes what tostring() gives: without addresses, which differ from run to run. Raises for
 * secrets. */
void base_push_text(lua_State *lua, int index);
