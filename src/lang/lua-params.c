#include "lang/lua-params.h"

#include <lauxlib.h>
#include <string.h>

#include "base/suggest.h"
#include "lang/lua-missing.h"
#include "lang/lua-object.h"
#include "lang/lua-value.h"

/* What a name in a table of parameters means: a code in the kind's table of names. */
enum {
    CODE_META = 0x10000, /* plus the row of meta_params */
    CODE_WORD = 0x20000, /* plus the EdgeWord */
    CODE_META_TABLE = 0x30000,
};

static void set_code(lua_State *lua, const char *name, size_t size, lua_Integer code) {
    lua_pushlstring(lua, name, size);
    lua_pushinteger(lua, code);
    lua_rawset(lua, -3);
}

static void set_aliases(lua_State *lua, const char *aliases, lua_Integer code) {
    while (aliases && *aliases) {
        size_t size = strcspn(aliases, " ");
        if (size > 0)
            set_code(lua, aliases, size, code);
        aliases += size + strspn(aliases + size, " ");
    }
}

/* The kind's own parameters come last: they win over others of the same name. */
static void make_codes(lua_State *lua, DeclaredKind *kind) {
    lua_newtable(lua);
    set_code(lua, "meta", 4, CODE_META_TABLE);
    for (int i = 0; i < WORDS; i++)
        set_code(lua, declare_words[i], strlen(declare_words[i]), CODE_WORD + i);
    for (size_t i = 0; i < meta_params_count; i++)
        set_code(lua, meta_params[i].name, strlen(meta_params[i].name), CODE_META + (int)i);
    for (unsigned i = 0; i < kind->kind->n_params; i++) {
        const Param *param = &kind->kind->params[i];
        set_aliases(lua, param->aliases, i);
        set_code(lua, param->name, strlen(param->name), i);
    }
    kind->params_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
}

char *params_unknown(const char *name, GPtrArray *known) {
    const char *nearest = suggest_nearest(name, (const char *const *)known->pdata, known->len);
    return nearest ? g_strdup_printf("no parameter '%s', did you mean '%s'?", name, nearest)
                   : g_strdup_printf("no parameter '%s'", name);
}

static char *unknown_of_kind(const Kind *kind, const char *name) {
    g_autoptr(GPtrArray) others = g_ptr_array_new();
    for (unsigned i = 0; i < WORDS; i++)
        g_ptr_array_add(others, (void *)(uintptr_t)declare_words[i]);
    for (size_t i = 0; i < meta_params_count; i++)
        g_ptr_array_add(others, (void *)(uintptr_t)meta_params[i].name);
    g_ptr_array_add(others, (void *)(uintptr_t) "meta");
    g_autofree char *hint =
        kind_param_hint(kind, name, (const char *const *)others->pdata, others->len);
    return g_strdup_printf("no parameter '%s'%s", name, hint);
}

static void add_error(GPtrArray *texts, const char *param, GError *error) {
    g_ptr_array_add(texts, g_strdup_printf("parameter '%s': %s", param, error->message));
    g_error_free(error);
}

/* Walking through tables */

void params_each(lua_State *lua, int table, ParamsEntry entry, void *data) {
    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        bool has_name = lua_type(lua, -2) == LUA_TSTRING;
        entry(lua, data, has_name ? lua_tostring(lua, -2) : NULL, lua_gettop(lua));
        lua_pop(lua, 1);
    }
}

/* The first name in byte order after `last`; NULL: none. Names are borrowed from the table. */
static const char *next_name(lua_State *lua, int table, const char *last) {
    const char *best = NULL;
    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        lua_pop(lua, 1);
        const char *name = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : NULL;
        if (name && (!last || strcmp(name, last) > 0) && (!best || strcmp(name, best) < 0))
            best = name;
    }
    return best;
}

