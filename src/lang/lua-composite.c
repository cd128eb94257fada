#include "lang/lua-composite.h"

#include <lauxlib.h>
#include <string.h>

#include "lang/lua-object.h"
#include "lang/lua-params.h"
#include "lang/lua-value.h"

void composite_free(Composite *composite) {
    if (!composite)
        return;
    g_array_unref(composite->params);
    g_free(composite);
}

static const CompositeParam *find_param(const Composite *composite, const char *name) {
    for (unsigned i = 0; i < composite->params->len; i++) {
        const CompositeParam *param = &g_array_index(composite->params, CompositeParam, i);
        if (strcmp(param->name, name) == 0)
            return param;
    }
    return NULL;
}

static bool is_meta(const char *name) {
    for (size_t i = 0; i < meta_params_count; i++)
        if (strcmp(meta_params[i].name, name) == 0)
            return true;
    return false;
}

static char *unknown_param(const Composite *composite, const char *name) {
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (unsigned i = 0; i < composite->params->len; i++)
        g_ptr_array_add(known, g_array_index(composite->params, CompositeParam, i).name);
    for (unsigned i = 0; i < WORDS; i++)
        g_ptr_array_add(known, (void *)(uintptr_t)declare_words[i]);
    return params_unknown(name, known);
}

typedef struct {
    const Composite *composite;
    unsigned target;
    Place place;
    Value *scalars; /* converted parameters */
    Value *given;   /* names of all that are there, right or wrong */
    Value *meta;
    GPtrArray *texts;
} Reading;

/* Lists and maps are handed on as they are: they may hold references and functions. */
static void check_shape(lua_State *lua, const CompositeParam *param, int index, GPtrArray *texts) {
    if (param->type == TYPE_ANY)
        return;
    bool fits = lua_type(lua, index) == LUA_TTABLE;
    lua_Integer length = fits ? (lua_Integer)lua_rawlen(lua, index) : 0;
    if (fits) {
        lua_pushnil(lua);
        while (lua_next(lua, index)) {
            lua_pop(lua, 1);
            bool is_item = lua_isinteger(lua, -1) && lua_tointeger(lua, -1) >= 1 &&
                           lua_tointeger(lua, -1) <= length;
            fits = fits && (param->type == TYPE_LIST ? is_item : lua_type(lua, -1) == LUA_TSTRING);
        }
    }
    if (!fits)
        g_ptr_array_add(texts,
                        g_strdup_printf("parameter '%s': expected %s, found %s", param->name,
                                        param->type == TYPE_LIST ? "a list" : "a table with names",
                                        lua_type(lua, index) == LUA_TTABLE
                                            ? "another table"
                                            : object_type_name(lua, index)));
}

static void read_param(lua_State *lua, Reading *reading, const CompositeParam *param, int index) {
    if (param->type != TYPE_SCALAR) {
        check_shape(lua, param, index, reading->texts);
        return;
    }
    GError *error = NULL;
    g_autoptr(Value) input = lua_value_get(lua, index, &error);
    Value *value = input ? param_convert(&param->param, input, &error) : NULL;
    if (value) {
        value_map_set(reading->scalars, param->name, value);
        return;
    }
    if (!eval_take_absent(eval_of(lua)))
        g_ptr_array_add(reading->texts,
                        g_strdup_printf("parameter '%s': %s", param->name, error->message));
    g_error_free(error);
}

static void read_entry(lua_State *lua, void *data, const char *name, int index) {
    Reading *reading = data;
    const CompositeParam *param = name ? find_param(reading->composite, name) : NULL;
    int word = name ? declare_word(name) : -1;
    if (param)
        value_map_set(reading->given, name, value_new_bool(true));
    if (!name)
        g_ptr_array_add(reading->texts, g_strdup("a value without a name: write name = value"));
    else if (param)
        read_param(lua, reading, param, index);
    else if (word >= 0)
        declare_links(lua, reading->target, (EdgeWord)word, index, reading->place, reading->texts);
    else if (strcmp(name, "meta") == 0)
        params_read_meta_table(lua, index, reading->meta, reading->texts);
    else if (is_meta(name))
        params_read_meta(lua, name, index, reading->meta, reading->texts);
    else
        g_ptr_array_add(reading->texts, unknown_param(reading->composite, name));
}

