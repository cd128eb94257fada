#include <lauxlib.h>
#include <string.h>

#include "lang/ini.h"
#include "lang/json-strict.h"
#include "lang/lua-object.h"
#include "lang/lua-std.h"
#include "lang/lua-value.h"
#include "lang/toml.h"
#include "lang/yaml-node.h"

/* Bytes that are read or written in the time of an instruction. */
#define BYTES_PER_STEP 2

/* One notation: decode(text) and encode(value). */
typedef struct {
    const char *name;
    Value *(*decode)(const char *text, size_t size, const char *where, GError **error);
    char *(*encode)(const Value *value, GError **error);
} Format;

static Value *decode_yaml(const char *text, size_t size, const char *where, GError **error) {
    g_autoptr(YamlNode) root = NULL;
    if (!yaml_parse(text, size, where, &root, error))
        return NULL;
    return root ? yaml_node_to_value(root) : value_new_nil();
}

static const Format formats[] = {
    { "ini", ini_parse, ini_print },
    { "json", json_parse, NULL }, /* its encode() has options */
    { "toml", toml_parse, toml_print },
    { "yaml", decode_yaml, yaml_print },
};

/* Upvalue 1: index of the format. */
static const Format *format_of(lua_State *lua) {
    return &formats[lua_tointeger(lua, lua_upvalueindex(1))];
}

/* decode(text [, where]); where names the source in errors. */
static int decode(lua_State *lua) {
    const Format *format = format_of(lua);
    size_t size;
    const char *text = lua_value_check_text(lua, 1, NULL, &size);
    const char *where = format->name;
    if (!lua_isnoneornil(lua, 2))
        where = lua_value_check_text(lua, 2, NULL, NULL);
    eval_charge(lua, size / BYTES_PER_STEP);
    GError *error = NULL;
    Value *value = format->decode(text, size, where, &error);
    if (!value)
        return eval_raise_error(lua, error);
    eval_push_value(lua, value);
    return 1;
}

/* The argument at index as a value; raises. */
static Value *value_at(lua_State *lua, int index, const char *format) {
    luaL_checkany(lua, index);
    GError *error = NULL;
    Value *value = lua_value_get(lua, index, &error);
    if (!value) {
        g_prefix_error(&error, "encode %s: the value ", format);
        eval_raise_error(lua, error);
    }
    return value;
}

static int encode(lua_State *lua) {
    const Format *format = format_of(lua);
    Value *value = value_at(lua, 1, format->name);
    GError *error = NULL;
    char *text = format->encode(value, &error);
    bool is_secret = value_is_secret(value);
    value_unref(value);
    if (!text)
        return eval_raise_error(lua, error);
    size_t size = strlen(text);
    eval_count(lua, size / BYTES_PER_STEP);
    std_push_text(lua, text, size, is_secret);
    return 1;
}

/* json.encode(value [, {indent = true}]) */
static int encode_json(lua_State *lua) {
    JsonFlags flags = JSON_COMPACT;
    if (!lua_isnoneornil(lua, 2)) {
        lua_value_check_table(lua, 2, "the options");
        lua_getfield(lua, 2, "indent");
        flags = lua_toboolean(lua, -1) ? JSON_INDENT : JSON_COMPACT;
    }
    Value *value = value_at(lua, 1, "json");
    GError *error = NULL;
    GString *text = g_string_new(NULL);
    bool is_secret = value_is_secret(value);
    bool fine = json_append_strict(text, value, flags, &error);
    value_unref(value);
    if (!fine) {
        g_string_free(text, TRUE);
        return eval_raise_error(lua, error);
    }
    size_t size = text->len;
    eval_count(lua, size / BYTES_PER_STEP);
    std_push_text(lua, g_string_free(text, FALSE), size, is_secret);
    return 1;
}

/* json.list(table): a list also while it is empty. */
static int mark_list(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    lua_settop(lua, 1);
    lua_value_mark_list(lua);
    return 1;
}

void std_open_formats(lua_State *lua, const char *name) {
    int index = 0;
    while (strcmp(formats[index].name, name) != 0)
        index++;
    lua_newtable(lua);
    lua_pushinteger(lua, index);
    lua_pushcclosure(lua, decode, 1);
    lua_setfield(lua, -2, "decode");
    lua_pushinteger(lua, index);
    lua_pushcclosure(lua, formats[index].encode ? encode : encode_json, 1);
    lua_setfield(lua, -2, "encode");
    if (strcmp(name, "json") != 0)
        return;
    lua_pushcfunction(lua, mark_list);
    lua_setfield(lua, -2, "list");
    lua_pushlightuserdata(lua, NULL);
    lua_setfield(lua, -2, "null");
}
