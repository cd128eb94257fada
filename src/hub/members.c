/* What is said of a member by people: labels, which selectors look at, and grants, which paths of
 * the exchange it may publish besides its own name. Both come with its token, and change later. */
#include <string.h>

#include "base/error.h"
#include "base/exchange-key.h"
#include "fleet/layout.h"
#include "hub/hub-private.h"

#define LABELS_MAX     64u
#define LABEL_TEXT_MAX 256u /* bytes */
#define GRANTS_MAX     64u

static const char *const members[] = { "labels", "grants" };

Value *map_copy(const Value *map, const char *except) {
    Value *copy = value_new_map();
    for (size_t i = 0; map && i < value_size(map); i++) {
        const char *key;
        const Value *member = value_map_at(map, i, &key);
        if (g_strcmp0(key, except) != 0)
            value_map_set(copy, key, value_ref(member));
    }
    return copy;
}

static bool refuse(GError **error, const char *what) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, what);
    return false;
}

static bool is_label_text(const Value *value) {
    return value_type(value) == VALUE_STRING && value_string_size(value) <= LABEL_TEXT_MAX &&
           g_utf8_validate(value_string(value), (gssize)value_string_size(value), NULL);
}

static bool check_labels(const Value *labels, GError **error) {
    if (value_type(labels) != VALUE_MAP || value_size(labels) > LABELS_MAX)
        return refuse(error, "'labels' must be a map of at most 64 names to texts");
    for (size_t i = 0; i < value_size(labels); i++) {
        const char *name;
        const Value *text = value_map_at(labels, i, &name);
        if (name_is_good(name) && is_label_text(text))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read the label '%.64s': its name must be 1 to 64 letters, digits, '.', '-' "
                    "and '_', and it a text of at most %u bytes",
                    name, LABEL_TEXT_MAX);
        return false;
    }
    return true;
}

static bool check_grants(const Value *grants, GError **error) {
    if (value_type(grants) != VALUE_LIST || value_size(grants) > GRANTS_MAX)
        return refuse(error, "'grants' must be a list of at most 64 paths");
    for (size_t i = 0; i < value_size(grants); i++) {
        const Value *path = value_list_at(grants, i);
        if (value_type(path) != VALUE_STRING)
            return refuse(error, "'grants' must be a list of at most 64 paths");
        if (!exchange_path_check(value_string(path), error)) {
            g_prefix_error(error, "read 'grants': ");
            return false;
        }
    }
    return true;
}

bool member_check(const Value *wish, GError **error) {
    const Value *labels = value_map_get(wish, "labels"), *grants = value_map_get(wish, "grants");
    return (!labels || check_labels(labels, error)) && (!grants || check_grants(grants, error));
}

void member_copy(Value *map, const Value *value, const Value *fallback) {
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        const Value *member = value ? value_map_get(value, members[i]) : NULL;
        if (!member && fallback)
            member = value_map_get(fallback, members[i]);
        if (member)
            value_map_set(map, members[i], value_ref(member));
    }
}

void member_write(Write *write, const char *host, const Value *record) {
    Value *member = value_new_map();
    member_copy(member, record, NULL);
    write_put(write, LAYOUT_MEMBER, host, member);
}

/* Also what it has said: another machine may get its name. */
void member_forget(Write *write, const char *host) {
    static const char *const own[] = { LAYOUT_MEMBER, LAYOUT_DESIRED,  LAYOUT_STAGE,
                                       LAYOUT_FACTS,  LAYOUT_REPORTED, LAYOUT_RUN };
    g_autofree char *below = g_strconcat(host, "/", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++)
        write_delete(write, own[i], host, false);
    write_delete(write, LAYOUT_DRIFT, below, true);
}
