/* exchange, schedule, elect: what the hosts of a fleet know of each other. The evaluation reads a
 * view that was made before it (LangInputs.exchange) and notes what it wants (LangResult.wants). */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/exchange-key.h"
#include "base/json.h"
#include "base/suggest.h"
#include "lang/facts.h"
#include "lang/lua-collect.h"
#include "lang/lua-inputs.h"
#include "lang/lua-value.h"

void exchange_warn(lua_State *lua, const char *format, ...) {
    Eval *eval = eval_of(lua);
    Origin origin = eval_origin(eval, eval_place(eval, lua, 1));
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    char *warning = g_strdup_printf("%s:%u: %s", origin.file, origin.line, text);
    if (g_ptr_array_find_with_equal_func(eval->warnings, warning, g_str_equal, NULL))
        g_free(warning);
    else
        g_ptr_array_add(eval->warnings, warning);
}

/* NULL: nothing of that member is known. */
static const Value *view_member(const Eval *eval, const char *member) {
    const Value *view = eval->inputs->exchange;
    const Value *map = view ? value_map_get(view, member) : NULL;
    return value_type(map) == VALUE_MAP ? map : NULL;
}

/* Refuses options that do not exist: names ends with NULL. */
static void check_options(lua_State *lua, int index, const char *const *names) {
    if (lua_isnoneornil(lua, index))
        return;
    lua_value_check_table(lua, index, "the options");
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        const char *name = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";
        if (g_strv_contains(names, name))
            continue;
        const char *nearest =
            suggest_nearest(name, names, g_strv_length((char **)(uintptr_t)names));
        eval_raise(lua, "no option '%s'%s%s%s", name, nearest ? ", did you mean '" : ": there are ",
                   nearest ? nearest : names[0], nearest ? "'?" : " and others in the reference");
    }
}

/* --- get */

/* Of a share of the keys that were there: whether too few are left. */
static bool is_held(double guard, size_t there, size_t missing) {
    double least = ceil(guard * (double)(there + missing));
    return missing > 0 && (double)there < MAX(1.0, least);
}

static void add_below(const Value *map, const char *path, Value *out) {
    size_t size = strcmp(path, "/") == 0 ? 0 : strlen(path);
    for (size_t i = 0; map && i < value_size(map); i++) {
        const char *key;
        const Value *value = value_map_at(map, i, &key);
        if (strncmp(key, path, size) == 0)
            value_map_set(out, key + size, value_ref(value));
    }
}

/* All below path, as a new map. guard 0: none. */
static Value *get_below(lua_State *lua, const char *path, double guard) {
    Eval *eval = eval_of(lua);
    g_autoptr(Value) missing = value_new_map();
    Value *there = value_new_map();
    add_below(view_member(eval, "data"), path, there);
    add_below(view_member(eval, "missing"), path, missing);
    size_t n = value_size(there), n_missing = value_size(missing);
    if (guard <= 0 || !is_held(guard, n, n_missing))
        return there;
    exchange_warn(
        lua, "of %zu keys below '%s' only %zu are there: keeping to all that were (guard = %g)",
        n + n_missing, path, n, guard);
    for (size_t i = 0; i < n_missing; i++) {
        const char *key;
        const Value *value = value_map_at(missing, i, &key);
        value_map_set(there, key, value_ref(value));
    }
    return there;
}

static double guard_at(lua_State *lua, int index, const char *path) {
    static const char *const names[] = { "guard", NULL };
    check_options(lua, index, names);
    if (lua_isnoneornil(lua, index) || lua_getfield(lua, index, "guard") == LUA_TNIL)
        return 0;
    double guard = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : -1;
    lua_pop(lua, 1);
    if (!(guard > 0 && guard <= 1))
        eval_raise(lua, "exchange.get: guard is a share of the keys, above 0 and at most 1");
    if (!g_str_has_suffix(path, "/"))
        eval_raise(lua, "exchange.get: guard is for all below a path: end '%s' with a slash", path);
    return guard;
}

static const char *path_at(lua_State *lua, int index) {
    const char *path = lua_value_check_text(lua, index, "the path", NULL);
    GError *error = NULL;
    if (!exchange_path_check(path, &error))
        eval_raise_error(lua, error);
    return path;
}

/* exchange.get(path [, { guard }]) */
static int get(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *path = path_at(lua, 1);
    double guard = guard_at(lua, 2, path);
    value_map_set(eval->wanted_paths, path, value_new_bool(true));
    if (!eval->inputs->exchange)
        exchange_warn(lua,
                      "no exchange: exchange.get(\"%s\") gives nothing; name a store with "
                      "--exchange",
                      path);
    Value *value;
    if (g_str_has_suffix(path, "/")) {
        value = get_below(lua, path, guard);
    } else {
        const Value *data = view_member(eval, "data");
        value = value_ref(data ? value_map_get(data, path) : NULL);
    }
    eval_note_read(eval, "exchange", path, value);
    if (value)
        eval_push_value(lua, value);
    else
        lua_pushnil(lua);
    return 1;
}

