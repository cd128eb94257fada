#pragma once
/* Values between Lua and C. A table is a list when its keys are 1..n, a map when all its keys are
 * strings; an empty one is a map unless it came from an empty list. A null in a list is the light
 * userdata NULL; in a map it is no entry. */
#include <lua.h>

#include "lang/eval.h"

void lua_value_open(lua_State *lua);

/* Never raises. Errors begin with the place inside the value, if any: "['a'][2] cannot be a
 * function". */
Value *lua_value_get(lua_State *lua, int index, GError **error);
/* May raise when memory runs out. */
void lua_value_push(lua_State *lua, const Value *value);
/* The table on top of the stack becomes a list even while it is empty. */
void lua_value_mark_list(lua_State *lua);

/* Arguments of C functions; raise when the type does not fit: "read: the path must be a string".
 * what NULL: "argument N". */
const char *lua_value_check_text(lua_State *lua, int index, const char *what, size_t *ret_size);
int64_t lua_value_check_int(lua_State *lua, int index, const char *what);
void lua_value_check_table(lua_State *lua, int index, const char *what);
