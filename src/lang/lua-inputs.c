#include "lang/lua-inputs.h"

#include <lauxlib.h>
#include <string.h>

#include "base/suggest.h"
#include "lang/facts.h"
#include "lang/lua-keys.h"
#include "lang/lua-missing.h"
#include "lang/lua-value.h"

/* facts and values are objects that convert a member when it is first asked for. Upvalue 1 of
 * their functions: the table of what was converted already. */

static bool is_facts(const Object *input) {
    return strcmp(input->name, "facts") == 0;
}

/* New reference, or NULL: there is no such value. */
static Value *input_member(Eval *eval, const Object *input, const char *name) {
    const Value *given = is_facts(input) ? eval->inputs->facts : eval->inputs->values;
    const Value *item = given ? value_map_get(given, name) : NULL;
    Value *value = item               ? value_ref(item)
                   : !is_facts(input) ? NULL
                                      : facts_read(eval->inputs->host, name);
    eval_note_read(eval, input->name, name, value);
    return value;
}

static int raise_unknown_fact(lua_State *lua, const char *name) {
    char *text = facts_unknown(name);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

/* Members of facts: what a host lacks is nil, what no host has is misspelt. */

static char *unknown_member_text(const char *fact, const char *name, const char *members) {
    g_auto(GStrv) names = g_strsplit(members, " ", -1);
    const char *nearest = suggest_nearest(name, (const char *const *)names, g_strv_length(names));
    if (nearest)
        return g_strdup_printf("no such fact '%s.%s', did you mean '%s.%s'?", fact, name, fact,
                               nearest);
    g_autofree char *list = g_strjoinv(", ", names);
    return g_strdup_printf("no such fact '%s.%s': %s has %s", fact, name, fact, list);
}

static bool is_member(const char *members, const char *name) {
    g_auto(GStrv) names = g_strsplit(members, " ", -1);
    return g_strv_contains((const char *const *)names, name);
}

/* __index of the table of a fact. Upvalues: its name and its members, as text. */
static int index_member(lua_State *lua) {
    if (lua_type(lua, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(lua, 2);
    const char *members = lua_tostring(lua, lua_upvalueindex(2));
    if (is_member(members, name))
        return 0;
    char *text = unknown_member_text(lua_tostring(lua, lua_upvalueindex(1)), name, members);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

/* The table on top of the stack gets no other members than these. */
static void close_members(lua_State *lua, const char *fact, const char *members) {
    lua_newtable(lua);
    lua_pushstring(lua, fact);
    lua_pushstring(lua, members);
    lua_pushcclosure(lua, index_member, 2);
    lua_setfield(lua, -2, "__index");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
}

static void close_each(lua_State *lua, const char *fact, const char *members) {
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        if (lua_istable(lua, -1) && lua_type(lua, -2) == LUA_TSTRING) {
            const char *full = lua_pushfstring(lua, "%s.%s", fact, lua_tostring(lua, -2));
            lua_pushvalue(lua, -2);
            close_members(lua, full, members);
            lua_pop(lua, 2);
        }
        lua_pop(lua, 1);
    }
}

/* The value of a fact is on top of the stack. */
static void close_fact(lua_State *lua, const char *name) {
    bool of_each;
    const char *members = facts_members(name, &of_each);
    luaL_checkstack(lua, 8, "facts");
    if (!members || !lua_istable(lua, -1))
        return;
    if (of_each)
        close_each(lua, name, members);
    else
        close_members(lua, name, members);
}

static int index_input(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const Object *input = lua_touserdata(lua, 1);
    lua_settop(lua, 2);
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    if (lua_type(lua, 2) != LUA_TSTRING)
        return eval_raise(lua, "%s are read by name, not by %s", input->name,
                          object_type_name(lua, 2));
    const char *name = lua_tostring(lua, 2);
    bool is_given = eval->inputs->facts && value_map_get(eval->inputs->facts, name);
    if (is_facts(input) && !is_given && !facts_exists(name))
        return raise_unknown_fact(lua, name);
    Value *value = input_member(eval, input, name);
    bool is_missing = !value && !is_facts(input);
    eval_push_value(lua, value);
    if (is_facts(input))
        close_fact(lua, name);
    else if (is_missing)
        missing_note(lua, 0, name);
    else
        missing_watch(lua);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, lua_upvalueindex(1));
    return 1;
}

static int assign_input(lua_State *lua) {
    const Object *input = lua_touserdata(lua, 1);
    return eval_raise(lua, "%s cannot be assigned", input->name);
}

Value *inputs_whole(Eval *eval, const Object *input) {
    g_autoptr(Value) map = value_new_map();
    const Value *given = is_facts(input) ? eval->inputs->facts : eval->inputs->values;
    for (size_t i = 0; is_facts(input) && i < facts_count(); i++) {
        Value *value = input_member(eval, input, facts_name(i));
        if (value)
            value_map_set(map, facts_name(i), value);
    }
    for (size_t i = 0; given && i < value_size(given); i++) {
        const char *name;
        value_map_at(given, i, &name);
        value_map_set(map, name, input_member(eval, input, name));
    }
    return g_steal_pointer(&map);
}

/* pairs(facts), pairs(values) */
static int pairs_of_input(lua_State *lua) {
    const Object *input = lua_touserdata(lua, 1);
    eval_push_value(lua, inputs_whole(eval_of(lua), input));
    for (size_t i = 0; is_facts(input) && i < facts_count(); i++) {
        lua_getfield(lua, -1, facts_name(i));
        close_fact(lua, facts_name(i));
        lua_pop(lua, 1);
    }
    lua_replace(lua, 1);
    lua_settop(lua, 1);
    return keys_pairs(lua);
}

/* Both objects share a metatable in object_at()'s eyes, but each has its own table of what was
 * converted, so they get metatables of their own. */
static void open_input(lua_State *lua, const char *name) {
    Object *input = object_push(lua, OBJECT_INPUT);
    input->name = name;
    lua_newtable(lua);
    lua_newtable(lua);
    if (!is_facts(input))
        missing_open(lua);
    lua_pushcclosure(lua, index_input, 1);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, assign_input);
    lua_setfield(lua, -2, "__newindex");
    lua_pushcfunction(lua, pairs_of_input);
    lua_setfield(lua, -2, "__pairs");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, -2, name);
}

