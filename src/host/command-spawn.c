#include "host/command-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

typedef enum {
    STAGE_DESCRIPTORS,
    STAGE_CHROOT,
    STAGE_GROUPS,
    STAGE_GROUP,
    STAGE_USER,
    STAGE_DIRECTORY,
    STAGE_EXEC,
} Stage;

/* Written by the child in our memory, read once it is gone. */
typedef struct {
    Stage stage;
    int errno_value;
} Failure;

/* The descriptors go to 3..5 first, above the three, so that none is overwritten before its turn.
 */
static bool place_descriptors(const SpawnRequest *request) {
    const int from[3] = { request->stdin_fd, request->stdout_fd, request->stderr_fd };
    int high[3];
    for (int i = 0; i < 3; i++)
        if ((high[i] = fcntl(from[i], F_DUPFD, 3)) < 0)
            return false;
    for (int i = 0; i < 3; i++)
        if (dup2(high[i], i) < 0)
            return false;
    if (syscall(SYS_close_range, 3, UINT_MAX, 0) != 0) /* else: ours are close-on-exec anyway */
        for (int i = 0; i < 3; i++)
            close(high[i]);
    return true;
}

/* The system calls themselves: the functions of the C library would change every thread. */
static bool become(const SpawnRequest *request, Failure *failure) {
    failure->stage = STAGE_GROUPS;
    if (request->set_groups && syscall(SYS_setgroups, request->n_groups, request->groups) != 0)
        return false;
    failure->stage = STAGE_GROUP;
    if (request->set_gid && syscall(SYS_setresgid, request->gid, request->gid, request->gid) != 0)
        return false;
    failure->stage = STAGE_USER;
    return !request->set_uid ||
           syscall(SYS_setresuid, request->uid, request->uid, request->uid) == 0;
}

/* As execvp(3) searches: what cannot be found or used is skipped, a refusal is remembered. */
static void exec_first(const SpawnRequest *request, Failure *failure) {
    int problem = ENOENT;
    failure->stage = STAGE_EXEC;
    for (const char *const *path = request->paths; *path != NULL; path++) {
        execve(*path, request->argv, request->env);
        if (errno != ENOENT && errno != ENOTDIR)
            problem = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    errno = problem;
}

static void run_child(const SpawnRequest *request, Failure *failure) {
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        (void)signal(signal_number, SIG_DFL); /* two of them cannot be changed */
    (void)setsid();                           /* a new child is no group leader, so this works */
    if (request->dies_with_us)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* the parent waits for exec: it is alive */
    failure->stage = STAGE_DESCRIPTORS;
    if (!place_descriptors(request))
        return;
    failure->stage = STAGE_CHROOT;
    if (request->chroot_directory != NULL && chroot(request->chroot_directory) != 0)
        return;
    if (!become(request, failure))
        return;
    failure->stage = STAGE_DIRECTORY;
    if (chdir(request->cwd) != 0)
        return;
    if (request->set_umask)
        (void)umask(request->umask); /* the child's alone, and it cannot fail */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    exec_first(request, failure);
}

/*
 * The child borrows our memory and this thread waits until it has exec'ed: no page tables are
 * copied. So it may only make system calls, and no signal handler of ours may run in it.
 */
__attribute__((noinline)) static pid_t vfork_child(const SpawnRequest *request, Failure *failure) {
    pid_t pid = vfork();
    if (pid != 0)
        return pid;
    run_child(request, failure);
    failure->errno_value = errno;
    _exit(127);
}

static bool exec_error(const SpawnRequest *request, int errno_value, GError **error) {
    const char *label = request->label;
    if (errno_value == ENOENT && request->chroot_directory != NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "run '%s': it, or what it is loaded with, is not below the root '%s', where "
                    "commands run",
                    label, request->root);
        return false;
    }
    if (errno_value == ENOENT && request->root != NULL && request->search_path == NULL &&
        access(request->paths[0], F_OK) != 0) {
        const char *base = strrchr(label, '/') + 1;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "run '%s': it is not below the root '%s'; '%s' alone is that of this machine",
                    label, request->root, base);
        return false;
    }
    if (errno_value == ENOENT && request->search_path != NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "run '%s': no such program in PATH (%s)", label, request->search_path);
        return false;
    }
    if (errno_value == ENOENT && request->chroot_directory == NULL &&
        access(request->paths[0], F_OK) == 0)
        return set_io_error(error, errno_value, "run '%s': its interpreter (first line) is missing",
                            label);
    if (errno_value == ENOEXEC)
        return set_io_error(error, errno_value, "run '%s': no program or script with a #! line",
                            label);
    return set_io_error(error, errno_value, "run '%s'", label);
}

static void spawn_error(const SpawnRequest *request, const Failure *failure, GError **error) {
    int e = failure->errno_value;
    const char *label = request->label;
    switch (failure->stage) {
    case STAGE_DESCRIPTORS:
        set_io_error(error, e, "run '%s': set up its input and output", label);
        return;
    case STAGE_CHROOT:
        set_io_error(error, e, "run '%s': change root to '%s'", label, request->chroot_directory);
        return;
    case STAGE_GROUPS:
    case STAGE_GROUP:
        set_io_error(error, e, "run '%s': become group %u (only root may)", label, request->gid);
        return;
    case STAGE_USER:
        set_io_error(error, e, "run '%s': become user %u (only root may)", label, request->uid);
        return;
    case STAGE_DIRECTORY:
        set_io_error(error, e, "run '%s': change to directory '%s'", label, request->cwd);
        return;
    case STAGE_EXEC:
        exec_error(request, e, error);
        return;
    }
    g_assert_not_reached();
}

pid_t command_spawn(const SpawnRequest *request, GError **error) {
    Failure failure = { 0 };
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork_child(request, &failure);
    int problem = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        set_io_error(error, problem, "run '%s': make a process%s", request->label,
                     problem == EAGAIN
                         ? " (the limit of processes is reached: ulimit -u, TasksMax= "
                           "of the service)"
                         : "");
        return -1;
    }
    if (__atomic_load_n(&failure.errno_value, __ATOMIC_SEQ_CST) == 0)
        return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    spawn_error(request, &failure, error);
    return -1;
}