/* What was not given. */
static void fill_params(Reading *reading) {
    for (unsigned i = 0; i < reading->composite->params->len; i++) {
        const CompositeParam *param = &g_array_index(reading->composite->params, CompositeParam, i);
        bool is_set = value_map_get(reading->given, param->name) != NULL;
        if (!is_set && param->fallback)
            value_map_set(reading->scalars, param->name, value_ref(param->fallback));
        else if (!is_set && !param->optional)
            g_ptr_array_add(reading->texts,
                            g_strdup_printf("parameter '%s' is required", param->name));
    }
}

static void check_meta(Reading *reading) {
    g_autoptr(Meta) scratch = meta_new();
    params_set_meta(scratch, reading->meta, reading->texts);
}

/* __index of the table a composite's function gets: catches misspelt names. Upvalue: the kind. */
static int index_params(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const DeclaredKind *kind = &g_array_index(eval->kinds, DeclaredKind,
                                              (unsigned)lua_tointeger(lua, lua_upvalueindex(1)));
    const char *name = lua_tostring(lua, 2);
    if (!name || find_param(kind->composite, name))
        return 0;
    char *text = unknown_param(kind->composite, name);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

/* Pushes the function's second argument. Takes ownership of scalars. */
static void push_params(lua_State *lua, unsigned kind, const Composite *composite, Value *scalars,
                        int params) {
    eval_push_value(lua, scalars);
    for (unsigned i = 0; i < composite->params->len; i++) {
        const CompositeParam *param = &g_array_index(composite->params, CompositeParam, i);
        if (param->type == TYPE_SCALAR)
            continue;
        lua_pushstring(lua, param->name);
        lua_pushvalue(lua, -1);
        lua_rawget(lua, params);
        lua_rawset(lua, -3);
    }
    lua_newtable(lua);
    lua_pushinteger(lua, kind);
    lua_pushcclosure(lua, index_params, 1);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
}

static unsigned enter_frame(Eval *eval, unsigned target, Place place, Value *meta) {
    Frame frame = { .parent = eval->frame, .caller = place, .meta = meta };
    frame.show = declare_show(eval, target);
    g_array_append_val(eval->frames, frame);
    eval->frame = eval->frames->len - 1;
    return frame.parent;
}

/* False: there were problems, the function is not to be called. */
static bool read_call(lua_State *lua, unsigned target, const Composite *composite, int params,
                      Place place, Value **ret_scalars, Value **ret_meta) {
    Reading reading = { .composite = composite, .target = target, .place = place };
    reading.scalars = value_new_map();
    reading.meta = value_new_map();
    reading.given = value_new_map();
    reading.texts = eval_of(lua)->texts;
    g_ptr_array_set_size(reading.texts, 0);
    unsigned n_links = eval_of(lua)->links->len;
    params_each_sorted(lua, params, read_entry, &reading);
    declare_order_links(eval_of(lua), n_links);
    fill_params(&reading);
    check_meta(&reading);
    bool fine = reading.texts->len == 0;
    if (!fine)
        declare_report(lua, target, reading.texts);
    fine = declare_begin(lua, target, place, false) && fine;
    value_unref(reading.given);
    if (fine) {
        *ret_scalars = reading.scalars;
        *ret_meta = reading.meta;
        return true;
    }
    value_unref(reading.scalars);
    value_unref(reading.meta);
    return false;
}

void composite_declare(lua_State *lua, unsigned target, int params) {
    Eval *eval = eval_of(lua);
    unsigned kind = g_array_index(eval->targets, Target, target).kind;
    const Composite *composite = g_array_index(eval->kinds, DeclaredKind, kind).composite;
    Place place = eval_place(eval, lua, 1);
    Value *scalars, *meta;
    luaL_checkstack(lua, 10, "parameters");
    if (!read_call(lua, target, composite, params, place, &scalars, &meta))
        return;
    unsigned caller = enter_frame(eval, target, place, meta);
    push_params(lua, kind, composite, scalars, params);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, composite->function_ref);
    lua_pushstring(lua, g_array_index(eval->targets, Target, target).name);
    lua_rotate(lua, -3, -1); /* function, name, parameters */
    lua_call(lua, 2, 0);
    eval->frame = caller;
    Target *done = &g_array_index(eval->targets, Target, target);
    done->count = graph_size(eval->graph) - done->first;
}
