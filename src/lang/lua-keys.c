#include "lang/lua-keys.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "lang/eval.h"
#include "lang/lua-object.h"
#include "lang/lua-value.h"

typedef enum { KEY_NUMBER, KEY_STRING, KEY_BOOLEAN, KEY_REFERENCE } KeyRank;

typedef struct {
    KeyRank rank;
    bool is_integer;
    union {
        lua_Integer integer; /* also booleans and references */
        lua_Number number;
        struct {
            const char *bytes; /* of a key of the table: alive while it is */
            size_t size;
        };
    };
    lua_Integer position; /* in the list of keys as found */
} Key;

static const char next_key; /* registry: what next() remembers: {table, keys, position} */

/* Raises for keys without an order. */
static Key key_at(lua_State *lua, int index) {
    Key key = { .position = 0 };
    const Object *object;
    switch (lua_type(lua, index)) {
    case LUA_TNUMBER:
        key.rank = KEY_NUMBER;
        key.is_integer = lua_isinteger(lua, index);
        if (key.is_integer)
            key.integer = lua_tointeger(lua, index);
        else
            key.number = lua_tonumber(lua, index);
        return key;
    case LUA_TSTRING:
        key.rank = KEY_STRING;
        key.bytes = lua_tolstring(lua, index, &key.size);
        return key;
    case LUA_TBOOLEAN:
        key.rank = KEY_BOOLEAN;
        key.integer = lua_toboolean(lua, index);
        return key;
    default:
        object = object_at(lua, index, OBJECT_REF);
        if (!object)
            eval_raise(lua, "a table is iterated in the order of its keys, and only numbers, "
                            "strings, booleans and references have one");
        else
            key.integer = object->target;
        key.rank = KEY_REFERENCE;
        return key;
    }
}

static int compare_numbers(const Key *a, const Key *b) {
    if (a->is_integer && b->is_integer)
        return (a->integer > b->integer) - (a->integer < b->integer);
    lua_Number left = a->is_integer ? (lua_Number)a->integer : a->number;
    lua_Number right = b->is_integer ? (lua_Number)b->integer : b->number;
    return (left > right) - (left < right);
}

static int compare_keys(const void *left, const void *right) {
    const Key *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->rank == KEY_NUMBER)
        return compare_numbers(a, b);
    if (a->rank != KEY_STRING)
        return (a->integer > b->integer) - (a->integer < b->integer);
    int order = memcmp(a->bytes, b->bytes, MIN(a->size, b->size));
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static size_t count_keys(lua_State *lua, int index) {
    size_t count = 0;
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        count++;
    }
    return count;
}

/* What it costs to sort a key, and to look at one, in instructions. */
#define KEY_STEPS       20
#define FIRST_KEY_STEPS 4

/* The buffer for sorting is a userdatum that the program never sees, so that an error frees it. */
void keys_push_sorted(lua_State *lua, int index) {
    luaL_checkstack(lua, 6, "keys");
    index = lua_absindex(lua, index);
    size_t count = count_keys(lua, index);
    eval_charge(lua, count * KEY_STEPS);
    Key *keys = lua_newuserdatauv(lua, MAX(count, 1) * sizeof *keys, 0);
    lua_createtable(lua, (int)MIN(count, G_MAXINT), 0);
    lua_Integer found = 0;
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        keys[found] = key_at(lua, -1);
        keys[found].position = found + 1;
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, -3, ++found);
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    lua_createtable(lua, (int)MIN(count, G_MAXINT), 0);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, -2, keys[i].position);
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
    lua_replace(lua, -3); /* over the buffer */
    lua_pop(lua, 1);
}

/* pairs */

/* Upvalues: table, length, position. */
static int iterate_list(lua_State *lua) {
    lua_Integer length = lua_tointeger(lua, lua_upvalueindex(2));
    lua_Integer position = lua_tointeger(lua, lua_upvalueindex(3));
    while (++position <= length) {
        lua_pushinteger(lua, position);
        if (lua_rawgeti(lua, lua_upvalueindex(1), position) != LUA_TNIL) {
            lua_pushinteger(lua, position);
            lua_replace(lua, lua_upvalueindex(3));
            return 2;
        }
        lua_pop(lua, 2);
    }
    return 0;
}

