/* Running commands: what they start with, and waiting for them while their output comes in. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "host/command-identity.h"
#include "host/command-spawn.h"
#include "host/host-real-private.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define KILL_AFTER_US 3000000 /* from SIGTERM to SIGKILL */
/* A background process may keep the output open for ever: after the command's own end, what it
 * left in the pipe is taken and others are heard for this long. */
#define DRAIN_US      100000
#define DRAIN_MAX     (1024 * 1024) /* bytes: more than a pipe holds */
#define WAIT_SLICE_MS 50            /* while stopping: how soon a wish to kill is seen */

#define READ_CHUNK 65536

/* --- what to start */

typedef struct {
    GPtrArray *paths, *env;
    char **argv; /* the array only */
    CommandIdentity identity;
    char *cwd;
    SpawnRequest spawn; /* borrows from the above and from the command */
} Preparation;

static void preparation_clear(Preparation *preparation) {
    g_clear_pointer(&preparation->paths, g_ptr_array_unref);
    g_clear_pointer(&preparation->env, g_ptr_array_unref);
    command_identity_clear(&preparation->identity);
    g_clear_pointer(&preparation->argv, g_free);
    g_clear_pointer(&preparation->cwd, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Preparation, preparation_clear)

static GPtrArray *make_environment(RealHost *self, const char *const *given, const char *home) {
    GPtrArray *env = g_ptr_array_new_with_free_func(g_free);
    for (const char *const *entry = given; entry != NULL && *entry != NULL; entry++)
        g_ptr_array_add(env, g_strdup(*entry));
    if (given == NULL) {
        if (home == NULL)
            home = g_getenv("HOME");
        g_ptr_array_add(env, g_strdup("PATH=" DEFAULT_PATH));
        g_ptr_array_add(env, g_strconcat("HOME=", home != NULL ? home : "/", NULL));
        g_ptr_array_add(env, g_strdup("LANG=C.UTF-8"));
    }
    if (real_host_has_root(self))
        g_ptr_array_add(env, g_strconcat("STEAD_ROOT=", self->host.root, NULL));
    g_ptr_array_add(env, NULL);
    return env;
}

static const char *path_of(GPtrArray *env) {
    for (guint i = 0; i + 1 < env->len; i++)
        if (g_str_has_prefix(env->pdata[i], "PATH="))
            return (const char *)env->pdata[i] + strlen("PATH=");
    return DEFAULT_PATH;
}

/* The places where the program may be. Without a chroot, a path with a slash is still below the
 * root, but a bare name is a tool of this machine: the root's own would not find its libraries. */
static GPtrArray *candidates(RealHost *self, const char *program, const char *search_path,
                             bool chroots) {
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    if (strchr(program, '/') != NULL) {
        bool prefix = real_host_has_root(self) && !chroots && program[0] == '/';
        g_ptr_array_add(paths, g_strconcat(prefix ? self->host.root : "", program, NULL));
    } else {
        g_auto(GStrv) directories = g_strsplit(search_path, ":", -1);
        for (char **directory = directories; *directory != NULL; directory++)
            g_ptr_array_add(
                paths, g_strconcat(**directory != '\0' ? *directory : ".", "/", program, NULL));
    }
    g_ptr_array_add(paths, NULL);
    return paths;
}

static char **copy_array(const char *const *strings) {
    size_t n = 0;
    while (strings[n] != NULL)
        n++;
    return g_memdup2(strings, (n + 1) * sizeof *strings);
}

static bool prepare(RealHost *self, const HostCommand *command, Preparation *preparation,
                    GError **error) {
    const char *program = command->argv[0];
    bool chroots = real_host_has_root(self) && self->host.privileged;
    if (!command_identity_find(self, command->user, command->group, &preparation->identity,
                               error)) {
        g_prefix_error(error, "run '%s': ", program);
        return false;
    }
    const CommandIdentity *identity = &preparation->identity;
    preparation->env = make_environment(self, command->env, identity->home);
    const char *search_path = path_of(preparation->env);
    preparation->paths = candidates(self, program, search_path, chroots);
    preparation->argv = copy_array(command->argv);
    const char *cwd = command->cwd != NULL ? command->cwd : "/";
    preparation->cwd = chroots ? g_strdup(cwd) : real_local_path(self, cwd);
    preparation->spawn = (SpawnRequest){
        .label = program,
        .paths = (const char *const *)preparation->paths->pdata,
        .root = real_host_has_root(self) ? self->host.root : NULL,
        .search_path = strchr(program, '/') == NULL ? search_path : NULL,
        .argv = preparation->argv,
        .env = (char *const *)preparation->env->pdata,
        .chroot_directory = chroots ? self->host.root : NULL,
        .cwd = preparation->cwd,
        .set_uid = identity->set_uid,
        .set_gid = identity->set_gid,
        .set_groups = identity->set_groups,
        .set_umask = command->has_umask,
        .umask = command->umask,
        .uid = identity->uid,
        .gid = identity->gid,
        .groups = identity->groups != NULL ? (gid_t *)(void *)identity->groups->data : NULL,
        .n_groups = identity->groups != NULL ? identity->groups->len : 0,
    };
    return true;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd); /* pipes and the like: nothing can be lost */
    *fd = -1;
}

