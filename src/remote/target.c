#include "remote/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/printable.h"
#include "host/child.h"
#include "remote/script.h"
#include "remote/ssh-error.h"

#define SAID_MAX 65536 /* bytes of ssh's own messages */
#define CHUNK    65536

struct Target {
    Loop *loop;
    char *host, *token;
    char *socket; /* of job->back, on the target; or NULL */
    const RemoteJob *job;
    TargetListener listener;
    RemoteSource source; /* owned reference */
    Child child;
    LoopSource *in_source, *out_source, *err_source, *end_source;
    GQueue queue; /* of GBytes: to be written, the first from offset on */
    size_t offset;
    GString *out, *err; /* heard, up to the next end of line */
    GString *said;      /* by ssh, before the target's shell */
    bool greeted, running, started, finished;
    int exit_code;
    GError *error;
};

/* --- saying */

static void on_writable(void *data, int fd, uint32_t events);

static void want_to_write(Target *target) {
    if (target->in_source == NULL && target->child.in_fd >= 0)
        target->in_source =
            loop_watch_fd(target->loop, target->child.in_fd, EPOLLOUT, on_writable, target, NULL);
}

/* Takes bytes over. */
static void send(Target *target, GBytes *bytes) {
    if (g_bytes_get_size(bytes) == 0) {
        g_bytes_unref(bytes);
        return;
    }
    g_queue_push_tail(&target->queue, bytes);
    want_to_write(target);
}

static void G_GNUC_PRINTF(2, 3) say(Target *target, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *line = g_strdup_vprintf(format, args);
    va_end(args);
    send(target, g_bytes_new_take(line, strlen(line)));
}

static void put(Target *target, const char *name, GBytes *bytes) {
    say(target, "put %s %zu\n", name, g_bytes_get_size(bytes));
    send(target, g_bytes_ref(bytes));
}

static void hang_up(Target *target) {
    g_clear_pointer(&target->in_source, loop_source_free);
    g_queue_clear_full(&target->queue, (GDestroyNotify)g_bytes_unref);
    child_close_input(&target->child);
}

static void on_writable(void *data, int fd, uint32_t events) {
    Target *target = data;
    GBytes *first = g_queue_peek_head(&target->queue);
    if (first == NULL) {
        g_clear_pointer(&target->in_source, loop_source_free);
        return;
    }
    size_t size;
    const char *bytes = g_bytes_get_data(first, &size);
    ssize_t n = write(fd, bytes + target->offset, MIN(size - target->offset, CHUNK));
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(target); /* it is gone: its end tells why */
        return;
    }
    target->offset += n > 0 ? (size_t)n : 0;
    if (target->offset < size)
        return;
    target->offset = 0;
    g_bytes_unref(g_queue_pop_head(&target->queue));
}

/* --- hearing */

static void G_GNUC_PRINTF(3, 4) fail(Target *target, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *shown = printable_text(g_strstrip(text), PRINTABLE_PLAIN);
    if (target->error == NULL)
        target->error = g_error_new(STEAD_ERROR, code, "%s", shown);
    hang_up(target);
}

static void put_source(Target *target) {
    put(target, "bundle", target->source.packed);
    say(target, "unpack %s %s\n", target->source.digest, target->job->directory);
}

static void put_text(Target *target, const char *name, const char *text) {
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    put(target, name, bytes);
}

static void clear_file(void *data) {
    RemoteFile *file = data;
    g_bytes_unref(file->bytes);
}

static void put_files(Target *target) {
    const RemoteJob *job = target->job;
    g_autoptr(GArray) own = g_array_new(FALSE, FALSE, sizeof(RemoteFile));
    g_array_set_clear_func(own, clear_file);
    if (job->own_files != NULL)
        job->own_files(job->data, target->host, own);
    for (unsigned i = 0; i < job->n_files; i++)
        put(target, job->files[i].name, job->files[i].bytes);
    for (unsigned i = 0; i < own->len; i++) {
        const RemoteFile *file = &g_array_index(own, RemoteFile, i);
        put(target, file->name, file->bytes);
    }
}

static void begin(Target *target, bool has_program) {
    const RemoteJob *job = target->job;
    GBytes *packed = has_program ? NULL : remote_program_packed(job->program, &target->error);
    if (!has_program && packed == NULL) {
        hang_up(target);
        return;
    }
    if (packed != NULL) {
        target->listener.copies(target->listener.data, target, g_bytes_get_size(packed));
        say(target, "program %zu\n", g_bytes_get_size(packed));
        send(target, g_bytes_ref(packed));
    }
    put_source(target);
    put_files(target);
    put_text(target, "words", job->words);
    say(target, "run\n");
    target->running = true;
}

