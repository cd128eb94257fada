#include "host/watch-units.h"

#include <errno.h>
#include <string.h>

#include "host/unit-bus.h"
#include "host/watch-queue.h"

#define CALL_TIMEOUT_US 90000000 /* systemd is busy while it reloads */
/* Files of units change in bursts, a reload for each: looked at once they have come to rest. */
#define FILES_REST_US 50000

/* One connection of one loop. */
typedef struct {
    UnitWatchers *watchers;
    Loop *loop;
    bool session;
    sd_bus *bus;
    sd_bus_slot *subscribe, *files_changed, *reloading, *disconnected;
    GPtrArray *watches; /* UnitWatch; under watchers->lock, as are in_progress and ended */
    GPtrArray *ended;   /* OwnEnd: for on_posted() */
    WatchQueue queue;
    LoopTimer *rest; /* until the files are looked at */
    bool dead;       /* the connection is lost: for no new watch */
} UnitGroup;

struct UnitWatchers {
    GMutex lock;
    GPtrArray *groups;
    gint n_watches; /* atomic */
};

typedef struct {
    QueuedWatch base;
    UnitGroup *group;
    char *name;
    sd_bus_slot *load, *match; /* of arming */
    sd_bus_slot *properties, *files, *barrier;
    UnitInfo known;       /* the last state told, or made by the owner */
    UnitInfo seen;        /* the last state heard of */
    UnitInfo after;       /* what the owner's change led to; with has_after */
    unsigned in_progress; /* changes by the owner */
    bool has_after;
    bool armed;
} UnitWatch;

typedef struct {
    char *name;
    uint64_t owner;
    UnitVerb verb;
    UnitInfo after;
    bool has_after;
} OwnEnd;

static void own_end_free(void *data) {
    OwnEnd *end = data;
    g_free(end->name);
    g_free(end);
}

/* --- states */

static bool same_state(const UnitInfo *a, const UnitInfo *b) {
    return a->exists == b->exists && a->active == b->active && a->restarting == b->restarting &&
           a->failed == b->failed && a->enabled == b->enabled && a->is_static == b->is_static &&
           a->masked == b->masked && a->can_reload == b->can_reload &&
           a->needs_daemon_reload == b->needs_daemon_reload;
}

/* While the owner is at work, and until all signals from before its end are here, nothing is told.
 */
static bool is_held(const UnitWatch *watch) {
    return watch->in_progress > 0 || watch->barrier != NULL;
}

/* What somebody stops or restarts is looked at when that is done: a start in the middle of it would
 * cancel a stop, and be told as drift for a restart. */
static void compare(UnitWatch *watch) {
    if (!watch->armed || is_held(watch) || watch->seen.busy ||
        same_state(&watch->seen, &watch->known))
        return;
    watch->known = watch->seen;
    queued_watch_tell(&watch->base, TELL_CHANGED);
}

/* --- queries, without waiting */

static void fail(UnitWatch *watch, const char *doing, const char *why) {
    g_autofree char *detail = g_strdup_printf("%s '%s': %s", doing, watch->name, why);
    queued_watch_fail(&watch->base, detail);
}

static void arrived(UnitWatch *watch) {
    if (watch->properties != NULL || watch->files != NULL)
        return; /* the other half is to come */
    if (watch->armed) {
        compare(watch);
        return;
    }
    watch->armed = true;
    watch->known = watch->seen;
    queued_watch_tell(&watch->base, TELL_READY);
}

static int on_properties(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    watch->properties = sd_bus_slot_unref(watch->properties);
    UnitConditions conditions = { 0 };
    UnitInfo info = watch->seen;
    info.masked = false; /* both halves may say so; the files come second */
    info.busy = false;
    if (!sd_bus_message_is_method_error(message, NULL) &&
        unit_info_read(message, &info, &conditions) >= 0)
        watch->seen = info;
    else
        fail(watch, "watch unit", "systemd does not tell its state");
    arrived(watch);
    return 0;
}

/* Without a file a unit has no such state, which is no error. */
static int on_file_state(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    watch->files = sd_bus_slot_unref(watch->files);
    const char *state = "";
    if (!sd_bus_message_is_method_error(message, NULL))
        (void)sd_bus_message_read(message, "s", &state); /* else it stays empty */
    unit_info_set_file_state(&watch->seen, state);
    arrived(watch);
    return 0;
}