/* env */

static bool is_allowed(const Eval *eval, const char *name) {
    const char *const *names = eval->inputs->env_names;
    return names && g_strv_contains(names, name);
}

static int index_env(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 2, "the name of an environment variable", NULL);
    if (!is_allowed(eval, name))
        return eval_raise(lua,
                          "the environment variable '%s' may not be read: allow it with --env %s",
                          name, name);
    const char *text = g_getenv(name);
    g_autoptr(Value) value = text ? value_new_string(text) : NULL;
    eval_note_read(eval, "env", name, value);
    g_clear_pointer(&value, value_unref);
    lua_pushstring(lua, text);
    return 1;
}

static int assign_env(lua_State *lua) {
    return eval_raise(lua, "env cannot be assigned");
}

static void open_env(lua_State *lua) {
    lua_newtable(lua);
    lua_newtable(lua);
    lua_pushcfunction(lua, index_env);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, assign_env);
    lua_setfield(lua, -2, "__newindex");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, -2, "env");
}

/* expect(condition, message): goes on, so that all failed ones are shown. What is no message is the
 * second result of a call like text:find(), which gives the condition. */
static int expect(lua_State *lua) {
    Eval *eval = eval_of(lua);
    luaL_checkany(lua, 1);
    const char *message = "an expectation is not met";
    if (lua_type(lua, 2) == LUA_TSTRING)
        message = lua_value_check_text(lua, 2, "the message", NULL);
    if (!lua_toboolean(lua, 1))
        eval_problem_here(eval, lua, message);
    lua_settop(lua, 1);
    return 1;
}

void inputs_open(lua_State *lua) {
    object_open(lua, OBJECT_INPUT, "input", NULL);
    open_input(lua, "facts");
    open_input(lua, "values");
    open_env(lua);
    lua_pushcfunction(lua, expect);
    lua_setfield(lua, -2, "expect");
    inputs_open_files(lua);
    inputs_open_secret(lua);
    inputs_open_clock(lua);
    inputs_open_exchange(lua);
    inputs_open_health(lua);
}
