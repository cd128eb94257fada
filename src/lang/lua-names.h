#pragma once
/*
 * Which names a program sees. Every file runs in an environment of its own above the shared
 * built-in names: a global variable is seen in its file only, and built-in names cannot be
 * assigned. An unknown name is an error, not nil.
 */
#include <lua.h>

int names_open(lua_State *lua); /* a lua_CFunction: makes all of them */
/* Pushes the table of built-in names. */
void names_push(lua_State *lua);
/* Gives the function on top of the stack an environment of its own. */
void names_set_environment(lua_State *lua);
/* Makes reading an absent field of the library table on top of the stack an error. */
void names_make_strict(lua_State *lua, const char *name);
/* The error for an unknown name, with a hint for what Lua has elsewhere and a suggestion from the
 * keys of the tables at two stack indices (0: none). Raises. */
int names_raise_unknown(lua_State *lua, const char *what, const char *name, int table, int extra);
