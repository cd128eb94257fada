#include "remote/targets.h"

#include <string.h>

#include "base/error.h"
#include "base/printable.h"

#define HOSTS_MAX 1000u

struct Targets {
    Loop *loop;
    const GPtrArray *hosts;
    unsigned next, parallel, stops;
    const RemoteJob *job;
    RemoteSource source; /* owned reference */
    TargetsListener listener;
    GPtrArray *running; /* Target, owned */
};

/* --- hosts */

/* What begins with '-' would be an option of ssh. */
static bool check_host(const char *host, GError **error) {
    bool plain = *host != '\0' && *host != '-' && host[strlen(host) - 1] != '@';
    for (const char *c = host; plain && *c != '\0'; c++)
        plain = g_ascii_isalnum(*c) || strchr("@.:-_[]%+", *c) != NULL;
    if (plain)
        return true;
    g_autofree char *shown = printable_text(host, PRINTABLE_PLAIN);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "--ssh: '%s' is no host: write USER@HOST, or HOST, with commas between several",
                shown);
    return false;
}

GPtrArray *targets_parse_hosts(const char *text, GError **error) {
    g_autoptr(GPtrArray) hosts = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    for (char **word = words; *word != NULL; word++) {
        if (!check_host(g_strstrip(*word), error))
            return NULL;
        if (!g_ptr_array_find_with_equal_func(hosts, *word, g_str_equal, NULL))
            g_ptr_array_add(hosts, g_strdup(*word));
    }
    if (hosts->len > 0 && hosts->len <= HOSTS_MAX)
        return g_steal_pointer(&hosts);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "--ssh: name 1 to %u hosts", HOSTS_MAX);
    return NULL;
}

/* --- running */

static void go_on(void *data);

static void on_line(void *data, const Target *target, bool is_error, const char *line) {
    Targets *targets = data;
    targets->listener.line(targets->listener.data, target_host(target), is_error, line);
}

static void on_copies(void *data, const Target *target, size_t bytes) {
    Targets *targets = data;
    targets->listener.copies(targets->listener.data, target_host(target), bytes);
}

static void on_ended(void *data, Target *target) {
    Targets *targets = data;
    targets->listener.ended(targets->listener.data, target_host(target), target_exit_code(target),
                            target_error(target), target_has_run(target));
    (void)g_ptr_array_remove_fast(targets->running, target); /* frees it */
    go_on(targets);
}

static void start(Targets *targets, const char *host) {
    TargetListener listener = { on_line, on_copies, on_ended, targets };
    g_autoptr(GError) error = NULL;
    Target *target =
        target_start(targets->loop, host, targets->job, &targets->source, &listener, &error);
    if (target != NULL)
        g_ptr_array_add(targets->running, target);
    else
        targets->listener.ended(targets->listener.data, host, 0, error, false);
}

static void skip(Targets *targets, const char *host) {
    g_autoptr(GError) error = g_error_new(STEAD_ERROR, STEAD_ERROR_CANCELLED,
                                          "interrupted before its turn; nothing was touched");
    targets->listener.ended(targets->listener.data, host, 0, error, false);
}

static void go_on(void *data) {
    Targets *targets = data;
    while (targets->next < targets->hosts->len &&
           (targets->stops > 0 || targets->running->len < targets->parallel)) {
        const char *host = targets->hosts->pdata[targets->next++];
        if (targets->stops > 0)
            skip(targets, host);
        else
            start(targets, host);
    }
    if (targets->running->len == 0 && targets->next == targets->hosts->len)
        targets->listener.all_ended(targets->listener.data);
}

Targets *targets_new(Loop *loop, const GPtrArray *hosts, unsigned parallel, const RemoteJob *job,
                     const RemoteSource *source, const TargetsListener *listener) {
    Targets *targets = g_new0(Targets, 1);
    targets->loop = loop;
    targets->hosts = hosts;
    targets->parallel = MAX(1, parallel);
    targets->job = job;
    targets->source = *source;
    g_bytes_ref(source->packed);
    targets->listener = *listener;
    targets->running = g_ptr_array_new_with_free_func((GDestroyNotify)target_free);
    loop_post(loop, go_on, targets);
    return targets;
}

void targets_free(Targets *targets) {
    if (targets == NULL)
        return;
    loop_unpost(targets->loop, go_on, targets);
    g_ptr_array_unref(targets->running);
    g_bytes_unref(targets->source.packed);
    g_free(targets);
}

void targets_update(Targets *targets, const RemoteSource *source) {
    GBytes *old = targets->source.packed;
    targets->source = *source;
    g_bytes_ref(source->packed);
    g_bytes_unref(old);
    for (unsigned i = 0; i < targets->running->len; i++)
        target_update(targets->running->pdata[i], source);
}

unsigned targets_stop(Targets *targets) {
    targets->stops++;
    for (unsigned i = 0; i < targets->running->len; i++) {
        if (targets->stops < 3)
            target_stop(targets->running->pdata[i]);
        else
            target_kill(targets->running->pdata[i]);
    }
    if (targets->next < targets->hosts->len)
        loop_post(targets->loop, go_on, targets);
    return targets->running->len;
}

/* --- the exit code */

int targets_exit_code(const int *codes, unsigned n_codes, unsigned n_refused) {
    bool failed = n_refused > 0, changed = false, blocked = false, interrupted = false;
    unsigned n_untouched = n_refused;
    for (unsigned i = 0; i < n_codes; i++) {
        interrupted = interrupted || codes[i] == 130;
        n_untouched += codes[i] == 1;
        failed = failed || codes[i] == 1 || codes[i] == 4 || codes[i] == 6 ||
                 (codes[i] > 6 && codes[i] != 130);
        changed = changed || codes[i] == 2 || codes[i] == 6;
        blocked = blocked || codes[i] == 5;
    }
    if (interrupted)
        return 130;
    if (n_untouched == n_codes + n_refused)
        return 1;
    if (failed)
        return changed ? 6 : 4;
    return blocked ? 5 : changed ? 2 : 0;
}