/* exchange.label(name) */
static int label(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = luaL_checkstring(lua, 1);
    const Value *labels = view_member(eval, "labels");
    const Value *value = labels ? value_map_get(labels, name) : NULL;
    g_autofree char *read = g_strconcat("label ", name, NULL);
    eval->wants_labels = true;
    eval_note_read(eval, "exchange", read, value);
    if (value)
        eval_push_value(lua, value_ref(value));
    else
        lua_pushnil(lua);
    return 1;
}

/* --- publish */

static char **grants_of(const Eval *eval) {
    const Value *grants =
        eval->inputs->exchange ? value_map_get(eval->inputs->exchange, "grants") : NULL;
    GStrvBuilder *builder = g_strv_builder_new();
    for (size_t i = 0; value_type(grants) == VALUE_LIST && i < value_size(grants); i++)
        if (value_type(value_list_at(grants, i)) == VALUE_STRING)
            g_strv_builder_add(builder, value_string(value_list_at(grants, i)));
    char **list = g_strv_builder_end(builder);
    g_strv_builder_unref(builder);
    return list;
}

/* Who has no exchange, or only the memory of one, learns what is allowed where there is one. */
static bool may_publish(const Eval *eval, const char *key, GError **error) {
    const Value *view = eval->inputs->exchange;
    if (!view || !value_map_get(view, "grants"))
        return exchange_key_check(key, error);
    g_auto(GStrv) grants = grants_of(eval);
    return exchange_may_publish(value_map_string(view, "host", ""), (const char *const *)grants,
                                key, error);
}

static bool check_value(const char *key, const Value *value, bool secrets, GError **error) {
    if (value_is_secret(value) && !secrets) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse to publish '%s': it has a secret, which every host that reads it would "
                    "have; allow that with { secret = true }",
                    key);
        return false;
    }
    g_autofree char *text = json_print(value, JSON_COMPACT | JSON_REVEAL);
    if (strlen(text) <= EXCHANGE_LIMIT_VALUE)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "refuse to publish '%s': it is larger than EXCHANGE_LIMIT_VALUE (256 KB)", key);
    return false;
}

/* Takes value, which may be NULL with error set. */
static bool publish_value(Eval *eval, const char *key, Value *value, bool secrets, GError **error) {
    g_autoptr(Value) owned = value;
    if (!owned || !may_publish(eval, key, error) || !check_value(key, owned, secrets, error))
        return false;
    const Value *before = value_map_get(eval->published, key);
    if (before && !value_equal(before, owned)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' is published twice, with different values", key);
        return false;
    }
    if (!before && value_size(eval->published) >= EXCHANGE_LIMIT_KEYS) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "publishes more than EXCHANGE_LIMIT_KEYS (%u) keys", EXCHANGE_LIMIT_KEYS);
        return false;
    }
    value_map_set(eval->published, key, g_steal_pointer(&owned));
    return true;
}

/* exchange.publish(key, value [, { secret }]) */
static int publish(lua_State *lua) {
    static const char *const names[] = { "secret", NULL };
    const char *key = lua_value_check_text(lua, 1, "the key", NULL);
    luaL_checkany(lua, 2);
    check_options(lua, 3, names);
    bool secrets = false;
    if (!lua_isnoneornil(lua, 3)) {
        lua_getfield(lua, 3, "secret");
        secrets = lua_toboolean(lua, -1);
    }
    GError *error = NULL;
    if (lua_isnil(lua, 2))
        return eval_raise(lua,
                          "exchange.publish: the value of '%s' is nil: to publish nothing, "
                          "leave the call out",
                          key);
    Value *value = lua_value_get(lua, 2, &error);
    if (!value)
        g_prefix_error(&error, "the value of '%s' ", key);
    if (!publish_value(eval_of(lua), key, value, secrets, &error))
        return eval_raise_error(lua, error);
    return 0;
}

/* --- schedules */

typedef struct {
    int64_t max, ttl;
    const char *strategy;
    bool persist, withdraw;
} Options;

static void read_number(lua_State *lua, const char *name, int64_t least, int64_t most,
                        int64_t *number) {
    if (lua_getfield(lua, 2, name) != LUA_TNIL) {
        *number = lua_value_check_int(lua, -1, name);
        if (*number < least || *number > most)
            eval_raise(lua, "schedule: %s is from %d to %d", name, (int)least, (int)most);
    }
    lua_pop(lua, 1);
}

static bool read_flag(lua_State *lua, const char *name) {
    lua_getfield(lua, 2, name);
    bool flag = lua_toboolean(lua, -1);
    lua_pop(lua, 1);
    return flag;
}

