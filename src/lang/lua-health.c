/* health: what shows from outside that a host does its work. Evaluation only notes the checks
 * (LangResult.health); an agent makes them. */
#include <lauxlib.h>
#include <string.h>

#include "base/suggest.h"
#include "lang/lua-inputs.h"
#include "lang/lua-value.h"

#define SECOND       ((int64_t)G_USEC_PER_SEC)
#define LOOKS_MAX    100
#define CHECKS_MAX   100
#define SHELL_SIGNS  "|&;<>$`"
#define INTERVAL_MAX 3600 /* seconds */

static const char *const ways[] = { "exec", "http", "tcp", "unit", NULL };
static const char *const members[] = { "exec",   "http", "interval", "of",   "passes",
                                       "status", "tcp",  "timeout",  "unit", NULL };

static void check_members(lua_State *lua, int table) {
    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        lua_pop(lua, 1);
        const char *name = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";
        if (g_strv_contains(members, name))
            continue;
        const char *nearest = suggest_nearest(name, members, G_N_ELEMENTS(members) - 1);
        eval_raise(lua, "health: no member '%s'%s%s%s", name,
                   nearest ? ", did you mean '" : "; say exec, http, tcp or unit",
                   nearest ? nearest : "", nearest ? "'?" : "");
    }
}

/* The one way that is given. */
static const char *way_of(lua_State *lua, int table) {
    const char *found = NULL;
    for (const char *const *way = ways; *way; way++) {
        if (lua_getfield(lua, table, *way) != LUA_TNIL) {
            if (found)
                eval_raise(lua, "health: '%s' and '%s' together: declare two checks", found, *way);
            found = *way;
        }
        lua_pop(lua, 1);
    }
    if (!found)
        eval_raise(lua, "health: say exec, http, tcp or unit");
    return found;
}

/* In microseconds. */
static int64_t seconds_of(lua_State *lua, int table, const char *name, double fallback) {
    double seconds = fallback;
    if (lua_getfield(lua, table, name) != LUA_TNIL) {
        seconds = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : 0;
        if (!(seconds >= 0.1 && seconds <= INTERVAL_MAX))
            eval_raise(lua, "health: %s is a number of seconds from 0.1 to %d", name, INTERVAL_MAX);
    }
    lua_pop(lua, 1);
    return (int64_t)(seconds * (double)SECOND);
}

static int64_t number_of(lua_State *lua, int table, const char *name, int64_t least, int64_t most,
                         int64_t fallback) {
    int64_t number = fallback;
    if (lua_getfield(lua, table, name) != LUA_TNIL) {
        number = lua_value_check_int(lua, -1, name);
        if (number < least || number > most)
            eval_raise(lua, "health: %s is from %d to %d", name, (int)least, (int)most);
    }
    lua_pop(lua, 1);
    return number;
}

/* --- what each way takes; NULL with error */

static Value *take_words(const Value *given, GError **error) {
    g_autoptr(Value) words = value_new_list();
    g_auto(GStrv) split = NULL;
    bool whole = value_type(given) == VALUE_LIST && value_size(given) > 0;
    if (value_type(given) == VALUE_STRING) {
        if (strpbrk(value_string(given), SHELL_SIGNS)) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "exec runs no shell: write { '/bin/sh', '-c', '...' }");
            return NULL;
        }
        whole = g_shell_parse_argv(value_string(given), NULL, &split, NULL);
    }
    for (char **word = split; word && *word; word++)
        value_list_append(words, value_new_string(*word));
    for (size_t i = 0; value_type(given) == VALUE_LIST && i < value_size(given); i++) {
        whole &= value_type(value_list_at(given, i)) == VALUE_STRING;
        value_list_append(words, value_ref(value_list_at(given, i)));
    }
    if (whole)
        return g_steal_pointer(&words);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "exec is a command, as a text or as a list of its words");
    return NULL;
}