/* Looks for each next name anew: tables of parameters are small, and nothing is allocated. */
void params_each_sorted(lua_State *lua, int table, ParamsEntry entry, void *data) {
    bool has_nameless = false;
    const char *name = NULL;
    do {
        name = next_name(lua, table, name);
        lua_pushnil(lua);
        while (lua_next(lua, table)) {
            const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : NULL;
            if (key && key == name)
                entry(lua, data, name, lua_gettop(lua));
            else if (!key && !name && !has_nameless) {
                entry(lua, data, NULL, lua_gettop(lua));
                has_nameless = true;
            }
            lua_pop(lua, 1);
        }
    } while (name);
}

/* Meta parameters */

void params_read_meta(lua_State *lua, const char *name, int index, Value *map, GPtrArray *texts) {
    GError *error = NULL;
    int row = param_find(meta_params, meta_params_count, name);
    if (row >= 0)
        name = meta_params[row].name; /* not an alias */
    if (value_map_get(map, name)) {
        g_ptr_array_add(texts, g_strdup_printf("meta parameter '%s' is given twice", name));
        return;
    }
    Value *value = lua_value_get(lua, index, &error);
    if (value)
        value_map_set(map, name, value);
    else if (eval_take_absent(eval_of(lua)))
        g_error_free(error);
    else
        add_error(texts, name, error);
}

typedef struct {
    Value *map;
    GPtrArray *texts;
} MetaReading;

static void read_meta_entry(lua_State *lua, void *data, const char *name, int index) {
    MetaReading *reading = data;
    if (name)
        params_read_meta(lua, name, index, reading->map, reading->texts);
    else
        g_ptr_array_add(reading->texts, g_strdup("meta takes name = value, not a list"));
}

void params_read_meta_table(lua_State *lua, int index, Value *map, GPtrArray *texts) {
    MetaReading reading = { map, texts };
    if (lua_type(lua, index) == LUA_TTABLE)
        params_each_sorted(lua, index, read_meta_entry, &reading);
    else
        g_ptr_array_add(texts, g_strdup_printf("meta takes a table of meta parameters, not %s",
                                               object_type_name(lua, index)));
}

void params_set_meta(Meta *meta, const Value *map, GPtrArray *texts) {
    for (size_t i = 0; i < value_size(map); i++) {
        const char *name;
        const Value *value = value_map_at(map, i, &name);
        GError *error = NULL;
        if (!meta_set(meta, name, value, &error)) {
            g_ptr_array_add(texts, g_strdup(error->message));
            g_error_free(error);
        }
    }
}

/* Those of the composites around it, outermost first, then its own. */
static void set_all_meta(Eval *eval, unsigned frame, Resource *resource, const Value *own,
                         GPtrArray *texts) {
    if (frame) {
        const Frame *around = &g_array_index(eval->frames, Frame, frame);
        set_all_meta(eval, around->parent, resource, around->meta, texts);
    }
    if (own && value_size(own) > 0)
        params_set_meta(resource_own_meta(resource), own, texts);
}

/* Parameters */

static void read_out(Eval *eval, Resource *resource, const char *name, const Object *out,
                     GPtrArray *texts) {
    const Target *sender = &g_array_index(eval->targets, Target, out->target);
    const DeclaredKind *kind = &g_array_index(eval->kinds, DeclaredKind, sender->kind);
    GError *error = NULL;
    if (!resource_receive(resource, name, kind->kind->name, sender->name, out->output, &error)) {
        g_ptr_array_add(texts, g_strdup(error->message));
        g_error_free(error);
    }
}

/* An empty table is a list where a list is wanted. */
static Value *read_param(lua_State *lua, const Kind *kind, unsigned param, int index,
                         GError **error) {
    g_autoptr(Value) input = lua_value_get(lua, index, error);
    if (!input)
        return NULL;
    if (kind->params[param].type == PARAM_STRINGS && value_type(input) == VALUE_MAP &&
        value_size(input) == 0) {
        value_unref(input);
        input = value_new_list();
    }
    return kind_convert(kind, param, input, error);
}

