#pragma once
/* What a program may read, all of it recorded: facts, values, env, secret, read, import, clock;
 * and expect. */
#include "lang/lua-object.h"

void inputs_open(lua_State *lua);
void inputs_open_files(lua_State *lua);    /* read, import */
void inputs_open_secret(lua_State *lua);   /* secret */
void inputs_open_clock(lua_State *lua);    /* clock */
void inputs_open_exchange(lua_State *lua); /* exchange, schedule, elect, collect */
void inputs_open_health(lua_State *lua);   /* health */
/* All facts, or all values, as a new reference; every one counts as read. */
Value *inputs_whole(Eval *eval, const Object *input);
