#include "cli/deploy-plan.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/plural.h"

#define NAMES_SHOWN   8u
#define CHANGES_SHOWN 40u
#define PROBLEMS_MAX  20u

typedef struct {
    const DeployPlanOptions *options;
    DeployTree *next, *before; /* before: of all; or NULL */
    GHashTable *trees;         /* digest -> DeployTree, or NULL where the hub has it no more */
    GHashTable *groups;        /* JSON of changes -> Value: list of hosts */
    GHashTable *told;          /* problems -> hosts (GString) that have them */
    GPtrArray *order;          /* of the problems */
    Value *unknown;
    unsigned targets;
} Planning;

Bundle *deploy_fetch_bundle(const HubLink *link, const char *digest, GError **error) {
    char hex[DIGEST_HEX_SIZE];
    if (!bundle_parse_name(digest, hex, error))
        return NULL;
    g_autofree char *path = g_strconcat("/v1/bundles/", hex, NULL);
    g_autoptr(GBytes) packed = hub_fetch_bytes(link, path, error);
    return packed ? bundle_read(packed, hex, error) : NULL;
}

/* --- one host */

/* What the host has now; NULL without error: nothing, or nobody knows any more. */
static bool find_tree(Planning *planning, const char *digest, DeployTree **ret, GError **error) {
    void *known;
    *ret = NULL;
    if (!*digest)
        return true;
    if (g_hash_table_lookup_extended(planning->trees, digest, NULL, &known)) {
        *ret = known;
        return true;
    }
    g_autoptr(GError) problem = NULL;
    g_autoptr(Bundle) bundle = deploy_fetch_bundle(planning->options->link, digest, &problem);
    if (!bundle && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autofree char *shown = g_strdup_printf("sha256:%.12s", digest);
    DeployTree *tree =
        bundle ? deploy_tree_new(bundle, shown, &planning->options->inputs, error) : NULL;
    if (bundle && !tree)
        return false;
    g_hash_table_insert(planning->trees, g_strdup(digest), tree);
    *ret = tree;
    return true;
}

/* The members of one that other has not, or otherwise. */
static Value *changed_names(const Value *one, const Value *other) {
    Value *names = value_new_list();
    for (size_t i = 0; one && i < value_size(one); i++) {
        const char *name;
        const Value *value = value_map_at(one, i, &name);
        if (!other || !value_equal(value, value_map_get(other, name)))
            value_list_append(names, value_new_string(name));
    }
    for (size_t i = 0; other && i < value_size(other); i++) {
        const char *name;
        (void)value_map_at(other, i, &name);
        if (!one || !value_map_get(one, name))
            value_list_append(names, value_new_string(name));
    }
    return names;
}

/* Declared so that it is not there. */
static bool is_absent(const Value *resource) {
    const Value *params = value_map_get(resource, "params");
    const char *state = params ? value_map_string(params, "state", "") : "";
    return strcmp(state, "absent") == 0 || strcmp(state, "purged") == 0 ||
           strcmp(state, "uninstalled") == 0;
}

/* What the change of a declaration does to the machine; either may be NULL. */
static const char *effect_of(const Value *before, const Value *after) {
    bool was = before && !is_absent(before), is = after && !is_absent(after);
    if (was && is)
        return "change";
    if (is)
        return "add";
    return was || !before ? "remove" : after ? "change" : "none";
}

static Value *change_new(const char *change, const Value *before, const Value *after) {
    const Value *resource = after ? after : before;
    Value *map = value_new_map();
    value_map_set(map, "change", value_new_string(change));
    value_map_set(map, "effect", value_new_string(effect_of(before, after)));
    value_map_set(map, "absent", value_new_bool(is_absent(resource)));
    value_map_set(map, "kind", value_new_string(value_map_string(resource, "kind", "")));
    value_map_set(map, "name", value_new_string(value_map_string(resource, "name", "")));
    return map;
}

static Value *compare(const Value *before, const Value *after) {
    Value *changes = value_new_list();
    for (size_t i = 0; i < value_size(after); i++) {
        const char *key;
        const Value *now = value_map_at(after, i, &key);
        const Value *old = before ? value_map_get(before, key) : NULL;
        if (old && value_equal(old, now))
            continue;
        Value *change = change_new(old ? "change" : "add", old, now);
        if (old)
            value_map_set(
                change, "params",
                changed_names(value_map_get(now, "params"), value_map_get(old, "params")));
        value_list_append(changes, change);
    }
    for (size_t i = 0; before && i < value_size(before); i++) {
        const char *key;
        const Value *old = value_map_at(before, i, &key);
        if (!value_map_get(after, key))
            value_list_append(changes, change_new("remove", old, NULL));
    }
    return changes;
}

static void add_to_group(Planning *planning, const char *host, const Value *changes) {
    g_autofree char *key = json_print(changes, JSON_COMPACT);
    Value *hosts = g_hash_table_lookup(planning->groups, key);
    if (!hosts) {
        hosts = value_new_list();
        g_hash_table_insert(planning->groups, g_steal_pointer(&key), hosts);
    }
    value_list_append(hosts, value_new_string(host));
}

static void note_problems(Planning *planning, const char *host, const GPtrArray *problems) {
    for (unsigned i = 0; i < problems->len; i++) {
        const char *message = ((const GError *)problems->pdata[i])->message;
        GString *hosts = g_hash_table_lookup(planning->told, message);
        if (!hosts) {
            hosts = g_string_new(NULL);
            char *key = g_strdup(message);
            g_hash_table_insert(planning->told, key, hosts);
            g_ptr_array_add(planning->order, key);
        }
        g_string_append_printf(hosts, "%s%s", hosts->len ? ", " : "", host);
    }
}

static bool plan_host(Planning *planning, const Value *row, const char *running, GError **error) {
    const char *host = value_map_string(row, "host", "");
    const Value *facts = value_map_get(row, "facts"), *labels = value_map_get(row, "labels");
    planning->targets++;
    if (!facts || value_size(facts) == 0) {
        value_list_append(planning->unknown, value_new_string(host));
        return true;
    }
    DeployTree *tree;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(Value) after = deploy_tree_evaluate(planning->next, host, facts, labels, problems);
    if (planning->before)
        tree = planning->before;
    else if (!find_tree(planning, running, &tree, error))
        return false;
    note_problems(planning, host, problems);
    if (!after)
        return true;
    g_autoptr(Value) before =
        tree ? deploy_tree_evaluate(tree, host, facts, labels, ignored) : NULL;
    g_autoptr(Value) changes = compare(before, after);
    add_to_group(planning, host, changes);
    return true;
}

/* --- all of them */

static void print_problems(const Planning *planning) {
    for (unsigned i = 0; i < planning->order->len && i < PROBLEMS_MAX; i++) {
        const char *message = planning->order->pdata[i];
        const GString *hosts = g_hash_table_lookup(planning->told, message);
        g_autofree char *text = g_strdup_printf("%s\n  on %s", message, hosts->str);
        g_autoptr(GError) error = g_error_new_literal(STEAD_ERROR, STEAD_ERROR_CONFIG, text);
        printer_error(planning->options->printer, error);
    }
}

static int compare_groups(const void *a, const void *b) {
    const Value *one = *(Value *const *)a, *other = *(Value *const *)b;
    return value_compare(value_map_get(one, "hosts"), value_map_get(other, "hosts"));
}

static Value *result_of(Planning *planning) {
    Value *plan = value_new_map(), *groups = value_new_list();
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    GHashTableIter iter;
    void *key, *hosts;
    g_hash_table_iter_init(&iter, planning->groups);
    while (g_hash_table_iter_next(&iter, &key, &hosts)) {
        Value *group = value_new_map();
        value_map_set(group, "hosts", value_ref(hosts));
        value_map_set(group, "changes", json_parse(key, strlen(key), "changes", NULL));
        g_ptr_array_add(sorted, group);
    }
    g_ptr_array_sort(sorted, compare_groups);
    for (unsigned i = 0; i < sorted->len; i++)
        value_list_append(groups, sorted->pdata[i]);
    value_map_set(plan, "groups", groups);
    value_map_set(plan, "unknown", value_ref(planning->unknown));
    value_map_set(plan, "targets", value_new_int(planning->targets));
    return plan;
}

/* HOST -> digest of what it shall run now. */
static GHashTable *running_of(const Value *rows) {
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < value_size(rows); i++) {
        const Value *row = value_list_at(rows, i);
        g_hash_table_insert(table, (void *)(uintptr_t)value_map_string(row, "host", ""),
                            (void *)(uintptr_t)value_map_string(row, "digest", ""));
    }
    return table;
}

