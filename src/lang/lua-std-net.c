#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ip.h"
#include "lang/eval.h"
#include "lang/lua-std.h"
#include "lang/lua-value.h"

enum { MAX_SUBNETS = 65536 };

static IpPrefix prefix_at(lua_State *lua, int index) {
    IpPrefix prefix;
    GError *error = NULL;
    const char *text = lua_value_check_text(lua, index, NULL, NULL);
    if (!ip_read(text, &prefix, &error))
        eval_raise_error(lua, error);
    return prefix;
}

static void push_address(lua_State *lua, IpPrefix ip) {
    char *text = ip_text(&ip);
    eval_push_text(lua, text, strlen(text));
}

static void push_prefix(lua_State *lua, IpPrefix prefix) {
    char *text = ip_prefix_text(&prefix);
    eval_push_text(lua, text, strlen(text));
}

static int valid(lua_State *lua) {
    IpPrefix prefix;
    lua_pushboolean(lua, lua_type(lua, 1) == LUA_TSTRING &&
                             ip_read(lua_tostring(lua, 1), &prefix, NULL));
    return 1;
}

static int address(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    push_address(lua, prefix);
    return 1;
}

static int family(lua_State *lua) {
    lua_pushinteger(lua, prefix_at(lua, 1).family == AF_INET ? 4 : 6);
    return 1;
}

static int length(lua_State *lua) {
    lua_pushinteger(lua, prefix_at(lua, 1).length);
    return 1;
}

static int network(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    push_prefix(lua, ip_network(&prefix));
    return 1;
}

static int first(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    push_address(lua, ip_first(&prefix));
    return 1;
}

static int last(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    push_address(lua, ip_last(&prefix));
    return 1;
}

static int broadcast(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    if (prefix.family != AF_INET)
        return eval_raise(lua, "IPv6 has no broadcast address: use std.net.last");
    push_address(lua, ip_last(&prefix));
    return 1;
}

static int netmask(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    push_address(lua, ip_network_mask(&prefix));
    return 1;
}

/* An integer while it fits one, else a float. */
static int size(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    unsigned bits = ip_width(&prefix) - prefix.length;
    if (bits < 63)
        lua_pushinteger(lua, (lua_Integer)1 << bits);
    else
        lua_pushnumber(lua, __builtin_ldexp(1.0, (int)bits));
    return 1;
}

static int contains(lua_State *lua) {
    IpPrefix outer = prefix_at(lua, 1), inner = prefix_at(lua, 2);
    lua_pushboolean(lua, ip_contains(&outer, &inner));
    return 1;
}

static int overlaps(lua_State *lua) {
    IpPrefix a = prefix_at(lua, 1), b = prefix_at(lua, 2);
    lua_pushboolean(lua, ip_contains(&a, &b) || ip_contains(&b, &a));
    return 1;
}

static int host(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1), ip;
    int64_t n = lua_value_check_int(lua, 2, NULL);
    GError *error = NULL;
    if (!ip_nth(&prefix, n, &ip, &error))
        return eval_raise_error(lua, error);
    push_address(lua, ip);
    return 1;
}

static int length_at(lua_State *lua, int index) {
    return (int)CLAMP(lua_value_check_int(lua, index, "the length"), -1, 1000);
}

static int subnet(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1), result;
    int new_length = length_at(lua, 2);
    int64_t n = lua_value_check_int(lua, 3, NULL);
    GError *error = NULL;
    if (!ip_subnet(&prefix, new_length, n, &result, &error))
        return eval_raise_error(lua, error);
    push_prefix(lua, result);
    return 1;
}

static int subnets(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1), result;
    int new_length = length_at(lua, 2);
    int64_t count;
    GError *error = NULL;
    if (!ip_subnet_count(&prefix, new_length, &count, &error))
        return eval_raise_error(lua, error);
    if (count > MAX_SUBNETS)
        return eval_raise(lua, "these are more than %d networks: ask for one with std.net.subnet",
                          MAX_SUBNETS);
    lua_createtable(lua, (int)count, 0);
    for (int64_t i = 0; i < count; i++) {
        if (!ip_subnet(&prefix, new_length, i, &result, &error))
            return eval_raise_error(lua, error);
        push_prefix(lua, result);
        lua_rawseti(lua, -2, i + 1);
    }
    return 1;
}

static int reverse(lua_State *lua) {
    IpPrefix prefix = prefix_at(lua, 1);
    char *name = ip_reverse_name(&prefix);
    eval_push_text(lua, name, strlen(name));
    return 1;
}

/* The numerical order of two addresses or networks: for std.list.sort. */
static int less(lua_State *lua) {
    IpPrefix a = prefix_at(lua, 1), b = prefix_at(lua, 2);
    lua_pushboolean(lua, ip_compare(&a, &b) < 0);
    return 1;
}

void std_open_net(lua_State *lua) {
    static const luaL_Reg functions[] = {
        { "address", address }, { "broadcast", broadcast }, { "contains", contains },
        { "family", family },   { "first", first },         { "host", host },
        { "last", last },       { "length", length },       { "less", less },
        { "netmask", netmask }, { "network", network },     { "overlaps", overlaps },
        { "reverse", reverse }, { "size", size },           { "subnet", subnet },
        { "subnets", subnets }, { "valid", valid },         { NULL, NULL },
    };
    luaL_newlib(lua, functions);
}
