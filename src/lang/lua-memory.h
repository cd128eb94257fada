#pragma once
/* Memory of one Lua state: small blocks from size classes in mapped chunks, counted against a
 * limit. Freeing the whole gives everything back to the system in one stroke, so the state itself
 * need not be closed. */
#include <stddef.h>
#include <stdint.h>

typedef struct LuaMemory LuaMemory;

/* refused is called before an allocation beyond limit fails. */
LuaMemory *lua_memory_new(size_t limit, void (*refused)(void *data), void *data);
void lua_memory_free(LuaMemory *memory); /* accepts NULL */
void *lua_memory_alloc(void *memory, void *block, size_t old_size, size_t new_size); /* lua_Alloc */
size_t lua_memory_used(const LuaMemory *memory);
/* How often more was asked for since the start. */
uint64_t lua_memory_requests(const LuaMemory *memory);
