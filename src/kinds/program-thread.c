/* A program's process: started, written to, watched over and ended by one thread. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "kinds/program-talk-private.h"

#define DESCRIBE_US   (20 * G_USEC_PER_SEC) /* to start and say what it is */
#define KILL_AFTER_US (3 * G_USEC_PER_SEC)  /* from SIGTERM to SIGKILL */
#define FAREWELL_US   (2 * G_USEC_PER_SEC)  /* from the end of its input to SIGKILL */
#define RESTART_US    G_USEC_PER_SEC        /* between starts only for the sake of watches */
#define MAX_TRIES     3                     /* of a request whose turn never came */

/* --- its end */

void talk_end_process(Talk *talk, int signal_number, const char *reason, bool blameless) {
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
 * that went wrong, and what stood behind it was not looked at. killed: by somebody else, so that
 * no question was the cause. */
static void settle_calls(Talk *talk, const char *how, bool killed) {
    bool first = !talk->blameless;
    while (!g_queue_is_empty(&talk->sent)) {
        GList *link = talk->sent.head;
        Call *call = link->data;
        bool is_cause = first && !(killed && call->sort == TALK_ASKS);
        bool at_fault = is_cause || call->tries >= MAX_TRIES || !talk->described;
        bool half_done = call->sort == TALK_CHANGES && (talk->parallel > 1 || at_fault);
        talk_unsend(talk, link);
        if (at_fault || half_done)
            call_finish(call, NULL, death(talk, how, call));
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
        call_finish(call, NULL, error);
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

/* --- its input */

void talk_put_line(Talk *talk, uint64_t id, const char *request, const Value *members) {
    g_autoptr(GString) line = request_line(id, request, members);
    g_byte_array_append(talk->out, (const guint8 *)line->str, (guint)line->len);
}

static void put_describe(Talk *talk) {
    g_autoptr(Value) members = value_new_map();
    value_map_set(members, "protocol", value_new_int(PROGRAM_PROTOCOL));
    value_map_set(members, "root", value_new_string(talk->root));
    value_map_set(members, "stead", value_new_string(STEAD_VERSION));
    talk->describe_id = ++talk->last_id;
    talk_put_line(talk, talk->describe_id, "describe", members);
    talk->kill_at = g_get_monotonic_time() + DESCRIBE_US;
}

static void put_watches(Talk *talk) {
    for (unsigned i = 0; i < talk->watches->len; i++) {
        TalkWatch *watch = talk->watches->pdata[i];
        if (watch->id != 0)
            continue;
        watch->id = ++talk->last_id;
        talk_put_line(talk, watch->id, "watch", watch->members);
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
            call_finish(call, value_ref(talk->description), NULL);
            continue;
        }
        call->id = ++talk->last_id;
        call->tries++;
        talk_put_line(talk, call->id, call->request, call->members);
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
    const char *const words[] = { talk->path, NULL };
    if (child_start(&talk->child, words, env, &talk->start_error)) {
        put_describe(talk);
        return;
    }
    fail_waiting(talk, "");
    talk->started = g_get_monotonic_time();
}

static void on_end(Talk *talk) {
    while (talk_hear_output(talk))
        continue;
    if (talk->child.err_fd >= 0)
        talk_hear_words(talk);
    int number;
    g_autofree char *how = child_reap(&talk->child, &number);
    settle_calls(talk, how, !talk->reason && (number == SIGKILL || number == SIGTERM));
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
        talk_end_process(talk, SIGKILL, "closed its output and ran on", false);
    else if (!talk->stopping)
        talk_end_process(talk, SIGKILL,
                         "did not describe itself within 20 s; does it flush its output?", false);
    else
        child_signal(&talk->child, SIGKILL);
    talk->kill_at = 0;
}

static bool is_unused(Talk *talk) {
    return talk->retiring && talk->watches->len == 0 && g_queue_is_empty(&talk->waiting);
}

/* Ends its input when nothing is to come any more. */
static void check_farewell(Talk *talk, int64_t now) {
    bool idle = g_queue_is_empty(&talk->sent) && talk->out_at == talk->out->len;
    bool wanted = talk->ending || ((talk->renewing || is_unused(talk)) && idle && talk->described);
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
        (void)talk_hear_output(talk);
    if (fds[2].revents != 0)
        talk_hear_words(talk);
    if (fds[4].revents != 0)
        write_input(talk);
    if (fds[3].revents != 0)
        on_end(talk);
}

static bool is_over(Talk *talk) {
    return talk->child.pid == 0 && (talk->ending || is_unused(talk));
}

void *talk_converse(void *data) {
    Talk *talk = data;
    g_mutex_lock(&talk->lock);
    while (!is_over(talk)) {
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
        if (!is_over(talk))
            wait_for_something(talk, wait_ms(now, talk->kill_at, start_at));
    }
    talk->over = true;
    g_mutex_unlock(&talk->lock);
    return NULL;
}
