/* From what a program says about its kind to the tables that every kind has. */
#include <string.h>

#include "base/json.h"
#include "base/suggest.h"
#include "graph/meta.h"
#include "kinds/program-kind.h"

#define LIMIT_PROGRAM_PARAMS  200u
#define LIMIT_PROGRAM_OUTPUTS 200u

static const struct {
    const char *name;
    ParamType type;
} types[] = {
    { "string", PARAM_STRING }, { "path", PARAM_PATH },         { "bool", PARAM_BOOL },
    { "int", PARAM_INT },       { "number", PARAM_FLOAT },      { "choice", PARAM_ENUM },
    { "mode", PARAM_MODE },     { "duration", PARAM_DURATION }, { "strings", PARAM_STRINGS },
    { "map", PARAM_MAP },       { "any", PARAM_ANY },
};

static const struct {
    const char *name;
    ParamFlags flag;
} param_flags[] = {
    { "required", PARAM_REQUIRED }, { "property", PARAM_PROPERTY }, { "named", PARAM_NAMED },
    { "identity", PARAM_IDENTITY }, { "secret", PARAM_SECRET },
};

static const char *const predictions[] = {
    [PREDICTS_PROPERTIES] = "properties",
    [PREDICTS_SIMULATE] = "simulate",
    [PREDICTS_NONE] = "none",
};
static const char *const watches[] = {
    [WATCH_POLL] = "poll", [WATCH_FILES] = "files", [WATCH_EVENTS] = "events"
};
static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param state_row = {
    "state",
    PARAM_ENUM,
    0,
    "Whether it is to be there. What is made for a resource is absent again when that leaves the "
    "configuration.",
    .fallback = "exists",
    .choices = states,
    .aliases = "ensure",
};

/* --- reading members */

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

static char *own(ProgramKind *self, const char *text) {
    char *copy = g_strdup(text);
    g_ptr_array_add(self->strings, copy);
    return copy;
}

/* Text that is there and says something; where is what it belongs to. */
static bool take_text(ProgramKind *self, const Value *map, const char *member, const char *where,
                      const char **ret_text, GError **error) {
    const char *text = value_map_string(map, member, NULL);
    if (!text || *text == '\0')
        return fail(error, "%s%s: expected some text in \"%s\"", where, *where ? "" : "it", member);
    *ret_text = own(self, text);
    return true;
}

static bool take_bool(const Value *map, const char *member, bool fallback, bool *ret_bool,
                      GError **error) {
    const Value *value = value_map_get(map, member);
    if (value && value_type(value) != VALUE_BOOL)
        return fail(error, "\"%s\": expected true or false, found %s", member,
                    value_type_name(value_type(value)));
    *ret_bool = value ? value_bool(value) : fallback;
    return true;
}

/* The index of the member's word among names, or fallback when it is not there; -1: required. */
static bool take_word(const Value *map, const char *member, const char *const *names, size_t n,
                      int fallback, unsigned *ret_index, GError **error) {
    const Value *value = value_map_get(map, member);
    const char *word = value_map_string(map, member, NULL);
    for (size_t i = 0; word && i < n; i++)
        if (strcmp(word, names[i]) == 0) {
            *ret_index = (unsigned)i;
            return true;
        }
    if (!value && fallback >= 0) {
        *ret_index = (unsigned)fallback;
        return true;
    }
    g_autoptr(GString) choices = g_string_new(NULL);
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(choices, "%s\"%s\"",
                               i == 0      ? ""
                               : i + 1 < n ? ", "
                                           : " or ",
                               names[i]);
    g_autofree char *found = value ? value_show(value, 40) : g_strdup("nothing");
    return fail(error, "\"%s\": expected %s, found %s", member, choices->str, found);
}

static bool is_name(const char *text) {
    if (!text || !g_ascii_islower(*text))
        return false;
    for (; *text != '\0'; text++)
        if (!g_ascii_islower(*text) && !g_ascii_isdigit(*text) && *text != '_')
            return false;
    return true;
}

/* --- one parameter */

static bool is_taken(const ProgramKind *self, unsigned n, const char *name) {
    static const char *const words[] = { "needs", "before", "notify", "listen", "name" };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return meta_knows(name) || param_find(self->kind.params, n, name) >= 0;
}

static bool read_name(ProgramKind *self, unsigned n, const Value *map, Param *row, GError **error) {
    const char *name = value_map_string(map, "name", NULL);
    if (!is_name(name))
        return fail(error,
                    "params[%u]: \"name\" must be lower-case letters, digits and '_', "
                    "beginning with a letter",
                    n - self->removable);
    if (is_taken(self, n, name))
        return fail(error, "parameter '%s': this name has a meaning already; choose another", name);
    row->name = own(self, name);
    return true;
}

