#include "lang/lua-string.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "lang/eval.h"
#include "lang/lua-base.h"
#include "lang/lua-pattern.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-value.h"

/* Arguments count from 1, negative ones from the end; the result is an offset, at most size + 1. */
static size_t start_offset(lua_Integer position, size_t size) {
    if (position > 0)
        return (size_t)MIN((uint64_t)position - 1, (uint64_t)size + 1);
    if (position == 0 || position < -(lua_Integer)size)
        return 0;
    return size - (size_t)(-position);
}

static bool has_specials(const char *pattern, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
            return true;
    return false;
}

static int find_plain(lua_State *lua, const char *subject, size_t subject_size, const char *text,
                      size_t size, size_t start) {
    eval_charge(lua, (subject_size - start) / 16);
    const char *found =
        size == 0 ? subject + start : memmem(subject + start, subject_size - start, text, size);
    if (!found) {
        lua_pushnil(lua);
        return 1;
    }
    lua_pushinteger(lua, found - subject + 1);
    lua_pushinteger(lua, found - subject + (lua_Integer)size);
    return 2;
}

/* string.find and string.match: only their results differ. */
static int find_or_match(lua_State *lua, bool find) {
    size_t subject_size, pattern_size;
    const char *subject = luaL_checklstring(lua, 1, &subject_size);
    const char *pattern = luaL_checklstring(lua, 2, &pattern_size);
    size_t start = start_offset(luaL_optinteger(lua, 3, 1), subject_size);
    if (start > subject_size) {
        lua_pushnil(lua);
        return 1;
    }
    if (find && (lua_toboolean(lua, 4) || !has_specials(pattern, pattern_size)))
        return find_plain(lua, subject, subject_size, pattern, pattern_size, start);
    PatternMatch match;
    bool anchored = pattern_size > 0 && *pattern == '^';
    pattern_init(&match, lua, subject, subject_size, pattern, pattern_size);
    for (const char *at = subject + start; at <= match.subject_end; at++) {
        const char *end = pattern_match(&match, at, pattern + anchored);
        if (end && find) {
            lua_pushinteger(lua, at - subject + 1);
            lua_pushinteger(lua, end - subject);
            return 2 + (int)pattern_push_captures(&match, NULL, NULL);
        }
        if (end)
            return (int)pattern_push_captures(&match, at, end);
        if (anchored)
            break;
    }
    lua_pushnil(lua);
    return 1;
}

static int string_find(lua_State *lua) {
    return find_or_match(lua, true);
}

static int string_match(lua_State *lua) {
    return find_or_match(lua, false);
}

/* Upvalues: subject, pattern, offset to go on at, end of the last match or -1. */
static int gmatch_next(lua_State *lua) {
    size_t subject_size, pattern_size;
    const char *subject = lua_tolstring(lua, lua_upvalueindex(1), &subject_size);
    const char *pattern = lua_tolstring(lua, lua_upvalueindex(2), &pattern_size);
    lua_Integer offset = lua_tointeger(lua, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(lua, lua_upvalueindex(4));
    PatternMatch match;
    pattern_init(&match, lua, subject, subject_size, pattern, pattern_size);
    for (; offset <= (lua_Integer)subject_size; offset++) {
        const char *end = pattern_match(&match, subject + offset, pattern);
        if (!end || end - subject == last)
            continue;
        lua_pushinteger(lua, end - subject);
        lua_copy(lua, -1, lua_upvalueindex(3));
        lua_replace(lua, lua_upvalueindex(4));
        return (int)pattern_push_captures(&match, subject + offset, end);
    }
    return 0;
}

static int string_gmatch(lua_State *lua) {
    size_t size;
    luaL_checklstring(lua, 1, &size);
    luaL_checkstring(lua, 2);
    size_t start = start_offset(luaL_optinteger(lua, 3, 1), size);
    lua_settop(lua, 2);
    lua_pushinteger(lua, (lua_Integer)start);
    lua_pushinteger(lua, -1);
    lua_pushcclosure(lua, gmatch_next, 4);
    return 1;
}

/* gsub's replacement text: %0 the whole match, %1..%9 captures, %% a percent sign. */
static void add_replacement_text(luaL_Buffer *buffer, PatternMatch *match, const char *start,
                                 const char *end) {
    lua_State *lua = match->lua;
    size_t size;
    const char *text = lua_tolstring(lua, 3, &size);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            luaL_addchar(buffer, text[i]);
            continue;
        }
        char c = ++i < size ? text[i] : '\0';
        if (c == '%') {
            luaL_addchar(buffer, '%');
        } else if (c == '0') {
            luaL_addlstring(buffer, start, (size_t)(end - start));
        } else if (c >= '1' && c <= '9') {
            pattern_push_capture(match, (unsigned)(c - '1'), start, end);
            luaL_tolstring(lua, -1, NULL);
            lua_remove(lua, -2);
            luaL_addvalue(buffer);
        } else {
            eval_raise(lua, "replacement text: '%%' is followed by a digit or '%%'");
        }
    }
}

