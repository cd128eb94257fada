#include "base/value.h"

#include <string.h>

#include "base/value-private.h"

static ScalarValue nil_value = { .head = { 1, VALUE_NIL, VALUE_STATIC } };
static ScalarValue false_value = { .head = { 1, VALUE_BOOL, VALUE_STATIC }, .b = false };
static ScalarValue true_value = { .head = { 1, VALUE_BOOL, VALUE_STATIC }, .b = true };
static ScalarValue unknown_value = {
    .head = { 1, VALUE_UNKNOWN, VALUE_STATIC | VALUE_HOLDS_UNKNOWN },
};

/* value must be of the type: the contract of every reading function. */
static inline const void *checked(const Value *value, ValueType type) {
    g_assert(value_type(value) == type);
    return value;
}

/* Also for writing: only who built a list or map and has not handed it out may change it. */
static inline void *building(Value *value, ValueType type) {
    g_assert(value_type(value) == type);
    g_assert(g_atomic_int_get(&value->refs) == 1);
    return value;
}

static void *value_alloc(size_t size, ValueType type) {
    Value *value = g_malloc(size);
    *value = (Value){ .refs = 1, .type = (uint8_t)type };
    return value;
}

static ScalarValue *scalar_alloc(ValueType type) {
    ScalarValue *scalar = value_alloc(sizeof *scalar, type);
    scalar->i = 0;
    scalar->secret_name = NULL;
    return scalar;
}

Value *value_new_nil(void) {
    return &nil_value.head;
}

Value *value_new_bool(bool b) {
    return b ? &true_value.head : &false_value.head;
}

Value *value_new_int(int64_t i) {
    ScalarValue *scalar = scalar_alloc(VALUE_INT);
    scalar->i = i;
    return &scalar->head;
}

Value *value_new_float(double d) {
    ScalarValue *scalar = scalar_alloc(VALUE_FLOAT);
    scalar->d = d;
    return &scalar->head;
}

Value *value_new_unknown(void) {
    return &unknown_value.head;
}

/* spare: bytes for a secret's name after the string. */
static StringValue *string_alloc(const void *data, size_t size, size_t spare) {
    StringValue *string = value_alloc(sizeof *string + size + 1 + spare, VALUE_STRING);
    string->size = size;
    if (size > 0)
        memcpy(string->bytes, data, size);
    string->bytes[size] = '\0';
    return string;
}

Value *value_new_string(const char *text) {
    return &string_alloc(text, strlen(text), 0)->head;
}

Value *value_new_bytes(const void *data, size_t size) {
    return &string_alloc(data, size, 0)->head;
}

Value *value_new_list(void) {
    ListValue *list = value_alloc(sizeof *list, VALUE_LIST);
    list->size = list->capacity = 0;
    list->items = NULL;
    list->secret_name = NULL;
    return &list->head;
}

Value *value_new_map(void) {
    MapValue *map = value_alloc(sizeof *map, VALUE_MAP);
    map->size = map->capacity = 0;
    map->entries = NULL;
    map->secret_name = NULL;
    return &map->head;
}

/* References */

Value *value_ref(const Value *value) {
    Value *counted = (Value *)(uintptr_t)value;
    if (counted && !(counted->flags & VALUE_STATIC))
        g_atomic_int_inc(&counted->refs);
    return counted;
}

/* A secret does not stay behind in freed memory. */
static void string_free(StringValue *string) {
    if (string->head.flags & VALUE_SECRET)
        explicit_bzero(string->bytes, string->size);
    g_free(string);
}

static void list_free(ListValue *list) {
    for (uint32_t i = 0; i < list->size; i++)
        value_unref(list->items[i]);
    g_free(list->items);
    g_free(list->secret_name);
    g_free(list);
}

static void map_free(MapValue *map) {
    for (uint32_t i = 0; i < map->size; i++)
        map_entry_free(map->entries[i]);
    g_free(map->entries);
    g_free(map->secret_name);
    g_free(map);
}

static void value_free(Value *value) {
    switch ((ValueType)value->type) {
    case VALUE_STRING:
        string_free((StringValue *)value);
        return;
    case VALUE_LIST:
        list_free((ListValue *)value);
        return;
    case VALUE_MAP:
        map_free((MapValue *)value);
        return;
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_UNKNOWN:
        g_free(((ScalarValue *)value)->secret_name);
        g_free(value);
        return;
    }
}

void value_unref(Value *value) {
    if (value && !(value->flags & VALUE_STATIC) && g_atomic_int_dec_and_test(&value->refs))
        value_free(value);
}

/* Lists and maps */