static bool plan_all(Planning *planning, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(planning->options->to, NULL, FALSE);
    g_autofree char *of_status = g_strconcat("/v1/fleet?selector=", escaped, NULL);
    g_autofree char *of_facts = g_strconcat("/v1/fleet/facts?selector=", escaped, NULL);
    g_autoptr(Value) status = hub_list(planning->options->link, of_status, "hosts", error);
    g_autoptr(Value) rows =
        status ? hub_list(planning->options->link, of_facts, "hosts", error) : NULL;
    if (!rows)
        return false;
    g_autoptr(GHashTable) running = running_of(status);
    for (size_t i = 0; i < value_size(rows); i++) {
        const Value *row = value_list_at(rows, i);
        const char *host = value_map_string(row, "host", "");
        const char *digest = g_hash_table_lookup(running, host);
        printer_progress(planning->options->printer, "%s: %zu of %zu", host, i + 1,
                         value_size(rows));
        if (!plan_host(planning, row, digest ? digest : "", error))
            return false;
    }
    return true;
}

static void tree_free(void *tree) {
    deploy_tree_free(tree);
}

static void string_free(void *string) {
    g_string_free(string, TRUE);
}

Value *deploy_plan(const DeployPlanOptions *options, GError **error) {
    Planning planning = {
        .options = options,
        .next = deploy_tree_new(options->bundle, options->directory, &options->inputs, error),
        .trees = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, tree_free),
        .groups =
            g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)value_unref),
        .told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, string_free),
        .order = g_ptr_array_new(),
        .unknown = value_new_list(),
    };
    Value *plan = NULL;
    if (planning.next && options->before)
        planning.before = deploy_tree_new(options->before, "before", &options->inputs, error);
    bool ready = planning.next && (planning.before || !options->before);
    if (ready && plan_all(&planning, error)) {
        print_problems(&planning);
        plan = planning.order->len == 0 ? result_of(&planning) : NULL;
    }
    deploy_tree_free(planning.next);
    deploy_tree_free(planning.before);
    g_hash_table_unref(planning.trees);
    g_hash_table_unref(planning.groups);
    g_hash_table_unref(planning.told);
    g_ptr_array_unref(planning.order);
    value_unref(planning.unknown);
    return plan;
}