static void on_word(Target *target, const char *said) {
    if (strcmp(said, "hello have") == 0 || strcmp(said, "hello need") == 0) {
        target->greeted = true;
        begin(target, strcmp(said, "hello have") == 0);
    } else if (g_str_has_prefix(said, "busy")) {
        target->greeted = true;
        fail(target, STEAD_ERROR_REFUSED, "it is busy: %s is at work there; wait for its end",
             said[4] != '\0' && said[5] != '\0' ? said + 5 : "another stead over ssh");
    } else if (g_str_has_prefix(said, "failed ")) {
        target->greeted = true;
        fail(target, STEAD_ERROR_FAILED, "%s", said + strlen("failed "));
    } else if (strcmp(said, "started") == 0) {
        target->started = true;
    } else if (g_str_has_prefix(said, "done ")) {
        target->finished = true;
        target->exit_code = atoi(said + strlen("done "));
        hang_up(target);
    }
}

static void on_line(Target *target, bool is_error, char *line) {
    size_t size = strlen(target->token);
    if (!is_error && g_str_has_prefix(line, target->token) && line[size] == ' ')
        on_word(target, line + size + 1);
    else if (target->greeted)
        target->listener.line(target->listener.data, target, is_error, line);
    else if (is_error && target->said->len < SAID_MAX)
        g_string_append_printf(target->said, "%s\n", line);
    /* What a login script prints before is nobody's business. */
}

static void take_lines(Target *target, bool is_error, bool at_end) {
    GString *heard = is_error ? target->err : target->out;
    size_t done = 0;
    for (;;) {
        char *start = heard->str + done;
        char *end = memchr(start, '\n', heard->len - done);
        if (end == NULL)
            break;
        *end = '\0';
        done = (size_t)(end - heard->str) + 1;
        if (end > start && end[-1] == '\r')
            end[-1] = '\0';
        on_line(target, is_error, start);
    }
    if (at_end && done < heard->len) {
        on_line(target, is_error, heard->str + done);
        done = heard->len;
    }
    g_string_erase(heard, 0, (gssize)done);
    if (heard->len > REMOTE_LINE_MAX)
        fail(target, STEAD_ERROR_LIMIT, "%s", "it said a line without an end");
}

/* False at the end of what is to be heard. */
static bool hear(Target *target, int fd, bool is_error) {
    char buffer[CHUNK];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    g_string_append_len(is_error ? target->err : target->out, buffer, n);
    take_lines(target, is_error, false);
    return true;
}

static void on_out(void *data, int fd, uint32_t events) {
    Target *target = data;
    if (!hear(target, fd, false))
        g_clear_pointer(&target->out_source, loop_source_free);
}

static void on_err(void *data, int fd, uint32_t events) {
    Target *target = data;
    if (!hear(target, fd, true))
        g_clear_pointer(&target->err_source, loop_source_free);
}

/* --- the end */

static void drain(Target *target, int fd, bool is_error) {
    char buffer[CHUNK];
    ssize_t n;
    GString *heard = is_error ? target->err : target->out;
    while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(heard, buffer, n);
    take_lines(target, is_error, true);
}

static void drop_sources(Target *target) {
    LoopSource **sources[] = { &target->in_source, &target->out_source, &target->err_source,
                               &target->end_source };
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++)
        g_clear_pointer(sources[i], loop_source_free);
}

/* By the process, not by the end of its output: a master connection of the user's own may go on
 * with that. */
static void on_end(void *data, int fd, uint32_t events) {
    Target *target = data;
    drain(target, target->child.out_fd, false);
    drain(target, target->child.err_fd, true);
    drop_sources(target);
    g_autofree char *how = child_reap(&target->child, NULL);
    if (target->error == NULL && !target->greeted)
        ssh_explain(target->host, target->said->str, how, &target->error);
    else if (target->error == NULL && !target->finished)
        target->error = g_error_new_literal(
            STEAD_ERROR, STEAD_ERROR_IO,
            target->started
                ? "the connection was cut: what stead was doing there ends in order; run this again"
                : "the connection was cut before stead began there; run this again");
    target->listener.ended(target->listener.data, target);
}

/* --- life */

static const char *const always[] = {
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=10",
    "-o",
    "ServerAliveCountMax=3",
    "-o",
    "LogLevel=ERROR",
    NULL,
};
/* A connection of its own, that ends with us: a master of the user's would keep the socket. It is
 * its owner's alone. The value of -R follows. */
