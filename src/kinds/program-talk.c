#include "kinds/program-talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "host/child.h"
#include "kinds/program-message.h"
#include "loop/thread.h"

#define DESCRIBE_US   (20 * G_USEC_PER_SEC) /* to start and say what it is */
#define KILL_AFTER_US (3 * G_USEC_PER_SEC)  /* from SIGTERM to SIGKILL */
#define FAREWELL_US   (2 * G_USEC_PER_SEC)  /* from the end of its input to SIGKILL */
#define SILENCE_US    G_USEC_PER_SEC        /* from the end of its output to SIGKILL */
#define RESTART_US    G_USEC_PER_SEC        /* between starts only for the sake of watches */
#define CHUNK         65536
#define LAST_WORDS    1024 /* bytes of its standard error that are kept */
#define MAX_TRIES     3    /* of a request whose turn never came */

/* A request; on the stack of who asks. */
typedef struct {
    uint64_t id;
    const char *request;
    const Value *members;
    TalkSort sort;
    int done_fd; /* readable when done */
    bool done;
    unsigned tries;
    Value *answer;
    GError *error;
    char *note;
} Call;

struct TalkWatch {
    Talk *talk;
    Value *members;
    TalkWatchCallback callback;
    void *data;
    uint64_t id; /* of the request; 0: not sent */
    bool was_armed;
};

struct Talk {
    char *path, *root;
    int wake_fd;
    GMutex lock; /* what follows; the child and the buffers are the thread's, after its start */
    GThread *thread;
    GQueue waiting; /* of Call, to be sent */
    GQueue sent;    /* of Call, in the order they were sent */
    GPtrArray *watches;
    unsigned parallel, n_changing;
    uint64_t last_id;
    Value *description;
    bool ending, renewing; /* wishes */
    bool stopping;         /* told to end: nothing more is sent */
    char *reason;          /* why it was told to end; NULL: it ends by itself */
    bool blameless;        /* and that is no fault of the requests it has */
    bool leaving;          /* its input was ended for good */
    int64_t kill_at;       /* monotonic; 0: not */

    Child child; /* pid 0: none */
    int64_t started;
    bool described;
    uint64_t describe_id;
    GError *start_error;
    GByteArray *out; /* to be written, from out_at on */
    gsize out_at;
    GByteArray *in; /* read, without whole lines; no line end before scanned */
    gsize scanned;
    uint64_t n_lines;
    GString *words; /* the end of its standard error */
};

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