Value *deploy_plan_between(const HubLink *link, const Bundle *from, const Bundle *to,
                           const char *host, const DeployInputs *inputs, Printer *printer,
                           GError **error) {
    g_autofree char *selector = g_strdup_printf("\"%s\"", host);
    DeployPlanOptions options = { .link = link,
                                  .printer = printer,
                                  .bundle = to,
                                  .directory = "after",
                                  .to = selector,
                                  .inputs = *inputs,
                                  .before = from };
    Value *plan = deploy_plan(&options, error);
    if (!plan || value_map_int(plan, "targets", 0) > 0)
        return plan;
    value_unref(plan);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "no host '%s'; 'stead host list' shows them", host);
    return NULL;
}

/* --- telling */

static char *list_names(const Value *names, unsigned limit) {
    GString *out = g_string_new(NULL);
    size_t n = value_size(names);
    for (size_t i = 0; i < n && i < limit; i++)
        g_string_append_printf(out, "%s%s", i ? ", " : "", value_string(value_list_at(names, i)));
    if (n > limit)
        g_string_append_printf(out, " and %zu more", n - limit);
    return g_string_free(out, FALSE);
}

static void print_change(Printer *printer, const Value *change) {
    static const struct {
        const char *name, *sign;
        Style style;
    } sorts[] = { { "add", "+", STYLE_GOOD },
                  { "change", "~", STYLE_CHANGE },
                  { "remove", "-", STYLE_BAD },
                  { "none", " ", STYLE_DIM } };
    const char *name = value_map_string(change, "effect", "");
    const Value *params = value_map_get(change, "params");
    bool is_left = strcmp(name, "none") == 0;
    g_autofree char *list = is_left                                   ? g_strdup("may exist again")
                            : value_map_bool(change, "absent", false) ? g_strdup("absent")
                            : params ? list_names(params, NAMES_SHOWN)
                                     : g_strdup("");
    for (unsigned i = 0; i < G_N_ELEMENTS(sorts); i++)
        if (strcmp(sorts[i].name, name) == 0)
            printer_line(printer, sorts[i].style, "  %s %s '%s'%s%s", sorts[i].sign,
                         value_map_string(change, "kind", ""), value_map_string(change, "name", ""),
                         *list ? ": " : "", list);
}

static void print_group(Printer *printer, const Value *group) {
    const Value *changes = value_map_get(group, "changes");
    g_autofree char *hosts = list_names(value_map_get(group, "hosts"), NAMES_SHOWN);
    size_t n = value_size(changes);
    if (n == 0) {
        printer_line(printer, STYLE_DIM, "%s: the same as before", hosts);
        return;
    }
    printer_line(printer, STYLE_STRONG, "%s:", hosts);
    for (size_t i = 0; i < n && i < CHANGES_SHOWN; i++)
        print_change(printer, value_list_at(changes, i));
    if (n > CHANGES_SHOWN)
        printer_line(printer, STYLE_DIM, "  and %zu more", n - CHANGES_SHOWN);
}

void deploy_plan_print(Printer *printer, const Value *plan) {
    const Value *groups = value_map_get(plan, "groups"), *unknown = value_map_get(plan, "unknown");
    for (size_t i = 0; i < value_size(groups); i++)
        print_group(printer, value_list_at(groups, i));
    if (value_size(unknown) == 0)
        return;
    g_autofree char *names = list_names(unknown, NAMES_SHOWN);
    printer_line(printer, STYLE_PLAIN, "%s: %s told no facts yet, what changes there is not known",
                 names, plural((unsigned)value_size(unknown), "it has", "they have"));
}
