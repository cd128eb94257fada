#include "lang/lua-declare.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/suggest.h"
#include "lang/lua-composite.h"
#include "lang/lua-object.h"
#include "lang/lua-params.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-value.h"
#include "lang/name.h"

const char *const declare_words[WORDS] = { "needs", "before", "notify", "listen" };

int declare_word(const char *name) {
    for (int i = 0; i < WORDS; i++)
        if (strcmp(name, declare_words[i]) == 0)
            return i;
    return -1;
}

static DeclaredKind *kind_at(const Eval *eval, unsigned index) {
    return &g_array_index(eval->kinds, DeclaredKind, index);
}

static Target *target_at(const Eval *eval, unsigned index) {
    return &g_array_index(eval->targets, Target, index);
}

static void kind_clear(void *data) {
    DeclaredKind *kind = data;
    g_free(kind->name);
    composite_free(kind->composite);
    g_clear_pointer(&kind->declared, g_ptr_array_unref);
}

void declare_init(Eval *eval) {
    eval->kinds = g_array_new(FALSE, TRUE, sizeof(DeclaredKind));
    g_array_set_clear_func(eval->kinds, kind_clear);
    eval->targets = g_array_new(FALSE, TRUE, sizeof(Target));
    eval->links = g_array_new(FALSE, FALSE, sizeof(Link));
}

void declare_clear(Eval *eval) {
    g_array_unref(eval->kinds);
    g_array_unref(eval->targets);
    g_array_unref(eval->links);
}

char *declare_show(const Eval *eval, unsigned target) {
    const Target *t = target_at(eval, target);
    return g_strdup_printf("%s '%s'", kind_at(eval, t->kind)->name, t->name);
}

/* Problems */

void declare_report(lua_State *lua, unsigned target, GPtrArray *texts) {
    Eval *eval = eval_of(lua);
    g_autofree char *shown = declare_show(eval, target);
    for (unsigned i = 0; i < texts->len; i++) {
        g_autofree char *text =
            g_strdup_printf("%s: %s", shown, (const char *)g_ptr_array_index(texts, i));
        eval_problem_here(eval, lua, text);
    }
}

bool declare_begin(lua_State *lua, unsigned target, Place place, bool hidden) {
    Eval *eval = eval_of(lua);
    Target *t = target_at(eval, target);
    if (t->is_declared && !hidden && !t->is_hidden) {
        Origin first = eval_origin(eval, t->place);
        g_autofree char *shown = declare_show(eval, target);
        g_autofree char *text =
            g_strdup_printf("%s: declared twice, first at %s:%u", shown, first.file, first.line);
        eval_problem_here(eval, lua, text);
        return false;
    }
    /* A visible resource takes the name over from hidden ones, as in the graph. */
    if (!t->is_declared || t->is_hidden) {
        t->place = place;
        t->is_hidden = hidden;
        t->first = graph_size(eval->graph);
    }
    t->is_declared = true;
    return true;
}

/* Links */

static void add_link(Eval *eval, unsigned target, EdgeWord word, unsigned other, Place place) {
    const Target *o = target_at(eval, other);
    Link link = { target, other, word, eval->links->len, o->is_declared ? place : o->place };
    g_array_append_val(eval->links, link);
}

static void read_links(lua_State *lua, unsigned target, EdgeWord word, int index, Place place,
                       unsigned depth, GPtrArray *texts) {
    const Object *ref = object_at(lua, index, OBJECT_REF);
    if (ref) {
        add_link(eval_of(lua), target, word, ref->target, place);
        return;
    }
    if (object_at(lua, index, OBJECT_ABSENT))
        return;
    /* `needs = condition and pkg "x"` gives false. */
    if (lua_type(lua, index) == LUA_TBOOLEAN && !lua_toboolean(lua, index))
        return;
    if (lua_type(lua, index) != LUA_TTABLE || depth == LIMIT_NESTING || !lua_checkstack(lua, 4)) {
        g_ptr_array_add(texts, g_strdup_printf("%s takes references like pkg \"name\", not %s",
                                               declare_words[word], object_type_name(lua, index)));
        return;
    }
    lua_Integer length = (lua_Integer)lua_rawlen(lua, index);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(lua, index, i);
        read_links(lua, target, word, lua_gettop(lua), place, depth + 1, texts);
        lua_pop(lua, 1);
    }
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        lua_pop(lua, 1);
        if (!lua_isinteger(lua, -1) || lua_tointeger(lua, -1) < 1 ||
            lua_tointeger(lua, -1) > length) {
            g_ptr_array_add(texts, g_strdup_printf("%s takes a list of references, not a table "
                                                   "with names",
                                                   declare_words[word]));
            lua_pop(lua, 1);
            return;
        }
    }
}

