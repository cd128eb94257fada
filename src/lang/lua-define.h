#pragma once
/* Composite kinds: define("vhost", { port = "int" }, function(name, p) ... end). The function runs
 * at each vhost "name" { ... }; what it declares are the members that references to it mean. */
#include "lang/lua-declare.h"

void define_open(lua_State *lua);
void composite_declare(lua_State *lua, unsigned target, int params);
void composite_free(Composite *composite); /* accepts NULL */