/* The manager answers in the order of the questions. */
static void query(UnitWatch *watch) {
    if (watch->properties != NULL || watch->files != NULL || watch->base.dead)
        return;
    g_autofree char *path = unit_object_path(watch->name);
    sd_bus *bus = watch->group->bus;
    int r = sd_bus_call_method_async(bus, &watch->properties, SYSTEMD_NAME, path,
                                     "org.freedesktop.DBus.Properties", "GetAll", on_properties,
                                     watch, "s", SYSTEMD_UNIT);
    if (r >= 0)
        r = sd_bus_call_method_async(bus, &watch->files, SYSTEMD_NAME, SYSTEMD_PATH,
                                     SYSTEMD_MANAGER, "GetUnitFileState", on_file_state, watch, "s",
                                     watch->name);
    if (r < 0)
        fail(watch, "watch unit", g_strerror(-r));
}

/* --- signals */

/* Only what the unit as such says: its service's process ids and the like are nothing to us. */
static int on_changed(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    const char *interface;
    UnitConditions conditions = { 0 };
    if (sd_bus_message_read(message, "s", &interface) < 0 || strcmp(interface, SYSTEMD_UNIT) != 0)
        return 0;
    if (unit_info_read(message, &watch->seen, &conditions) >= 0)
        compare(watch);
    return 0;
}

static void on_rest(void *data) {
    const UnitGroup *group = data;
    for (guint i = 0; i < group->watches->len; i++)
        if (((UnitWatch *)group->watches->pdata[i])->armed)
            query(group->watches->pdata[i]);
}

static int on_files_changed(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitGroup *group = data;
    loop_timer_set(group->loop, &group->rest, loop_now(group->loop) + FILES_REST_US, on_rest,
                   group);
    return 0;
}

static void group_fail(UnitGroup *group, const char *detail) {
    group->dead = true;
    for (guint i = 0; i < group->watches->len; i++)
        queued_watch_fail(group->watches->pdata[i], detail);
}

static int on_disconnected(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    group_fail(data, "watch units: lost the connection to systemd");
    return 0;
}

static int on_subscribed(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitGroup *group = data;
    if (sd_bus_message_is_method_error(message, NULL)) {
        g_autoptr(GError) error = NULL;
        unit_set_error(&error, sd_bus_message_get_error(message), 0);
        g_prefix_error(&error, "watch units: ");
        group_fail(group, error->message);
    }
    return 0;
}

/* --- arming: LoadUnit tells the object (an alias leads to another unit's), then its signals are
 * asked for, then its state */

static int on_matched(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    if (sd_bus_message_is_method_error(message, NULL))
        fail(watch, "watch unit", sd_bus_message_get_error(message)->message);
    else
        query(watch);
    return 0;
}

/* Signals of a message bus name their sender; the manager's own connection knows no others. */
static const char *sender_of(sd_bus *bus) {
    return sd_bus_is_bus_client(bus) > 0 ? SYSTEMD_NAME : NULL;
}

static int on_loaded(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    watch->load = sd_bus_slot_unref(watch->load);
    if (sd_bus_message_is_method_error(message, NULL)) {
        g_autoptr(GError) error = NULL;
        unit_set_error(&error, sd_bus_message_get_error(message), 0);
        fail(watch, "watch unit", error->message);
        return 0;
    }
    sd_bus *bus = watch->group->bus;
    const char *path;
    int r = sd_bus_message_read(message, "o", &path);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, &watch->match, sender_of(bus), path,
                                      "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                      on_changed, on_matched, watch);
    if (r < 0)
        fail(watch, "watch unit", g_strerror(-r));
    else if (sender_of(bus) == NULL)
        query(watch); /* there is nobody to confirm the match */
    return 0;
}

/* --- own changes */

static int on_barrier(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitWatch *watch = data;
    watch->barrier = sd_bus_slot_unref(watch->barrier);
    if (watch->in_progress > 0)
        return 0; /* the next change has begun already */
    if (watch->has_after)
        watch->known = watch->after;
    watch->has_after = false;
    query(watch); /* what it was led to by others meanwhile, files included */
    return 0;
}

/* Signals that the manager sent before are here before its answer is. */
static void set_barrier(UnitWatch *watch) {
    sd_bus_slot_unref(watch->barrier);
    watch->barrier = NULL;
    int r = sd_bus_call_method_async(watch->group->bus, &watch->barrier, SYSTEMD_NAME, SYSTEMD_PATH,
                                     "org.freedesktop.DBus.Peer", "Ping", on_barrier, watch, NULL);
    if (r < 0)
        fail(watch, "watch unit", g_strerror(-r));
}

/* Of the state after a change only what its verb is about is the owner's work. Somebody may have
 * done the rest meanwhile, and that is to be told. */
static void adopt(UnitWatch *watch, UnitVerb verb, const UnitInfo *after) {
    if (!watch->has_after)
        watch->after = watch->known;
    watch->has_after = true;
    watch->after.exists = after->exists;
    watch->after.can_reload = after->can_reload;
    if (verb == UNIT_START || verb == UNIT_STOP || verb == UNIT_RESTART || verb == UNIT_RELOAD) {
        watch->after.active = after->active;
        watch->after.restarting = after->restarting;
        watch->after.failed = after->failed;
        return;
    }
    watch->after.enabled = after->enabled;
    watch->after.is_static = after->is_static;
    watch->after.masked = after->masked;
    watch->after.needs_daemon_reload = after->needs_daemon_reload;
}