typedef struct {
    Resource *resource;
    unsigned target;
    int codes; /* stack index of the kind's table of names */
    Place place;
    Value *meta; /* NULL: none so far */
    GPtrArray *texts;
    bool incomplete; /* something was reported elsewhere */
    bool deferred;   /* the finisher completes it */
} Reading;

/* A parameter of the kind. It may be there twice under two of its names. */
static void read_own(lua_State *lua, Reading *reading, const char *name, unsigned param,
                     int index) {
    Resource *resource = reading->resource;
    const Param *row = &resource->kind->params[param];
    const Object *out = object_at(lua, index, OBJECT_OUT);
    GError *error = NULL;
    if (resource_get(resource, param) || resource_receives(resource, param)) {
        g_ptr_array_add(reading->texts,
                        g_strdup_printf("parameter '%s' is given twice, by an alias", row->name));
        return;
    }
    Value *value = NULL;
    if (out && !out->output) {
        reading->incomplete = true;
    } else if (out) {
        read_out(eval_of(lua), resource, name, out, reading->texts);
    } else if ((value = read_param(lua, resource->kind, param, index, &error))) {
        resource_put(resource, param, value);
    } else if (eval_take_absent(eval_of(lua))) {
        reading->incomplete = true;
        g_error_free(error);
    } else {
        add_error(reading->texts, name, error);
    }
}

static void read_entry(lua_State *lua, Reading *reading, const char *name, lua_Integer code,
                       int index) {
    if (code >= CODE_META && code < CODE_WORD) {
        reading->meta = reading->meta ? reading->meta : value_new_map();
        params_read_meta(lua, name, index, reading->meta, reading->texts);
    } else if (code == CODE_META_TABLE) {
        reading->meta = reading->meta ? reading->meta : value_new_map();
        params_read_meta_table(lua, index, reading->meta, reading->texts);
    } else if (code >= CODE_WORD) {
        declare_links(lua, reading->target, (EdgeWord)(code - CODE_WORD), index, reading->place,
                      reading->texts);
    } else {
        read_own(lua, reading, name, (unsigned)code, index);
    }
}

/* An entry of the table of parameters; name NULL: it has none. Raises nothing. */
static void read_named(lua_State *lua, void *data, const char *name, int index) {
    Reading *reading = data;
    if (!name) {
        g_ptr_array_add(reading->texts, g_strdup("a value without a name: write name = value"));
        return;
    }
    lua_pushvalue(lua, index - 1);
    int type = lua_rawget(lua, reading->codes);
    lua_Integer code = lua_tointeger(lua, -1);
    lua_pop(lua, 1);
    if (type == LUA_TNIL)
        g_ptr_array_add(reading->texts, unknown_of_kind(reading->resource->kind, name));
    else
        read_entry(lua, reading, name, code, index);
}

static void finish(Eval *eval, Reading *reading) {
    GPtrArray *errors = eval->errors;
    bool clean = reading->texts->len == 0 && !reading->incomplete;
    set_all_meta(eval, reading->place.frame, reading->resource, reading->meta, reading->texts);
    reading->deferred = eval->finisher && clean && reading->texts->len == 0;
    if (reading->deferred)
        return;
    g_ptr_array_set_size(errors, 0);
    /* After a parameter was refused, that it is missing would only be noise. */
    if (resource_finish(reading->resource, errors) || !clean)
        return;
    for (unsigned i = 0; i < errors->len; i++)
        g_ptr_array_add(reading->texts,
                        g_strdup(((const GError *)g_ptr_array_index(errors, i))->message));
}

/* Lua keeps a table in an order that differs from run to run. That does not matter to a resource
 * without problems; one that has some is read again in the order of names. */