static bool read_type(const Value *map, Param *row, GError **error) {
    const char *names[G_N_ELEMENTS(types)];
    unsigned type;
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        names[i] = types[i].name;
    if (!take_word(map, "type", names, G_N_ELEMENTS(types), -1, &type, error))
        return false;
    row->type = types[type].type;
    row->unit = row->type == PARAM_DURATION ? "s" : NULL;
    return true;
}

static bool read_flags(const Value *map, Param *row, bool *ret_is_file, GError **error) {
    row->flags = PARAM_RECEIVES;
    for (size_t i = 0; i < G_N_ELEMENTS(param_flags); i++) {
        bool set;
        if (!take_bool(map, param_flags[i].name, false, &set, error))
            return false;
        row->flags |= set ? param_flags[i].flag : 0;
    }
    if (!take_bool(map, "file", false, ret_is_file, error))
        return false;
    if (*ret_is_file && row->type != PARAM_PATH)
        return fail(error, "\"file\" is for parameters of type \"path\"");
    if (row->flags & PARAM_NAMED && row->type != PARAM_STRING && row->type != PARAM_PATH)
        return fail(error, "\"named\" is for parameters of type \"string\" or \"path\"");
    return true;
}

static bool read_choices(ProgramKind *self, const Value *map, Param *row, GError **error) {
    const Value *list = value_map_get(map, "choices");
    if ((row->type == PARAM_ENUM) != (list != NULL))
        return fail(error, list ? "\"choices\" are for the type \"choice\""
                                : "the type \"choice\" needs \"choices\"");
    if (!list)
        return true;
    if (value_type(list) != VALUE_LIST || value_size(list) == 0)
        return fail(error, "\"choices\": expected a list of texts");
    const char **choices = g_new0(const char *, value_size(list) + 1);
    g_ptr_array_add(self->lists, choices);
    for (size_t i = 0; i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        if (value_type(item) != VALUE_STRING || value_string_size(item) == 0)
            return fail(error, "\"choices\": expected a list of texts");
        choices[i] = own(self, value_string(item));
    }
    row->choices = choices;
    return true;
}

/* A default as the text that tables hold; NULL: a table cannot hold it. */
static char *fallback_text(const Param *row, const Value *value) {
    bool is_text = value_type(value) == VALUE_STRING;
    switch (row->type) {
    case PARAM_BOOL:
        return value_type(value) == VALUE_BOOL ? g_strdup(value_bool(value) ? "true" : "false")
                                               : NULL;
    case PARAM_INT:
    case PARAM_FLOAT:
        return value_type(value) == VALUE_INT || value_type(value) == VALUE_FLOAT
                   ? json_print(value, JSON_COMPACT)
                   : NULL;
    case PARAM_MAP:
        return value_type(value) == VALUE_MAP && value_size(value) == 0 ? g_strdup("") : NULL;
    case PARAM_STRINGS:
        if (value_type(value) == VALUE_LIST && value_size(value) == 0)
            return g_strdup("");
        return is_text && value_string_size(value) > 0 ? g_strdup(value_string(value)) : NULL;
    case PARAM_DURATION:
        if (value_type(value) == VALUE_INT)
            return g_strdup_printf("%" G_GINT64_FORMAT "s", value_int(value));
        return is_text ? g_strdup(value_string(value)) : NULL;
    case PARAM_STRING:
    case PARAM_PATH:
    case PARAM_ENUM:
    case PARAM_MODE:
    case PARAM_ANY:
        break;
    }
    return is_text ? g_strdup(value_string(value)) : NULL;
}

/* Whether param_fallback() makes something else of the text before it is converted. */
static bool is_parsed(const Param *row) {
    return row->type == PARAM_BOOL || row->type == PARAM_INT || row->type == PARAM_FLOAT ||
           row->type == PARAM_MAP || row->type == PARAM_STRINGS;
}

static bool read_default(ProgramKind *self, const Value *map, Param *row, GError **error) {
    const Value *value = value_map_get(map, "default");
    if (!value || value_type(value) == VALUE_NIL)
        return true;
    g_autofree char *text = fallback_text(row, value);
    g_autofree char *shown = value_show(value, 40);
    if (!text)
        return fail(error, "\"default\": a %s cannot have %s as its default",
                    param_type_name(row->type), shown);
    g_autoptr(Value) as_text = is_parsed(row) ? value_ref(value) : value_new_string(text);
    g_autoptr(Value) converted = param_convert(row, as_text, error);
    if (!converted) {
        g_prefix_error(error, "\"default\": ");
        return false;
    }
    if (row->flags & (PARAM_REQUIRED | PARAM_NAMED))
        return fail(error, "\"default\": what is required or named has none");
    row->fallback = own(self, text);
    return true;
}

