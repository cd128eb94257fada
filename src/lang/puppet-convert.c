/* Converters that many rows of the tables use. */
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/printable.h"
#include "lang/puppet-loader.h"

bool puppet_refused(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

char *puppet_text_of(const Value *value) {
    switch (value_type(value)) {
    case VALUE_STRING:
        return strlen(value_string(value)) == value_string_size(value)
                   ? g_strdup(value_string(value))
                   : NULL;
    case VALUE_INT:
        return g_strdup_printf("%" G_GINT64_FORMAT, value_int(value));
    case VALUE_BOOL:
        return g_strdup(value_bool(value) ? "true" : "false");
    case VALUE_NIL:
    case VALUE_FLOAT:
    case VALUE_LIST:
    case VALUE_MAP:
    case VALUE_UNKNOWN:
        break;
    }
    return NULL;
}

bool puppet_is_one_of(const Value *value, const char *words) {
    g_autofree char *text = puppet_text_of(value);
    g_auto(GStrv) list = g_strsplit(words ? words : "", " ", -1);
    return text && *text && g_strv_contains((const char *const *)list, text);
}

/* What a message may show of a value. */
static char *show(const PuppetTarget *target, const Value *value) {
    if (target->secret || value_is_secret(value))
        return g_strdup("a Sensitive value");
    g_autofree char *text = puppet_text_of(value);
    g_autofree char *shown = text ? printable_text(text, PRINTABLE_PLAIN) : value_show(value, 60);
    return g_strdup_printf("'%s'", shown);
}

/* Setting */

bool puppet_target_set(PuppetTarget *target, const char *param, Value *value, GError **error) {
    const Kind *kind = target->resource->kind;
    g_autoptr(Value) input = value;
    int index = kind_param_index(kind, param);
    if (index < 0)
        return puppet_refused(error, "this stead's kind '%s' has no parameter '%s' for it",
                              kind->name, param);
    if (!input) {
        resource_put(target->resource, (unsigned)index, NULL);
        return true;
    }
    if (target->secret && !value_is_masked(input)) {
        Value *secret = value_as_secret(input, NULL);
        value_unref(input);
        input = secret;
    }
    Value *converted = kind_convert(kind, (unsigned)index, input, error);
    if (converted)
        resource_put(target->resource, (unsigned)index, converted);
    return converted != NULL;
}

bool puppet_target_set_meta(PuppetTarget *target, const char *param, Value *value, GError **error) {
    g_autoptr(Value) input = value;
    return meta_set(resource_own_meta(target->resource), param, input, error);
}

const Value *puppet_target_input(const PuppetTarget *target, const char *name) {
    const Value *parameters = target->item->parameters;
    const Value *value = parameters ? value_map_get(parameters, name) : NULL;
    return value_type(value) == VALUE_NIL ? NULL : value;
}

/* Converters */

bool puppet_set(PuppetTarget *target, const PuppetParam *row, const Value *input, GError **error) {
    return puppet_target_set(target, row->param, value_ref(input), error);
}

bool puppet_set_bool(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error) {
    bool yes = puppet_is_one_of(input, "true yes");
    if (yes || puppet_is_one_of(input, "false no"))
        return puppet_target_set(target, row->param, value_new_bool(yes), error);
    return puppet_set(target, row, input, error); /* says what is wrong */
}

bool puppet_set_int(PuppetTarget *target, const PuppetParam *row, const Value *input,
                    GError **error) {
    gint64 number;
    g_autofree char *text = puppet_text_of(input);
    if (value_type(input) == VALUE_STRING && text &&
        g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL))
        return puppet_target_set(target, row->param, value_new_int(number), error);
    return puppet_set(target, row, input, error);
}

bool puppet_set_text(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error) {
    g_autofree char *text = value_type(input) == VALUE_STRING ? NULL : puppet_text_of(input);
    if (!text && value_type(input) != VALUE_STRING)
        text = value_show(input, 0);
    return puppet_target_set(target, row->param, text ? value_new_string(text) : value_ref(input),
                             error);
}

bool puppet_set_list(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error) {
    return puppet_is_one_of(input, "absent") ? true : puppet_set(target, row, input, error);
}

bool puppet_set_word(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error) {
    g_autofree char *text = puppet_text_of(input);
    g_auto(GStrv) pairs = g_strsplit(row->words, " ", -1);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (char **pair = pairs; *pair; pair++) {
        char *to = strchr(*pair, '>');
        if (!to) /* "*": anything else as it is */
            return puppet_set(target, row, input, error);
        *to++ = '\0';
        bool is_bool = strcmp(to, "true") == 0 || strcmp(to, "false") == 0;
        if (g_strcmp0(text, *pair) == 0)
            return puppet_target_set(target, row->param,
                                     is_bool ? value_new_bool(*to == 't') : value_new_string(to),
                                     error);
        g_ptr_array_add(names, *pair);
    }
    g_autofree char *found = show(target, input);
    g_autofree char *hint = text && !target->secret
                                ? puppet_hint(text, (const char *const *)names->pdata, names->len)
                                : g_strdup("");
    g_ptr_array_add(names, NULL);
    g_autofree char *known = g_strjoinv(", ", (char **)names->pdata);
    return puppet_refused(error, "expected one of %s, found %s%s%s%s", known, found, hint,
                          row->text ? ": " : "", row->text ? row->text : "");
}

bool puppet_name(PuppetTarget *target, const PuppetParam *row, const Value *input, GError **error) {
    return true;
}

bool puppet_ignore(PuppetTarget *target, const PuppetParam *row, const Value *input,
                   GError **error) {
    if (row->text && !puppet_is_one_of(input, row->words))
        puppet_warn(target->loader, target->item, "'%s' of %s has no effect here: %s", row->name,
                    target->item->type, row->text);
    return true;
}

bool puppet_refuse(PuppetTarget *target, const PuppetParam *row, const Value *input,
                   GError **error) {
    if (puppet_is_one_of(input, row->words))
        return true;
    g_autofree char *shown = show(target, input);
    return puppet_refused(error, "%s is not supported: %s", shown, row->text);
}

/* Meta parameters */

bool puppet_meta_noop(PuppetTarget *target, const PuppetParam *row, const Value *input,
                      GError **error) {
    bool yes = puppet_is_one_of(input, "true yes");
    if (!yes && !puppet_is_one_of(input, "false no"))
        return puppet_refused(error, "expected true or false");
    return puppet_target_set_meta(target, "noop", value_new_bool(yes), error);
}

bool puppet_meta_schedule(PuppetTarget *target, const PuppetParam *row, const Value *input,
                          GError **error) {
    /* Puppet's own default, "once in each run". */
    if (puppet_is_one_of(input, "puppet default"))
        return true;
    g_autofree char *shown = show(target, input);
    return puppet_refused(error, "%s is not supported: %s", shown, row->text);
}
