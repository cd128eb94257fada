#include "remote/fleet.h"

#include <string.h>

#include "base/error.h"
#include "base/printable.h"

#define HOSTS_MAX 1000u

struct Fleet {
    Loop *loop;
    const GPtrArray *hosts;
    unsigned next, parallel, stops;
    const RemoteJob *job;
    RemoteSource source; /* owned reference */
    FleetListener listener;
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

GPtrArray *fleet_parse_hosts(const char *text, GError **error) {
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
    Fleet *fleet = data;
    fleet->listener.line(fleet->listener.data, target_host(target), is_error, line);
}

static void on_copies(void *data, const Target *target, size_t bytes) {
    Fleet *fleet = data;
    fleet->listener.copies(fleet->listener.data, target_host(target), bytes);
}

static void on_ended(void *data, Target *target) {
    Fleet *fleet = data;
    fleet->listener.ended(fleet->listener.data, target_host(target), target_exit_code(target),
                          target_error(target), target_has_run(target));
    (void)g_ptr_array_remove_fast(fleet->running, target); /* frees it */
    go_on(fleet);
}

static void start(Fleet *fleet, const char *host) {
    TargetListener listener = { on_line, on_copies, on_ended, fleet };
    g_autoptr(GError) error = NULL;
    Target *target = target_start(fleet->loop, host, fleet->job, &fleet->source, &listener, &error);
    if (target != NULL)
        g_ptr_array_add(fleet->running, target);
    else
        fleet->listener.ended(fleet->listener.data, host, 0, error, false);
}

static void skip(Fleet *fleet, const char *host) {
    g_autoptr(GError) error = g_error_new(STEAD_ERROR, STEAD_ERROR_CANCELLED,
                                          "interrupted before its turn; nothing was touched");
    fleet->listener.ended(fleet->listener.data, host, 0, error, false);
}

static void go_on(void *data) {
    Fleet *fleet = data;
    while (fleet->next < fleet->hosts->len &&
           (fleet->stops > 0 || fleet->running->len < fleet->parallel)) {
        const char *host = fleet->hosts->pdata[fleet->next++];
        if (fleet->stops > 0)
            skip(fleet, host);
        else
            start(fleet, host);
    }
    if (fleet->running->len == 0 && fleet->next == fleet->hosts->len)
        fleet->listener.all_ended(fleet->listener.data);
}

Fleet *fleet_new(Loop *loop, const GPtrArray *hosts, unsigned parallel, const RemoteJob *job,
                 const RemoteSource *source, const FleetListener *listener) {
    Fleet *fleet = g_new0(Fleet, 1);
    fleet->loop = loop;
    fleet->hosts = hosts;
    fleet->parallel = MAX(1, parallel);
    fleet->job = job;
    fleet->source = *source;
    g_bytes_ref(source->packed);
    fleet->listener = *listener;
    fleet->running = g_ptr_array_new_with_free_func((GDestroyNotify)target_free);
    loop_post(loop, go_on, fleet);
    return fleet;
}

void fleet_free(Fleet *fleet) {
    if (fleet == NULL)
        return;
    loop_unpost(fleet->loop, go_on, fleet);
    g_ptr_array_unref(fleet->running);
    g_bytes_unref(fleet->source.packed);
    g_free(fleet);
}

void fleet_update(Fleet *fleet, const RemoteSource *source) {
    GBytes *old = fleet->source.packed;
    fleet->source = *source;
    g_bytes_ref(source->packed);
    g_bytes_unref(old);
    for (unsigned i = 0; i < fleet->running->len; i++)
        target_update(fleet->running->pdata[i], source);
}

unsigned fleet_stop(Fleet *fleet) {
    fleet->stops++;
    for (unsigned i = 0; i < fleet->running->len; i++) {
        if (fleet->stops < 3)
            target_stop(fleet->running->pdata[i]);
        else
            target_kill(fleet->running->pdata[i]);
    }
    if (fleet->next < fleet->hosts->len)
        loop_post(fleet->loop, go_on, fleet);
    return fleet->running->len;
}

/* --- the exit code */

int fleet_exit_code(const int *codes, unsigned n_codes, unsigned n_refused) {
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