void declare_links(lua_State *lua, unsigned target, EdgeWord word, int index, Place place,
                   GPtrArray *texts) {
    read_links(lua, target, word, index, place, 0, texts);
}

static int compare_words(const void *a, const void *b) {
    const Link *left = a, *right = b;
    if (left->word != right->word)
        return left->word < right->word ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

void declare_order_links(Eval *eval, unsigned first) {
    if (eval->links->len > first + 1)
        qsort(&g_array_index(eval->links, Link, first), eval->links->len - first, sizeof(Link),
              compare_words);
}

/* Calls */

static void declare(lua_State *lua, unsigned target, int params) {
    Eval *eval = eval_of(lua);
    if (lua_type(lua, params) != LUA_TTABLE) {
        char *shown = declare_show(eval, target);
        char *text = g_strdup_printf("%s: its parameters are a table in braces, not %s", shown,
                                     object_type_name(lua, params));
        g_free(shown);
        eval_push_text(lua, text, strlen(text));
        lua_error(lua);
    }
    if (graph_size(eval->graph) >= LIMIT_RESOURCES)
        sandbox_raise_limit(lua, "declares more than %u resources (LIMIT_RESOURCES)",
                            LIMIT_RESOURCES);
    if (kind_at(eval, target_at(eval, target)->kind)->composite)
        composite_declare(lua, target, params);
    else
        params_declare(lua, target, params);
}

static void check_name(lua_State *lua, const DeclaredKind *kind, int index) {
    if (lua_type(lua, index) != LUA_TSTRING)
        eval_raise(lua, "%s needs a name: write %s \"name\" { ... }, not %s", kind->name,
                   kind->name, object_type_name(lua, index));
    size_t size;
    const char *name = lua_tolstring(lua, index, &size);
    const char *refusal = name_refusal(name, size);
    if (refusal)
        eval_raise(lua, "the name of this %s %s", kind->name, refusal);
}

/* Pushes the one reference to this kind and name. Upvalue 2: names to references. */
static Object *push_reference(lua_State *lua, unsigned kind, int name) {
    Eval *eval = eval_of(lua);
    lua_pushvalue(lua, name);
    if (lua_rawget(lua, lua_upvalueindex(2)) == LUA_TUSERDATA)
        return lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    check_name(lua, kind_at(eval, kind), name);
    Object *ref = object_push(lua, OBJECT_REF);
    lua_pushvalue(lua, name);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, lua_upvalueindex(2));
    ref->target = eval->targets->len;
    Target target = { .kind = kind, .name = lua_tostring(lua, name) };
    g_array_append_val(eval->targets, target);
    return ref;
}

/* What a reference costs, in instructions. */
#define CALL_STEPS 5

/* A kind that a program speaks for is asked for when it is first used. */
static void need_kind(lua_State *lua, unsigned index) {
    Eval *eval = eval_of(lua);
    DeclaredKind *declared = kind_at(eval, index);
    if (declared->kind || declared->composite)
        return;
    GError *error = NULL;
    declared->kind = kind_set_find(eval->inputs->kinds, declared->name);
    if (declared->kind)
        return;
    kind_set_unknown(eval->inputs->kinds, declared->name, &error);
    eval_raise_error(lua, error);
}

/* Upvalue 1: index of the kind. */
static int call_kind(lua_State *lua) {
    Eval *eval = eval_of(lua);
    unsigned kind = (unsigned)lua_tointeger(lua, lua_upvalueindex(1));
    int n_args = lua_gettop(lua);
    eval_count(lua, CALL_STEPS);
    if (n_args == 0)
        lua_pushnil(lua);
    if (object_at(lua, 1, OBJECT_ABSENT)) {
        lua_settop(lua, 1);
        return 1;
    }
    need_kind(lua, kind);
    const Object *ref = push_reference(lua, kind, 1);
    Target *target = target_at(eval, ref->target);
    if (!target->is_declared)
        target->place = eval_place(eval, lua, 1);
    if (n_args >= 2)
        declare(lua, ref->target, 2);
    return 1;
}

