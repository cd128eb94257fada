/*
 * A store in one file of SQLite. Writes go to one thread, in groups with one sync of the disk each;
 * reads and the history for watches to two others, which see what was committed when they begin:
 * every write whose answer was given. Leases and watches are kept in the loop's thread.
 *
 * What is left of a lease is noted only when less than half is, and when the store is closed: a
 * client that renews in time costs no write. What is noted is never less than what is really left,
 * so that across a restart, however it came, a lease may live longer but not shorter.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "state/leases.h"
#include "state/sqlite-lane.h"
#include "state/watchers.h"

#define NOTE_EVERY_US (5ull * G_USEC_PER_SEC)
#define HOLDER_SIZE   32 /* of the text that says who has the lock */
/* How long the lock of a process that has ended is waited for. */
#define ORPHAN_TRIES    200
#define ORPHAN_SLEEP_US 10000

typedef struct {
    Store state;
    int lock_fd;
    Lane *writes, *reads, *history;
    Leases *leases;
    GHashTable *noted; /* lease -> int64_t: what is noted to be left of it; it is never less */
    LoopTimer *note_timer;
    Watchers *watchers;
} Sqlite;

static Sqlite *sqlite_of(Store *state) {
    return (Sqlite *)(void *)state;
}

/* --- leases */

static void set_noted(Sqlite *sqlite, int64_t lease, int64_t left_us) {
    g_hash_table_replace(sqlite->noted, g_memdup2(&lease, sizeof lease),
                         g_memdup2(&left_us, sizeof left_us));
}

static int64_t get_noted(const Sqlite *sqlite, int64_t lease) {
    const int64_t *noted = g_hash_table_lookup(sqlite->noted, &lease);
    return noted != NULL ? *noted : 0;
}

static void note(Sqlite *sqlite, int64_t lease, int64_t left_us) {
    Job *job = g_new0(Job, 1);
    *job = (Job){ .kind = JOB_NOTE, .lease = lease, .number = left_us };
    set_noted(sqlite, lease, left_us);
    lane_push(sqlite->writes, job);
}

static void note_if_old(void *data, const LeaseView *view) {
    Sqlite *sqlite = data;
    bool old = view->left_us < view->ttl_s * G_USEC_PER_SEC / 2;
    if (old && view->left_us + G_USEC_PER_SEC < get_noted(sqlite, view->id))
        note(sqlite, view->id, view->left_us);
}

static void note_exactly(void *data, const LeaseView *view) {
    note(data, view->id, view->left_us);
}

static void on_note_timer(void *data) {
    Sqlite *sqlite = data;
    leases_visit(sqlite->leases, note_if_old, sqlite);
    if (g_hash_table_size(sqlite->noted) > 0)
        loop_timer_set(sqlite->state.loop, &sqlite->note_timer,
                       loop_now(sqlite->state.loop) + NOTE_EVERY_US, on_note_timer, sqlite);
}

static void add_lease(Sqlite *sqlite, int64_t lease, int64_t ttl_s, int64_t left_us) {
    leases_add(sqlite->leases, lease, ttl_s, left_us);
    set_noted(sqlite, lease, left_us);
    if (sqlite->note_timer == NULL)
        loop_timer_set(sqlite->state.loop, &sqlite->note_timer,
                       loop_now(sqlite->state.loop) + NOTE_EVERY_US, on_note_timer, sqlite);
}

static void drop_lease(Sqlite *sqlite, int64_t lease) {
    (void)leases_drop(sqlite->leases, lease);
    (void)g_hash_table_remove(sqlite->noted, &lease);
}

static void on_expired(void *data, int64_t lease) {
    Sqlite *sqlite = data;
    Job *job = g_new0(Job, 1);
    *job = (Job){ .kind = JOB_EXPIRE, .lease = lease };
    lane_push(sqlite->writes, job);
}

/* --- calls */

static void push_call(StoreCall *call, Lane *lane, int64_t lease) {
    Job *job = g_new0(Job, 1);
    *job = (Job){ .kind = JOB_CALL,
                  .call = call,
                  .asked = call->kind,
                  .txn = call->txn != NULL ? store_txn_ref(call->txn) : NULL,
                  .number = call->number,
                  .lease = lease };
    call->job = job;
    lane_push(lane, job);
}

static StoreAnswer *lease_answer(Sqlite *sqlite, int64_t lease, int64_t ttl_s) {
    StoreAnswer *answer = answer_new(watchers_present(sqlite->watchers));
    answer->lease = lease;
    answer->ttl = ttl_s;
    return answer;
}