/* Room for one more pointer in an array of *capacity; arrays grow by half. */
static void *array_grow(void *array, uint32_t size, uint32_t *capacity) {
    if (size < *capacity)
        return array;
    g_assert(*capacity < UINT32_MAX / 2);
    *capacity = *capacity < 4 ? 4 : *capacity + *capacity / 2;
    return g_renew(void *, array, *capacity);
}

static void inherit_flags(Value *parent, const Value *item) {
    if (item->flags & (VALUE_SECRET | VALUE_HOLDS_SECRET))
        parent->flags |= VALUE_HOLDS_SECRET;
    parent->flags |= item->flags & VALUE_HOLDS_UNKNOWN;
}

void value_list_append(Value *value, Value *item) {
    ListValue *list = building(value, VALUE_LIST);
    if (!item)
        item = value_new_nil();
    list->items = array_grow(list->items, list->size, &list->capacity);
    list->items[list->size++] = item;
    inherit_flags(value, item);
}

/* Index of the first entry whose key is not below key; *ret_found tells whether it is that key. */
static uint32_t map_search(const MapValue *map, const char *key, bool *ret_found) {
    uint32_t low = 0, high = map->size;
    *ret_found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(map->entries[middle]->key, key);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

MapEntry *map_entry_new(const char *key, size_t key_size, Value *item) {
    MapEntry *entry = g_malloc(sizeof *entry + key_size + 1);
    entry->item = item;
    memcpy(entry->key, key, key_size);
    entry->key[key_size] = '\0';
    return entry;
}

void map_entry_free(MapEntry *entry) {
    value_unref(entry->item);
    g_free(entry);
}

static void map_insert(MapValue *map, uint32_t index, const char *key, Value *item) {
    map->entries = array_grow(map->entries, map->size, &map->capacity);
    memmove(map->entries + index + 1, map->entries + index,
            (map->size - index) * sizeof *map->entries);
    map->entries[index] = map_entry_new(key, strlen(key), item);
    map->size++;
}

void value_map_set(Value *value, const char *key, Value *item) {
    MapValue *map = building(value, VALUE_MAP);
    if (!item)
        item = value_new_nil();
    bool found = false;
    uint32_t index = map->size;
    /* Maps are mostly built in the order of their keys. */
    if (map->size > 0 && strcmp(map->entries[map->size - 1]->key, key) >= 0)
        index = map_search(map, key, &found);
    if (!found) {
        map_insert(map, index, key, item);
        inherit_flags(value, item);
        return;
    }
    value_unref(map->entries[index]->item);
    map->entries[index]->item = item;
    value->flags &= (uint8_t) ~(VALUE_HOLDS_SECRET | VALUE_HOLDS_UNKNOWN);
    for (uint32_t i = 0; i < map->size; i++)
        inherit_flags(value, map->entries[i]->item);
}

Value *value_list_take(Value *const *items, uint32_t size) {
    Value *value = value_new_list();
    ListValue *list = (ListValue *)value;
    list->items = g_memdup2(items, size * sizeof *items);
    list->size = list->capacity = size;
    for (uint32_t i = 0; i < size; i++)
        inherit_flags(value, items[i]);
    return value;
}

Value *value_map_take(MapEntry *const *entries, uint32_t size) {
    Value *value = value_new_map();
    MapValue *map = (MapValue *)value;
    map->entries = g_memdup2(entries, size * sizeof *entries);
    map->size = map->capacity = size;
    for (uint32_t i = 0; i < size; i++)
        inherit_flags(value, entries[i]->item);
    return value;
}

/* Reading */

ValueType value_type(const Value *value) {
    return value ? (ValueType)value->type : VALUE_NIL;
}

const char *value_type_name(ValueType type) {
    static const char *const names[] = {
        [VALUE_NIL] = "nil",      [VALUE_BOOL] = "boolean",    [VALUE_INT] = "integer",
        [VALUE_FLOAT] = "number", [VALUE_STRING] = "string",   [VALUE_LIST] = "list",
        [VALUE_MAP] = "map",      [VALUE_UNKNOWN] = "unknown",
    };
    g_assert((size_t)type < G_N_ELEMENTS(names));
    return names[type];
}

bool value_bool(const Value *value) {
    return ((const ScalarValue *)checked(value, VALUE_BOOL))->b;
}

int64_t value_int(const Value *value) {
    return ((const ScalarValue *)checked(value, VALUE_INT))->i;
}

double value_float(const Value *value) {
    if (value_type(value) == VALUE_INT)
        return (double)value_int(value);
    return ((const ScalarValue *)checked(value, VALUE_FLOAT))->d;
}

const char *value_string(const Value *value) {
    return ((const StringValue *)checked(value, VALUE_STRING))->bytes;
}

size_t value_string_size(const Value *value) {
    return ((const StringValue *)checked(value, VALUE_STRING))->size;
}

size_t value_size(const Value *value) {
    if (value_type(value) == VALUE_LIST)
        return ((const ListValue *)value)->size;
    return ((const MapValue *)checked(value, VALUE_MAP))->size;
}

const Value *value_list_at(const Value *value, size_t index) {
    const ListValue *list = checked(value, VALUE_LIST);
    g_assert(index < list->size);
    return list->items[index];
}

const Value *value_map_get(const Value *value, const char *key) {
    const MapValue *map = checked(value, VALUE_MAP);
    bool found;
    uint32_t index = map_search(map, key, &found);
    return found ? map->entries[index]->item : NULL;
}

const Value *value_map_at(const Value *value, size_t index, const char **ret_key) {
    const MapValue *map = checked(value, VALUE_MAP);
    g_assert(index < map->size);
    if (ret_key)
        *ret_key = map->entries[index]->key;
    return map->entries[index]->item;
}

const char *value_map_string(const Value *map, const char *key, const char *fallback) {
    const Value *item = value_map_get(map, key);
    return value_type(item) == VALUE_STRING ? value_string(item) : fallback;
}

int64_t value_map_int(const Value *map, const char *key, int64_t fallback) {
    const Value *item = value_map_get(map, key);
    return value_type(item) == VALUE_INT ? value_int(item) : fallback;
}

bool value_map_bool(const Value *map, const char *key, bool fallback) {
    const Value *item = value_map_get(map, key);
    return value_type(item) == VALUE_BOOL ? value_bool(item) : fallback;
}

bool value_has_unknown(const Value *value) {
    return value && value->flags & VALUE_HOLDS_UNKNOWN;
}

/* Secrets */

static Value *string_as_secret(const StringValue *string, const char *name) {
    size_t name_size = name ? strlen(name) + 1 : 0;
    StringValue *copy = string_alloc(string->bytes, string->size, name_size);
    if (name)
        memcpy(copy->bytes + copy->size + 1, name, name_size);
    return &copy->head;
}

static Value *list_as_secret(const ListValue *list, const char *name) {
    Value *copy = value_new_list();
    for (uint32_t i = 0; i < list->size; i++)
        value_list_append(copy, value_ref(list->items[i]));
    ((ListValue *)copy)->secret_name = g_strdup(name);
    return copy;
}

static Value *map_as_secret(const MapValue *map, const char *name) {
    Value *copy = value_new_map();
    for (uint32_t i = 0; i < map->size; i++)
        value_map_set(copy, map->entries[i]->key, value_ref(map->entries[i]->item));
    ((MapValue *)copy)->secret_name = g_strdup(name);
    return copy;
}

static Value *scalar_as_secret(const ScalarValue *scalar, const char *name) {
    ScalarValue *copy = scalar_alloc((ValueType)scalar->head.type);
    copy->head.flags = scalar->head.flags & VALUE_HOLDS_UNKNOWN;
    copy->i = scalar->i; /* as wide as the union */
    copy->secret_name = g_strdup(name);
    return &copy->head;
}

static Value *copy_with_name(const Value *value, const char *name) {
    switch ((ValueType)value->type) {
    case VALUE_STRING:
        return string_as_secret((const StringValue *)value, name);
    case VALUE_LIST:
        return list_as_secret((const ListValue *)value, name);
    case VALUE_MAP:
        return map_as_secret((const MapValue *)value, name);
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_UNKNOWN:
        return scalar_as_secret((const ScalarValue *)value, name);
    }
    g_assert_not_reached();
}

Value *value_as_secret(const Value *value, const char *name) {
    Value *copy = copy_with_name(value ? value : &nil_value.head, name);
    copy->flags |= VALUE_SECRET | (name ? VALUE_NAMED : 0);
    return copy;
}

bool value_is_secret(const Value *value) {
    return value && value->flags & (VALUE_SECRET | VALUE_HOLDS_SECRET);
}

bool value_is_masked(const Value *value) {
    return value && value->flags & VALUE_SECRET;
}

const char *value_secret_name(const Value *value) {
    if (!value || !(value->flags & VALUE_NAMED))
        return NULL;
    switch ((ValueType)value->type) {
    case VALUE_STRING:
        return value_string(value) + value_string_size(value) + 1;
    case VALUE_LIST:
        return ((const ListValue *)value)->secret_name;
    case VALUE_MAP:
        return ((const MapValue *)value)->secret_name;
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_UNKNOWN:
        return ((const ScalarValue *)value)->secret_name;
    }
    g_assert_not_reached();
}
