#include "lang/eval.h"

#include <stdarg.h>
#include <string.h>

#include "base/limits.h"
#include "lang/lua-declare.h"
#include "lang/lua-missing.h"
#include "lang/lua-sandbox.h"
#include "lang/lua-template.h"
#include "lang/lua-value.h"

static void frame_clear(void *data) {
    Frame *frame = data;
    g_free(frame->show);
    value_unref(frame->meta);
}

static void miss_clear(void *data) {
    g_free(((Miss *)data)->name);
}

static void unref_value(void *value) {
    value_unref(value);
}

static char *directory_of(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? g_strndup(file, (size_t)(slash - file) + 1) : g_strdup("");
}

Eval *eval_new(const LangInputs *inputs, const char *entry, Sources *sources, Problems *problems) {
    Eval *eval = g_new0(Eval, 1);
    eval->inputs = inputs;
    eval->entry = g_intern_string(entry);
    eval->directory = directory_of(entry);
    eval->sources = sources;
    eval->problems = problems;
    eval->reads = value_new_map();
    eval->wanted_paths = value_new_map();
    eval->published = value_new_map();
    eval->wanted_kinds = value_new_map();
    eval->schedules = value_new_map();
    eval->health = value_new_map();
    eval->collected = g_ptr_array_new_with_free_func((GDestroyNotify)resource_unref);
    eval->max_steps = inputs->max_instructions ? inputs->max_instructions : LIMIT_LUA_INSTRUCTIONS;
    eval->max_memory = inputs->max_memory ? inputs->max_memory : LIMIT_LUA_MEMORY;
    eval->graph = graph_new();
    eval->missing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    eval->recent_misses = g_array_new(FALSE, FALSE, sizeof(Miss));
    g_array_set_clear_func(eval->recent_misses, miss_clear);
    eval->warnings = g_ptr_array_new_with_free_func(g_free);
    eval->frames = g_array_new(FALSE, TRUE, sizeof(Frame));
    g_array_set_clear_func(eval->frames, frame_clear);
    g_array_set_size(eval->frames, 1);
    eval->secrets = g_ptr_array_new_with_free_func(unref_value);
    eval->imports = g_ptr_array_new_with_free_func(g_free);
    eval->outputs = g_ptr_array_new_with_free_func(template_output_free);
    eval->texts = g_ptr_array_new_with_free_func(g_free);
    eval->errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    declare_init(eval);
    sandbox_open(eval);
    return eval;
}

void eval_free(Eval *eval) {
    if (!eval)
        return;
    sandbox_close(eval);
    declare_clear(eval);
    finisher_free(eval->finisher);
    graph_unref(eval->graph);
    value_unref(eval->reads);
    value_unref(eval->wanted_paths);
    value_unref(eval->published);
    value_unref(eval->wanted_kinds);
    value_unref(eval->schedules);
    value_unref(eval->health);
    g_ptr_array_unref(eval->collected);
    value_unref(eval->pending_value);
    g_array_unref(eval->frames);
    g_ptr_array_unref(eval->secrets);
    g_ptr_array_unref(eval->imports);
    g_ptr_array_unref(eval->outputs);
    g_ptr_array_unref(eval->texts);
    g_ptr_array_unref(eval->errors);
    template_code_clear(&eval->pending_code);
    g_free(eval->pending_text);
    g_free(eval->raised.text);
    g_hash_table_unref(eval->missing);
    g_array_unref(eval->recent_misses);
    g_ptr_array_unref(eval->warnings);
    g_free(eval->directory);
    g_free(eval);
}

/* Places */

/* The file of the function on top, which is popped; NULL: it is not from a file. Chunks of files
 * are named "@path". Asking Lua formats the name, so the answer for the last function is kept, and
 * with it the function: its address cannot become another's. */
static const char *file_of_function(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const void *function = lua_topointer(lua, -1);
    if (function == eval->place_function) {
        lua_pop(lua, 1);
        return eval->place_file;
    }
    lua_Debug info;
    lua_pushvalue(lua, -1);
    lua_getinfo(lua, ">S", &info);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &eval->place_function);
    eval->place_function = function;
    eval->place_file = info.source[0] == '@' ? g_intern_string(info.source + 1) : NULL;
    return eval->place_file;
}

static bool place_of_level(lua_State *lua, int level, Place *place) {
    lua_Debug info;
    if (!lua_getstack(lua, level, &info))
        return false;
    lua_getinfo(lua, "fl", &info);
    const char *file = file_of_function(lua);
    bool known = info.currentline > 0 && file;
    place->line = known ? (unsigned)info.currentline : 0;
    if (known)
        place->file = file;
    return true;
}

