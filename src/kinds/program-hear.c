/* What a program says: its answers, events and words. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "kinds/program-talk-private.h"

#define LAST_WORDS 1024           /* bytes of its standard error that are kept */
#define SILENCE_US G_USEC_PER_SEC /* from the end of its output to SIGKILL */

/* --- its standard error */

void talk_hear_words(Talk *talk) {
    char chunk[TALK_CHUNK];
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
    talk_end_process(talk, SIGKILL, reason, false);
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
                            "program '%s' describes itself differently than before: its file has "
                            "changed; the next evaluation works with the new one",
                            talk->path);
    }
    if (error) {
        talk->start_error = error;
        talk_end_process(talk, SIGKILL, "was refused", false);
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
    talk_unsend(talk, link);
    (void)answer_is_error(message->value, &error); /* then error is set */
    call_finish(call, error ? NULL : value_ref(message->value), error);
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
bool talk_hear_output(Talk *talk) {
    char chunk[TALK_CHUNK];
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