/* Upvalues: table, keys, position. Keys removed meanwhile are passed over. */
static int iterate_keys(lua_State *lua) {
    lua_Integer position = lua_tointeger(lua, lua_upvalueindex(3));
    while (lua_rawgeti(lua, lua_upvalueindex(2), ++position) != LUA_TNIL) {
        lua_pushvalue(lua, -1);
        if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL) {
            lua_pushinteger(lua, position);
            lua_replace(lua, lua_upvalueindex(3));
            return 2;
        }
        lua_pop(lua, 2);
    }
    return 0;
}

/* Whether all keys are among 1..length. */
static bool is_plain_list(lua_State *lua, int index, lua_Integer length) {
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        if (!lua_isinteger(lua, -1) || lua_tointeger(lua, -1) < 1 ||
            lua_tointeger(lua, -1) > length) {
            lua_pop(lua, 1);
            return false;
        }
    }
    return true;
}

int keys_pairs(lua_State *lua) {
    if (luaL_getmetafield(lua, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(lua, 1);
        lua_call(lua, 1, 3);
        return 3;
    }
    lua_value_check_table(lua, 1, NULL);
    lua_settop(lua, 1);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, 1);
    bool is_list = is_plain_list(lua, 1, length);
    lua_pushvalue(lua, 1);
    if (is_list)
        lua_pushinteger(lua, length);
    else
        keys_push_sorted(lua, 1);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, is_list ? iterate_list : iterate_keys, 3);
    lua_pushvalue(lua, 1);
    return 2;
}

/* next */

/* Only the first key is asked for: `next(t) == nil` needs no sorting. */
static int push_first(lua_State *lua) {
    Key best = { .rank = KEY_NUMBER };
    size_t count = 0;
    lua_settop(lua, 1);
    lua_pushnil(lua); /* 2: best key */
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        lua_pop(lua, 1);
        Key key = key_at(lua, -1);
        if (count++ == 0 || compare_keys(&key, &best) < 0) {
            best = key;
            lua_pushvalue(lua, -1);
            lua_replace(lua, 2);
        }
    }
    eval_charge(lua, count * FIRST_KEY_STEPS);
    if (count == 0)
        return 1;
    lua_pushvalue(lua, 2);
    lua_rawget(lua, 1);
    return 2;
}

/* Stack: 1 table, 2 key. Pushes the sorted keys and returns the position of key among them; they
 * are those of the call before when that was about the same table. */
static lua_Integer find_position(lua_State *lua) {
    if (lua_rawgetp(lua, LUA_REGISTRYINDEX, &next_key) == LUA_TTABLE) {
        lua_rawgeti(lua, -1, 1);
        lua_rawgeti(lua, -2, 3);
        lua_Integer position = lua_tointeger(lua, -1);
        lua_rawgeti(lua, -3, 2);
        lua_rawgeti(lua, -1, position);
        if (lua_rawequal(lua, -4, 1) && lua_rawequal(lua, -1, 2)) {
            lua_pop(lua, 1);
            return position;
        }
    }
    lua_settop(lua, 2);
    keys_push_sorted(lua, 1);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, 3);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 3, i);
        bool same = lua_compare(lua, -1, 2, LUA_OPEQ);
        lua_pop(lua, 1);
        if (same)
            return i;
    }
    return eval_raise(lua, "next was given a key that the table does not have");
}

static void remember(lua_State *lua, lua_Integer position) {
    int keys = lua_gettop(lua);
    lua_createtable(lua, 3, 0);
    lua_pushvalue(lua, 1);
    lua_rawseti(lua, -2, 1);
    lua_pushvalue(lua, keys);
    lua_rawseti(lua, -2, 2);
    lua_pushinteger(lua, position);
    lua_rawseti(lua, -2, 3);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &next_key);
}

int keys_next(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    lua_settop(lua, 2);
    if (lua_isnil(lua, 2))
        return push_first(lua);
    lua_Integer position = find_position(lua);
    int keys = lua_gettop(lua);
    while (lua_rawgeti(lua, keys, ++position) != LUA_TNIL) {
        lua_pushvalue(lua, -1);
        if (lua_rawget(lua, 1) != LUA_TNIL) {
            lua_pushvalue(lua, keys);
            remember(lua, position);
            lua_pop(lua, 1);
            return 2;
        }
        lua_pop(lua, 2);
    }
    return 1;
}
