#include "kinds/program-talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "kinds/program-talk-private.h"
#include "loop/thread.h"

Talk *talk_new(const char *path, const char *root) {
    Talk *talk = g_new0(Talk, 1);
    talk->path = g_strdup(path);
    talk->root = g_strdup(root);
    talk->wake_fd = -1;
    talk->parallel = 1;
    talk->child = CHILD_NONE;
    g_mutex_init(&talk->lock);
    g_queue_init(&talk->waiting);
    g_queue_init(&talk->sent);
    talk->watches = g_ptr_array_new();
    talk->out = g_byte_array_new();
    talk->in = g_byte_array_new();
    talk->words = g_string_new(NULL);
    return talk;
}

void talk_raise_fd(int fd) {
    static const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void talk_stop(Talk *talk) {
    g_mutex_lock(&talk->lock);
    GThread *thread = g_steal_pointer(&talk->thread);
    talk->ending = thread != NULL;
    if (thread)
        talk_raise_fd(talk->wake_fd);
    g_mutex_unlock(&talk->lock);
    if (thread)
        g_thread_join(thread);
    talk->ending = talk->over = false;
}

void talk_free(Talk *talk) {
    if (!talk)
        return;
    g_assert(talk->watches->len == 0);
    talk_stop(talk);
    if (talk->wake_fd >= 0)
        close(talk->wake_fd);
    g_ptr_array_unref(talk->watches);
    g_byte_array_unref(talk->out);
    g_byte_array_unref(talk->in);
    g_string_free(talk->words, TRUE);
    value_unref(talk->description);
    g_clear_error(&talk->start_error);
    g_mutex_clear(&talk->lock);
    g_free(talk->reason);
    g_free(talk->path);
    g_free(talk->root);
    g_free(talk);
}

/* --- asking */

void call_finish(Call *call, Value *answer, GError *error) {
    call->answer = answer;
    call->error = error;
    call->done = true;
    talk_raise_fd(call->done_fd);
}

void talk_unsend(Talk *talk, GList *link) {
    Call *call = link->data;
    talk->n_changing -= call->sort == TALK_CHANGES;
    g_queue_delete_link(&talk->sent, link);
}

/* Under the lock. */
static bool wake(Talk *talk, GError **error) {
    talk->retiring = false;
    if (talk->over)
        g_thread_join(g_steal_pointer(&talk->thread));
    talk->over = false;
    if (talk->wake_fd < 0 && (talk->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return set_io_error(error, errno, "talk with '%s'", talk->path);
    if (!talk->thread && !(talk->thread = thread_start("kind", talk_converse, talk, error)))
        return false;
    talk_raise_fd(talk->wake_fd);
    return true;
}

/* Nobody waits for it any more. What has begun is ended: it would be in the way of all others. */
static void abandon(Talk *talk, Call *call) {
    GList *link = g_queue_find(&talk->waiting, call);
    if (link) {
        g_queue_delete_link(&talk->waiting, link);
        return;
    }
    link = g_queue_find(&talk->sent, call);
    if (!link)
        return;
    talk_unsend(talk, link);
    g_autofree char *reason =
        g_strdup_printf("was ended, because it did not answer to '%s' in time", call->request);
    talk_end_process(talk, SIGTERM, reason, true);
    talk_raise_fd(talk->wake_fd);
}

static void wait_for_answer(Talk *talk, Call *call, Cancel *cancel) {
    GError *problem = NULL;
    for (;;) {
        struct pollfd fds[2] = {
            { .fd = call->done_fd, .events = POLLIN },
            { .fd = cancel ? cancel_fd(cancel) : -1, .events = POLLIN },
        };
        int timeout = cancel ? cancel_poll_timeout_ms(cancel) : -1;
        (void)poll(fds, G_N_ELEMENTS(fds), timeout); /* interrupted: looks again */
        if (fds[0].revents == 0 && cancel_check(cancel, &problem))
            continue;
        g_mutex_lock(&talk->lock);
        if (!call->done) {
            abandon(talk, call);
            g_prefix_error(&problem, "wait for '%s' to answer to '%s': ", talk->path,
                           call->request);
            call->error = g_steal_pointer(&problem);
        }
        g_mutex_unlock(&talk->lock);
        g_clear_error(&problem);
        return;
    }
}

static Value *ask(Talk *talk, Call *call, Cancel *cancel, GError **error) {
    if (!cancel_check(cancel, error))
        return NULL;
    call->done_fd = eventfd(0, EFD_CLOEXEC);
    if (call->done_fd < 0) {
        set_io_error(error, errno, "talk with '%s'", talk->path);
        return NULL;
    }
    g_mutex_lock(&talk->lock);
    bool ok = wake(talk, error);
    if (ok)
        g_queue_push_tail(&talk->waiting, call);
    g_mutex_unlock(&talk->lock);
    if (ok)
        wait_for_answer(talk, call, cancel);
    close(call->done_fd);
    if (call->error)
        g_propagate_error(error, call->error);
    return call->answer;
}

Value *talk_describe(Talk *talk, GError **error) {
    Call call = { .request = "describe", .sort = TALK_ASKS };
    return ask(talk, &call, NULL, error);
}

void talk_set_parallel(Talk *talk, unsigned parallel) {
    g_mutex_lock(&talk->lock);
    talk->parallel = parallel;
    g_mutex_unlock(&talk->lock);
}

Value *talk_ask(Talk *talk, const char *request, Value *members, TalkSort sort, Cancel *cancel,
                char **ret_note, GError **error) {
    g_autoptr(Value) map = members;
    Call call = { .request = request, .members = map, .sort = sort };
    Value *answer = ask(talk, &call, cancel, error);
    if (ret_note)
        *ret_note = g_steal_pointer(&call.note);
    g_free(call.note);
    return answer;
}

void talk_renew(Talk *talk) {
    g_mutex_lock(&talk->lock);
    if (talk->thread && talk->child.pid != 0) {
        talk->renewing = true;
        talk_raise_fd(talk->wake_fd);
    }
    g_mutex_unlock(&talk->lock);
}

void talk_retire(Talk *talk) {
    g_mutex_lock(&talk->lock);
    talk->retiring = true;
    if (talk->thread)
        talk_raise_fd(talk->wake_fd);
    g_mutex_unlock(&talk->lock);
}

void talk_kill(Talk *talk) {
    g_mutex_lock(&talk->lock);
    talk_end_process(talk, SIGKILL, "is not needed", true);
    g_mutex_unlock(&talk->lock);
}

/* --- watching */

TalkWatch *talk_watch(Talk *talk, Value *members, TalkWatchCallback callback, void *data) {
    TalkWatch *watch = g_new0(TalkWatch, 1);
    *watch = (TalkWatch){ .talk = talk, .members = members, .callback = callback, .data = data };
    g_autoptr(GError) error = NULL;
    g_mutex_lock(&talk->lock);
    g_ptr_array_add(talk->watches, watch);
    if (!wake(talk, &error))
        callback(data, false, error->message);
    g_mutex_unlock(&talk->lock);
    return watch;
}

void talk_watch_free(TalkWatch *watch) {
    if (!watch)
        return;
    Talk *talk = watch->talk;
    g_mutex_lock(&talk->lock);
    (void)g_ptr_array_remove_fast(talk->watches, watch); /* it is there */
    if (watch->id != 0 && talk->child.pid != 0 && !talk->stopping) {
        g_autoptr(Value) members = value_new_map();
        value_map_set(members, "watch", value_new_int((int64_t)watch->id));
        talk_put_line(talk, ++talk->last_id, "unwatch", members);
    }
    if (talk->thread)
        talk_raise_fd(talk->wake_fd); /* it may have been the last */
    g_mutex_unlock(&talk->lock);
    value_unref(watch->members);
    g_free(watch);
}
