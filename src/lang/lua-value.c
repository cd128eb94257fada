#include "lang/lua-value.h"

#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "lang/lua-inputs.h"
#include "lang/lua-object.h"
#include "lang/lua-params.h"

/* Items one conversion may make: shared tables are copied at each place they stand. */
enum { MAX_ITEMS = 4000000 };

static const char list_key; /* of the metatable of marked lists, in the registry */

typedef struct {
    lua_State *lua;
    bool in_order; /* members by name: which of several wrong ones is told is always the same */
    unsigned items;
    unsigned depth;
    struct {
        const char *name; /* NULL: index counts */
        lua_Integer index;
    } path[LIMIT_NESTING];
    GError **error;
} Reader;

void lua_value_open(lua_State *lua) {
    lua_newtable(lua);
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &list_key);
}

void lua_value_mark_list(lua_State *lua) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &list_key);
    lua_setmetatable(lua, -2);
}

static bool is_marked_list(lua_State *lua, int index) {
    if (!lua_getmetatable(lua, index))
        return false;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &list_key);
    bool same = lua_rawequal(lua, -1, -2);
    lua_pop(lua, 2);
    return same;
}

/* Always NULL. */
static Value *fail(Reader *reader, const char *text) {
    enum { SHOWN = 8 };
    if (!reader->in_order)
        return NULL; /* it is read again */
    g_autoptr(GString) where = g_string_new(NULL);
    for (unsigned i = 0; i < MIN(reader->depth, SHOWN); i++) {
        if (reader->path[i].name)
            g_string_append_printf(where, "['%s']", reader->path[i].name);
        else
            g_string_append_printf(where, "[%lld]", (long long)reader->path[i].index);
    }
    g_set_error(reader->error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s%s%s%s", where->str,
                reader->depth > SHOWN ? "..." : "", where->len > 0 ? " " : "", text);
    return NULL;
}

static Value *read_value(Reader *reader, int index);

/* The item on top of the stack, popped. */
static Value *read_item(Reader *reader, const char *name, lua_Integer index) {
    Value *item = NULL;
    if (reader->depth == LIMIT_NESTING) {
        fail(reader, "is nested deeper than 100 (LIMIT_NESTING), or contains itself");
    } else {
        reader->path[reader->depth].name = name;
        reader->path[reader->depth++].index = index;
        item = read_value(reader, lua_gettop(reader->lua));
        reader->depth--;
    }
    lua_pop(reader->lua, 1);
    return item;
}

static Value *read_list(Reader *reader, int index, lua_Unsigned length) {
    g_autoptr(Value) list = value_new_list();
    for (lua_Unsigned i = 1; i <= length; i++) {
        lua_rawgeti(reader->lua, index, (lua_Integer)i);
        Value *item = read_item(reader, NULL, (lua_Integer)i);
        if (!item)
            return NULL;
        value_list_append(list, item);
    }
    return g_steal_pointer(&list);
}

typedef struct {
    Reader *reader;
    Value *map; /* NULL: a member was refused */
} MapReading;

static void read_member(lua_State *lua, void *data, const char *key, int index) {
    MapReading *reading = data;
    size_t size;
    if (!reading->map || lua_islightuserdata(lua, index))
        return;
    (void)lua_tolstring(lua, index - 1, &size);
    lua_pushvalue(lua, index);
    Value *item = NULL;
    if (strlen(key) == size)
        item = read_item(reading->reader, key, 0);
    else
        fail(reading->reader, "has a key with a NUL character");
    lua_settop(lua, index);
    if (item)
        value_map_set(reading->map, key, item);
    else
        g_clear_pointer(&reading->map, value_unref);
}

static Value *read_map(Reader *reader, int index) {
    MapReading reading = { reader, value_new_map() };
    if (reader->in_order)
        params_each_sorted(reader->lua, index, read_member, &reading);
    else
        params_each(reader->lua, index, read_member, &reading);
    return reading.map;
}

typedef enum { KEYS_NONE = 0, KEYS_ITEMS = 1, KEYS_NAMES = 2, KEYS_OTHER = 4 } KeySorts;

static KeySorts sorts_of_keys(lua_State *lua, int index, lua_Unsigned length) {
    KeySorts sorts = KEYS_NONE;
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        if (lua_type(lua, -1) == LUA_TSTRING)
            sorts |= KEYS_NAMES;
        else if (lua_isinteger(lua, -1) && lua_tointeger(lua, -1) >= 1 &&
                 (lua_Unsigned)lua_tointeger(lua, -1) <= length)
            sorts |= KEYS_ITEMS;
        else
            sorts |= KEYS_OTHER;
    }
    return sorts;
}

static Value *read_table(Reader *reader, int index) {
    if (!lua_checkstack(reader->lua, 6))
        return fail(reader, "is too large for the Lua stack");
    lua_Unsigned length = lua_rawlen(reader->lua, index);
    switch (sorts_of_keys(reader->lua, index, length)) {
    case KEYS_NONE:
        return is_marked_list(reader->lua, index) ? value_new_list() : value_new_map();
    case KEYS_ITEMS:
        return read_list(reader, index, length);
    case KEYS_NAMES:
        return read_map(reader, index);
    case KEYS_OTHER:
        break;
    }
    return fail(reader, "is neither a list (keys 1, 2, 3, ...) nor a table with names");
}