void eval_open_places(lua_State *lua) {
    lua_pushboolean(lua, 0);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &eval_of(lua)->place_function);
}

Place eval_place(Eval *eval, lua_State *lua, int level) {
    Place place = { .file = eval->entry, .frame = eval->frame };
    while (place_of_level(lua, level, &place) && place.line == 0)
        level++;
    return place;
}

unsigned eval_callers(lua_State *lua, int level, Place callers[PLACE_CALLERS]) {
    unsigned count = 0;
    Place place = { .file = NULL };
    for (; count < PLACE_CALLERS && place_of_level(lua, level, &place); level++)
        if (place.line > 0)
            callers[count++] = place;
    return count;
}

/* Outermost first: frame numbers on the way to frame. */
static unsigned frame_chain(const Eval *eval, unsigned frame, const Frame **chain, unsigned size) {
    unsigned depth = 0;
    for (unsigned f = frame; f; f = g_array_index(eval->frames, Frame, f).parent)
        depth++;
    unsigned index = depth;
    for (unsigned f = frame; f; f = g_array_index(eval->frames, Frame, f).parent)
        if (--index < size)
            chain[index] = &g_array_index(eval->frames, Frame, f);
    return MIN(depth, size);
}

Origin eval_origin(const Eval *eval, Place place) {
    const Frame *outermost;
    if (place.frame && frame_chain(eval, place.frame, &outermost, 1))
        place = outermost->caller;
    return (Origin){ .file = place.file, .line = place.line };
}

/* Adds places to the last problem, each line once. */
typedef struct {
    Place seen[2 * PLACE_CALLERS + 8];
    unsigned count;
} Noted;

static void note_place(Eval *eval, Noted *noted, Place place, bool show) {
    for (unsigned i = 0; i < noted->count; i++)
        if (noted->seen[i].file == place.file && noted->seen[i].line == place.line)
            return;
    if (noted->count == G_N_ELEMENTS(noted->seen))
        return;
    noted->seen[noted->count++] = place;
    if (show)
        problems_note(eval->problems, (Origin){ .file = place.file, .line = place.line });
}

static void report(Eval *eval, Place place, const char *text, const Place *callers,
                   unsigned n_callers) {
    const Frame *chain[4];
    Noted noted = { .count = 0 };
    unsigned depth = frame_chain(eval, place.frame, chain, G_N_ELEMENTS(chain));
    g_autoptr(GString) message = g_string_new(NULL);
    for (unsigned i = 0; i < depth; i++)
        g_string_append_printf(message, "%s: ", chain[i]->show);
    g_string_append(message, text);
    problems_add(eval->problems, eval_origin(eval, place), message->str);
    for (unsigned i = 0; i < depth; i++)
        note_place(eval, &noted, chain[i]->caller, i > 0);
    note_place(eval, &noted, place, depth > 0);
    for (unsigned i = 0; i < n_callers; i++)
        note_place(eval, &noted, callers[i], true);
}

void eval_problem(Eval *eval, Place place, const char *text) {
    report(eval, place, text, NULL, 0);
}

void eval_problem_here(Eval *eval, lua_State *lua, const char *text) {
    Place callers[PLACE_CALLERS];
    unsigned n_callers = eval_callers(lua, 1, callers);
    report(eval, eval_place(eval, lua, 1), text, callers, n_callers);
}

void eval_note_missing(Eval *eval, const char *name, Place place) {
    char *key = g_strdup(name);
    g_hash_table_replace(eval->missing, key, g_memdup2(&place, sizeof place));
    eval->last_missing = key;
    enum { KEPT_MISSES = 16 };
    if (eval->recent_misses->len == KEPT_MISSES)
        g_array_remove_index(eval->recent_misses, 0);
    Miss miss = { g_strdup(name), place };
    g_array_append_val(eval->recent_misses, miss);
}

/* Most errors on a line that reads a value which was not given come from that; so do those of what
 * is called there, and of a template or module whose arguments begin there. */
static bool is_reached_from(Place missing, Place place, const Place *callers, unsigned n_callers) {
    enum { CALL_LINES = 30 }; /* that the arguments of a call may take */
    if (missing.file == place.file && missing.line == place.line)
        return true;
    for (unsigned i = 0; i < n_callers; i++) {
        unsigned lines = callers[i].file == place.file ? 0 : CALL_LINES;
        if (missing.file == callers[i].file && missing.line >= callers[i].line &&
            missing.line <= callers[i].line + lines)
            return true;
    }
    return false;
}