/* Input is a file in memory: it needs no pumping, and a command that does not read it harms
 * nobody. */
static int open_input(const HostCommand *command) {
    if (command->input_fd != NULL && *command->input_fd >= 0)
        return fcntl(*command->input_fd, F_DUPFD_CLOEXEC, 0);
    if (command->input == NULL)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = memfd_create("stead-input", MFD_CLOEXEC);
    const char *at = command->input;
    for (size_t left = command->input_size; fd >= 0 && left > 0;) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close_fd(&fd);
            return -1;
        }
        at += n;
        left -= (size_t)n;
    }
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET); /* a file of memory can always seek */
    return fd;
}

/* --- what runs */

typedef struct {
    int fd;
    GByteArray *kept;
} Stream;

/* A piece of one stream: together they say in which order the two came. */
typedef struct {
    uint32_t stream;
    uint32_t size;
} Piece;

typedef struct {
    const HostCommand *command;
    pid_t pid;
    int pid_fd;
    Stream streams[2]; /* out, err */
    GArray *pieces;
    bool truncated;
    bool ended;
    size_t drained;    /* bytes read since it ended */
    uint64_t deadline; /* CLOCK_MONOTONIC, us: of the drain, or for SIGKILL; 0: none */
    GError *stopped;   /* why the command was told to end */
    bool killed;
} Running;

static void running_clear(Running *running) {
    close_fd(&running->pid_fd);
    for (int i = 0; i < 2; i++) {
        close_fd(&running->streams[i].fd);
        g_clear_pointer(&running->streams[i].kept, g_byte_array_unref);
    }
    g_clear_pointer(&running->pieces, g_array_unref);
    g_clear_error(&running->stopped);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Running, running_clear)

static uint64_t monotonic_now(void) {
    return (uint64_t)g_get_monotonic_time();
}

/* Beyond the limit output is read, so that the command does not block, and thrown away. */
static void keep(Running *running, uint32_t index, const char *data, size_t size) {
    GByteArray *kept = running->streams[index].kept;
    size_t room = LIMIT_COMMAND_OUTPUT - kept->len;
    if (size > room) {
        running->truncated = true;
        size = room;
    }
    if (size == 0)
        return;
    g_byte_array_append(kept, (const guint8 *)data, (guint)size);
    GArray *pieces = running->pieces;
    if (pieces->len > 0 && g_array_index(pieces, Piece, pieces->len - 1).stream == index) {
        g_array_index(pieces, Piece, pieces->len - 1).size += (uint32_t)size;
        return;
    }
    Piece piece = { .stream = index, .size = (uint32_t)size };
    g_array_append_val(pieces, piece);
}