static void finish_own_change(UnitGroup *group, const OwnEnd *end) {
    for (guint i = 0; i < group->watches->len; i++) {
        UnitWatch *watch = group->watches->pdata[i];
        if (watch->base.watch.owner != end->owner || strcmp(watch->name, end->name) != 0)
            continue;
        if (watch->in_progress > 0) /* else the watch is younger than the change */
            watch->in_progress--;
        if (end->has_after)
            adopt(watch, end->verb, &end->after);
        if (watch->in_progress == 0)
            set_barrier(watch);
    }
}

static void group_free_unused(UnitGroup *group);

static void on_posted(void *data) {
    UnitGroup *group = data;
    g_mutex_lock(&group->watchers->lock);
    for (guint i = 0; i < group->ended->len; i++)
        finish_own_change(group, group->ended->pdata[i]);
    g_ptr_array_set_size(group->ended, 0);
    g_mutex_unlock(&group->watchers->lock);
    watch_queue_deliver(&group->queue);
    group_free_unused(group);
}

static void post_group(void *data) {
    UnitGroup *group = data;
    loop_post(group->loop, on_posted, group);
}

OwnUnitChange own_unit_begin(UnitWatchers *watchers, const char *name, bool session) {
    OwnUnitChange change = { .name = name, .session = session, .owner = host_writer() };
    if (change.owner == 0 || g_atomic_int_get(&watchers->n_watches) == 0)
        return change;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watchers->lock);
    for (guint i = 0; i < watchers->groups->len; i++) {
        const UnitGroup *group = watchers->groups->pdata[i];
        for (guint j = 0; group->session == session && j < group->watches->len; j++) {
            UnitWatch *watch = group->watches->pdata[j];
            if (watch->base.watch.owner != change.owner || strcmp(watch->name, name) != 0)
                continue;
            watch->in_progress++;
            change.watchers = watchers;
        }
    }
    return change;
}

static void own_unit_finish(OwnUnitChange *change, UnitVerb verb, const UnitInfo *after) {
    if (change->watchers == NULL)
        return;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&change->watchers->lock);
    for (guint i = 0; i < change->watchers->groups->len; i++) {
        UnitGroup *group = change->watchers->groups->pdata[i];
        if (group->session != change->session)
            continue;
        OwnEnd *end = g_new0(OwnEnd, 1);
        end->name = g_strdup(change->name);
        end->owner = change->owner;
        end->verb = verb;
        end->has_after = after != NULL;
        if (after != NULL)
            end->after = *after;
        g_ptr_array_add(group->ended, end);
        loop_post(group->loop, on_posted, group);
    }
    change->watchers = NULL;
}

void own_unit_end(OwnUnitChange *change, UnitVerb verb, const UnitInfo *after) {
    own_unit_finish(change, verb, after);
}

void own_unit_abandon(OwnUnitChange *change) {
    own_unit_finish(change, UNIT_DAEMON_RELOAD, NULL);
}

/* --- groups */

static void group_free(UnitGroup *group) {
    g_mutex_lock(&group->watchers->lock);
    g_ptr_array_remove(group->watchers->groups, group);
    g_mutex_unlock(&group->watchers->lock);
    /* From here on no worker knows it. */
    loop_unpost(group->loop, on_posted, group);
    loop_timer_clear(&group->rest);
    sd_bus_slot_unref(group->subscribe);
    sd_bus_slot_unref(group->files_changed);
    sd_bus_slot_unref(group->reloading);
    sd_bus_slot_unref(group->disconnected);
    if (group->bus != NULL) {
        (void)sd_bus_detach_event(group->bus); /* it may never have been attached */
        sd_bus_close_unref(group->bus);
    }
    g_ptr_array_unref(group->watches);
    g_ptr_array_unref(group->ended);
    watch_queue_clear(&group->queue);
    g_free(group);
}

static void group_free_unused(UnitGroup *group) {
    if (group->watches->len == 0 && !group->queue.is_busy)
        group_free(group);
}