static bool read_pattern(const Value *map, const Param *row, ProgramParam *extra, GError **error) {
    const char *text = value_map_string(map, "pattern", NULL);
    if (!text)
        return true;
    if (row->type != PARAM_STRING && row->type != PARAM_PATH)
        return fail(error, "\"pattern\" is for parameters of type \"string\" or \"path\"");
    g_autoptr(GError) problem = NULL;
    g_autofree char *whole = g_strdup_printf("\\A(?:%s)\\z", text);
    extra->pattern_text = g_strdup(text);
    extra->pattern = g_regex_new(whole, G_REGEX_OPTIMIZE, 0, &problem);
    return extra->pattern || fail(error, "\"pattern\": %s", problem->message);
}

static bool read_aliases(ProgramKind *self, unsigned n, const Value *map, Param *row,
                         GError **error) {
    const char *aliases = value_map_string(map, "also", NULL);
    if (!aliases || *aliases == '\0')
        return true;
    g_auto(GStrv) words = g_strsplit(aliases, " ", -1);
    for (char **word = words; *word; word++)
        if (!is_name(*word) || is_taken(self, n, *word) || strcmp(*word, row->name) == 0)
            return fail(error, "\"also\": '%s' is no name, or has a meaning already", *word);
    row->aliases = own(self, aliases);
    return true;
}

static bool read_param(ProgramKind *self, unsigned n, const Value *map, GError **error) {
    Param *row = &((Param *)(uintptr_t)self->kind.params)[n];
    ProgramParam *extra = &self->extras[n];
    if (value_type(map) != VALUE_MAP)
        return fail(error, "params[%u]: expected an object", n - self->removable);
    if (!read_name(self, n, map, row, error))
        return false;
    if (read_aliases(self, n, map, row, error) && read_type(map, row, error) &&
        read_flags(map, row, &extra->is_file, error) &&
        take_text(self, map, "help", "", &row->help, error) &&
        read_choices(self, map, row, error) && read_default(self, map, row, error) &&
        read_pattern(map, row, extra, error))
        return true;
    g_prefix_error(error, "parameter '%s': ", row->name);
    return false;
}

static bool read_params(ProgramKind *self, const Value *described, GError **error) {
    const Value *list = value_map_get(described, "params");
    if (value_type(list) != VALUE_LIST)
        return fail(error, "\"params\": expected a list of objects");
    if (value_size(list) > LIMIT_PROGRAM_PARAMS)
        return fail(error, "\"params\": more than %u", LIMIT_PROGRAM_PARAMS);
    unsigned n = (unsigned)value_size(list) + self->removable;
    Param *rows = g_new0(Param, n + 1);
    self->extras = g_new0(ProgramParam, n + 1);
    self->kind.params = rows;
    self->kind.n_params = n;
    if (self->removable)
        rows[PROGRAM_STATE] = state_row;
    for (unsigned i = self->removable; i < n; i++)
        if (!read_param(self, i, value_list_at(list, i - self->removable), error))
            return false;
    return true;
}

/* --- outputs */

static bool read_output(ProgramKind *self, unsigned n, const Value *map, GError **error) {
    Output *row = &((Output *)(uintptr_t)self->kind.outputs)[n];
    Param as_param = { 0 };
    const char *name = value_type(map) == VALUE_MAP ? value_map_string(map, "name", NULL) : NULL;
    if (!is_name(name))
        return fail(error,
                    "outputs[%u]: \"name\" must be lower-case letters, digits and '_', "
                    "beginning with a letter",
                    n);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(self->kind.outputs[i].name, name) == 0)
            return fail(error, "output '%s': there are two of that name", name);
    row->name = own(self, name);
    if (read_type(map, &as_param, error) && take_text(self, map, "help", "", &row->help, error)) {
        row->type = as_param.type;
        if (row->type != PARAM_ENUM)
            return true;
        fail(error, "the type \"choice\" is for parameters");
    }
    g_prefix_error(error, "output '%s': ", name);
    return false;
}

static bool read_outputs(ProgramKind *self, const Value *described, GError **error) {
    const Value *list = value_map_get(described, "outputs");
    if (!list)
        return true;
    if (value_type(list) != VALUE_LIST || value_size(list) > LIMIT_PROGRAM_OUTPUTS)
        return fail(error, "\"outputs\": expected a list of at most %u objects",
                    LIMIT_PROGRAM_OUTPUTS);
    unsigned n = (unsigned)value_size(list);
    self->kind.outputs = g_new0(Output, n + 1);
    for (unsigned i = 0; i < n; i++) {
        if (!read_output(self, i, value_list_at(list, i), error))
            return false;
        self->kind.n_outputs = i + 1;
    }
    return true;
}

