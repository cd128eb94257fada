#include "cli/change-text.h"

#include <string.h>

#include "base/digest.h"

#define DIGEST_SHOWN 12 /* hexadecimal digits: enough to tell two apart */
#define KEYS_SHOWN   6

static const char digest_prefix[] = "sha256:";

static bool is_digest(const Value *value) {
    return value_type(value) == VALUE_STRING && !value_is_masked(value) &&
           value_string_size(value) == strlen(digest_prefix) + DIGEST_HEX_SIZE - 1 &&
           g_str_has_prefix(value_string(value), digest_prefix);
}

static char *cut_text(const Value *value, size_t width) {
    g_autofree char *whole = value_show(value, 0);
    if (g_utf8_strlen(whole, -1) <= (glong)width)
        return g_steal_pointer(&whole);
    const char *end = g_utf8_offset_to_pointer(whole, (glong)width - 2);
    return g_strdup_printf("%.*s…\"", (int)(end - whole), whole);
}

char *change_text_value(const Value *value, size_t width) {
    if (!value || value_type(value) == VALUE_NIL)
        return g_strdup("(none)");
    if (is_digest(value))
        return g_strndup(value_string(value), strlen(digest_prefix) + DIGEST_SHOWN);
    if (value_type(value) == VALUE_STRING && !value_is_masked(value))
        return cut_text(value, width);
    return value_show(value, width);
}

/* --- maps ------------------------------------------------------------------------------------- */

typedef struct {
    GString *text;
    unsigned count;
} Keys;

static void add_key(Keys *keys, char sign, const char *key) {
    if (keys->count++ < KEYS_SHOWN)
        g_string_append_printf(keys->text, "%s%c%s", keys->count > 1 ? " " : "", sign, key);
}

/* What came with '+', what changed with '~', what went with '-'. */
static char *compare_maps(const Value *before, const Value *after) {
    Keys keys = { .text = g_string_new(NULL) };
    const char *key;
    for (size_t i = 0; i < value_size(after); i++) {
        const Value *now = value_map_at(after, i, &key);
        const Value *then = before ? value_map_get(before, key) : NULL;
        if (!then || !value_equal(then, now))
            add_key(&keys, then ? '~' : '+', key);
    }
    for (size_t i = 0; before && i < value_size(before); i++) {
        (void)value_map_at(before, i, &key);
        if (!value_map_get(after, key))
            add_key(&keys, '-', key);
    }
    if (keys.count > KEYS_SHOWN)
        g_string_append_printf(keys.text, " and %u more", keys.count - KEYS_SHOWN);
    return g_string_free(keys.text, FALSE);
}

static bool is_open_map(const Value *value) {
    return value_type(value) == VALUE_MAP && !value_is_masked(value);
}

/* --- lines ------------------------------------------------------------------------------------ */

char *change_text(const char *property, const char *separator, const Value *before,
                  const Value *after, size_t width) {
    bool was = before && value_type(before) != VALUE_NIL;
    if (is_open_map(after) && (!was || is_open_map(before))) {
        g_autofree char *keys = compare_maps(was ? before : NULL, after);
        return g_strconcat(property, separator, keys, NULL);
    }
    g_autofree char *new = change_text_value(after, width);
    if (!was)
        return g_strconcat(property, separator, new, NULL);
    g_autofree char *old = change_text_value(before, width);
    return g_strconcat(property, separator, old, " -> ", new, NULL);
}

bool change_is_reload(Action action, const Value *after_of_notified) {
    return action == ACTION_RESTART && value_type(after_of_notified) == VALUE_STRING &&
           strcmp(value_string(after_of_notified), "reload") == 0;
}

const char *change_journal_action(const JournalEntry *entry) {
    const Value *first = value_type(entry->changes) == VALUE_LIST && value_size(entry->changes) > 0
                             ? value_list_at(entry->changes, 0)
                             : NULL;
    if (entry->reported)
        return "seen, not changed:";
    if (strcmp(entry->action, action_name(ACTION_NONE)) == 0)
        return "look at";
    bool restart = strcmp(entry->action, action_name(ACTION_RESTART)) == 0;
    const Value *after = value_type(first) == VALUE_MAP ? value_map_get(first, "after") : NULL;
    return restart && change_is_reload(ACTION_RESTART, after) ? "reload" : entry->action;
}
