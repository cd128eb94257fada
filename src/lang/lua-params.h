#pragma once
/* A resource's table of parameters: kind parameters, meta parameters beside them or below `meta`,
 * edges. */
#include "lang/lua-declare.h"

void params_declare(lua_State *lua, unsigned target, int params);
/* Declares a resource that is complete, taking it over; edges: a table with needs, before, notify,
 * listen at that index, or nil. The target must not be declared. */
void params_adopt(lua_State *lua, unsigned target, Resource *resource, int edges);

/* Called with each entry of a table: its value is at index, its key below that; name NULL: the key
 * is no string. Must raise nothing. Sorted: by name, then at most one entry without. */
typedef void (*ParamsEntry)(lua_State *lua, void *data, const char *name, int index);
void params_each(lua_State *lua, int table, ParamsEntry entry, void *data);
void params_each_sorted(lua_State *lua, int table, ParamsEntry entry, void *data);

/* The meta parameter called name from the value at index into map; texts as in declare_links(). */
void params_read_meta(lua_State *lua, const char *name, int index, Value *map, GPtrArray *texts);
/* The same for every entry of the table at index. */
void params_read_meta_table(lua_State *lua, int index, Value *map, GPtrArray *texts);
/* Checks and sets what such a map holds. */
void params_set_meta(Meta *meta, const Value *map, GPtrArray *texts);
/* "no parameter 'mod', did you mean 'mode'?" */
char *params_unknown(const char *name, GPtrArray *known);
