#pragma once
/*
 * How values lie in memory. Only value*.c and the JSON parser include this.
 *
 * Every value begins with an 8-byte head and is one allocation (lists and maps add their array of
 * items, maps one small block per entry), so that a scalar, and a string of up to 7 bytes, fit the
 * smallest malloc chunk of 24 usable bytes. nil, true, false and unknown are static and are not
 * counted.
 */
#include "base/value.h"

enum {
    VALUE_STATIC = 1 << 0,        /* never freed, not counted */
    VALUE_SECRET = 1 << 1,        /* made by value_as_secret() */
    VALUE_NAMED = 1 << 2,         /* a secret with a name */
    VALUE_HOLDS_SECRET = 1 << 3,  /* a list or map with a secret somewhere inside */
    VALUE_HOLDS_UNKNOWN = 1 << 4, /* is unknown, or a list or map with an unknown inside */
};

struct Value {
    gint refs;
    uint8_t type;  /* ValueType */
    uint8_t flags; /* constant once the value is shared */
};

typedef struct {
    Value head;
    union {
        bool b;
        int64_t i;
        double d;
    };
    char *secret_name; /* owned; NULL unless VALUE_NAMED; the same in lists and maps */
} ScalarValue;

typedef struct {
    Value head;
    size_t size;
    char bytes[]; /* size bytes and a NUL; when VALUE_NAMED the name and its NUL follow */
} StringValue;

typedef struct {
    Value head;
    uint32_t size, capacity;
    Value **items;
    char *secret_name;
} ListValue;

typedef struct {
    Value *item;
    char key[];
} MapEntry;

typedef struct {
    Value head;
    uint32_t size, capacity;
    MapEntry **entries; /* sorted by key, bytewise */
    char *secret_name;
} MapValue;

/* A map's entry; takes ownership of item, key may lack its NUL. */
MapEntry *map_entry_new(const char *key, size_t key_size, Value *item);
void map_entry_free(MapEntry *entry);

/* A list or map of all its parts at once: takes ownership of them, not of the array. The keys of a
 * map are in order and differ. */
Value *value_list_take(Value *const *items, uint32_t size);
Value *value_map_take(MapEntry *const *entries, uint32_t size);
