#pragma once
/* define("vhost", { port = "int" }, function(name, p) ... end): a composite kind. The function runs
 * at each vhost "name" { ... }; what it declares are the members that references to it mean. */
#include <lua.h>

void define_open(lua_State *lua);