static int listen(UnitGroup *group) {
    const char *sender = sender_of(group->bus);
    int r = sd_bus_match_signal_async(group->bus, &group->files_changed, sender, SYSTEMD_PATH,
                                      SYSTEMD_MANAGER, "UnitFilesChanged", on_files_changed, NULL,
                                      group);
    if (r >= 0)
        r = sd_bus_match_signal_async(group->bus, &group->reloading, sender, SYSTEMD_PATH,
                                      SYSTEMD_MANAGER, "Reloading", on_files_changed, NULL, group);
    if (r >= 0)
        r = sd_bus_match_signal_async(
            group->bus, &group->disconnected, "org.freedesktop.DBus.Local", NULL,
            "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, group);
    if (r >= 0)
        r = sd_bus_call_method_async(group->bus, &group->subscribe, SYSTEMD_NAME, SYSTEMD_PATH,
                                     SYSTEMD_MANAGER, "Subscribe", on_subscribed, group, NULL);
    if (r >= 0)
        r = sd_bus_attach_event(group->bus, loop_sd_event(group->loop), SD_EVENT_PRIORITY_NORMAL);
    return r;
}

static UnitGroup *group_new(UnitWatchers *watchers, Loop *loop, bool session, GError **error) {
    sd_bus *bus = unit_bus_connect(session, error);
    if (bus == NULL)
        return NULL;
    UnitGroup *group = g_new0(UnitGroup, 1);
    group->watchers = watchers;
    group->loop = loop;
    group->session = session;
    group->bus = bus;
    group->watches = g_ptr_array_new();
    group->ended = g_ptr_array_new_with_free_func(own_end_free);
    watch_queue_init(&group->queue, post_group, group);
    (void)sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT_US); /* else it is the default */
    g_mutex_lock(&watchers->lock);
    g_ptr_array_add(watchers->groups, group);
    g_mutex_unlock(&watchers->lock);
    int r = listen(group);
    if (r >= 0)
        return group;
    set_io_error(error, -r, "watch units: listen to systemd");
    group_free(group);
    return NULL;
}

static UnitGroup *group_find(UnitWatchers *watchers, const Loop *loop, bool session) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watchers->lock);
    for (guint i = 0; i < watchers->groups->len; i++) {
        UnitGroup *group = watchers->groups->pdata[i];
        if (group->loop == loop && group->session == session && !group->dead)
            return group;
    }
    return NULL;
}

/* --- watches */

static void unit_watch_free(HostWatch *watch) {
    UnitWatch *self = (UnitWatch *)(void *)watch;
    UnitGroup *group = self->group;
    sd_bus_slot *const slots[] = { self->load, self->match, self->properties, self->files,
                                   self->barrier };
    for (size_t i = 0; i < G_N_ELEMENTS(slots); i++)
        sd_bus_slot_unref(slots[i]);
    g_mutex_lock(&group->watchers->lock);
    g_ptr_array_remove(group->watches, self);
    g_mutex_unlock(&group->watchers->lock);
    (void)g_atomic_int_dec_and_test(&group->watchers->n_watches);
    queued_watch_clear(&self->base);
    g_free(self->name);
    g_free(self);
    group_free_unused(group);
}

HostWatch *unit_watchers_add(UnitWatchers *watchers, Loop *loop, const char *name, uint64_t owner,
                             HostWatchCallback callback, void *data, GError **error) {
    bool session = g_str_has_prefix(name, "user:");
    if (session)
        name += strlen("user:");
    UnitGroup *group = group_find(watchers, loop, session);
    if (group == NULL)
        group = group_new(watchers, loop, session, error);
    if (group == NULL) {
        g_prefix_error(error, "watch unit '%s': ", name);
        return NULL;
    }
    UnitWatch *watch = g_new0(UnitWatch, 1);
    watch->base.watch =
        (HostWatch){ .free = unit_watch_free, .callback = callback, .data = data, .owner = owner };
    watch->base.queue = &group->queue;
    watch->group = group;
    watch->name = g_strdup(name);
    g_mutex_lock(&watchers->lock);
    g_ptr_array_add(group->watches, watch);
    g_mutex_unlock(&watchers->lock);
    g_atomic_int_inc(&watchers->n_watches);
    int r = sd_bus_call_method_async(group->bus, &watch->load, SYSTEMD_NAME, SYSTEMD_PATH,
                                     SYSTEMD_MANAGER, "LoadUnit", on_loaded, watch, "s", name);
    if (r >= 0)
        return &watch->base.watch;
    set_io_error(error, -r, "watch unit '%s'", name);
    unit_watch_free(&watch->base.watch);
    return NULL;
}

UnitWatchers *unit_watchers_new(void) {
    UnitWatchers *watchers = g_new0(UnitWatchers, 1);
    g_mutex_init(&watchers->lock);
    watchers->groups = g_ptr_array_new();
    return watchers;
}

void unit_watchers_free(UnitWatchers *watchers) {
    if (watchers == NULL)
        return;
    g_assert(watchers->groups->len == 0);
    g_ptr_array_unref(watchers->groups);
    g_mutex_clear(&watchers->lock);
    g_free(watchers);
}
