#include <lauxlib.h>
#include <string.h>

#include "lang/lua-object.h"
#include "lang/lua-std.h"
#include "lang/lua-value.h"

enum { MAX_WIDTH = 1000000 };

static const char *text_at(lua_State *lua, int index, size_t *ret_size) {
    const char *text = lua_value_check_text(lua, index, NULL, ret_size);
    eval_charge(lua, *ret_size / 16);
    return text;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int trim(lua_State *lua) {
    size_t size;
    const char *text = text_at(lua, 1, &size);
    while (size > 0 && is_space(text[size - 1]))
        size--;
    while (size > 0 && is_space(*text)) {
        text++;
        size--;
    }
    lua_pushlstring(lua, text, size);
    return 1;
}

/* split(text, separator [, max]): max limits the number of pieces */
static int split(lua_State *lua) {
    size_t size, separator_size;
    const char *text = text_at(lua, 1, &size);
    const char *separator = text_at(lua, 2, &separator_size);
    int64_t max = lua_isnoneornil(lua, 3) ? INT64_MAX : lua_value_check_int(lua, 3, NULL);
    if (separator_size == 0)
        return eval_raise(lua, "std.text.split: the separator is empty");
    lua_newtable(lua);
    const char *end = text + size;
    lua_Integer count = 0;
    while (count + 1 < max) {
        const char *found = memmem(text, (size_t)(end - text), separator, separator_size);
        if (!found)
            break;
        lua_pushlstring(lua, text, (size_t)(found - text));
        lua_rawseti(lua, -2, ++count);
        text = found + separator_size;
    }
    lua_pushlstring(lua, text, (size_t)(end - text));
    lua_rawseti(lua, -2, ++count);
    return 1;
}

/* lines(text): without line ends; a last line end begins no further line */
static int lines(lua_State *lua) {
    size_t size;
    const char *text = text_at(lua, 1, &size), *end = text + size;
    lua_newtable(lua);
    for (lua_Integer count = 1; text < end; count++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        const char *stop = next ? next : end;
        bool has_return = stop > text && stop[-1] == '\r';
        lua_pushlstring(lua, text, (size_t)(stop - text) - has_return);
        lua_rawseti(lua, -2, count);
        text = next ? next + 1 : end;
    }
    return 1;
}

/* join(list [, separator]): of texts, numbers and secrets */
static int join(lua_State *lua) {
    lua_value_check_table(lua, 1, NULL);
    if (lua_isnoneornil(lua, 2)) {
        lua_settop(lua, 1);
        lua_pushliteral(lua, "");
    }
    lua_value_check_text(lua, 2, "the separator", NULL);
    lua_settop(lua, 2);
    lua_Integer length = (lua_Integer)lua_rawlen(lua, 1);
    GString *joined = g_string_new(NULL);
    size_t separator_size;
    const char *separator = lua_tolstring(lua, 2, &separator_size);
    bool is_secret = false;
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, 1, i);
        const Object *secret = object_at(lua, 3, OBJECT_SECRET);
        g_autoptr(Value) plain = secret ? NULL : lua_value_get(lua, 3, NULL);
        const Value *item = secret ? secret->value : plain;
        g_autofree char *number = NULL;
        ValueType type = value_type(item);
        if (i > 1)
            g_string_append_len(joined, separator, (gssize)separator_size);
        if (type == VALUE_STRING)
            g_string_append_len(joined, value_string(item), (gssize)value_string_size(item));
        else if (type == VALUE_INT || type == VALUE_FLOAT)
            g_string_append(joined, number = value_show(item, 0));
        is_secret = is_secret || secret;
        bool fits = type == VALUE_STRING || type == VALUE_INT || type == VALUE_FLOAT;
        g_clear_pointer(&plain, value_unref);
        g_clear_pointer(&number, g_free);
        if (!fits) {
            g_string_free(joined, TRUE);
            return eval_raise(lua, "std.text.join: item %d is %s", (int)i,
                              object_type_name(lua, 3));
        }
        lua_settop(lua, 2);
    }
    size_t size = joined->len;
    std_push_text(lua, g_string_free(joined, FALSE), size, is_secret);
    return 1;
}

static int starts(lua_State *lua) {
    size_t size, part_size;
    const char *text = text_at(lua, 1, &size), *part = text_at(lua, 2, &part_size);
    lua_pushboolean(lua, size >= part_size && memcmp(text, part, part_size) == 0);
    return 1;
}

static int ends(lua_State *lua) {
    size_t size, part_size;
    const char *text = text_at(lua, 1, &size), *part = text_at(lua, 2, &part_size);
    lua_pushboolean(lua,
                    size >= part_size && memcmp(text + size - part_size, part, part_size) == 0);
    return 1;
}

static int contains(lua_State *lua) {
    size_t size, part_size;
    const char *text = text_at(lua, 1, &size), *part = text_at(lua, 2, &part_size);
    lua_pushboolean(lua, part_size == 0 || memmem(text, size, part, part_size) != NULL);
    return 1;
}