/* --- the kind */

static bool take_number(const Value *map, const char *member, double low, double high,
                        double fallback, double *ret, GError **error) {
    const Value *value = value_map_get(map, member);
    bool is_number = value_type(value) == VALUE_INT || value_type(value) == VALUE_FLOAT;
    if (value && (!is_number || !(value_float(value) >= low && value_float(value) <= high)))
        return fail(error, "\"%s\": expected a number from %g to %g", member, low, high);
    *ret = value ? value_float(value) : fallback;
    return true;
}

static bool read_behaviour(ProgramKind *self, const Value *described, GError **error) {
    unsigned predicts, watch;
    bool refreshes;
    double poll, parallel;
    if (!take_word(described, "predicts", predictions, G_N_ELEMENTS(predictions), -1, &predicts,
                   error) ||
        !take_word(described, "watch", watches, G_N_ELEMENTS(watches), WATCH_POLL, &watch, error) ||
        !take_bool(described, "refreshes", false, &refreshes, error) ||
        !take_bool(described, "removable", true, &self->removable, error) ||
        !take_bool(described, "root", false, &self->below_root, error) ||
        !take_number(described, "poll", 1, 7 * 86400, 0, &poll, error) ||
        !take_number(described, "parallel", 1, 1000, 1, &parallel, error))
        return false;
    self->predicts = (Prediction)predicts;
    self->watch = (WatchMode)watch;
    self->poll_us = (uint64_t)(poll * G_USEC_PER_SEC);
    self->parallel = (unsigned)parallel;
    self->kind.flags |= refreshes ? KIND_REFRESHES : 0;
    self->kind.flags |= watch == WATCH_POLL && poll == 0 ? KIND_UNWATCHABLE : 0;
    return true;
}

/* Whoever is watched by what its parameters say is watched anew when they change. */
static bool check_watch(ProgramKind *self, GError **error) {
    bool any_file = false, any_property = false;
    for (unsigned i = 0; i < self->kind.n_params; i++) {
        Param *row = &((Param *)(uintptr_t)self->kind.params)[i];
        any_file |= self->extras[i].is_file;
        any_property |= row->flags & PARAM_PROPERTY;
        if (self->watch == WATCH_EVENTS || self->extras[i].is_file)
            row->flags |= PARAM_REWATCH;
    }
    if (self->watch == WATCH_FILES && !any_file)
        return fail(error, "\"watch\" is \"files\", but no parameter has \"file\": true");
    if (!any_property && !self->removable && !(self->kind.flags & KIND_REFRESHES))
        return fail(error, "nothing to keep: no parameter has \"property\": true, and it is "
                           "neither \"removable\" nor \"refreshes\"");
    return true;
}

static bool read_all(ProgramKind *self, const Value *described, GError **error) {
    if (value_type(described) != VALUE_MAP)
        return fail(error, "\"kind\": expected an object");
    const char *name = value_map_string(described, "name", self->kind.name);
    if (strcmp(name, self->kind.name) != 0)
        return fail(error, "it calls itself '%s', but a kind has the name of its file", name);
    return take_text(self, described, "summary", "", &self->kind.summary, error) &&
           take_text(self, described, "help", "", &self->kind.help, error) &&
           take_text(self, described, "example", "", &self->kind.example, error) &&
           read_behaviour(self, described, error) && read_params(self, described, error) &&
           read_outputs(self, described, error) && check_watch(self, error);
}

ProgramKind *program_kind_new(const char *name, const char *path, const Value *described,
                              GError **error) {
    g_autoptr(ProgramKind) self = g_new0(ProgramKind, 1);
    self->strings = g_ptr_array_new_with_free_func(g_free);
    self->lists = g_ptr_array_new_with_free_func(g_free);
    self->kind.name = own(self, name);
    self->kind.program = own(self, path);
    self->described = value_ref(described);
    if (!read_all(self, described, error)) {
        g_prefix_error(error, "understand how '%s' describes itself: ", path);
        return NULL;
    }
    program_kind_connect(self);
    return g_steal_pointer(&self);
}

void program_kind_free(ProgramKind *self) {
    if (!self)
        return;
    for (unsigned i = 0; i < self->kind.n_params && self->extras; i++) {
        g_clear_pointer(&self->extras[i].pattern, g_regex_unref);
        g_free(self->extras[i].pattern_text);
    }
    g_free(self->extras);
    g_free((void *)(uintptr_t)self->kind.params);
    g_free((void *)(uintptr_t)self->kind.outputs);
    g_ptr_array_unref(self->strings);
    g_ptr_array_unref(self->lists);
    value_unref(self->described);
    g_free(self);
}
