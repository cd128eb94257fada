#include "cli/fleet-names.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "fleet/selector.h"

#define NAMES_SHOWN 10u

/* --- what there is ---------------------------------------------------------------------------- */

static Value *read_hosts(const HubLink *link, GError **error) {
    return hub_list(link, "/v1/fleet/facts", "hosts", error);
}

static void add_name(GHashTable *names, char *name) {
    g_hash_table_add(names, name);
}

/* "os", and "os.name" in it. */
static void add_names(GHashTable *names, const char *before, const Value *map) {
    if (!map || value_type(map) != VALUE_MAP)
        return;
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *member = value_map_at(map, i, &key);
        g_autofree char *name = g_strconcat(before, key, NULL);
        g_autofree char *inside = g_strconcat(name, ".", NULL);
        add_names(names, inside, member);
        add_name(names, g_steal_pointer(&name));
    }
}

/* The texts of a label or fact, of all items where it is a list. */
static void add_values(GHashTable *texts, const Value *value) {
    if (value && value_type(value) == VALUE_STRING)
        add_name(texts, g_strdup(value_string(value)));
    else if (value && value_type(value) == VALUE_LIST)
        for (size_t i = 0; i < value_size(value); i++)
            add_values(texts, value_list_at(value, i));
}

static GHashTable *set_new(void) {
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Its members, in order: the same answer each time. Borrowed. */
static GPtrArray *sorted(GHashTable *set) {
    GPtrArray *array = g_ptr_array_sized_new(g_hash_table_size(set) + 1);
    GHashTableIter iter;
    void *name;
    g_hash_table_iter_init(&iter, set);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_ptr_array_add(array, name);
    g_ptr_array_sort(array, compare);
    return array;
}

/* ", did you mean 'role'?"; of a few names all of them; or "". Caller frees. */
static char *hint(const char *name, GHashTable *known) {
    g_autoptr(GPtrArray) names = sorted(known);
    const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len);
    g_autofree char *ending = g_strconcat(".", name, NULL);
    for (unsigned i = 0; !near && i < names->len; i++)
        if (g_str_has_suffix(names->pdata[i], ending))
            near = names->pdata[i];
    if (near)
        return g_strdup_printf(", did you mean '%s'?", near);
    if (names->len == 0 || names->len > NAMES_SHOWN)
        return g_strdup("");
    g_ptr_array_add(names, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    return g_strconcat("; there are ", all, NULL);
}

/* --- selectors -------------------------------------------------------------------------------- */

typedef struct {
    const Value *hosts;
    GError *error; /* the first thing that is nobody's */
} Check;

static const Value *member_of(const Value *host, const char *name) {
    const Value *value = selector_look_up(value_map_get(host, "labels"), name);
    return value ? value : selector_look_up(value_map_get(host, "facts"), name);
}

static void check_host(Check *check, const char *name) {
    g_autoptr(GHashTable) known = set_new();
    for (size_t i = 0; i < value_size(check->hosts); i++)
        add_name(known, g_strdup(value_map_string(value_list_at(check->hosts, i), "host", "")));
    if (g_hash_table_contains(known, name))
        return;
    g_autofree char *near = hint(name, known);
    g_set_error(&check->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no host '%s'%s", name,
                *near ? near : "; 'stead host list' shows them");
}

static void refuse_name(Check *check, const char *name) {
    g_autoptr(GHashTable) known = set_new();
    for (size_t i = 0; i < value_size(check->hosts); i++) {
        add_names(known, "", value_map_get(value_list_at(check->hosts, i), "labels"));
        add_names(known, "", value_map_get(value_list_at(check->hosts, i), "facts"));
    }
    g_autofree char *near = hint(name, known);
    g_set_error(&check->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "no host has a label or fact '%s'%s", name,
                *near ? near : "; 'stead fleet facts' shows facts, 'stead host show' labels");
}

/* Of a term that names one text. */
static void check_value(Check *check, const SelectorTerm *term) {
    g_autoptr(GHashTable) known = set_new();
    for (size_t i = 0; i < value_size(check->hosts); i++)
        add_values(known, member_of(value_list_at(check->hosts, i), term->name));
    if (g_hash_table_size(known) == 0 || g_hash_table_contains(known, term->text))
        return; /* or it is a number, which has more than one spelling */
    g_autofree char *near = hint(term->text, known);
    g_set_error(&check->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no host has %s=%s%s",
                term->name, term->text, near);
}

static void check_name(Check *check, const char *name) {
    for (size_t i = 0; i < value_size(check->hosts); i++)
        if (member_of(value_list_at(check->hosts, i), name))
            return;
    refuse_name(check, name);
}

static void check_term(void *data, const SelectorTerm *term) {
    Check *check = data;
    bool is_host = !term->name || strcmp(term->name, "host") == 0;
    if (!is_host && !check->error)
        check_name(check, term->name);
    if (check->error || term->is_pattern || term->differs)
        return;
    if (is_host)
        check_host(check, term->text);
    else
        check_value(check, term);
}

bool fleet_check_selector(const HubLink *link, const char *text, GError **error) {
    g_autoptr(Selector) selector = selector_parse(text, error);
    g_autoptr(Value) hosts = selector ? read_hosts(link, error) : NULL;
    if (!hosts)
        return false;
    if (value_size(hosts) == 0)
        return true;
    Check check = { .hosts = hosts };
    selector_visit(selector, check_term, &check);
    if (!check.error)
        g_set_error(&check.error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "no host is '%s'; 'stead host list' shows names, 'stead host show' labels",
                    text);
    g_propagate_error(error, check.error);
    return false;
}

bool fleet_check_name(const HubLink *link, const char *name, GError **error) {
    g_autoptr(Value) hosts = read_hosts(link, error);
    if (!hosts || value_size(hosts) == 0)
        return hosts != NULL;
    Check check = { .hosts = hosts };
    check_name(&check, name);
    if (!check.error)
        return true;
    g_propagate_error(error, check.error);
    return false;
}

/* --- facts ------------------------------------------------------------------------------------ */

bool fleet_check_fact(const HubLink *link, const char *path, GError **error) {
    g_autoptr(Value) hosts = read_hosts(link, error);
    g_autoptr(GHashTable) known = set_new();
    for (size_t i = 0; hosts && i < value_size(hosts); i++) {
        const Value *facts = value_map_get(value_list_at(hosts, i), "facts");
        if (facts && selector_look_up(facts, path))
            return true;
        add_names(known, "", facts);
    }
    if (!hosts)
        return false;
    g_autofree char *near = hint(path, known);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no host has a fact '%s'%s", path,
                g_hash_table_size(known) == 0 ? ": none has told any yet"
                : *near                       ? near
                                              : "; 'stead fleet facts' shows them");
    return false;
}