/* replace(text, from, to): plain text, every occurrence */
static int replace(lua_State *lua) {
    size_t size, from_size, to_size;
    const char *text = text_at(lua, 1, &size), *from = text_at(lua, 2, &from_size);
    const char *to = text_at(lua, 3, &to_size), *end = text + size, *found;
    if (from_size == 0)
        return eval_raise(lua, "std.text.replace: the text to look for is empty");
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    while ((found = memmem(text, (size_t)(end - text), from, from_size))) {
        luaL_addlstring(&buffer, text, (size_t)(found - text));
        luaL_addlstring(&buffer, to, to_size);
        text = found + from_size;
    }
    luaL_addlstring(&buffer, text, (size_t)(end - text));
    luaL_pushresult(&buffer);
    return 1;
}

/* indent(text, by): by is a number of blanks or a text; empty lines stay empty */
static int indent(lua_State *lua) {
    size_t size, by_size;
    const char *text = text_at(lua, 1, &size), *end = text + size;
    if (lua_type(lua, 2) == LUA_TNUMBER) {
        int64_t blanks = lua_value_check_int(lua, 2, "the indentation");
        if (blanks < 0 || blanks > 1000)
            return eval_raise(lua, "the indentation must be from 0 to 1000");
        luaL_Buffer filling;
        memset(luaL_buffinitsize(lua, &filling, (size_t)blanks), ' ', (size_t)blanks);
        luaL_pushresultsize(&filling, (size_t)blanks);
        lua_replace(lua, 2);
    }
    const char *by = lua_value_check_text(lua, 2, "the indentation", &by_size);
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    while (text < end) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        const char *stop = next ? next + 1 : end;
        if (*text != '\n')
            luaL_addlstring(&buffer, by, by_size);
        luaL_addlstring(&buffer, text, (size_t)(stop - text));
        text = stop;
    }
    luaL_pushresult(&buffer);
    return 1;
}

/* Blanks that all lines with text on them begin with. */
static size_t common_indent(const char *text, const char *end) {
    size_t common = SIZE_MAX;
    while (text < end) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        const char *stop = next ? next : end;
        size_t blanks = 0;
        while (text + blanks < stop && (text[blanks] == ' ' || text[blanks] == '\t'))
            blanks++;
        if (text + blanks < stop)
            common = MIN(common, blanks);
        text = next ? next + 1 : end;
    }
    return common == SIZE_MAX ? 0 : common;
}

/* dedent(text): for long strings written indented; a first empty line is dropped */
static int dedent(lua_State *lua) {
    size_t size;
    const char *text = text_at(lua, 1, &size), *end = text + size;
    if (text < end && *text == '\n')
        text++;
    size_t common = common_indent(text, end);
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    while (text < end) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        const char *stop = next ? next : end;
        size_t skip = 0;
        while (skip < common && text + skip < stop && (text[skip] == ' ' || text[skip] == '\t'))
            skip++;
        luaL_addlstring(&buffer, text + skip, (size_t)(stop - text) - skip);
        if (next)
            luaL_addchar(&buffer, '\n');
        text = next ? next + 1 : end;
    }
    luaL_pushresult(&buffer);
    return 1;
}

/* pad(text, width [, filling]): filled on the right; a negative width fills on the left */
static int pad(lua_State *lua) {
    size_t size, filling_size = 1;
    const char *text = text_at(lua, 1, &size);
    int64_t width = lua_value_check_int(lua, 2, "the width");
    const char *filling = lua_isnoneornil(lua, 3) ? " " : text_at(lua, 3, &filling_size);
    if (filling_size != 1)
        return eval_raise(lua, "std.text.pad: the filling must be one character");
    if (width > MAX_WIDTH || width < -MAX_WIDTH)
        return eval_raise(lua, "std.text.pad: the width must be at most %d", MAX_WIDTH);
    size_t total = (size_t)(width < 0 ? -width : width);
    glong length =
        g_utf8_validate(text, (gssize)size, NULL) ? g_utf8_strlen(text, (gssize)size) : (glong)size;
    size_t missing = total > (size_t)length ? total - (size_t)length : 0;
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    for (size_t i = 0; width < 0 && i < missing; i++)
        luaL_addchar(&buffer, *filling);
    luaL_addlstring(&buffer, text, size);
    for (size_t i = 0; width >= 0 && i < missing; i++)
        luaL_addchar(&buffer, *filling);
    luaL_pushresult(&buffer);
    return 1;
}

void std_open_text(lua_State *lua) {
    static const luaL_Reg functions[] = {
        { "contains", contains }, { "dedent", dedent }, { "ends", ends }, { "indent", indent },
        { "join", join },         { "lines", lines },   { "pad", pad },   { "replace", replace },
        { "split", split },       { "starts", starts }, { "trim", trim }, { NULL, NULL },
    };
    luaL_newlib(lua, functions);
}
