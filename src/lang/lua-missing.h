#pragma once
/* Values that were read and not given, also inside of maps: an error there tells of that. */
#include "graph/resource.h"
#include "lang/eval.h"

/* The table on top of the stack will hold what was converted of the values. */
void missing_open(lua_State *lua);
/* The value on top of the stack: what its maps lack is noted when it is read. */
void missing_watch(lua_State *lua);
bool missing_is_watched(lua_State *lua, int index);
/* Notes that the calling program read name, which the map at index lacks; 0: no value has it. */
void missing_note(lua_State *lua, int index, const char *name);
/* "; values.NAME is not set", with what to do. NULL: it is not known any more where it was. Raises
 * nothing; caller frees. */
char *missing_text(const Eval *eval, const char *name);
/* Warns where a parameter that makes the resource what it is was set to nothing but a value that is
 * missing: `content = values.motd`. place: of the declaration. Raises nothing. */
void missing_warn(Eval *eval, const Resource *resource, Place place);
