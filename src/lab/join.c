#include "lab/join.h"

#include <string.h>
#include <sys/wait.h>

#include "base/error.h"
#include "lab/disk.h"

#define PATIENCE_US (60 * G_USEC_PER_SEC) /* of the hub to begin */
#define PAUSE_US    (G_USEC_PER_SEC / 10)

/* Runs words in a host, by the command that people would use. *ret_said: what it printed, trimmed,
 * of both streams when it failed. */
static bool run_in(const Record *record, const char *host, char *const *words, char **ret_said,
                   GError **error) {
    const char *const first[] = { "stead", "lab",        "exec", "--data", record->data,
                                  "--lab", record->name, host,   "--" };
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++)
        g_ptr_array_add(all, (char *)(uintptr_t)first[i]);
    for (; *words; words++)
        g_ptr_array_add(all, *words);
    g_ptr_array_add(all, NULL);
    g_autofree char *output = NULL, *errors = NULL;
    g_autoptr(GError) problem = NULL;
    int status = -1;
    char *self = (char *)(uintptr_t) "/proc/self/exe";
    g_ptr_array_insert(all, 0, self);
    if (!g_spawn_sync("/", (char **)all->pdata, NULL, G_SPAWN_FILE_AND_ARGV_ZERO, NULL, NULL,
                      &output, &errors, &status, &problem)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "run a command in host '%s': %s", host,
                    problem->message);
        return false;
    }
    *ret_said = g_strdup(g_strstrip(output));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    g_strstrip(errors);
    /* 1: bad usage, which no patience mends */
    bool is_final = WIFEXITED(status) && WEXITSTATUS(status) == 1;
    g_set_error(error, STEAD_ERROR, is_final ? STEAD_ERROR_REFUSED : STEAD_ERROR_FAILED,
                "in host '%s': %s", host,
                *errors   ? errors
                : *output ? output
                          : "it ended without a word");
    return false;
}

/* The command by which a host joins, as the hub says it. */
static char *new_token(const Record *record, const LabHost *host, GError **error) {
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    /* Until it answers it is said what it says itself. */
    static const char when_ready[] =
        "test -e " DISK_HUB "/url || { journalctl -q -u stead-hub -n 6 -o cat >&2; exit 75; }; "
        "exec \"$0\" \"$@\"";
    const char *const first[] = { "sh",     "-c",       when_ready, "stead",  "token",  "new",
                                  "--host", host->name, "--data",   DISK_HUB, "--quiet" };
    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++)
        g_ptr_array_add(words, g_strdup(first[i]));
    for (size_t i = 0; host->labels && i < value_size(host->labels); i++) {
        const char *name;
        const char *value = value_string(value_map_at(host->labels, i, &name));
        g_ptr_array_add(words, g_strdup("--label"));
        g_ptr_array_add(words, g_strconcat(name, "=", value, NULL));
    }
    for (unsigned i = 0; i < host->grants->len; i++) {
        g_ptr_array_add(words, g_strdup("--may-publish"));
        g_ptr_array_add(words, g_strdup(g_ptr_array_index(host->grants, i)));
    }
    g_ptr_array_add(words, NULL);
    g_autofree char *said = NULL;
    if (!run_in(record, lab_hub(record->lab)->name, (char **)words->pdata, &said, error))
        return NULL;
    return g_steal_pointer(&said);
}

/* The hub may still be about to answer. */
static char *first_token(const Record *record, const LabHost *host, bool (*stopped)(void *data),
                         void *data, GError **error) {
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    for (;;) {
        g_autoptr(GError) problem = NULL;
        char *call = new_token(record, host, &problem);
        if (call)
            return call;
        if (stopped(data)) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED,
                        "interrupted: nothing of the lab is left");
            return NULL;
        }
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_REFUSED) ||
            g_get_monotonic_time() > deadline) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem), "ask the hub: ");
            return NULL;
        }
        g_usleep(PAUSE_US);
    }
}

/* call: what the hub's token says; its words have no blanks. */
static bool join_one(const Record *record, const LabHost *host, const char *call, GError **error) {
    g_autofree char *quoted =
        record->lab->deploy_key ? g_shell_quote(record->lab->deploy_key) : NULL;
    g_autofree char *script =
        g_strconcat(call, quoted ? " --deploy-key " : "", quoted ? quoted : "",
                    " && exec systemctl --no-block start " DISK_AGENT, NULL);
    char *words[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", script, NULL };
    g_autofree char *said = NULL;
    return run_in(record, host->name, words, &said, error);
}

bool join_host(const Record *record, const LabHost *host, bool (*stopped)(void *data), void *data,
               GError **error) {
    g_autofree char *call = first_token(record, host, stopped, data, error);
    return call && join_one(record, host, call, error);
}

bool join_all(const Record *record, bool (*stopped)(void *data), void *data, GError **error) {
    const Lab *lab = record->lab;
    for (unsigned i = 0; lab_hub(lab) && i < lab->hosts->len; i++) {
        const LabHost *host = lab_host(lab, i);
        if (lab_joins(lab, host) && !join_host(record, host, stopped, data, error))
            return false;
    }
    return true;
}

bool join_revoke(const Record *record, const LabHost *host, GError **error) {
    const char *const words[] = { "stead",  "host",   "revoke",  host->name,
                                  "--data", DISK_HUB, "--quiet", NULL };
    g_autofree char *said = NULL;
    if (run_in(record, lab_hub(record->lab)->name, (char *const *)(uintptr_t)words, &said, error))
        return true;
    g_prefix_error(error, "revoke host '%s': ", host->name);
    return false;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Lines of text without those of gone, then those of come. */
static char *other_lines(const char *text, char **gone, char **come) {
    GString *lines = g_string_new(NULL);
    g_auto(GStrv) all = g_strsplit(text, "\n", -1);
    for (char **line = all; *line; line++)
        if (**line && (!g_strv_contains((const char *const *)gone, *line) ||
                       g_strv_contains((const char *const *)come, *line)))
            g_string_append_printf(lines, "%s\n", *line);
    for (char **line = come; *line; line++)
        if (**line && !g_strv_contains((const char *const *)all, *line))
            g_string_append_printf(lines, "%s\n", *line);
    return g_string_free(lines, FALSE);
}

static bool tell_one(const Record *record, const Lab *before, const LabHost *host, GError **error) {
    static const char script[] = "printf %s \"$0\" > /etc/hosts";
    const char *const look[] = { "cat", "/etc/hosts", NULL };
    int old = lab_find_host(before, host->name);
    g_autofree char *was = disk_hosts(before, lab_host(before, (unsigned)old));
    g_autofree char *is = disk_hosts(record->lab, host), *text = NULL, *said = NULL;
    g_auto(GStrv) gone = g_strsplit(was, "\n", -1), come = g_strsplit(is, "\n", -1);
    if (!run_in(record, host->name, (char *const *)(uintptr_t)look, &text, error))
        return false;
    g_autofree char *fresh = other_lines(text, gone, come);
    const char *const put[] = { "sh", "-c", script, fresh, NULL };
    return run_in(record, host->name, (char *const *)(uintptr_t)put, &said, error);
}

bool join_tell_names(const Record *record, const Lab *before, GError **error) {
    const Lab *lab = record->lab;
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        g_autoptr(GError) problem = NULL;
        const LabHost *host = lab_host(lab, i);
        if (lab_find_host(before, host->name) >= 0 && !tell_one(record, before, host, &problem)) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem),
                                       "tell host '%s' the names of the others: ", host->name);
            return false;
        }
    }
    return true;
}