static void read_options(lua_State *lua, Options *options) {
    read_number(lua, "max", 1, EXCHANGE_LIMIT_SEATS, &options->max);
    read_number(lua, "ttl", EXCHANGE_MIN_TTL, EXCHANGE_MAX_TTL, &options->ttl);
    options->persist = read_flag(lua, "persist");
    options->withdraw = read_flag(lua, "withdraw");
    if (lua_getfield(lua, 2, "strategy") != LUA_TNIL) {
        const char *strategy = lua_value_check_text(lua, -1, "strategy", NULL);
        if (strcmp(strategy, "rr") != 0 && strcmp(strategy, "alpha") != 0)
            eval_raise(lua,
                       "no strategy '%s': there are 'rr' (who waits longest) and 'alpha' (the "
                       "first by name)",
                       strategy);
        options->strategy = strcmp(strategy, "rr") == 0 ? "rr" : "alpha";
    }
    lua_pop(lua, 1);
}

static Value *options_value(const Options *options) {
    Value *map = value_new_map();
    value_map_set(map, "max", value_new_int(options->max));
    value_map_set(map, "ttl", value_new_int(options->ttl));
    value_map_set(map, "strategy", value_new_string(options->strategy));
    value_map_set(map, "persist", value_new_bool(options->persist));
    value_map_set(map, "withdraw", value_new_bool(options->withdraw));
    return map;
}

/* False: it is wanted with other options. */
static bool want_schedule(Eval *eval, const char *name, const Options *options) {
    g_autoptr(Value) want = options_value(options);
    const Value *before = value_map_get(eval->schedules, name);
    if (before && !value_equal(before, want))
        return false;
    value_map_set(eval->schedules, name, g_steal_pointer(&want));
    return true;
}

/* Notes what the call at index 1 and 2 wants; the holders, borrowed, or NULL. */
static const Value *holders(lua_State *lua, const char *const *names, const char **ret_name) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the name", NULL);
    Options options = { .max = 1, .ttl = EXCHANGE_SCHEDULE_TTL, .strategy = "rr" };
    GError *error = NULL;
    if (!exchange_name_check(name, &error))
        eval_raise_error(lua, error);
    check_options(lua, 2, names);
    if (!lua_isnoneornil(lua, 2))
        read_options(lua, &options);
    if (!want_schedule(eval, name, &options))
        eval_raise(lua, "'%s' is scheduled twice, with different options", name);
    if (!eval->inputs->exchange)
        exchange_warn(lua, "no exchange: no host has a seat of '%s'; name a store with --exchange",
                      name);
    *ret_name = name;
    const Value *schedules = view_member(eval, "schedule");
    const Value *hosts = schedules ? value_map_get(schedules, name) : NULL;
    return value_type(hosts) == VALUE_MAP ? hosts : NULL;
}

static void push_noted(lua_State *lua, const char *group, const char *name, Value *value) {
    eval_note_read(eval_of(lua), group, name, value);
    if (value)
        eval_push_value(lua, value);
    else
        lua_pushnil(lua);
}

/* schedule(name [, { max, ttl, strategy, persist, withdraw }]): a set of hosts */
static int schedule(lua_State *lua) {
    static const char *const names[] = { "max", "persist", "strategy", "ttl", "withdraw", NULL };
    const char *name;
    const Value *hosts = holders(lua, names, &name);
    push_noted(lua, "schedule", name, hosts ? value_ref(hosts) : value_new_map());
    return 1;
}

/* elect(name [, { ttl, strategy, persist, withdraw }]): one host, or nil */
static int elect(lua_State *lua) {
    static const char *const names[] = { "persist", "strategy", "ttl", "withdraw", NULL };
    const char *name, *host = NULL;
    const Value *hosts = holders(lua, names, &name);
    if (hosts && value_size(hosts) > 0)
        (void)value_map_at(hosts, 0, &host);
    push_noted(lua, "elect", name, host ? value_new_string(host) : NULL);
    return 1;
}

/* --- opening */

/* Without an exchange: what the host is called. New reference; may be nil. */
static Value *own_name(const Eval *eval) {
    const Value *view = eval->inputs->exchange, *facts = eval->inputs->facts;
    const Value *name = view    ? value_map_get(view, "host")
                        : facts ? value_map_get(facts, "hostname")
                                : NULL;
    if (name)
        return value_ref(name);
    Value *fact = facts_read(eval->inputs->host, "hostname");
    return fact ? fact : value_new_string("localhost");
}

void inputs_open_exchange(lua_State *lua) {
    static const luaL_Reg functions[] = {
        { "get", get },
        { "label", label },
        { "publish", publish },
        { NULL, NULL },
    };
    lua_newtable(lua);
    luaL_setfuncs(lua, functions, 0);
    eval_push_value(lua, own_name(eval_of(lua)));
    lua_setfield(lua, -2, "host");
    lua_setfield(lua, -2, "exchange");
    lua_pushcfunction(lua, schedule);
    lua_setfield(lua, -2, "schedule");
    lua_pushcfunction(lua, elect);
    lua_setfield(lua, -2, "elect");
    collect_open(lua);
}
