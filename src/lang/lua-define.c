#include "lang/lua-define.h"

#include <lauxlib.h>
#include <string.h>

#include "lang/lua-composite.h"
#include "lang/lua-names.h"
#include "lang/lua-object.h"
#include "lang/lua-params.h"
#include "lang/lua-value.h"
#include "lang/yaml-node.h"

static const struct {
    const char *name;
    CompositeType type;
    ParamType param;
} types[] = {
    { "bool", TYPE_SCALAR, PARAM_BOOL },   { "int", TYPE_SCALAR, PARAM_INT },
    { "float", TYPE_SCALAR, PARAM_FLOAT }, { "string", TYPE_SCALAR, PARAM_STRING },
    { "path", TYPE_SCALAR, PARAM_PATH },   { "list", TYPE_LIST, PARAM_ANY },
    { "map", TYPE_MAP, PARAM_ANY },        { "any", TYPE_ANY, PARAM_ANY },
};

static void param_clear(void *data) {
    CompositeParam *param = data;
    g_free(param->name);
    value_unref(param->fallback);
}

static bool set_fallback(CompositeParam *param, const char *text, GError **error) {
    if (param->type != TYPE_SCALAR) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "only bool, int, float, string and path have a default after '='");
        return false;
    }
    bool is_text = param->param.type == PARAM_STRING || param->param.type == PARAM_PATH;
    g_autoptr(Value) input = is_text ? value_new_string(text) : yaml_text_to_value(text);
    param->fallback = param_convert(&param->param, input, error);
    if (!param->fallback)
        g_prefix_error(error, "default: ");
    return param->fallback != NULL;
}

/* "int", "int?", "int=80" */
static bool parse_type(CompositeParam *param, const char *text, GError **error) {
    size_t size = strcspn(text, "?=");
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strlen(types[i].name) != size || strncmp(types[i].name, text, size) != 0)
            continue;
        param->type = types[i].type;
        param->param = (Param){ .name = param->name, .type = types[i].param, .help = "" };
        if (text[size] == '=')
            return set_fallback(param, text + size + 1, error);
        param->optional = text[size] == '?';
        if (text[size] == '\0' || text[size + 1] == '\0')
            return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "no such type '%s': use bool, int, float, string, path, list, map or any, with '?' "
                "after it when optional or '=value' for a default",
                text);
    return false;
}

static bool check_param_name(const char *name, GError **error) {
    if (declare_word(name) < 0 && strcmp(name, "meta") != 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "every kind has '%s' already", name);
    return false;
}

typedef struct {
    Composite *composite;
    GError *error; /* the first one */
} Defining;

static void define_param(lua_State *lua, void *data, const char *name, int index) {
    Defining *defining = data;
    GError *error = NULL;
    if (!name || lua_type(lua, index) != LUA_TSTRING) {
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "parameters are written name = \"type\"");
    } else {
        CompositeParam param = { .name = g_strdup(name) };
        if (!check_param_name(name, &error) ||
            !parse_type(&param, lua_tostring(lua, index), &error))
            g_prefix_error(&error, "parameter '%s': ", name);
        g_array_append_val(defining->composite->params, param);
    }
    if (error && !defining->error)
        g_propagate_error(&defining->error, error);
    else
        g_clear_error(&error);
}

/* Raises nothing. */
static Composite *read_definition(lua_State *lua, int index, GError **error) {
    Defining defining = { .composite = g_new0(Composite, 1) };
    defining.composite->params = g_array_new(FALSE, TRUE, sizeof(CompositeParam));
    g_array_set_clear_func(defining.composite->params, param_clear);
    params_each_sorted(lua, index, define_param, &defining);
    if (!defining.error)
        return defining.composite;
    g_propagate_error(error, defining.error);
    composite_free(defining.composite);
    return NULL;
}

static bool is_identifier(const char *name) {
    if (!g_ascii_isalpha(*name) && *name != '_')
        return false;
    while (g_ascii_isalnum(*name) || *name == '_')
        name++;
    return *name == '\0';
}

static void check_kind_name(lua_State *lua, const char *name) {
    if (!is_identifier(name))
        eval_raise(lua, "define '%s': a kind's name is letters, digits and '_'", name);
    names_push(lua);
    lua_pushstring(lua, name);
    if (lua_rawget(lua, -2) != LUA_TNIL)
        eval_raise(lua, "define '%s': this name is built in or defined already", name);
    lua_pop(lua, 2);
}

static int define(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the name", NULL);
    lua_value_check_table(lua, 2, "the parameters");
    if (lua_type(lua, 3) != LUA_TFUNCTION)
        return eval_raise(lua,
                          "define '%s': the third argument is a function of name and "
                          "parameters, not %s",
                          name, object_type_name(lua, 3));
    check_kind_name(lua, name);
    lua_settop(lua, 3);
    lua_pushvalue(lua, 3);
    int function_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    unsigned kind = declare_add_kind(lua, NULL, name);
    GError *error = NULL;
    Composite *composite = read_definition(lua, 2, &error);
    if (!composite) {
        g_prefix_error(&error, "define '%s': ", name);
        return eval_raise_error(lua, error);
    }
    composite->function_ref = function_ref;
    g_array_index(eval->kinds, DeclaredKind, kind).composite = composite;
    names_push(lua);
    lua_pushvalue(lua, 1);
    lua_pushvalue(lua, -3);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    return 1;
}

void define_open(lua_State *lua) {
    lua_pushcfunction(lua, define);
    lua_setfield(lua, -2, "define");
}
