#include "cli/why-text.h"

#include <string.h>

#include "base/origin.h"
#include "cli/change-text.h"
#include "cli/time-text.h"
#include "graph/kind.h"

/* "by file '/x' and 2 more", or NULL; caller frees. */
static char *blocked_text(const Value *status) {
    const Value *roots = value_map_get(status, "blocked_by");
    size_t n = value_type(roots) == VALUE_LIST ? value_size(roots) : 0;
    if (n == 0)
        return NULL;
    const char *first = value_string(value_list_at(roots, 0));
    return n == 1 ? g_strdup_printf("by %s", first)
                  : g_strdup_printf("by %s and %zu more", first, n - 1);
}

char *why_reason(const Value *status) {
    char *blocked = blocked_text(status);
    return blocked ? blocked : g_strdup(value_map_string(status, "error", NULL));
}

static void append_list(GString *text, const char *title, const Value *list) {
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++)
        g_string_append_printf(text, "  %s %s\n", title, value_string(value_list_at(list, i)));
}

/* "blocked by file '/x', through exec 'y': why it failed" */
static void append_causes(GString *text, const Value *causes) {
    for (size_t i = 0; value_type(causes) == VALUE_LIST && i < value_size(causes); i++) {
        const Value *cause = value_list_at(causes, i), *through = value_map_get(cause, "through");
        const char *error = value_map_string(cause, "error", NULL);
        g_string_append_printf(text, "  blocked by %s", value_map_string(cause, "name", ""));
        for (size_t j = 0; value_type(through) == VALUE_LIST && j < value_size(through); j++)
            g_string_append_printf(text, "%s%s", j ? ", " : ", through ",
                                   value_string(value_list_at(through, j)));
        g_string_append_printf(text, "%s%s\n", error ? ": " : "", error ? error : "");
    }
}

static void append_time(GString *text, const char *title, const Value *status, const char *key) {
    int64_t at = value_map_int(status, key, 0);
    if (at == 0)
        return;
    g_autofree char *shown = time_show(at);
    g_string_append_printf(text, "  %s %s\n", title, shown);
}

static void append_journal(void *data, const JournalEntry *entry) {
    g_autofree char *when = time_show(entry->time);
    g_string_append_printf(data, "  last change: %s %s, %s\n", when, change_journal_action(entry),
                           entry->corrective ? "drift" : "configuration");
}

void why_add_idle(Value *status, Ledger *ledger) {
    const LedgerEntry *entry = ledger ? ledger_find(ledger, value_map_string(status, "kind", ""),
                                                    value_map_string(status, "name", ""))
                                      : NULL;
    const char *idle = entry && value_type(entry->kept) == VALUE_MAP
                           ? value_map_string(entry->kept, KIND_KEPT_IDLE, NULL)
                           : NULL;
    if (idle)
        value_map_set(status, "idle", value_new_string(idle));
}

static void append_text(GString *text, const char *before, const char *what) {
    if (what && *what)
        g_string_append_printf(text, "  %s %s\n", before, what);
}

void why_append(GString *text, const Value *status, Ledger *ledger) {
    const char *origin = value_map_string(status, "origin", "");
    append_text(text, origin_parse(origin).line > 0 ? "declared at" : "declared in", origin);
    append_causes(text, value_map_get(status, "causes"));
    append_text(text, "did not run:", value_map_string(status, "idle", NULL));
    append_list(text, "waits for", value_map_get(status, "waits_for"));
    const char *semaphore = value_map_string(status, "semaphore", NULL);
    if (semaphore)
        g_string_append_printf(text, "  waits for a permit of semaphore '%s'\n", semaphore);
    append_text(text, "polled instead of watched:", value_map_string(status, "unwatched", NULL));
    append_time(text, "last looked at:", status, "checked");
    if (ledger) {
        JournalFilter filter = { .kind = value_map_string(status, "kind", ""),
                                 .name = value_map_string(status, "name", ""),
                                 .limit = 1 };
        (void)ledger_read_journal(ledger, &filter, append_journal, text, NULL); /* a detail */
    }
    append_time(text, "next try:", status, "next");
}