/* Message: what the loop's thread knows by itself. */
static void answer_lease(void *data) {
    StoreCall *call = data;
    Sqlite *sqlite = sqlite_of(call->state);
    LeaseView view;
    if (!leases_look(sqlite->leases, call->number, &view)) {
        call_answer(call, NULL, error_lease_gone(call->number));
        return;
    }
    /* Renewed a moment ago. */
    int64_t left = call->kind == CALL_KEEP ? view.ttl_s : view.left_us / G_USEC_PER_SEC;
    call_answer(call, lease_answer(sqlite, call->number, left), NULL);
}

static void post_lease(StoreCall *call) {
    call->job = call;
    loop_post(call->state->loop, answer_lease, call);
}

/* More than is noted must be noted before it is promised. */
static void keep_lease(StoreCall *call) {
    Sqlite *sqlite = sqlite_of(call->state);
    LeaseView view;
    if (!leases_keep(sqlite->leases, call->number, &view) ||
        view.left_us <= get_noted(sqlite, view.id)) {
        post_lease(call);
        return;
    }
    push_call(call, sqlite->writes, view.id);
    ((Job *)call->job)->number = view.left_us;
}

static void sqlite_start(StoreCall *call) {
    Sqlite *sqlite = sqlite_of(call->state);
    LeaseView view;
    switch (call->kind) {
    case CALL_RANGE:
        push_call(call, sqlite->reads, 0);
        return;
    case CALL_TXN:
    case CALL_COMPACT:
        push_call(call, sqlite->writes, 0);
        return;
    case CALL_GRANT:
        call->number = MAX(call->number, STORE_MIN_TTL);
        push_call(call, sqlite->writes, leases_pick(sqlite->leases));
        return;
    case CALL_KEEP:
        keep_lease(call);
        return;
    case CALL_REVOKE:
        if (leases_look(sqlite->leases, call->number, &view)) {
            push_call(call, sqlite->writes, call->number);
            return;
        }
        post_lease(call);
        return;
    case CALL_LOOK:
        post_lease(call);
        return;
    }
}

static void sqlite_cancel(StoreCall *call) {
    if (call->job == call)
        loop_unpost(call->state->loop, answer_lease, call);
    else
        ((Job *)call->job)->call = NULL;
}

static void finish_call(Sqlite *sqlite, Job *job) {
    if (job->error == NULL && job->asked == CALL_GRANT)
        add_lease(sqlite, job->lease, job->number, job->number * G_USEC_PER_SEC);
    else if (job->error == NULL && job->asked == CALL_REVOKE)
        drop_lease(sqlite, job->lease);
    else if (job->error == NULL && job->asked == CALL_KEEP)
        set_noted(sqlite, job->lease, job->number);
    if (job->call == NULL)
        return;
    if (job->answer != NULL && job->lease > 0) {
        job->answer->lease = job->lease;
        job->answer->ttl = job->asked == CALL_GRANT  ? job->number
                           : job->asked == CALL_KEEP ? job->number / G_USEC_PER_SEC
                                                     : 0;
    }
    call_answer(job->call, g_steal_pointer(&job->answer), g_steal_pointer(&job->error));
}

static void finish_expired(Sqlite *sqlite, const Job *job) {
    if (job->error == NULL)
        drop_lease(sqlite, job->lease);
    else
        leases_retry(sqlite->leases, job->lease);
}

static void on_written(void *data, GPtrArray *jobs, GPtrArray *events, int64_t revision) {
    Sqlite *sqlite = data;
    if (revision > 0)
        watchers_publish(sqlite->watchers, revision, events);
    for (unsigned i = 0; i < jobs->len; i++) {
        Job *job = g_ptr_array_index(jobs, i);
        if (job->kind == JOB_CALL)
            finish_call(sqlite, job);
        else if (job->kind == JOB_EXPIRE)
            finish_expired(sqlite, job);
    }
}

static void on_read(void *data, GPtrArray *jobs, GPtrArray *events, int64_t revision) {
    for (unsigned i = 0; i < jobs->len; i++)
        finish_call(data, g_ptr_array_index(jobs, i));
}

/* --- watches */

static void on_history(void *data, GPtrArray *jobs, GPtrArray *events, int64_t revision) {
    Sqlite *sqlite = data;
    for (unsigned i = 0; i < jobs->len; i++) {
        Job *job = g_ptr_array_index(jobs, i);
        StoreWatch *watch = job->watch;
        if (watch == NULL)
            continue;
        watch->reading = NULL;
        if (job->error != NULL)
            watch_fail(watch, job->revision, job->error);
        else
            watchers_caught_up(sqlite->watchers, watch, job->revision, job->events);
    }
}

static void catch_up(void *data, StoreWatch *watch) {
    Sqlite *sqlite = data;
    Job *job = g_new0(Job, 1);
    *job = (Job){ .kind = JOB_HISTORY,
                  .watch = watch,
                  .number = watch->next,
                  .key = g_bytes_ref(watch->key),
                  .end = watch->end != NULL ? g_bytes_ref(watch->end) : NULL };
    watch->reading = job;
    lane_push(sqlite->history, job);
}