static void raise_fd(int fd) {
    static const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void talk_stop(Talk *talk) {
    g_mutex_lock(&talk->lock);
    GThread *thread = g_steal_pointer(&talk->thread);
    talk->ending = thread != NULL;
    if (thread)
        raise_fd(talk->wake_fd);
    g_mutex_unlock(&talk->lock);
    if (thread)
        g_thread_join(thread);
    talk->ending = false;
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

/* --- ends of calls and of the process */

static void finish(Call *call, Value *answer, GError *error) {
    call->answer = answer;
    call->error = error;
    call->done = true;
    raise_fd(call->done_fd);
}

static void unsend(Talk *talk, GList *link) {
    Call *call = link->data;
    talk->n_changing -= call->sort == TALK_CHANGES;
    g_queue_delete_link(&talk->sent, link);
}

/* blameless: nothing of what it was asked and has not answered is the cause. */
static void stop(Talk *talk, int signal_number, const char *reason, bool blameless) {
    if (talk->child.pid == 0)
        return;
    bool again = talk->stopping;
    talk->stopping = true;
    if (!talk->reason) {
        talk->reason = g_strdup(reason);
        talk->blameless = blameless;
    }
    if (!again || signal_number == SIGKILL)
        child_signal(&talk->child, signal_number);
    if (!again)
        talk->kill_at = g_get_monotonic_time() + KILL_AFTER_US;
}

/* The words it left, as the end of a message. */
static void append_words(const Talk *talk, GString *message) {
    g_autofree char *words = g_utf8_make_valid(talk->words->str, (gssize)talk->words->len);
    g_strchomp(words);
    if (*words == '\0')
        return;
    g_auto(GStrv) lines = g_strsplit(words, "\n", -1);
    unsigned n = g_strv_length(lines);
    g_string_append(message, "; its last words: ");
    for (unsigned i = n > 5 ? n - 5 : 0; i < n; i++)
        g_string_append_printf(message, "%s%s", lines[i], i + 1 < n ? " | " : "");
}

static GError *death(const Talk *talk, const char *how, const Call *call) {
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "program '%s' ", talk->path);
    if (!talk->described)
        g_string_append_printf(text, "%s before it had described itself",
                               talk->reason ? talk->reason : how);
    else if (talk->reason)
        g_string_append(text, talk->reason);
    else
        g_string_append_printf(text, "%s before it answered to '%s'", how, call->request);
    append_words(talk, text);
    return g_error_new_literal(STEAD_ERROR, STEAD_ERROR_FAILED, text->str);
}

/* Programs do one thing after the other unless they say otherwise: the oldest request is the one
 * that went wrong, and what stood behind it was not looked at. */
static void settle_calls(Talk *talk, const char *how) {
    bool first = !talk->blameless;
    while (!g_queue_is_empty(&talk->sent)) {
        GList *link = talk->sent.head;
        Call *call = link->data;
        bool at_fault = first || call->tries >= MAX_TRIES || !talk->described;
        bool half_done = call->sort == TALK_CHANGES && (talk->parallel > 1 || at_fault);
        unsend(talk, link);
        if (at_fault || half_done)
            finish(call, NULL, death(talk, how, call));
        else
            g_queue_push_tail(&talk->waiting, call);
        first = false;
    }
}

/* It never came to answering: whoever waits is told so, and the next to ask tries again. */
static void fail_waiting(Talk *talk, const char *how) {
    while (!g_queue_is_empty(&talk->waiting)) {
        Call *call = g_queue_pop_head(&talk->waiting);
        GError *error =
            talk->start_error ? g_error_copy(talk->start_error) : death(talk, how, call);
        finish(call, NULL, error);
    }
    for (unsigned i = 0; i < talk->watches->len; i++) {
        TalkWatch *watch = talk->watches->pdata[i];
        g_autoptr(GError) error =
            talk->start_error ? g_error_copy(talk->start_error) : death(talk, how, NULL);
        watch->callback(watch->data, false, error->message);
    }
}

static void reset(Talk *talk) {
    g_byte_array_set_size(talk->out, 0);
    g_byte_array_set_size(talk->in, 0);
    g_string_truncate(talk->words, 0);
    talk->out_at = talk->scanned = 0;
    talk->n_lines = 0;
    talk->described = talk->stopping = talk->renewing = talk->leaving = talk->blameless = false;
    talk->kill_at = 0;
    talk->describe_id = 0;
    g_clear_pointer(&talk->reason, g_free);
    g_clear_error(&talk->start_error);
    for (unsigned i = 0; i < talk->watches->len; i++)
        ((TalkWatch *)talk->watches->pdata[i])->id = 0;
}

/* --- its standard error */

static void hear_words(Talk *talk) {
    char chunk[CHUNK];
    ssize_t n = read(talk->child.err_fd, chunk, sizeof chunk);
    if (n == 0) {
        close(talk->child.err_fd);
        talk->child.err_fd = -1;
    }
    if (n <= 0)
        return;
    g_string_append_len(talk->words, chunk, n);
    if (talk->words->len > LAST_WORDS)
        g_string_erase(talk->words, 0, (gssize)(talk->words->len - LAST_WORDS));
}

/* --- its output */

/* It says what is no message, or another than is due: everything it may say later is worth nothing.
 */
static void break_off(Talk *talk, GError *error) {
    g_autofree char *reason = g_strdup_printf("speaks no protocol of ours: %s", error->message);
    g_error_free(error);
    stop(talk, SIGKILL, reason, false);
}

static void take_description(Talk *talk, const Message *message) {
    GError *error = NULL;
    int64_t protocol = value_map_int(message->value, "protocol", 0);
    const Value *kind = value_map_get(message->value, "kind");
    if (answer_is_error(message->value, &error)) {
        g_prefix_error(&error, "program '%s' does not describe itself: ", talk->path);
    } else if (protocol != PROGRAM_PROTOCOL) {
        error = g_error_new(STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                            "program '%s' speaks protocol %" G_GINT64_FORMAT
                            ", this stead speaks %d: its answer to \"describe\" must have "
                            "\"protocol\":%d",
                            talk->path, protocol, PROGRAM_PROTOCOL, PROGRAM_PROTOCOL);
    } else if (talk->description && !value_equal(talk->description, kind)) {
        error = g_error_new(STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "program '%s' describes itself differently than when it was first "
                            "asked; restart stead to work with the new one",
                            talk->path);
    }
    if (error) {
        talk->start_error = error;
        stop(talk, SIGKILL, "was refused", false);
        return;
    }
    if (!talk->description)
        talk->description = value_ref(kind);
    talk->described = true;
    talk->kill_at = 0;
}

static GList *find_sent(Talk *talk, uint64_t id) {
    for (GList *link = talk->sent.head; link; link = link->next)
        if (((Call *)link->data)->id == id)
            return link;
    return NULL;
}

static TalkWatch *find_watch(Talk *talk, uint64_t id) {
    for (unsigned i = 0; i < talk->watches->len; i++) {
        TalkWatch *watch = talk->watches->pdata[i];
        if (watch->id == id)
            return watch;
    }
    return NULL;
}

static void answer_watch(TalkWatch *watch, const Message *message) {
    g_autoptr(GError) error = NULL;
    if (answer_is_error(message->value, &error)) {
        watch->callback(watch->data, false, error->message);
        return;
    }
    watch->callback(watch->data, !watch->was_armed, NULL);
    watch->was_armed = true;
}

static void take_answer(Talk *talk, const Message *message) {
    GList *link = find_sent(talk, message->id);
    TalkWatch *watch = link ? NULL : find_watch(talk, message->id);
    if (watch) {
        answer_watch(watch, message);
        return;
    }
    if (!link && message->id <= talk->last_id)
        return; /* of a watch that was ended meanwhile */
    if (!link) {
        break_off(talk, g_error_new(STEAD_ERROR, STEAD_ERROR_FAILED,
                                    "line %" G_GUINT64_FORMAT " of its output answers request "
                                    "%" G_GUINT64_FORMAT ", which was not made",
                                    talk->n_lines, message->id));
        return;
    }
    Call *call = link->data;
    GError *error = NULL;
    unsend(talk, link);
    (void)answer_is_error(message->value, &error); /* then error is set */
    finish(call, error ? NULL : value_ref(message->value), error);
}

static void take_message(Talk *talk, const Message *message) {
    switch (message->type) {
    case MESSAGE_LOG: {
        const char *text = value_map_string(message->value, "log", "");
        GList *link = find_sent(talk, message->id);
        g_debug("%s: %s", talk->path, text);
        if (link) {
            g_free(((Call *)link->data)->note);
            ((Call *)link->data)->note = g_strdup(text);
        }
        return;
    }
    case MESSAGE_CHANGED: {
        TalkWatch *watch = find_watch(talk, message->id);
        if (watch)
            watch->callback(watch->data, false, NULL);
        return;
    }
    case MESSAGE_ANSWER:
        if (!talk->described && message->id == talk->describe_id)
            take_description(talk, message);
        else
            take_answer(talk, message);
        return;
    }
    g_assert_not_reached();
}

static void take_line(Talk *talk, const char *line, gsize size) {
    g_auto(Message) message = { 0 };
    GError *error = NULL;
    talk->n_lines++;
    if (talk->stopping || size == 0)
        return;
    if (message_read(line, size, talk->n_lines, &message, &error))
        take_message(talk, &message);
    else
        break_off(talk, error);
}

static void take_lines(Talk *talk) {
    const char *start = (const char *)talk->in->data;
    gsize from = 0;
    const char *end;
    while ((end = memchr(start + MAX(from, talk->scanned), '\n',
                         talk->in->len - MAX(from, talk->scanned)))) {
        take_line(talk, start + from, (gsize)(end - start) - from);
        from = (gsize)(end - start) + 1;
    }
    if (from > 0)
        g_byte_array_remove_range(talk->in, 0, (guint)from);
    talk->scanned = talk->in->len;
    if (talk->in->len > LIMIT_PROGRAM_LINE && !talk->stopping)
        break_off(talk, g_error_new(STEAD_ERROR, STEAD_ERROR_LIMIT,
                                    "line %" G_GUINT64_FORMAT " of its output is longer than %u "
                                    "MiB (LIMIT_PROGRAM_LINE)",
                                    talk->n_lines + 1, LIMIT_PROGRAM_LINE / 1024 / 1024));
    if (talk->stopping)
        g_byte_array_set_size(talk->in, (guint)(talk->scanned = 0));
}

/* Returns whether there may be more. */
static bool hear_output(Talk *talk) {
    char chunk[CHUNK];
    if (talk->child.out_fd < 0)
        return false;
    ssize_t n = read(talk->child.out_fd, chunk, sizeof chunk);
    if (n > 0) {
        g_byte_array_append(talk->in, (const guint8 *)chunk, (guint)n);
        take_lines(talk);
    } else if (n == 0) { /* most end at the same moment */
        close(talk->child.out_fd);
        talk->child.out_fd = -1;
        if (!talk->stopping)
            talk->kill_at = g_get_monotonic_time() + SILENCE_US;
    }
    return n > 0;
}

/* --- its input */

static void put_line(Talk *talk, uint64_t id, const char *request, const Value *members) {
    g_autoptr(GString) line = request_line(id, request, members);
    g_byte_array_append(talk->out, (const guint8 *)line->str, (guint)line->len);
}

static void put_describe(Talk *talk) {
    g_autoptr(Value) members = value_new_map();
    value_map_set(members, "protocol", value_new_int(PROGRAM_PROTOCOL));
    value_map_set(members, "root", value_new_string(talk->root));
    value_map_set(members, "stead", value_new_string(STEAD_VERSION));
    talk->describe_id = ++talk->last_id;
    put_line(talk, talk->describe_id, "describe", members);
    talk->kill_at = g_get_monotonic_time() + DESCRIBE_US;
}

static void put_watches(Talk *talk) {
    for (unsigned i = 0; i < talk->watches->len; i++) {
        TalkWatch *watch = talk->watches->pdata[i];
        if (watch->id != 0)
            continue;
        watch->id = ++talk->last_id;
        put_line(talk, watch->id, "watch", watch->members);
    }
}

/* What may be sent now. */
static void put_calls(Talk *talk) {
    for (GList *link = talk->waiting.head, *next; link; link = next) {
        Call *call = link->data;
        next = link->next;
        bool is_description = call->members == NULL;
        if (call->sort == TALK_CHANGES && talk->n_changing >= talk->parallel)
            continue;
        g_queue_delete_link(&talk->waiting, link);
        if (is_description) {
            finish(call, value_ref(talk->description), NULL);
            continue;
        }
        call->id = ++talk->last_id;
        call->tries++;
        put_line(talk, call->id, call->request, call->members);
        talk->n_changing += call->sort == TALK_CHANGES;
        g_queue_push_tail(&talk->sent, call);
    }
}

static void write_input(Talk *talk) {
    while (talk->out_at < talk->out->len && talk->child.in_fd >= 0) {
        ssize_t n =
            write(talk->child.in_fd, talk->out->data + talk->out_at, talk->out->len - talk->out_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* it does not listen any more: its end, or its silence, tells the rest */
            child_close_input(&talk->child);
            break;
        }
        talk->out_at += (gsize)n;
    }
    g_byte_array_set_size(talk->out, 0);
    talk->out_at = 0;
}

/* --- the thread */

static const char *home(void) {
    const char *home = g_getenv("HOME");
    return home ? home : "/";
}

static void start(Talk *talk) {
    g_autofree char *home_entry = g_strconcat("HOME=", home(), NULL);
    /* Python alone keeps back what it writes to a pipe, and every author stumbles over that. */
    const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", home_entry, NULL };
    reset(talk);
    talk->started = g_get_monotonic_time();
    if (child_start(&talk->child, talk->path, env, &talk->start_error)) {
        put_describe(talk);
        return;
    }
    fail_waiting(talk, "");
    talk->started = g_get_monotonic_time();
}

static void on_end(Talk *talk) {
    while (hear_output(talk))
        continue;
    if (talk->child.err_fd >= 0)
        hear_words(talk);
    g_autofree char *how = child_reap(&talk->child);
    settle_calls(talk, how);
    if (!talk->described)
        fail_waiting(talk, how);
    talk->stopping = false;
}

/* Whether a process is wanted, and when; -1: at once is not needed. */
static bool wants_process(const Talk *talk, int64_t now, int64_t *ret_at) {
    *ret_at = -1;
    if (talk->ending || talk->child.pid != 0)
        return false;
    if (talk->waiting.length > 0)
        return true;
    if (talk->watches->len == 0)
        return false;
    *ret_at = talk->started + RESTART_US;
    return now >= *ret_at;
}

static void check_time(Talk *talk, int64_t now) {
    if (talk->kill_at == 0 || now < talk->kill_at || talk->child.pid == 0)
        return;
    if (!talk->stopping && talk->child.out_fd < 0)
        stop(talk, SIGKILL, "closed its output and ran on", false);
    else if (!talk->stopping)
        stop(talk, SIGKILL, "did not describe itself within 20 s; does it flush its output?",
             false);
    else
        child_signal(&talk->child, SIGKILL);
    talk->kill_at = 0;
}

/* Ends its input when nothing is to come any more. */
static void check_farewell(Talk *talk, int64_t now) {
    bool idle = g_queue_is_empty(&talk->sent) && talk->out_at == talk->out->len;
    bool wanted = talk->ending || (talk->renewing && idle && talk->described);
    if (!wanted || talk->child.pid == 0 || talk->leaving)
        return;
    child_close_input(&talk->child);
    talk->leaving = talk->stopping = true;
    talk->kill_at = now + FAREWELL_US;
}

static int wait_ms(int64_t now, int64_t a, int64_t b) {
    int64_t at = a > 0 && b > 0 ? MIN(a, b) : MAX(a, b);
    return at <= 0 ? -1 : at <= now ? 0 : (int)((at - now) / 1000 + 1);
}

static void wait_for_something(Talk *talk, int timeout) {
    bool writes = talk->out_at < talk->out->len && talk->child.in_fd >= 0;
    struct pollfd fds[5] = {
        { .fd = talk->wake_fd, .events = POLLIN },
        { .fd = talk->child.out_fd, .events = POLLIN },
        { .fd = talk->child.err_fd, .events = POLLIN },
        { .fd = talk->child.pid_fd, .events = POLLIN },
        { .fd = writes ? talk->child.in_fd : -1, .events = POLLOUT },
    };
    g_mutex_unlock(&talk->lock);
    (void)poll(fds, G_N_ELEMENTS(fds),
               timeout); /* an interrupted one is as one that found nothing */
    g_mutex_lock(&talk->lock);
    uint64_t count;
    if (fds[0].revents != 0)
        (void)!read(talk->wake_fd, &count, sizeof count);
    if (fds[1].revents != 0)
        (void)hear_output(talk);
    if (fds[2].revents != 0)
        hear_words(talk);
    if (fds[4].revents != 0)
        write_input(talk);
    if (fds[3].revents != 0)
        on_end(talk);
}

static void *converse(void *data) {
    Talk *talk = data;
    g_mutex_lock(&talk->lock);
    while (!talk->ending || talk->child.pid != 0) {
        int64_t now = g_get_monotonic_time(), start_at;
        if (wants_process(talk, now, &start_at))
            start(talk);
        if (talk->child.pid != 0 && talk->described && !talk->stopping && !talk->renewing) {
            put_watches(talk);
            put_calls(talk);
        }
        write_input(talk);
        check_farewell(talk, now);
        check_time(talk, now);
        if (!talk->ending || talk->child.pid != 0)
            wait_for_something(talk, wait_ms(now, talk->kill_at, start_at));
    }
    g_mutex_unlock(&talk->lock);
    return NULL;
}

/* Under the lock. */
static bool wake(Talk *talk, GError **error) {
    if (talk->wake_fd < 0 && (talk->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return set_io_error(error, errno, "talk with '%s'", talk->path);
    if (!talk->thread && !(talk->thread = thread_start("kind", converse, talk, error)))
        return false;
    raise_fd(talk->wake_fd);
    return true;
}

/* --- asking */

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
    unsend(talk, link);
    g_autofree char *reason =
        g_strdup_printf("was ended, because it did not answer to '%s' in time", call->request);
    stop(talk, SIGTERM, reason, true);
    raise_fd(talk->wake_fd);
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
        raise_fd(talk->wake_fd);
    }
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
        put_line(talk, ++talk->last_id, "unwatch", members);
        raise_fd(talk->wake_fd);
    }
    g_mutex_unlock(&talk->lock);
    value_unref(watch->members);
    g_free(watch);
}
