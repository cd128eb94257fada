#include "state/sqlite-lane.h"

#include "loop/thread.h"

/* Jobs of one group: a transaction has an end, whatever comes. */
#define GROUP_JOBS 1000

typedef struct {
    GPtrArray *jobs;   /* of Job */
    GPtrArray *events; /* of StoreEntry; of a lane that writes */
    int64_t revision;
} Group;

struct Lane {
    Loop *loop;
    SqlFile *file;
    bool write;
    LaneDone done;
    void *data;
    GThread *thread;
    GMutex lock; /* guards all below */
    GCond wake;
    GQueue queue;        /* of Job */
    GPtrArray *finished; /* of Group */
    bool stop;
};

void job_free(void *data) {
    Job *job = data;
    g_clear_pointer(&job->key, g_bytes_unref);
    g_clear_pointer(&job->end, g_bytes_unref);
    g_clear_pointer(&job->events, g_ptr_array_unref);
    store_answer_unref(job->answer);
    store_txn_unref(job->txn);
    g_clear_error(&job->error);
    g_free(job);
}

static void group_free(void *data) {
    Group *group = data;
    g_ptr_array_unref(group->jobs);
    g_clear_pointer(&group->events, g_ptr_array_unref);
    g_free(group);
}

/* --- in the thread */

static StoreAnswer *run_call(SqlFile *file, Job *job, GError **error) {
    switch (job->asked) {
    case CALL_RANGE:
        return sql_file_range(file, g_ptr_array_index(job->txn->branches[STORE_THEN], 0), error);
    case CALL_TXN:
        return sql_file_txn(file, job->txn, error);
    case CALL_COMPACT:
        return sql_file_compact(file, job->number, error);
    case CALL_GRANT:
        return sql_file_grant(file, job->lease, job->number, error)
                   ? answer_new(sql_file_revision(file))
                   : NULL;
    case CALL_KEEP: /* what is left of it is all there was */
        return sql_file_note_lease(file, job->lease, job->number, error)
                   ? answer_new(sql_file_revision(file))
                   : NULL;
    case CALL_REVOKE:
        return sql_file_revoke(file, job->lease, error) ? answer_new(sql_file_revision(file))
                                                        : NULL;
    case CALL_LOOK:
        break;
    }
    g_assert_not_reached();
}

static void run_job(SqlFile *file, Job *job) {
    switch (job->kind) {
    case JOB_CALL:
        job->answer = run_call(file, job, &job->error);
        break;
    case JOB_HISTORY:
        job->events =
            sql_file_history(file, job->key, job->end, job->number, &job->revision, &job->error);
        break;
    case JOB_NOTE:
        (void)sql_file_note_lease(file, job->lease, job->number, &job->error);
        break;
    case JOB_EXPIRE:
        (void)sql_file_revoke(file, job->lease, &job->error);
        break;
    }
}

/* Nothing of the group was done. */
static void fail_all(GPtrArray *jobs, const GError *error) {
    for (unsigned i = 0; i < jobs->len; i++) {
        Job *job = g_ptr_array_index(jobs, i);
        g_clear_pointer(&job->answer, store_answer_unref);
        g_clear_error(&job->error);
        job->error = g_error_copy(error);
    }
}

static bool run_jobs(Lane *lane, GPtrArray *jobs, GError **error) {
    if (!sql_file_begin(lane->file, error))
        return false;
    for (unsigned i = 0; i < jobs->len; i++) {
        Job *job = g_ptr_array_index(jobs, i);
        run_job(lane->file, job);
        if (job->error == NULL || !sql_file_is_broken(job->error))
            continue;
        if (lane->write) {
            g_propagate_error(error, g_error_copy(job->error));
            sql_file_rollback(lane->file);
            return false;
        }
    }
    return sql_file_commit(lane->file, false, error);
}

static Group *run_group(Lane *lane, GPtrArray *jobs) {
    g_autoptr(GError) error = NULL;
    Group *group = g_new0(Group, 1);
    group->jobs = jobs;
    if (!run_jobs(lane, jobs, &error))
        fail_all(jobs, error);
    group->revision = error == NULL ? sql_file_revision(lane->file) : 0;
    group->events = sql_file_take_events(lane->file);
    return group;
}

