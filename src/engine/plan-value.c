/* Plans as values: the JSON form, and the comparison of a saved one with the host of today. */
#include <string.h>

#include "base/json.h"
#include "engine/plan.h"

#define PLAN_FORMAT      "1.0"
#define MISMATCHES_SHOWN 10

Value *changes_to_value(const Changes *changes) {
    Value *list = value_new_list();
    for (unsigned i = 0; changes && i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        Value *one = value_new_map();
        value_map_set(one, "property", value_new_string(change->property));
        value_map_set(one, "before", change->before ? value_ref(change->before) : value_new_nil());
        value_map_set(one, "after", change->after ? value_ref(change->after) : value_new_nil());
        value_list_append(list, one);
    }
    return list;
}

/* Terraform's words for what is done. */
static Value *actions_of(const PlanItem *item) {
    static const char *const words[][2] = {
        [ACTION_NONE] = { "no-op", NULL },         [ACTION_CREATE] = { "create", NULL },
        [ACTION_CHANGE] = { "update", NULL },      [ACTION_REMOVE] = { "delete", NULL },
        [ACTION_REPLACE] = { "delete", "create" }, [ACTION_RUN] = { "run", NULL },
        [ACTION_RESTART] = { "restart", NULL },
    };
    Value *list = value_new_list();
    Action action = item->changes ? item->changes->action : ACTION_NONE;
    if (item->removal == ON_REMOVE_RESTORE)
        value_list_append(list, value_new_string("restore"));
    else
        for (unsigned i = 0; i < 2 && words[action][i]; i++)
            value_list_append(list, value_new_string(words[action][i]));
    return list;
}

static Value *change_to_value(const PlanItem *item) {
    Value *before = value_new_map(), *after = value_new_map(), *unknown = value_new_map();
    Value *before_secret = value_new_map(), *after_secret = value_new_map();
    for (unsigned i = 0; item->changes && i < item->changes->changes->len; i++) {
        const Change *change = &g_array_index(item->changes->changes, Change, i);
        const char *name = change->property;
        if (change->before)
            value_map_set(before, name, value_ref(change->before));
        if (value_is_secret(change->before))
            value_map_set(before_secret, name, value_new_bool(true));
        if (value_is_secret(change->after))
            value_map_set(after_secret, name, value_new_bool(true));
        if (value_type(change->after) == VALUE_UNKNOWN)
            value_map_set(unknown, name, value_new_bool(true));
        else if (change->after)
            value_map_set(after, name, value_ref(change->after));
    }
    Value *map = value_new_map();
    value_map_set(map, "actions", actions_of(item));
    value_map_set(map, "before", before);
    value_map_set(map, "after", after);
    value_map_set(map, "after_unknown", unknown);
    value_map_set(map, "before_sensitive", before_secret);
    value_map_set(map, "after_sensitive", after_secret);
    return map;
}

static Value *diffs_of(const PlanItem *item) {
    Value *diffs = value_new_map();
    if (item->changes && item->changes->lines)
        value_map_set(diffs, CHANGE_LINES, value_new_string(item->changes->lines));
    for (unsigned i = 0; item->changes && i < item->changes->changes->len; i++) {
        const Change *change = &g_array_index(item->changes->changes, Change, i);
        if (change->diff)
            value_map_set(diffs, change->property, value_new_string(change->diff));
    }
    return diffs;
}

static Value *item_to_value(const PlanItem *item) {
    const Resource *resource = item->resource;
    g_autofree char *address = resource_show(resource);
    Value *map = value_new_map();
    value_map_set(map, "address", value_new_string(address));
    value_map_set(map, "type", value_new_string(resource->kind->name));
    value_map_set(map, "name", value_new_string(resource->name));
    if (resource->origin.file) {
        g_autofree char *origin =
            g_strdup_printf("%s:%u", resource->origin.file, resource->origin.line);
        value_map_set(map, "origin", value_new_string(origin));
    }
    if (item->removal != ON_REMOVE_DEFAULT)
        value_map_set(map, "removal", value_new_string(on_remove_name(item->removal)));
    value_map_set(map, "change", change_to_value(item));
    value_map_set(map, "diffs", diffs_of(item));
    value_map_set(map, "notified", value_new_bool(item->refreshed));
    value_map_set(map, "noop", value_new_bool(item->pending));
    value_map_set(map, "uncertain", value_new_bool(item->changes && item->changes->uncertain));
    if (item->note)
        value_map_set(map, "note", value_new_string(item->note));
    if (item->error)
        value_map_set(map, "error", value_new_string(item->error));
    return map;
}

Value *plan_to_value(const Plan *plan) {
    Value *changes = value_new_list(), *drift = value_new_list();
    for (unsigned i = 0; i < plan_size(plan); i++) {
        const PlanItem *item = plan_item(plan, i);
        value_list_append(item->corrective ? drift : changes, item_to_value(item));
    }
    char digest[DIGEST_HEX_SIZE];
    graph_digest(plan_graph(plan), digest);
    Value *map = value_new_map();
    value_map_set(map, "format_version", value_new_string(PLAN_FORMAT));
    value_map_set(map, "stead_version", value_new_string(STEAD_VERSION));
    value_map_set(map, "graph_digest", value_new_string(digest));
    value_map_set(map, "graph", graph_to_value(plan_graph(plan)));
    value_map_set(map, "resource_changes", changes);
    value_map_set(map, "resource_drift", drift);
    value_map_set(map, "unchanged", value_new_int(plan_count_unchanged(plan)));
    value_map_set(map, "errored", value_new_bool(plan_has_errors(plan)));
    return map;
}

