#pragma once
/* collect(kind, filter, edges): resources that other hosts export. */
#include <glib.h>
#include <lua.h>

void collect_open(lua_State *lua);

/* A warning at the line that called the running C function, each once. */
void exchange_warn(lua_State *lua, const char *format, ...) G_GNUC_PRINTF(2, 3);