static const char *const with_way_back[] = {
    "-o", "ControlPath=none",         "-o", "ExitOnForwardFailure=yes",
    "-o", "StreamLocalBindMask=0177", "-R", NULL,
};

static void add_words(GPtrArray *words, const char *const *more) {
    for (; *more != NULL; more++)
        g_ptr_array_add(words, g_strdup(*more));
}

static bool start_ssh(Target *target, GError **error) {
    const RemoteJob *job = target->job;
    g_autofree char *who =
        g_strdup_printf("%s on %s (process %d)", g_get_user_name(), g_get_host_name(), getpid());
    ScriptOptions options = { .token = target->token,
                              .digest = job->program->digest,
                              .machine = job->program->machine,
                              .who = who,
                              .keep = job->keep,
                              .socket = target->socket,
                              .unprivileged = job->unprivileged };
    g_autofree char *command = script_command(&options);
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(words, g_strdup(job->ssh));
    add_words(words, always);
    if (target->socket != NULL) {
        add_words(words, with_way_back);
        g_ptr_array_add(words, g_strdup_printf("%s:%s", target->socket, job->back));
    }
    const char *const last[] = { "--", target->host, command, NULL };
    add_words(words, last);
    g_ptr_array_add(words, NULL);
    g_auto(GStrv) env = g_get_environ();
    return child_start(&target->child, (const char *const *)words->pdata, (const char *const *)env,
                       error);
}

static bool watch(Target *target, GError **error) {
    Child *child = &target->child;
    target->out_source = loop_watch_fd(target->loop, child->out_fd, EPOLLIN, on_out, target, error);
    target->err_source = target->out_source != NULL ? loop_watch_fd(target->loop, child->err_fd,
                                                                    EPOLLIN, on_err, target, error)
                                                    : NULL;
    target->end_source = target->err_source != NULL ? loop_watch_fd(target->loop, child->pid_fd,
                                                                    EPOLLIN, on_end, target, error)
                                                    : NULL;
    return target->end_source != NULL;
}

static void take_source(Target *target, const RemoteSource *source) {
    GBytes *old = target->source.packed;
    target->source = *source;
    g_bytes_ref(source->packed);
    if (old != NULL)
        g_bytes_unref(old);
}

Target *target_start(Loop *loop, const char *host, const RemoteJob *job, const RemoteSource *source,
                     const TargetListener *listener, GError **error) {
    Target *target = g_new0(Target, 1);
    target->loop = loop;
    target->host = g_strdup(host);
    target->token = g_uuid_string_random();
    target->job = job;
    if (job->back != NULL) /* nobody can guess it, so nobody can have made it before */
        target->socket = g_strdup_printf("/tmp/stead-%s", target->token);
    target->listener = *listener;
    target->child = CHILD_NONE;
    target->out = g_string_new(NULL);
    target->err = g_string_new(NULL);
    target->said = g_string_new(NULL);
    g_queue_init(&target->queue);
    take_source(target, source);
    if (start_ssh(target, error) && watch(target, error))
        return target;
    target_free(target);
    return NULL;
}

void target_free(Target *target) {
    if (target == NULL)
        return;
    drop_sources(target);
    if (target->child.pid > 0) {
        child_signal(&target->child, SIGKILL);
        g_free(child_reap(&target->child, NULL)); /* how it ended is our own doing */
    }
    g_queue_clear_full(&target->queue, (GDestroyNotify)g_bytes_unref);
    g_bytes_unref(target->source.packed);
    g_string_free(target->out, TRUE);
    g_string_free(target->err, TRUE);
    g_string_free(target->said, TRUE);
    g_clear_error(&target->error);
    g_free(target->host);
    g_free(target->token);
    g_free(target->socket);
    g_free(target);
}

const char *target_host(const Target *target) {
    return target->host;
}

void target_update(Target *target, const RemoteSource *source) {
    take_source(target, source);
    if (!target->running || target->finished || target->error != NULL)
        return; /* it gets the newest when it begins */
    put_source(target);
    say(target, "reload\n");
}

void target_kill(Target *target) {
    if (target->child.pid > 0)
        child_signal(&target->child, SIGKILL);
}

/* Before stead runs there, there is nothing to end in order. */
void target_stop(Target *target) {
    if (target->running) {
        say(target, "stop\n");
        return;
    }
    fail(target, STEAD_ERROR_CANCELLED, "%s", "interrupted before it began; nothing was touched");
    if (!target->greeted) /* else the script ends, and takes away what there is */
        target_kill(target);
}

int target_exit_code(const Target *target) {
    return target->exit_code;
}

const GError *target_error(const Target *target) {
    return target->error;
}

bool target_has_run(const Target *target) {
    return target->started;
}
