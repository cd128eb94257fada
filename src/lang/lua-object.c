#include "lang/lua-object.h"

/* Keys of metatables in the registry: addresses of these. */
static const char metatable_keys[OBJECT_TYPES];

void object_open(lua_State *lua, ObjectType type, const char *name, const luaL_Reg *events) {
    lua_newtable(lua);
    lua_pushstring(lua, name);
    lua_setfield(lua, -2, "__name");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    if (events)
        luaL_setfuncs(lua, events, 0);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &metatable_keys[type]);
}

Object *object_push(lua_State *lua, ObjectType type) {
    Object *object = lua_newuserdatauv(lua, sizeof *object, 0);
    *object = (Object){ .type = type };
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &metatable_keys[type]);
    lua_setmetatable(lua, -2);
    return object;
}

Object *object_at(lua_State *lua, int index, ObjectType type) {
    if (lua_type(lua, index) != LUA_TUSERDATA)
        return NULL;
    Object *object = lua_touserdata(lua, index);
    return object->type == type ? object : NULL;
}

void object_push_secret(lua_State *lua, Value *value) {
    g_ptr_array_add(eval_of(lua)->secrets, value);
    object_push(lua, OBJECT_SECRET)->value = value;
}

const char *object_type_name(lua_State *lua, int index) {
    static const char *const objects[OBJECT_TYPES] = {
        [OBJECT_REF] = "a reference", [OBJECT_OUT] = "an output",
        [OBJECT_SECRET] = "a secret", [OBJECT_INPUT] = "a table",
        [OBJECT_RAW] = "raw text",    [OBJECT_ABSENT] = "an unknown name",
    };
    switch (lua_type(lua, index)) {
    case LUA_TNONE:
    case LUA_TNIL:
        return "nothing";
    case LUA_TBOOLEAN:
        return "a boolean";
    case LUA_TNUMBER:
        return "a number";
    case LUA_TSTRING:
        return "a string";
    case LUA_TTABLE:
        return "a table";
    case LUA_TFUNCTION:
        return "a function";
    case LUA_TUSERDATA:
        return objects[((Object *)lua_touserdata(lua, index))->type];
    default:
        return "null";
    }
}