static Value *read_value(Reader *reader, int index) {
    lua_State *lua = reader->lua;
    size_t size;
    const char *text;
    const Object *object;
    if (++reader->items > MAX_ITEMS)
        return fail(reader, "makes the value larger than 4000000 items");
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        return reader->depth == 0 ? value_new_nil() : fail(reader, "is nil: the list has a gap");
    case LUA_TLIGHTUSERDATA:
        return value_new_nil();
    case LUA_TBOOLEAN:
        return value_new_bool(lua_toboolean(lua, index));
    case LUA_TNUMBER:
        return lua_isinteger(lua, index) ? value_new_int(lua_tointeger(lua, index))
                                         : value_new_float(lua_tonumber(lua, index));
    case LUA_TSTRING:
        text = lua_tolstring(lua, index, &size);
        return value_new_bytes(text, size);
    case LUA_TTABLE:
        return read_table(reader, index);
    case LUA_TUSERDATA:
        object = lua_touserdata(lua, index);
        if (object->type == OBJECT_SECRET)
            return value_ref(object->value);
        if (object->type == OBJECT_INPUT)
            return inputs_whole(eval_of(lua), object);
        eval_of(lua)->met_absent |= object->type == OBJECT_ABSENT;
        break;
    default:
        break;
    }
    g_autofree char *refusal = g_strdup_printf("cannot be %s", object_type_name(lua, index));
    return fail(reader, refusal);
}

Value *lua_value_get(lua_State *lua, int index, GError **error) {
    Reader reader = { .lua = lua };
    index = lua_absindex(lua, index);
    Value *value = read_value(&reader, index);
    if (value)
        return value;
    reader = (Reader){ .lua = lua, .in_order = true, .error = error };
    return read_value(&reader, index);
}

/* Pushing */

static void push_list(lua_State *lua, const Value *list) {
    size_t size = value_size(list);
    lua_createtable(lua, (int)MIN(size, G_MAXINT), 0);
    for (size_t i = 0; i < size; i++) {
        const Value *item = value_list_at(list, i);
        if (value_type(item) == VALUE_NIL)
            lua_pushlightuserdata(lua, NULL);
        else
            lua_value_push(lua, item);
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
    if (size == 0)
        lua_value_mark_list(lua);
}

static void push_map(lua_State *lua, const Value *map) {
    size_t size = value_size(map);
    lua_createtable(lua, 0, (int)MIN(size, G_MAXINT));
    for (size_t i = 0; i < size; i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        lua_pushstring(lua, key);
        lua_value_push(lua, item);
        lua_rawset(lua, -3);
    }
}

void lua_value_push(lua_State *lua, const Value *value) {
    luaL_checkstack(lua, 4, "value");
    if (value_is_masked(value)) {
        object_push_secret(lua, value_ref(value));
        return;
    }
    switch (value_type(value)) {
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        lua_pushnil(lua);
        break;
    case VALUE_BOOL:
        lua_pushboolean(lua, value_bool(value));
        break;
    case VALUE_INT:
        lua_pushinteger(lua, value_int(value));
        break;
    case VALUE_FLOAT:
        lua_pushnumber(lua, value_float(value));
        break;
    case VALUE_STRING:
        lua_pushlstring(lua, value_string(value), value_string_size(value));
        break;
    case VALUE_LIST:
        push_list(lua, value);
        break;
    case VALUE_MAP:
        push_map(lua, value);
        break;
    }
}

/* Arguments */

static int raise_argument(lua_State *lua, int index, const char *what, const char *expected,
                          const char *found) {
    lua_Debug info;
    g_autofree char *number = g_strdup_printf("argument %d", index);
    bool has_name = lua_getstack(lua, 0, &info) && lua_getinfo(lua, "n", &info) && info.name &&
                    strcmp(info.namewhat, "metamethod") != 0;
    char *text = g_strdup_printf("%s%s%s must be %s, not %s", has_name ? info.name : "",
                                 has_name ? ": " : "", what ? what : number, expected, found);
    g_clear_pointer(&number, g_free);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

const char *lua_value_check_text(lua_State *lua, int index, const char *what, size_t *ret_size) {
    if (lua_type(lua, index) != LUA_TSTRING)
        raise_argument(lua, index, what, "a string", object_type_name(lua, index));
    return lua_tolstring(lua, index, ret_size);
}

int64_t lua_value_check_int(lua_State *lua, int index, const char *what) {
    int is_integer;
    bool is_number = lua_type(lua, index) == LUA_TNUMBER;
    lua_Integer number = lua_tointegerx(lua, index, &is_integer);
    if (!is_number || !is_integer)
        raise_argument(lua, index, what, "a whole number",
                       is_number ? "a fraction" : object_type_name(lua, index));
    return number;
}

void lua_value_check_table(lua_State *lua, int index, const char *what) {
    if (lua_type(lua, index) != LUA_TTABLE)
        raise_argument(lua, index, what, "a table", object_type_name(lua, index));
}