/* Message. */
static void on_finished(void *data) {
    Lane *lane = data;
    g_mutex_lock(&lane->lock);
    g_autoptr(GPtrArray) finished = lane->finished;
    lane->finished = g_ptr_array_new_with_free_func(group_free);
    g_mutex_unlock(&lane->lock);
    for (unsigned i = 0; i < finished->len; i++) {
        Group *group = g_ptr_array_index(finished, i);
        lane->done(lane->data, group->jobs, group->events, group->revision);
        for (unsigned j = 0; j < group->jobs->len; j++)
            loop_release(lane->loop);
    }
}

static GPtrArray *take_jobs(Lane *lane) {
    GPtrArray *jobs = g_ptr_array_new_with_free_func(job_free);
    while (jobs->len < GROUP_JOBS && lane->queue.length > 0)
        g_ptr_array_add(jobs, g_queue_pop_head(&lane->queue));
    return jobs;
}

/* With the lock, which it gives back while it works. */
static void work_on(Lane *lane, GPtrArray *jobs) {
    g_mutex_unlock(&lane->lock);
    Group *group = run_group(lane, jobs);
    g_mutex_lock(&lane->lock);
    g_ptr_array_add(lane->finished, group);
    if (lane->finished->len == 1)
        loop_post(lane->loop, on_finished, lane);
}

static void *lane_main(void *data) {
    Lane *lane = data;
    bool more = lane->write; /* to sweep */
    g_mutex_lock(&lane->lock);
    while (!lane->stop || lane->queue.length > 0) {
        if (lane->queue.length > 0) {
            work_on(lane, take_jobs(lane));
            more = lane->write;
        } else if (!more) {
            g_cond_wait(&lane->wake, &lane->lock);
            continue;
        }
        g_mutex_unlock(&lane->lock);
        more = more && sql_file_sweep(lane->file);
        g_mutex_lock(&lane->lock);
    }
    g_mutex_unlock(&lane->lock);
    return NULL;
}

/* --- in the loop's thread */

Lane *lane_new(Loop *loop, const char *name, SqlFile *file, bool write, LaneDone done, void *data,
               GError **error) {
    Lane *lane = g_new0(Lane, 1);
    *lane = (Lane){ .loop = loop, .file = file, .write = write, .done = done, .data = data };
    lane->finished = g_ptr_array_new_with_free_func(group_free);
    g_queue_init(&lane->queue);
    g_mutex_init(&lane->lock);
    g_cond_init(&lane->wake);
    g_autoptr(GError) problem = NULL;
    lane->thread = thread_start(name, lane_main, lane, &problem);
    if (lane->thread != NULL)
        return lane;
    g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "start a thread: %s", problem->message);
    lane_free(lane);
    return NULL;
}

void lane_push(Lane *lane, Job *job) {
    loop_hold(lane->loop);
    g_mutex_lock(&lane->lock);
    g_queue_push_tail(&lane->queue, job);
    if (lane->queue.length == 1)
        g_cond_signal(&lane->wake);
    g_mutex_unlock(&lane->lock);
}

void lane_free(Lane *lane) {
    if (lane == NULL)
        return;
    g_mutex_lock(&lane->lock);
    lane->stop = true;
    g_cond_signal(&lane->wake);
    g_mutex_unlock(&lane->lock);
    if (lane->thread != NULL)
        g_thread_join(lane->thread);
    loop_unpost(lane->loop, on_finished, lane);
    for (unsigned i = 0; i < lane->finished->len; i++)
        for (unsigned j = 0; j < ((Group *)lane->finished->pdata[i])->jobs->len; j++)
            loop_release(lane->loop);
    g_ptr_array_unref(lane->finished);
    sql_file_close(lane->file);
    g_mutex_clear(&lane->lock);
    g_cond_clear(&lane->wake);
    g_free(lane);
}
