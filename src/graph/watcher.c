#include "graph/watcher.h"

#include <string.h>

#include "graph/watch-command.h"
#include "host/open-writer.h"

/* What the configuration is made from is written by people and their tools, in several steps: it is
 * told when nothing has come for so long, and nobody writes any more; at the latest after the
 * second. */
#define SETTLE_FILE_US ((uint64_t)G_USEC_PER_SEC / 20)
#define SETTLE_TREE_US ((uint64_t)G_USEC_PER_SEC / 10)
#define SETTLE_MAX_US  (10 * (uint64_t)G_USEC_PER_SEC)

/* One thing that is watched: exactly one of host, timer's interval, command, tap. */
typedef struct {
    Watcher *watcher;
    HostWatch *host;
    WatchCommand *command;
    LoopTimer *timer;
    WatcherTap *tap;
    uint64_t interval, deadline;
    char *local;        /* path beside the configuration; NULL: the host is not waited for */
    uint64_t settle;    /* how long it must be quiet */
    uint64_t unsettled; /* since when it is not; 0: it is */
    bool armed;
} Part;

struct Watcher {
    Host *host;
    Loop *loop;
    uint64_t owner;
    WatchSink sink;
    void *data;
    GPtrArray *parts; /* of Part */
    unsigned n_arming;
    bool started, ready, event; /* ready: told; event: to be told */
    char *failure;              /* to be told */
    LoopTimer *flush;
};

struct WatcherTap {
    Part *part;
    Loop *loop;
    GDestroyNotify end;
    void *data;
    GMutex lock; /* what follows */
    bool posted, ready, changed;
    char *failure;
};

static void on_tap(void *data);

static void tap_free(WatcherTap *tap) {
    if (!tap)
        return;
    if (tap->end)
        tap->end(tap->data);
    if (tap->posted)
        loop_unpost(tap->loop, on_tap, tap);
    g_mutex_clear(&tap->lock);
    g_free(tap->failure);
    g_free(tap);
}

static void part_free(void *data) {
    Part *part = data;
    host_watch_free(part->host);
    watch_command_free(part->command);
    tap_free(part->tap);
    loop_timer_clear(&part->timer);
    g_free(part->local);
    g_free(part);
}

Watcher *watcher_new(Host *host, Loop *loop, uint64_t owner, WatchSink sink, void *data) {
    Watcher *watcher = g_new0(Watcher, 1);
    watcher->host = host;
    watcher->loop = loop;
    watcher->owner = owner;
    watcher->sink = sink;
    watcher->data = data;
    watcher->parts = g_ptr_array_new_with_free_func(part_free);
    return watcher;
}

void watcher_free(Watcher *watcher) {
    if (!watcher)
        return;
    loop_timer_clear(&watcher->flush);
    g_ptr_array_unref(watcher->parts);
    g_free(watcher->failure);
    g_free(watcher);
}

/* --- telling the sink */

/* One signal a call, as the last thing: the sink may free the watcher. */
static void flush(void *data) {
    Watcher *watcher = data;
    if (watcher->failure) {
        g_autofree char *detail = g_steal_pointer(&watcher->failure);
        g_ptr_array_set_size(watcher->parts, 0);
        watcher->sink(watcher->data, WATCH_FAILED, detail);
    } else if (!watcher->ready && watcher->n_arming == 0) {
        watcher->ready = true;
        watcher->sink(watcher->data, WATCH_READY, NULL);
    } else if (watcher->event) {
        watcher->event = false;
        watcher->sink(watcher->data, WATCH_EVENT, NULL);
    }
}

/* What comes until the loop is back there becomes one signal. */
static void schedule(Watcher *watcher) {
    if (watcher->started && !watcher->flush)
        loop_timer_set(watcher->loop, &watcher->flush, loop_now(watcher->loop), flush, watcher);
}

/* Whoever is told READY looks anyway. */
static void note_event(Watcher *watcher) {
    if (!watcher->ready)
        return;
    watcher->event = true;
    schedule(watcher);
}

static void note_failure(Watcher *watcher, const char *detail) {
    if (!watcher->failure)
        watcher->failure = g_strdup(detail);
    schedule(watcher);
}

void watcher_start(Watcher *watcher) {
    watcher->started = true;
    schedule(watcher);
}

/* --- parts */

static Part *add_part(Watcher *watcher) {
    Part *part = g_new0(Part, 1);
    part->watcher = watcher;
    g_ptr_array_add(watcher->parts, part);
    return part;
}

static void on_quiet(void *data) {
    Part *part = data;
    Loop *loop = part->watcher->loop;
    uint64_t now = loop_now(loop);
    if (now < part->unsettled + SETTLE_MAX_US && file_has_writer(part->local)) {
        loop_timer_set(loop, &part->timer, now + part->settle, on_quiet, part);
        return;
    }
    part->unsettled = 0;
    note_event(part->watcher);
}