/* --- comparison ------------------------------------------------------------------------------- */

typedef struct {
    GString *text;
    unsigned count;
} Mismatches;

static void mismatch(Mismatches *found, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void mismatch(Mismatches *found, const char *format, ...) {
    if (found->count++ >= MISMATCHES_SHOWN)
        return;
    va_list args;
    va_start(args, format);
    g_string_append(found->text, "\n    ");
    g_string_append_vprintf(found->text, format, args);
    va_end(args);
}

/* address -> its entry in resource_changes or resource_drift */
static GHashTable *entries_of(const Value *plan) {
    static const char *const lists[] = { "resource_changes", "resource_drift" };
    GHashTable *entries = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        const Value *list = value_map_get(plan, lists[l]);
        for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
            const Value *entry = value_list_at(list, i);
            const char *address =
                value_type(entry) == VALUE_MAP ? value_map_string(entry, "address", NULL) : NULL;
            if (address)
                g_hash_table_insert(entries, (void *)(uintptr_t)address, (void *)(uintptr_t)entry);
        }
    }
    return entries;
}

static const Value *part(const Value *entry, const char *name) {
    const Value *change = value_map_get(entry, "change");
    return value_type(change) == VALUE_MAP ? value_map_get(change, name) : NULL;
}

static void compare_property(const char *address, const char *side, const char *name,
                             const Value *then, const Value *now, Mismatches *found) {
    if (value_equal(then, now))
        return;
    g_autofree char *planned = value_show(then, 60);
    g_autofree char *actual = value_show(now, 60);
    if (strcmp(side, "before") == 0)
        mismatch(found, "%s: '%s' was %s when the plan was made, is %s now", address, name, planned,
                 actual);
    else
        mismatch(found, "%s: '%s' was to become %s, would become %s now", address, name, planned,
                 actual);
}

static void compare_side(const char *address, const char *side, const Value *then, const Value *now,
                         Mismatches *found) {
    const char *name;
    for (size_t i = 0; value_type(then) == VALUE_MAP && i < value_size(then); i++) {
        const Value *value = value_map_at(then, i, &name);
        const Value *other = value_type(now) == VALUE_MAP ? value_map_get(now, name) : NULL;
        compare_property(address, side, name, value, other, found);
    }
    for (size_t i = 0; value_type(now) == VALUE_MAP && i < value_size(now); i++) {
        const Value *value = value_map_at(now, i, &name);
        if (value_type(then) != VALUE_MAP || !value_map_get(then, name))
            compare_property(address, side, name, NULL, value, found);
    }
}

static void compare_entry(const char *address, const Value *then, const Value *now,
                          Mismatches *found) {
    unsigned before = found->count;
    compare_side(address, "before", part(then, "before"), part(now, "before"), found);
    compare_side(address, "after", part(then, "after"), part(now, "after"), found);
    if (found->count == before && !value_equal(part(then, "actions"), part(now, "actions"))) {
        g_autofree char *planned = value_show(part(then, "actions"), 0);
        g_autofree char *actual = value_show(part(now, "actions"), 0);
        mismatch(found, "%s: the plan says %s, today it would be %s", address, planned, actual);
    }
}

static void compare_entries(GHashTable *then, GHashTable *now, Mismatches *found) {
    GHashTableIter iter;
    void *address, *entry;
    g_hash_table_iter_init(&iter, then);
    while (g_hash_table_iter_next(&iter, &address, &entry)) {
        const Value *other = g_hash_table_lookup(now, address);
        if (other)
            compare_entry(address, entry, other, found);
        else
            mismatch(found, "%s: needs no change any more", (char *)address);
    }
    g_hash_table_iter_init(&iter, now);
    while (g_hash_table_iter_next(&iter, &address, &entry)) {
        if (g_hash_table_contains(then, address))
            continue;
        const Value *changed = part(entry, "before");
        const char *name = NULL;
        if (value_type(changed) == VALUE_MAP && value_size(changed) > 0)
            (void)value_map_at(changed, 0, &name);
        mismatch(found, "%s: was right when the plan was made, needs a change now%s%s%s",
                 (char *)address, name ? " of '" : "", name ? name : "", name ? "'" : "");
    }
}

bool plan_matches(const Plan *plan, const Value *saved, GError **error) {
    /* Secrets are compared as a file has them: by name. Whether they are the same ones is asked of
     * their keyed digest, by whoever read the file. */
    g_autoptr(Value) open = plan_to_value(plan);
    g_autofree char *text = json_print(open, JSON_COMPACT);
    g_autoptr(Value) fresh = json_parse(text, strlen(text), "plan", error);
    if (!fresh)
        return false;
    g_autoptr(GHashTable) then = entries_of(saved);
    g_autoptr(GHashTable) now = entries_of(fresh);
    Mismatches found = { .text = g_string_new(NULL) };
    compare_entries(then, now, &found);
    if (found.count > MISMATCHES_SHOWN)
        g_string_append_printf(found.text, "\n    ... and %u more", found.count - MISMATCHES_SHOWN);
    if (found.count > 0)
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "refuse to apply: the host is not what it was when the plan was made; nothing was "
            "changed; make a new plan%s",
            found.text->str);
    g_string_free(found.text, TRUE);
    return found.count == 0;
}