static void sqlite_watch(StoreWatch *watch) {
    watchers_add(sqlite_of(watch->state)->watchers, watch);
}

static void sqlite_unwatch(StoreWatch *watch) {
    Job *reading = watch->reading;
    if (reading != NULL)
        reading->watch = NULL;
    watchers_remove(sqlite_of(watch->state)->watchers, watch);
}

/* --- life */

static void sqlite_free(Store *state) {
    Sqlite *sqlite = sqlite_of(state);
    if (sqlite->writes != NULL && sqlite->leases != NULL)
        leases_visit(sqlite->leases, note_exactly, sqlite);
    loop_timer_clear(&sqlite->note_timer);
    lane_free(sqlite->history);
    lane_free(sqlite->reads);
    lane_free(sqlite->writes);
    watchers_free(sqlite->watchers);
    leases_free(sqlite->leases);
    g_hash_table_unref(sqlite->noted);
    if (sqlite->lock_fd >= 0)
        close(sqlite->lock_fd);
    g_free(sqlite);
}

/* A program that a killed process was about to start still has all its descriptors, and so the
 * lock, for the moment until it has exec'ed. */
static bool holder_has_ended(int fd) {
    char holder[HOLDER_SIZE] = "";
    if (pread(fd, holder, sizeof holder - 1, 0) <= 0)
        return false;
    pid_t pid = (pid_t)g_ascii_strtoll(holder, NULL, 10);
    return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static bool try_lock(int fd) {
    for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == ORPHAN_TRIES || !holder_has_ended(fd))
            return false;
        g_usleep(ORPHAN_SLEEP_US);
    }
    return true;
}

/* A file of its own: SQLite's locks on the store end with any descriptor of it that is closed. */
static bool take_lock(Sqlite *sqlite, const char *path, GError **error) {
    g_autofree char *name = g_strconcat(path, "-lock", NULL);
    sqlite->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (sqlite->lock_fd < 0) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "open '%s': %s", name,
                    g_strerror(errno));
        return false;
    }
    char holder[HOLDER_SIZE] = "";
    if (!try_lock(sqlite->lock_fd)) {
        if (pread(sqlite->lock_fd, holder, sizeof holder - 1, 0) <= 0)
            g_strlcpy(holder, "?", sizeof holder);
        g_set_error(error, STORE_ERROR, STORE_ERROR_IN_USE,
                    "open '%s': the process %s has it open; ask that one, or end it first", path,
                    g_strchomp(holder));
        return false;
    }
    (void)g_snprintf(holder, sizeof holder, "%d\n", (int)getpid());
    /* The lock holds without its text. */
    (void)!(ftruncate(sqlite->lock_fd, 0) + pwrite(sqlite->lock_fd, holder, strlen(holder), 0));
    return true;
}

static void restore_lease(void *data, const LeaseView *view) {
    add_lease(data, view->id, view->ttl_s, view->left_us);
}

static Lane *open_reader(Sqlite *sqlite, const char *path, const char *name, LaneDone done,
                         GError **error) {
    SqlFile *store = sql_file_open(path, false, error);
    return store != NULL ? lane_new(sqlite->state.loop, name, store, false, done, sqlite, error)
                         : NULL;
}

static bool open_all(Sqlite *sqlite, const char *path, GError **error) {
    if (!take_lock(sqlite, path, error))
        return false;
    g_autoptr(SqlFile) store = sql_file_open(path, true, error);
    if (store == NULL)
        return false;
    sqlite->watchers = watchers_new(sqlite->state.loop, sql_file_revision(store), catch_up, sqlite);
    if (!sql_file_visit_leases(store, restore_lease, sqlite, error))
        return false;
    sqlite->writes = lane_new(sqlite->state.loop, "state-write", g_steal_pointer(&store), true,
                              on_written, sqlite, error);
    if (sqlite->writes == NULL)
        return false;
    sqlite->reads = open_reader(sqlite, path, "state-read", on_read, error);
    if (sqlite->reads == NULL)
        return false;
    sqlite->history = open_reader(sqlite, path, "state-history", on_history, error);
    return sqlite->history != NULL;
}

Store *store_open_sqlite(Loop *loop, const char *path, GError **error) {
    static const StoreClass class = {
        .kind = "sqlite",
        .start = sqlite_start,
        .cancel = sqlite_cancel,
        .watch = sqlite_watch,
        .unwatch = sqlite_unwatch,
        .free = sqlite_free,
    };
    Sqlite *sqlite = g_new0(Sqlite, 1);
    store_init(&sqlite->state, &class, loop);
    sqlite->lock_fd = -1;
    sqlite->noted = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    sqlite->leases = leases_new(loop, on_expired, sqlite);
    if (open_all(sqlite, path, error))
        return &sqlite->state;
    store_free(&sqlite->state);
    return NULL;
}