static void wait_until_settled(Part *part) {
    Loop *loop = part->watcher->loop;
    uint64_t now = loop_now(loop);
    if (part->unsettled == 0)
        part->unsettled = now;
    uint64_t at = MIN(now + part->settle, MAX(now, part->unsettled + SETTLE_MAX_US));
    loop_timer_set(loop, &part->timer, at, on_quiet, part);
}

static void on_host(void *data, HostEvent event, const char *detail) {
    Part *part = data;
    Watcher *watcher = part->watcher;
    switch (event) {
    case HOST_EVENT_READY:
        if (part->armed)
            break;
        part->armed = true;
        if (--watcher->n_arming == 0)
            schedule(watcher);
        break;
    case HOST_EVENT_CHANGED:
        if (part->local)
            wait_until_settled(part);
        else
            note_event(watcher);
        break;
    case HOST_EVENT_FAILED:
        note_failure(watcher, detail ? detail : "the watch ended");
        break;
    }
}

Host *watcher_machine(const Watcher *watcher) {
    return watcher->host;
}

static bool add_host_part(Watcher *watcher, HostWatchClass class, const char *name, bool local,
                          GError **error) {
    Part *part = add_part(watcher);
    part->local = local ? g_strdup(name) : NULL;
    part->settle = class == HOST_WATCH_TREE ? SETTLE_TREE_US : SETTLE_FILE_US;
    watcher->n_arming++;
    part->host =
        host_watch(watcher->host, watcher->loop, class, name, watcher->owner, on_host, part, error);
    if (part->host)
        return true;
    watcher->n_arming--;
    (void)g_ptr_array_remove(watcher->parts, part);
    return false;
}

bool watcher_host(Watcher *watcher, HostWatchClass class, const char *name, GError **error) {
    return add_host_part(watcher, class, name, false, error);
}

bool watcher_local(Watcher *watcher, HostWatchClass class, const char *path, GError **error) {
    if (strcmp(host_root(watcher->host), "/") != 0)
        return true;
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    return add_host_part(watcher, class, absolute, true, error);
}

static void on_interval(void *data);

/* Without drift; intervals missed while the machine slept are not made up for. */
static void wait_interval(Part *part) {
    Loop *loop = part->watcher->loop;
    uint64_t now = loop_now(loop);
    part->deadline += part->interval;
    if (part->deadline <= now)
        part->deadline = now + part->interval;
    loop_timer_set(loop, &part->timer, part->deadline, on_interval, part);
}

static void on_interval(void *data) {
    Part *part = data;
    wait_interval(part);
    note_event(part->watcher);
}

void watcher_interval(Watcher *watcher, uint64_t interval_us) {
    g_assert(interval_us > 0);
    Part *part = add_part(watcher);
    part->interval = interval_us;
    part->deadline = loop_now(watcher->loop);
    wait_interval(part);
}

static void on_command(void *data, const char *failure) {
    Part *part = data;
    if (failure)
        note_failure(part->watcher, failure);
    else
        note_event(part->watcher);
}

bool watcher_command(Watcher *watcher, const HostCommand *command, GError **error) {
    Part *part = add_part(watcher);
    part->command =
        watch_command_new(watcher->host, watcher->loop, command, on_command, part, error);
    if (part->command)
        return true;
    (void)g_ptr_array_remove(watcher->parts, part);
    return false;
}

/* --- what is told from other threads */

static void on_tap(void *data) {
    WatcherTap *tap = data;
    g_mutex_lock(&tap->lock);
    bool ready = tap->ready, changed = tap->changed;
    g_autofree char *failure = g_steal_pointer(&tap->failure);
    tap->ready = tap->changed = tap->posted = false;
    g_mutex_unlock(&tap->lock);
    if (ready)
        on_host(tap->part, HOST_EVENT_READY, NULL);
    if (changed)
        on_host(tap->part, HOST_EVENT_CHANGED, NULL);
    if (failure)
        on_host(tap->part, HOST_EVENT_FAILED, failure);
}

void watcher_tap_tell(WatcherTap *tap, HostEvent event, const char *detail) {
    g_mutex_lock(&tap->lock);
    tap->ready |= event == HOST_EVENT_READY;
    tap->changed |= event == HOST_EVENT_CHANGED;
    if (event == HOST_EVENT_FAILED && !tap->failure)
        tap->failure = g_strdup(detail);
    bool post = !tap->posted;
    tap->posted = true;
    if (post)
        loop_post(tap->loop, on_tap, tap);
    g_mutex_unlock(&tap->lock);
}

WatcherTap *watcher_tap(Watcher *watcher) {
    Part *part = add_part(watcher);
    part->tap = g_new0(WatcherTap, 1);
    part->tap->part = part;
    part->tap->loop = watcher->loop;
    g_mutex_init(&part->tap->lock);
    watcher->n_arming++;
    return part->tap;
}

void watcher_tap_own(WatcherTap *tap, GDestroyNotify end, void *data) {
    g_assert(!tap->end);
    tap->end = end;
    tap->data = data;
}
