#pragma once
/* string.*: Lua's, without dump, with bounded find, match, gmatch, gsub and rep, and a format that
 * shows no addresses. */
#include <lua.h>

void string_open(lua_State *lua);