static void read_resource(lua_State *lua, Reading *reading, int params) {
    Eval *eval = eval_of(lua);
    const Target *target = &g_array_index(eval->targets, Target, reading->target);
    const Kind *kind = g_array_index(eval->kinds, DeclaredKind, target->kind).kind;
    unsigned n_links = eval->links->len;
    for (int attempt = 0; attempt < 2; attempt++) {
        reading->resource = resource_new(kind, target->name, eval_origin(eval, reading->place));
        reading->meta = NULL;
        g_ptr_array_set_size(reading->texts, 0);
        g_array_set_size(eval->links, n_links);
        (attempt == 0 ? params_each : params_each_sorted)(lua, params, read_named, reading);
        finish(eval, reading);
        declare_order_links(eval, n_links);
        if (attempt > 0 || reading->texts->len == 0)
            return;
        g_clear_pointer(&reading->resource, resource_unref);
        g_clear_pointer(&reading->meta, value_unref);
    }
}

static bool put_in_graph(lua_State *lua, Reading *reading, unsigned *ret_vertex) {
    Eval *eval = eval_of(lua);
    bool hidden = resource_meta(reading->resource)->hidden;
    GError *error = NULL;
    if (!declare_begin(lua, reading->target, reading->place, hidden))
        return false;
    if (graph_add(eval->graph, resource_ref(reading->resource), DUPLICATE_REFUSE, ret_vertex,
                  &error))
        return true;
    problems_add_error(eval->problems, error);
    return false;
}

/* Resources with problems are added too: what refers to them is not to be reported as well. */
static void add_to_graph(lua_State *lua, Reading *reading) {
    Eval *eval = eval_of(lua);
    unsigned vertex;
    if (put_in_graph(lua, reading, &vertex)) {
        g_array_index(eval->targets, Target, reading->target).count = 1;
        if (reading->deferred)
            finisher_add(eval->finisher, reading->resource, vertex);
    } else if (reading->deferred) {
        finisher_fail(eval->finisher);
    }
    g_clear_pointer(&reading->resource, resource_unref);
}

void params_declare(lua_State *lua, unsigned target, int params) {
    Eval *eval = eval_of(lua);
    DeclaredKind *kind = &g_array_index(eval->kinds, DeclaredKind,
                                        g_array_index(eval->targets, Target, target).kind);
    luaL_checkstack(lua, 8, "parameters");
    if (eval->finisher && finisher_has_failed(eval->finisher))
        eval_abandon(lua);
    if (kind->params_ref == LUA_NOREF)
        make_codes(lua, kind);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, kind->params_ref);
    Reading reading = { .target = target,
                        .codes = lua_gettop(lua),
                        .place = eval_place(eval, lua, 1),
                        .texts = eval->texts };
    read_resource(lua, &reading, params);
    if (reading.texts->len > 0)
        declare_report(lua, target, reading.texts);
    missing_warn(eval, reading.resource, reading.place);
    add_to_graph(lua, &reading);
    value_unref(reading.meta);
    lua_pop(lua, 1);
}

static void adopt_edge(lua_State *lua, void *data, const char *name, int index) {
    Reading *reading = data;
    int word = name ? declare_word(name) : -1;
    if (word >= 0)
        declare_links(lua, reading->target, (EdgeWord)word, index, reading->place, reading->texts);
    else
        g_ptr_array_add(reading->texts,
                        g_strdup_printf("no edge '%s': there are needs, before, notify, listen",
                                        name ? name : "without a name"));
}

void params_adopt(lua_State *lua, unsigned target, Resource *resource, int edges) {
    Eval *eval = eval_of(lua);
    unsigned n_links = eval->links->len;
    Reading reading = { .resource = resource,
                        .target = target,
                        .place = eval_place(eval, lua, 1),
                        .texts = eval->texts,
                        .deferred = eval->finisher != NULL };
    g_ptr_array_set_size(reading.texts, 0);
    if (lua_istable(lua, edges))
        params_each_sorted(lua, edges, adopt_edge, &reading);
    declare_order_links(eval, n_links);
    if (reading.texts->len > 0)
        declare_report(lua, target, reading.texts);
    add_to_graph(lua, &reading);
}