/* A false or nil result keeps the text that was matched. */
static void add_replacement(luaL_Buffer *buffer, PatternMatch *match, const char *start,
                            const char *end) {
    lua_State *lua = match->lua;
    int type = lua_type(lua, 3);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(lua, 3);
        lua_call(lua, (int)pattern_push_captures(match, start, end), 1);
    } else if (type == LUA_TTABLE) {
        pattern_push_capture(match, 0, start, end);
        lua_gettable(lua, 3);
    } else {
        add_replacement_text(buffer, match, start, end);
        return;
    }
    if (!lua_toboolean(lua, -1)) {
        lua_pop(lua, 1);
        luaL_addlstring(buffer, start, (size_t)(end - start));
        return;
    }
    if (!lua_isstring(lua, -1))
        eval_raise(lua, "gsub: a replacement is %s", luaL_typename(lua, -1));
    luaL_addvalue(buffer);
}

static int string_gsub(lua_State *lua) {
    size_t subject_size, pattern_size;
    const char *subject = luaL_checklstring(lua, 1, &subject_size);
    const char *pattern = luaL_checklstring(lua, 2, &pattern_size);
    int type = lua_type(lua, 3);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TFUNCTION && type != LUA_TTABLE)
        return eval_raise(lua, "gsub: the replacement must be a string, table or function");
    lua_Integer limit = luaL_optinteger(lua, 4, (lua_Integer)subject_size + 1), count = 0;
    bool anchored = pattern_size > 0 && *pattern == '^';
    PatternMatch match;
    luaL_Buffer buffer;
    pattern_init(&match, lua, subject, subject_size, pattern, pattern_size);
    luaL_buffinit(lua, &buffer);
    const char *at = subject, *last = NULL;
    while (count < limit) {
        const char *end = pattern_match(&match, at, pattern + anchored);
        if (end && end != last) {
            count++;
            add_replacement(&buffer, &match, at, end);
            at = last = end;
        } else if (at < match.subject_end) {
            luaL_addchar(&buffer, *at++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    luaL_addlstring(&buffer, at, (size_t)(match.subject_end - at));
    luaL_pushresult(&buffer);
    lua_pushinteger(lua, count);
    return 2;
}

/* Copies of a short text that take as long as an instruction. */
#define REPEATS_PER_STEP 4

/* Without a text there is nothing to repeat, however often. */
static int string_rep(lua_State *lua) {
    size_t size, separator_size = 0;
    luaL_checklstring(lua, 1, &size);
    lua_Integer times = luaL_checkinteger(lua, 2);
    luaL_optlstring(lua, 3, "", &separator_size);
    if (times <= 0 || size + separator_size == 0) {
        lua_pushliteral(lua, "");
        return 1;
    }
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)times, size + separator_size, &bytes))
        bytes = UINT64_MAX;
    sandbox_check_room(lua, bytes - MIN(bytes, separator_size));
    eval_charge(lua, (uint64_t)times / REPEATS_PER_STEP);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 1);
    return 1;
}

static void refuse_pointers(lua_State *lua, const char *format) {
    for (const char *p = format; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        p += strspn(p, "-+ #0123456789.");
        if (*p == 'p')
            eval_raise(lua, "string.format: '%%p' shows addresses, which differ from run to run");
        if (!*p)
            return;
    }
}

/* What each argument costs, in instructions. */
#define FORMAT_STEPS 10

static int string_format(lua_State *lua) {
    refuse_pointers(lua, luaL_checkstring(lua, 1));
    int top = lua_gettop(lua);
    eval_count(lua, FORMAT_STEPS * (unsigned)top);
    luaL_checkstack(lua, 2, "format");
    for (int i = 2; i <= top; i++) {
        if (lua_type(lua, i) <= LUA_TSTRING && !lua_islightuserdata(lua, i))
            continue;
        base_push_text(lua, i);
        lua_replace(lua, i);
    }
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, top, 1);
    return 1;
}

/* Replaces a field of the table on top by a closure over what was there. */
static void wrap(lua_State *lua, const char *name, lua_CFunction function) {
    lua_getfield(lua, -1, name);
    lua_pushcclosure(lua, function, 1);
    lua_setfield(lua, -2, name);
}

void string_open(lua_State *lua) {
    static const luaL_Reg own[] = {
        { "find", string_find },
        { "match", string_match },
        { "gmatch", string_gmatch },
        { "gsub", string_gsub },
        { NULL, NULL },
    };
    lua_pushcfunction(lua, luaopen_string);
    lua_call(lua, 0, 1);
    luaL_setfuncs(lua, own, 0);
    wrap(lua, "rep", string_rep);
    wrap(lua, "format", string_format);
    lua_pushnil(lua);
    lua_setfield(lua, -2, "dump");
    lua_pushliteral(lua, "");
    lua_getmetatable(lua, -1);
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_pop(lua, 2);
    lua_setfield(lua, -2, "string");
}
