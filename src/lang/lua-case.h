#pragma once
/* case(name, inputs, check): a test of a configuration. */
#include <lua.h>

void case_open(lua_State *lua);