static int call_reference(lua_State *lua) {
    const Object *ref = lua_touserdata(lua, 1);
    lua_settop(lua, 2);
    declare(lua, ref->target, 2);
    lua_settop(lua, 1);
    return 1;
}

static int index_reference(lua_State *lua) {
    const Object *ref = lua_touserdata(lua, 1);
    char *shown = declare_show(eval_of(lua), ref->target);
    char *text = g_strdup_printf("%s is a reference without fields: use out(reference, \"output\") "
                                 "for what it gives when it runs",
                                 shown);
    g_free(shown);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

/* NULL after adding the problem. */
static const char *find_output(lua_State *lua, const Kind *kind, const char *name) {
    const Output *output = kind_find_output(kind, name);
    if (output)
        return output->name;
    g_autofree const char **names = g_new(const char *, kind->n_outputs + 1);
    for (unsigned i = 0; i < kind->n_outputs; i++)
        names[i] = kind->outputs[i].name;
    const char *nearest = suggest_nearest(name, names, kind->n_outputs);
    g_autofree char *text = kind->n_outputs == 0
                                ? g_strdup_printf("%s has no outputs", kind->name)
                                : g_strdup_printf("%s has no output '%s'%s%s%s", kind->name, name,
                                                  nearest ? ", did you mean '" : "",
                                                  nearest ? nearest : "", nearest ? "'?" : "");
    eval_problem_here(eval_of(lua), lua, text);
    return NULL;
}

/* out(ref, "output") */
static int call_out(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const Object *ref = object_at(lua, 1, OBJECT_REF);
    if (object_at(lua, 1, OBJECT_ABSENT)) {
        lua_settop(lua, 1);
        return 1;
    }
    if (!ref)
        return eval_raise(lua, "out takes a reference and the name of an output, not %s",
                          object_type_name(lua, 1));
    const char *name = lua_value_check_text(lua, 2, "the output", NULL);
    Target *target = target_at(eval, ref->target);
    const Kind *kind = kind_at(eval, target->kind)->kind;
    if (!kind)
        return eval_raise(lua, "a composite like %s has no outputs: name one of its resources",
                          kind_at(eval, target->kind)->name);
    target->is_reported = true; /* graph_seal() says so when it is never declared */
    const char *output = find_output(lua, kind, name);
    Object *out = object_push(lua, OBJECT_OUT);
    out->target = ref->target;
    out->output = output;
    return 1;
}

/* Kinds */

/* "http:server" is http_server in Lua. */
static void push_lua_name(lua_State *lua, const char *name) {
    luaL_gsub(lua, name, ":", "_");
}

unsigned declare_add_kind(lua_State *lua, const Kind *kind, const char *name) {
    Eval *eval = eval_of(lua);
    DeclaredKind declared = { .kind = kind, .params_ref = LUA_NOREF };
    declared.name = g_strdup(name);
    g_array_append_val(eval->kinds, declared);
    lua_pushinteger(lua, (lua_Integer)eval->kinds->len - 1);
    lua_newtable(lua);
    lua_pushcclosure(lua, call_kind, 2);
    return eval->kinds->len - 1;
}

void declare_open(lua_State *lua) {
    static const luaL_Reg events[] = {
        { "__call", call_reference },
        { "__index", index_reference },
        { NULL, NULL },
    };
    const KindSet *kinds = eval_of(lua)->inputs->kinds;
    object_open(lua, OBJECT_REF, "reference", events);
    object_open(lua, OBJECT_OUT, "output", NULL);
    lua_pushcfunction(lua, call_out);
    lua_setfield(lua, -2, "out");
    for (unsigned i = 0; i < kinds->n_kinds; i++) {
        push_lua_name(lua, kinds->kinds[i]->name);
        declare_add_kind(lua, kinds->kinds[i], kinds->kinds[i]->name);
        lua_rawset(lua, -3);
    }
    unsigned n_more = 0;
    const char *const *more = kinds->more ? kinds->more->names(kinds->more, &n_more) : NULL;
    for (unsigned i = 0; i < n_more; i++) {
        lua_pushstring(lua, more[i]);
        declare_add_kind(lua, NULL, more[i]);
        lua_rawset(lua, -3);
    }
}
