#pragma once
/*
 * What stands for a name that is not there when it is called like a kind: the mistake is among the
 * problems already, and the program goes on, so that its other problems are found in the same run.
 */
#include "lang/lua-object.h"

void absent_open(lua_State *lua);
/* Whether name is called with a string, a table or something in brackets where the running C
 * function was called from, and nobody waits for an error. */
bool absent_may_stand(lua_State *lua, const char *name);
/* Adds the problem, once for each line, and pushes the stand-in. */
void absent_push(lua_State *lua, const char *name, const char *problem);