static Value *take_url(const Value *given, GError **error) {
    const char *text = value_type(given) == VALUE_STRING ? value_string(given) : "";
    if (g_str_has_prefix(text, "http://") || g_str_has_prefix(text, "https://"))
        return value_ref(given);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "http is an URL that begins with http:// or https://");
    return NULL;
}

static Value *take_address(const Value *given, GError **error) {
    const char *text = value_type(given) == VALUE_STRING ? value_string(given) : "";
    const char *colon = strrchr(text, ':');
    guint64 port = 0;
    if (colon && colon > text && g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
        return value_ref(given);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "tcp is an address and a port: \"127.0.0.1:5432\", \"[::1]:80\"");
    return NULL;
}

static Value *take_unit(const Value *given, GError **error) {
    const char *text = value_type(given) == VALUE_STRING ? value_string(given) : "";
    if (*text == '\0' || strchr(text, '/')) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "unit is the name of a unit");
        return NULL;
    }
    g_autofree char *name =
        strchr(text, '.') ? g_strdup(text) : g_strconcat(text, ".service", NULL);
    return value_new_string(name);
}

static Value *take(const char *way, const Value *given, GError **error) {
    static Value *(*const takes[])(
        const Value *given, GError **error) = { take_words, take_url, take_address, take_unit };
    for (unsigned i = 0; ways[i]; i++)
        if (strcmp(ways[i], way) == 0)
            return takes[i](given, error);
    g_assert_not_reached();
}

/* --- the function */

typedef struct {
    const char *way;
    int64_t interval, timeout, of, passes, status;
} Numbers;

static bool note_check(Eval *eval, const char *name, const Numbers *numbers, Value *given,
                       GError **error) {
    g_autoptr(Value) owned = given;
    g_autoptr(Value) what = take(numbers->way, owned, error);
    if (!what)
        return false;
    Value *check = value_new_map();
    value_map_set(check, numbers->way, g_steal_pointer(&what));
    value_map_set(check, "interval", value_new_int(numbers->interval));
    value_map_set(check, "timeout", value_new_int(numbers->timeout));
    value_map_set(check, "of", value_new_int(numbers->of));
    value_map_set(check, "passes", value_new_int(numbers->passes));
    if (strcmp(numbers->way, "http") == 0 && numbers->status != 0)
        value_map_set(check, "status", value_new_int(numbers->status));
    value_map_set(eval->health, name, check);
    return true;
}

/* health(name){ ... }: name is the upvalue. */
static int declare(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_tostring(lua, lua_upvalueindex(1));
    lua_value_check_table(lua, 1, "what is checked");
    check_members(lua, 1);
    Numbers numbers = { .way = way_of(lua, 1) };
    numbers.interval = seconds_of(lua, 1, "interval", 10);
    numbers.timeout = seconds_of(lua, 1, "timeout", 5);
    numbers.of = number_of(lua, 1, "of", 1, LOOKS_MAX, 1);
    numbers.passes = number_of(lua, 1, "passes", 1, numbers.of, numbers.of);
    numbers.status = number_of(lua, 1, "status", 100, 599, 0);
    if (value_map_get(eval->health, name))
        return eval_raise(lua, "health '%s' is declared twice", name);
    if (value_size(eval->health) >= CHECKS_MAX)
        return eval_raise(lua, "health: at most %d checks", CHECKS_MAX);
    (void)lua_getfield(lua, 1, numbers.way);
    GError *error = NULL;
    Value *given = lua_value_get(lua, -1, &error);
    if (!given || !note_check(eval, name, &numbers, given, &error)) {
        g_prefix_error(&error, "health '%s': ", name);
        return eval_raise_error(lua, error);
    }
    return 0;
}

static int health(lua_State *lua) {
    (void)lua_value_check_text(lua, 1, "the name", NULL);
    lua_settop(lua, 1);
    lua_pushcclosure(lua, declare, 1);
    return 1;
}

void inputs_open_health(lua_State *lua) {
    lua_pushcfunction(lua, health);
    lua_setfield(lua, -2, "health");
}