bool eval_is_missing(Eval *eval, lua_State *lua, const char *name) {
    Place callers[PLACE_CALLERS];
    unsigned n_callers = eval_callers(lua, 1, callers);
    void *key, *place;
    if (!g_hash_table_lookup_extended(eval->missing, name, &key, &place))
        return false;
    if (!is_reached_from(*(Place *)place, eval_place(eval, lua, 1), callers, n_callers))
        return false;
    eval->last_missing = key;
    return true;
}

/* NULL: no value is missing there, or text has a better hint. */
static char *missing_hint(const Eval *eval, const char *text) {
    const char *name = eval->last_missing;
    const Raised *raised = &eval->raised;
    if (!name || g_str_has_suffix(text, "?"))
        return NULL;
    const Place *missing = g_hash_table_lookup(eval->missing, name);
    if (!is_reached_from(*missing, raised->place, raised->callers, raised->n_callers))
        return NULL;
    return missing_text(eval, name);
}

void eval_report_raised(Eval *eval) {
    Raised *raised = &eval->raised;
    if (!raised->reported) {
        const char *text = raised->text ? raised->text : "unknown error";
        g_autofree char *hint = missing_hint(eval, text);
        g_autofree char *message = g_strconcat(text, hint, NULL);
        report(eval, raised->place, message, raised->callers, raised->n_callers);
    }
    raised->reported = false;
    g_clear_pointer(&raised->text, g_free);
}

EvalDepth eval_depth(const Eval *eval) {
    return (EvalDepth){ eval->frame, eval->imports->len, eval->outputs->len, eval->n_pcalls };
}

void eval_restore(Eval *eval, EvalDepth depth) {
    eval->frame = depth.frame;
    eval->n_pcalls = depth.n_pcalls;
    g_ptr_array_set_size(eval->imports, (int)depth.n_imports);
    g_ptr_array_set_size(eval->outputs, (int)depth.n_outputs);
}

/* Raising */

int eval_raise(lua_State *lua, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = g_strdup_vprintf(format, args);
    va_end(args);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

/* What was refused for an unknown name in it was reported where that stands. */
bool eval_take_absent(Eval *eval) {
    bool met = eval->met_absent;
    eval->met_absent = false;
    return met;
}

int eval_raise_error(lua_State *lua, GError *error) {
    if (eval_take_absent(eval_of(lua))) {
        g_error_free(error);
        return eval_raise_reported(lua);
    }
    char *text = g_strdup(error->message);
    g_error_free(error);
    eval_push_text(lua, text, strlen(text));
    return lua_error(lua);
}

int eval_raise_reported(lua_State *lua) {
    eval_of(lua)->raised.reported = true;
    return eval_raise(lua, "a problem was reported already");
}

int eval_abandon(lua_State *lua) {
    eval_of(lua)->fatal = true;
    return eval_raise_reported(lua);
}

void eval_charge(lua_State *lua, uint64_t steps) {
    Eval *eval = eval_of(lua);
    if (steps > eval->max_steps || eval->steps > eval->max_steps - steps)
        sandbox_raise_steps(lua);
    eval->steps += steps;
}

void eval_push_text(lua_State *lua, char *text, size_t size) {
    Eval *eval = eval_of(lua);
    g_free(eval->pending_text);
    eval->pending_text = text;
    lua_pushlstring(lua, text, size);
    g_clear_pointer(&eval->pending_text, g_free);
}

void eval_push_value(lua_State *lua, Value *value) {
    Eval *eval = eval_of(lua);
    value_unref(eval->pending_value);
    eval->pending_value = value;
    lua_value_push(lua, value);
    g_clear_pointer(&eval->pending_value, value_unref);
}

/* Inputs */

void eval_note_read(Eval *eval, const char *group, const char *name, const Value *value) {
    g_autofree char *key = g_strconcat(group, ".", name, NULL);
    value_map_set(eval->reads, key, value ? value_ref(value) : value_new_nil());
}

void eval_note_change(Eval *eval, uint64_t next_change) {
    if (next_change && (!eval->next_change || next_change < eval->next_change))
        eval->next_change = next_change;
}

char *eval_path(const Eval *eval, const char *path) {
    return *path == '/' ? g_strdup(path) : g_strconcat(eval->directory, path, NULL);
}
