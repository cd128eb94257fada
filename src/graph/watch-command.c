#include "graph/watch-command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK_SIZE    65536          /* bytes read in one callback */
#define PATIENCE_MS   3000           /* from SIGTERM to SIGKILL */
#define LAST_WORDS_US G_USEC_PER_SEC /* from the end of the output to that of the process */

struct WatchCommand {
    Loop *loop;
    WatchCommandCallback callback;
    void *data;
    char *name; /* argv[0], for messages */
    pid_t pid;  /* 0: reaped; leads its process group */
    int pid_fd, out_fd;
    LoopSource *end, *out;
    LoopTimer *last_words;
};

/* --- ending */

typedef struct {
    pid_t pid;
    int pid_fd;
} Ending;

/* In a thread of its own, because the loop must not wait. */
static void *end_process(void *data) {
    g_autofree Ending *ending = data;
    struct pollfd ended = { .fd = ending->pid_fd, .events = POLLIN };
    int r;
    do {
        r = poll(&ended, 1, PATIENCE_MS);
    } while (r < 0 && errno == EINTR);
    (void)kill(-ending->pid, SIGKILL); /* the leader, if it is there still, and what it left */
    while (waitpid(ending->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(ending->pid_fd);
    return NULL;
}

/* Hands the process over; whoever gets the signal has 3 seconds. */
static void start_ending(WatchCommand *watch) {
    (void)kill(-watch->pid, SIGTERM); /* gone already is fine */
    Ending *ending = g_new(Ending, 1);
    *ending = (Ending){ watch->pid, watch->pid_fd };
    watch->pid = 0;
    watch->pid_fd = -1;
    g_thread_unref(g_thread_new("end-watch", end_process, ending));
}

void watch_command_free(WatchCommand *watch) {
    if (!watch)
        return;
    loop_timer_clear(&watch->last_words);
    loop_source_free(watch->end);
    loop_source_free(watch->out);
    if (watch->pid > 0)
        start_ending(watch);
    if (watch->out_fd >= 0)
        close(watch->out_fd);
    if (watch->pid_fd >= 0)
        close(watch->pid_fd);
    g_free(watch->name);
    g_free(watch);
}

/* --- what happens to it */

static void fail(WatchCommand *watch, const char *how) {
    g_autofree char *detail = g_strdup_printf("watch command '%s' %s", watch->name, how);
    g_clear_pointer(&watch->end, loop_source_free);
    g_clear_pointer(&watch->out, loop_source_free);
    loop_timer_clear(&watch->last_words);
    watch->callback(watch->data, detail);
}

static void on_end(void *data, int fd, uint32_t events) {
    WatchCommand *watch = data;
    int status = 0;
    if (waitpid(watch->pid, &status, WNOHANG) == 0)
        return;
    (void)kill(-watch->pid, SIGTERM); /* what it left running in the background */
    watch->pid = 0;
    g_autofree char *how =
        WIFSIGNALED(status)
            ? g_strdup_printf("was ended by signal %d (%s)", WTERMSIG(status),
                              g_strsignal(WTERMSIG(status)))
            : g_strdup_printf("ended with status %d: it has to run on", WEXITSTATUS(status));
    fail(watch, how);
}

static void on_silence(void *data) {
    fail(data, "closed its output: nothing would be seen any more");
}

static void on_output(void *data, int fd, uint32_t events) {
    WatchCommand *watch = data;
    char chunk[CHUNK_SIZE];
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        if (memchr(chunk, '\n', (size_t)n))
            watch->callback(watch->data, NULL);
        return;
    }
    /* Usually the process ends at the same time, and its status says more. */
    g_clear_pointer(&watch->out, loop_source_free);
    loop_timer_set(watch->loop, &watch->last_words, loop_now(watch->loop) + LAST_WORDS_US,
                   on_silence, watch);
}

WatchCommand *watch_command_new(Host *host, Loop *loop, const HostCommand *command,
                                WatchCommandCallback callback, void *data, GError **error) {
    int out_fd;
    pid_t pid;
    if (!host_spawn(host, command, &out_fd, &pid, error))
        return NULL;
    g_autoptr(WatchCommand) watch = g_new0(WatchCommand, 1);
    watch->loop = loop;
    watch->callback = callback;
    watch->data = data;
    watch->name = g_strdup(command->argv[0]);
    watch->out_fd = out_fd;
    watch->pid_fd = pidfd_open(pid, 0);
    if (watch->pid_fd < 0) {
        set_io_error(error, errno, "watch process of '%s'", watch->name);
        (void)kill(-pid, SIGKILL); /* ours, not reaped yet */
        (void)waitpid(pid, NULL, 0);
        return NULL;
    }
    watch->pid = pid;
    watch->end = loop_watch_fd(loop, watch->pid_fd, EPOLLIN, on_end, watch, error);
    if (!watch->end)
        return NULL;
    watch->out = loop_watch_fd(loop, out_fd, EPOLLIN, on_output, watch, error);
    return watch->out ? g_steal_pointer(&watch) : NULL;
}