/* One piece of what is there, so that the two streams keep their order. */
static void read_stream(Running *running, uint32_t index) {
    char buffer[READ_CHUNK];
    Stream *stream = &running->streams[index];
    ssize_t n = read(stream->fd, buffer, sizeof buffer);
    if (n > 0) {
        keep(running, index, buffer, (size_t)n);
        running->drained += (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_fd(&stream->fd);
    }
}

static void signal_group(Running *running, int signal_number) {
    (void)kill(-running->pid, signal_number); /* ESRCH: all are gone already */
}

/* Called while the command runs: begins or hardens its end when that is wanted. */
static void check_stop(Running *running) {
    if (running->stopped == NULL) {
        if (cancel_check(running->command->cancel, &running->stopped))
            return;
        signal_group(running, SIGTERM);
        running->deadline = monotonic_now() + KILL_AFTER_US;
    }
    bool late = monotonic_now() >= running->deadline;
    if (!running->killed && (late || cancel_wants_kill(running->command->cancel))) {
        signal_group(running, SIGKILL);
        running->killed = true;
    }
}

static int wait_ms(const Running *running) {
    if (running->ended) {
        uint64_t now = monotonic_now();
        return now >= running->deadline ? 0 : (int)((running->deadline - now + 999) / 1000);
    }
    if (running->stopped != NULL)
        return WAIT_SLICE_MS;
    return cancel_poll_timeout_ms(running->command->cancel);
}

static bool open_streams(const Running *running) {
    return running->streams[0].fd >= 0 || running->streams[1].fd >= 0;
}

/* One wait for output, the end of the command, or a wish to stop it. Returns whether to go on. */
static bool step(Running *running) {
    Cancel *cancel = running->command->cancel;
    bool hears_cancel = cancel != NULL && !running->ended && running->stopped == NULL;
    struct pollfd fds[4] = {
        { .fd = running->streams[0].fd, .events = POLLIN },
        { .fd = running->streams[1].fd, .events = POLLIN },
        { .fd = running->ended ? -1 : running->pid_fd, .events = POLLIN },
        { .fd = hears_cancel ? cancel_fd(cancel) : -1, .events = POLLIN },
    };
    int n = poll(fds, G_N_ELEMENTS(fds), wait_ms(running));
    for (uint32_t i = 0; i < 2; i++)
        if (fds[i].revents != 0)
            read_stream(running, i);
    if (!running->ended && fds[2].revents != 0) {
        running->ended = true;
        running->drained = 0;
        running->deadline = monotonic_now() + DRAIN_US;
    }
    if (!running->ended)
        check_stop(running);
    if (!running->ended)
        return true;
    bool late = monotonic_now() >= running->deadline;
    bool enough = late && (n <= 0 || running->drained > DRAIN_MAX);
    return open_streams(running) && !enough;
}

static void collect_exit(Running *running, HostCommandResult *ret_result) {
    if (running->stopped != NULL)
        signal_group(running, SIGKILL); /* helpers that outlived it; its id is not free yet */
    siginfo_t info = { 0 };
    while (waitid(P_PID, (id_t)running->pid, &info, WEXITED) < 0 && errno == EINTR)
        continue;
    bool exited = info.si_code == CLD_EXITED;
    ret_result->exit_status = exited ? info.si_status : -1;
    ret_result->signal_number = exited ? 0 : info.si_status;
}

static GBytes *take_stream(Stream *stream) {
    return g_byte_array_free_to_bytes(g_steal_pointer(&stream->kept));
}

/* Both streams in their order; when only one has spoken, that one itself. */
static GBytes *merge(Running *running, GBytes *out, GBytes *err, bool *ret_truncated) {
    if (g_bytes_get_size(err) == 0)
        return g_bytes_ref(out);
    if (g_bytes_get_size(out) == 0)
        return g_bytes_ref(err);
    const guint8 *at[2] = { g_bytes_get_data(out, NULL), g_bytes_get_data(err, NULL) };
    size_t all = g_bytes_get_size(out) + g_bytes_get_size(err);
    GByteArray *merged = g_byte_array_sized_new((guint)MIN(all, LIMIT_COMMAND_OUTPUT));
    for (guint i = 0; i < running->pieces->len; i++) {
        const Piece *piece = &g_array_index(running->pieces, Piece, i);
        size_t size = MIN(piece->size, LIMIT_COMMAND_OUTPUT - merged->len);
        g_byte_array_append(merged, at[piece->stream], (guint)size);
        at[piece->stream] += piece->size;
    }
    *ret_truncated = *ret_truncated || all > merged->len;
    return g_byte_array_free_to_bytes(merged);
}

static void collect_output(Running *running, HostCommandResult *ret_result) {
    ret_result->truncated = running->truncated;
    ret_result->out = take_stream(&running->streams[0]);
    ret_result->err = take_stream(&running->streams[1]);
    ret_result->output = merge(running, ret_result->out, ret_result->err, &ret_result->truncated);
}

/* Starts it with pipes. The write ends are closed here: only the command holds them. */
static bool start(Running *running, SpawnRequest *spawn, GError **error) {
    int out[2] = { -1, -1 }, err[2] = { -1, -1 };
    int input = open_input(running->command);
    bool ok = input >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0;
    if (ok) {
        spawn->stdin_fd = input;
        spawn->stdout_fd = out[1];
        spawn->stderr_fd = err[1];
        running->pid = command_spawn(spawn, error);
        ok = running->pid > 0;
    } else {
        set_io_error(error, errno, "run '%s': set up its input and output", spawn->label);
    }
    close_fd(&input);
    close_fd(&out[1]);
    close_fd(&err[1]);
    running->streams[0] = (Stream){ .fd = out[0], .kept = g_byte_array_new() };
    running->streams[1] = (Stream){ .fd = err[0], .kept = g_byte_array_new() };
    return ok;
}

static bool open_pid_fd(Running *running, const char *label, GError **error) {
    running->pid_fd = pidfd_open(running->pid, 0);
    if (running->pid_fd >= 0)
        return true;
    set_io_error(error, errno, "run '%s': watch the process (Linux 5.3 or later)", label);
    signal_group(running, SIGKILL);
    while (waitpid(running->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return false;
}

bool real_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
              GError **error) {
    const char *label = command->argv[0];
    if (!cancel_check(command->cancel, error)) {
        g_prefix_error(error, "run '%s': ", label);
        return false;
    }
    g_auto(Preparation) preparation = { 0 };
    if (!prepare(real_host(host), command, &preparation, error))
        return false;
    g_auto(Running)
        running = { .command = command, .pid_fd = -1, .streams = { { .fd = -1 }, { .fd = -1 } } };
    running.pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    if (!start(&running, &preparation.spawn, error) || !open_pid_fd(&running, label, error))
        return false;
    for (int i = 0; i < 2; i++)
        (void)fcntl(running.streams[i].fd, F_SETFL, O_NONBLOCK); /* a pipe of ours takes it */
    while (step(&running))
        continue;
    collect_exit(&running, ret_result);
    if (running.stopped != NULL) {
        *ret_result = (HostCommandResult){ 0 };
        g_propagate_prefixed_error(error, g_steal_pointer(&running.stopped), "run '%s': ", label);
        return false;
    }
    collect_output(&running, ret_result);
    return true;
}

bool real_spawn(Host *host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
                GError **error) {
    g_auto(Preparation) preparation = { 0 };
    if (!prepare(real_host(host), command, &preparation, error))
        return false;
    int out[2] = { -1, -1 };
    int input = open_input(command);
    pid_t pid = -1;
    if (input >= 0 && pipe2(out, O_CLOEXEC) == 0) {
        preparation.spawn.stdin_fd = input;
        preparation.spawn.stdout_fd = out[1];
        preparation.spawn.stderr_fd = STDERR_FILENO;
        (void)fcntl(out[0], F_SETFL, O_NONBLOCK); /* a pipe of ours takes it */
        pid = command_spawn(&preparation.spawn, error);
    } else {
        set_io_error(error, errno, "run '%s': set up its input and output", command->argv[0]);
    }
    close_fd(&input);
    close_fd(&out[1]);
    if (pid < 0) {
        close_fd(&out[0]);
        return false;
    }
    *ret_stdout_fd = out[0];
    *ret_pid = pid;
    return true;
}
