#pragma once
/* The library: import "std.net" and so on, also as std.net. */
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

void std_open(lua_State *lua);
/* Pushes the module std.NAME, or std itself; raises for unknown ones. Returns 1. */
int std_import(lua_State *lua, const char *name);

/* Each pushes its table. */
void std_open_digest(lua_State *lua);
void std_open_formats(lua_State *lua, const char *name); /* ini, json, toml, yaml */
void std_open_list(lua_State *lua);
void std_open_net(lua_State *lua);
void std_open_text(lua_State *lua);

/* Pushes text, taking ownership: a string, or a secret. */
void std_push_text(lua_State *lua, char *text, size_t size, bool is_secret);
