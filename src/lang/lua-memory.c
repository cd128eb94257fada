#include "lang/lua-memory.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Blocks up to SMALL_LIMIT bytes are carved from chunks in steps of 16 bytes and reused by size. */
enum { STEP = 16, SMALL_LIMIT = 1024, CLASSES = SMALL_LIMIT / STEP };
#define CHUNK_SIZE ((size_t)2 * 1024 * 1024)

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

/* In front of each large block, so that all of them can be found at the end. */
typedef struct LargeBlock {
    struct LargeBlock *previous, *next;
} LargeBlock;

struct LuaMemory {
    size_t limit, used;
    uint64_t requests;
    FreeBlock *free[CLASSES + 1];
    char *bump, *bump_end;
    GPtrArray *chunks;
    LargeBlock large; /* head of a ring */
    void (*refused)(void *data);
    void *data;
};

LuaMemory *lua_memory_new(size_t limit, void (*refused)(void *data), void *data) {
    LuaMemory *memory = g_new0(LuaMemory, 1);
    memory->limit = limit;
    memory->refused = refused;
    memory->data = data;
    memory->chunks = g_ptr_array_new();
    memory->large.previous = memory->large.next = &memory->large;
    return memory;
}

void lua_memory_free(LuaMemory *memory) {
    if (!memory)
        return;
    for (unsigned i = 0; i < memory->chunks->len; i++)
        munmap(g_ptr_array_index(memory->chunks, i), CHUNK_SIZE);
    for (LargeBlock *block = memory->large.next, *next; block != &memory->large; block = next) {
        next = block->next;
        g_free(block);
    }
    g_ptr_array_unref(memory->chunks);
    g_free(memory);
}

size_t lua_memory_used(const LuaMemory *memory) {
    return memory->used;
}

uint64_t lua_memory_requests(const LuaMemory *memory) {
    return memory->requests;
}

static size_t class_of(size_t size) {
    return (size + STEP - 1) / STEP;
}

/* The rest of a full chunk, less than SMALL_LIMIT bytes, is given up. */
static bool add_chunk(LuaMemory *memory) {
    void *chunk =
        mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return false;
    g_ptr_array_add(memory->chunks, chunk);
    memory->bump = chunk;
    memory->bump_end = memory->bump + CHUNK_SIZE;
    return true;
}

static void *small_new(LuaMemory *memory, size_t size) {
    size_t class = class_of(size);
    FreeBlock *block = memory->free[class];
    if (block) {
        memory->free[class] = block->next;
        return block;
    }
    size_t rounded = class * STEP;
    if ((size_t)(memory->bump_end - memory->bump) < rounded && !add_chunk(memory))
        return NULL;
    void *fresh = memory->bump;
    memory->bump += rounded;
    return fresh;
}

static void link_large(LuaMemory *memory, LargeBlock *block) {
    block->previous = &memory->large;
    block->next = memory->large.next;
    block->next->previous = block;
    memory->large.next = block;
}

static void *large_new(LuaMemory *memory, size_t size) {
    LargeBlock *block = g_try_malloc(sizeof *block + size);
    if (!block)
        return NULL;
    link_large(memory, block);
    return block + 1;
}

static void unlink_large(LargeBlock *block) {
    block->previous->next = block->next;
    block->next->previous = block->previous;
}

static void *large_resize(LuaMemory *memory, void *data, size_t size) {
    LargeBlock *block = (LargeBlock *)data - 1;
    unlink_large(block);
    LargeBlock *moved = g_try_realloc(block, sizeof *block + size);
    link_large(memory, moved ? moved : block);
    return moved ? moved + 1 : NULL;
}

static void release(LuaMemory *memory, void *data, size_t size) {
    if (size > SMALL_LIMIT) {
        unlink_large((LargeBlock *)data - 1);
        g_free((LargeBlock *)data - 1);
        return;
    }
    FreeBlock *block = data;
    block->next = memory->free[class_of(size)];
    memory->free[class_of(size)] = block;
}

static void *resize(LuaMemory *memory, void *block, size_t old_size, size_t new_size) {
    if (old_size > SMALL_LIMIT && new_size > SMALL_LIMIT)
        return large_resize(memory, block, new_size);
    if (old_size <= SMALL_LIMIT && new_size <= SMALL_LIMIT &&
        class_of(old_size) == class_of(new_size))
        return block;
    void *moved =
        new_size > SMALL_LIMIT ? large_new(memory, new_size) : small_new(memory, new_size);
    if (!moved)
        return NULL;
    memcpy(moved, block, MIN(old_size, new_size));
    release(memory, block, old_size);
    return moved;
}

/* Lua passes the type of a new object as old_size when block is NULL. */
void *lua_memory_alloc(void *data, void *block, size_t old_size, size_t new_size) {
    LuaMemory *memory = data;
    if (!block)
        old_size = 0;
    if (new_size == 0) {
        if (block)
            release(memory, block, old_size);
        memory->used -= old_size;
        return NULL;
    }
    memory->requests += new_size > old_size;
    if (new_size > old_size && new_size - old_size > memory->limit - memory->used) {
        memory->refused(memory->data);
        return NULL;
    }
    void *result = block                    ? resize(memory, block, old_size, new_size)
                   : new_size > SMALL_LIMIT ? large_new(memory, new_size)
                                            : small_new(memory, new_size);
    if (result)
        memory->used = memory->used - old_size + new_size;
    return result;
}
