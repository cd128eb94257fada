#include "lab/container.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "lab/base.h"
#include "lab/cgroups.h"
#include "lab/disk.h"
#include "lab/wires.h"

#define START_PATIENCE_US (180 * G_USEC_PER_SEC)
#define STOP_PATIENCE_US  (180 * G_USEC_PER_SEC) /* systemd's own limit for a unit is 90 s */
#define CONSOLE_TOLD      1500                   /* bytes of its last words in an error */
#define NSPAWN_REBOOT     133                   /* how nspawn ends when it is to be started again */
#define NOTIFY_DIRECTORY  "/run/systemd/nspawn" /* the keeper's own: see keeper.c */

struct Container {
    const Record *record;
    const LabHost *host;
    unsigned number;
    Loop *loop;
    ContainerChanged changed;
    void *data;

    ContainerState state;
    int64_t since;
    pid_t nspawn; /* 0: does not run */
    bool killed;  /* its end is asked for: no reboot follows */
    int leader;   /* pidfd, or -1 */
    int space;    /* network namespace, or -1 */
    int notify;   /* socket on which nspawn tells, or -1 */
    LoopSource *notify_source;
    LoopTimer *timer;
    char *problem; /* to be told at its end */
};

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd); /* nothing of ours is in it */
    *fd = -1;
}

Container *container_new(const Record *record, unsigned host, Loop *loop, ContainerChanged changed,
                         void *data) {
    Container *container = g_new0(Container, 1);
    *container = (Container){ .record = record,
                              .host = lab_host(record->lab, host),
                              .number = host,
                              .loop = loop,
                              .changed = changed,
                              .data = data,
                              .since = g_get_real_time(),
                              .leader = -1,
                              .space = -1,
                              .notify = -1 };
    return container;
}

void container_set_host(Container *container, unsigned host) {
    container->host = lab_host(container->record->lab, host);
    container->number = host;
}

static void forget_run(Container *container) {
    loop_timer_clear(&container->timer);
    loop_source_free(container->notify_source);
    container->notify_source = NULL;
    close_fd(&container->notify);
    close_fd(&container->leader);
    close_fd(&container->space);
    container->nspawn = 0;
}

void container_free(Container *container) {
    if (!container)
        return;
    forget_run(container);
    g_free(container->problem);
    g_free(container);
}

ContainerState container_state(const Container *container) {
    return container->state;
}

const char *container_state_name(ContainerState state) {
    static const char *const names[] = { "off", "starting", "running", "stopping" };
    return names[state];
}

const LabHost *container_host(const Container *container) {
    return container->host;
}

int64_t container_since(const Container *container) {
    return container->since;
}

int container_leader(const Container *container) {
    return container->leader;
}

static void enter_state(Container *container, ContainerState state, const char *problem) {
    container->state = state;
    container->since = g_get_real_time();
    container->changed(container->data, container, problem);
}

/* --- its disk --------------------------------------------------------------------------------- */

static bool explain_overlay(int number, const char *directory, GError **error) {
    if (number == ENODEV)
        return set_io_error(error, number,
                            "mount an overlay: this kernel has none (module "
                            "overlay)");
    if (number == EINVAL)
        return set_io_error(error, number,
                            "mount an overlay on '%s': its file system does not carry one, as "
                            "inside a container; choose another with --data, as /dev/shm/lab",
                            directory);
    return set_io_error(error, number, "mount an overlay on '%s'", directory);
}

bool container_mount(Container *container, GError **error) {
    const char *directory = container->record->directory;
    g_autofree char *common = disk_path(directory, NULL, "common");
    g_autofree char *base =
        base_path(container->record->data, container->record->lab, container->host);
    g_autofree char *upper = disk_path(directory, container->host, "upper");
    g_autofree char *work = disk_path(directory, container->host, "work");
    g_autofree char *root = disk_path(directory, container->host, "root");
    g_autofree char *options =
        g_strdup_printf("lowerdir=%s:%s,upperdir=%s,workdir=%s", common, base, upper, work);
    return mount("stead-lab", root, "overlay", 0, options) == 0 ||
           explain_overlay(errno, directory, error);
}

void container_unmount(Container *container) {
    g_autofree char *root = disk_path(container->record->directory, container->host, "root");
    g_assert(container->state == CONTAINER_OFF);
    (void)umount2(root, MNT_DETACH); /* what still holds it goes with its last process */
}

/* The last words on its console; caller frees. */
static char *console_tail(const Container *container) {
    g_autofree char *path = disk_path(container->record->directory, container->host, "console");
    char *text = NULL;
    gsize size;
    if (!g_file_get_contents(path, &text, &size, NULL) || size == 0) {
        g_free(text);
        return g_strdup("it printed nothing");
    }
    char *start = text + (size > CONSOLE_TOLD ? size - CONSOLE_TOLD : 0);
    char *valid = g_utf8_make_valid(g_strstrip(start), -1);
    g_free(text);
    return valid;
}

/* --- starting --------------------------------------------------------------------------------- */

static void is_late(void *data) {
    Container *container = data;
    g_free(container->problem);
    container->problem = g_strdup(container->state == CONTAINER_STARTING
                                      ? "it did not come up in time and was ended"
                                      : "it did not go down in time and was ended");
    container_kill(container);
}

static void hear_line(Container *container, const char *line) {
    static const char leader[] = "X_NSPAWN_LEADER_PID=";
    if (g_str_has_prefix(line, leader) && container->leader < 0)
        container->leader = pidfd_open(atoi(line + strlen(leader)), 0); /* -1: it ended already */
    if (strcmp(line, "READY=1") != 0 || container->state != CONTAINER_STARTING)
        return;
    loop_timer_clear(&container->timer);
    enter_state(container, CONTAINER_RUNNING, NULL);
}

static void hear_notify(void *data, int fd, uint32_t events) {
    char text[4096];
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n <= 0)
        return;
    text[n] = '\0';
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        hear_line(data, *line);
}

static bool open_notify(Container *container, char **ret_path, GError **error) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = g_snprintf(address.sun_path, sizeof address.sun_path,
                            NOTIFY_DIRECTORY "/%s.notify", container->host->name);
    g_assert(length < (int)sizeof address.sun_path); /* LAB_NAME_MAX */
    (void)unlink(address.sun_path);                  /* of its last start */
    container->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (container->notify < 0 ||
        bind(container->notify, (const struct sockaddr *)&address, sizeof address) < 0)
        return set_io_error(error, errno, "listen at '%s'", address.sun_path);
    *ret_path = g_strdup(address.sun_path);
    container->notify_source =
        loop_watch_fd(container->loop, container->notify, EPOLLIN, hear_notify, container, error);
    return container->notify_source;
}

/* nspawn's own signs in a path. */
static char *escape_bind(const char *path) {
    GString *text = g_string_new(NULL);
    for (; *path; path++) {
        if (*path == ':' || *path == '\\')
            g_string_append_c(text, '\\');
        g_string_append_c(text, *path);
    }
    return g_string_free(text, FALSE);
}

/* NULL-terminated; caller frees it and its words. */
static char **nspawn_words(const Container *container) {
    GPtrArray *words = g_ptr_array_new();
    static const char *const fixed[] = {
        "systemd-nspawn",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--quiet",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
        "--notify-ready=yes",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(words, g_strdup(fixed[i]));
    g_ptr_array_add(words, g_strconcat("--hostname=", container->host->name, NULL));
    g_ptr_array_add(
        words, g_strdup_printf("--machine=%s.%s", container->host->name, container->record->name));
    g_autofree char *root = disk_path(container->record->directory, container->host, "root");
    g_ptr_array_add(words, g_strconcat("--directory=", root, NULL));
    if (container->host->configuration) {
        g_autofree char *site = g_path_get_dirname(container->host->configuration);
        g_autofree char *escaped = escape_bind(site);
        g_ptr_array_add(words, g_strconcat("--bind-ro=", escaped, ":" DISK_SITE, NULL));
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* In the child; only system calls. It starts in the host's network, which is told it by no option:
 * with that, /sys would be of the keeper's. */
static void become_nspawn(char **words, char **environment, const GArray *groups, int console,
                          int space) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* two of them cannot be changed */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a new child leads no group */
    for (unsigned i = 0; i < groups->len; i++)
        if (write(g_array_index(groups, int, i), "0", 1) != 1)
            _exit(126);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (setns(space, CLONE_NEWNET) < 0 || null < 0 || dup2(null, 0) < 0 || dup2(console, 1) < 0 ||
        dup2(console, 2) < 0)
        _exit(126);
    (void)execvpe(words[0], words, environment);
    _exit(127);
}

static pid_t fork_nspawn(char **words, char **environment, const GArray *groups, int console,
                         int space) {
    pid_t pid = fork();
    if (pid == 0)
        become_nspawn(words, environment, groups, console, space);
    return pid;
}

static bool spawn(Container *container, const char *group, const char *notify, GError **error) {
    g_autofree char *path = disk_path(container->record->directory, container->host, "console");
    g_autofree char *variable = g_strconcat("NOTIFY_SOCKET=", notify, NULL);
    g_autofree char *search = g_strconcat("PATH=", g_getenv("PATH"), NULL);
    /* The network's part of /proc/sys may be written, as the network is the host's own. */
    g_autofree char *writable = g_strdup("SYSTEMD_NSPAWN_API_VFS_WRITABLE=network");
    char *environment[] = { variable, search, writable, NULL };
    GArray *groups = cgroups_open(group, error);
    if (!groups)
        return false;
    g_auto(GStrv) words = nspawn_words(container);
    int console = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    pid_t pid =
        console >= 0 ? fork_nspawn(words, environment, groups, console, container->space) : -1;
    if (pid < 0)
        set_io_error(error, errno, "start systemd-nspawn");
    close_fd(&console);
    for (unsigned i = 0; i < groups->len; i++)
        (void)close(g_array_index(groups, int, i)); /* the child wrote */
    g_array_unref(groups);
    container->nspawn = MAX(pid, 0);
    return pid > 0;
}

/* What its last start has left is removed first: a group that has no process is no obstacle. */
static bool start(Container *container, GError **error) {
    g_autofree char *group =
        cgroups_path(container->record->data, container->record->name, container->host->name);
    g_autofree char *notify = NULL;
    if (!cgroups_remove(group, error) || !cgroups_make(group, error))
        return false;
    container->space = wires_connect(container->record->lab, container->number, error);
    return container->space >= 0 && open_notify(container, &notify, error) &&
           spawn(container, group, notify, error);
}

bool container_start(Container *container, GError **error) {
    g_assert(container->state == CONTAINER_OFF || container->state == CONTAINER_STOPPING);
    container->killed = false;
    g_clear_pointer(&container->problem, g_free);
    if (!start(container, error)) {
        forget_run(container);
        g_prefix_error(error, "start host '%s': ", container->host->name);
        return false;
    }
    loop_timer_set(container->loop, &container->timer,
                   loop_now(container->loop) + START_PATIENCE_US, is_late, container);
    enter_state(container, CONTAINER_STARTING, NULL);
    return true;
}

/* --- ending ----------------------------------------------------------------------------------- */

void container_kill(Container *container) {
    container->killed = true;
    loop_timer_clear(&container->timer);
    if (container->leader >= 0)
        (void)pidfd_send_signal(container->leader, SIGKILL, NULL, 0); /* ESRCH: it has just ended */
    else if (container->nspawn > 0)
        (void)kill(container->nspawn, SIGKILL); /* a child that was not waited for */
}

bool container_reboot(Container *container, GError **error) {
    g_assert(container->state == CONTAINER_RUNNING);
    /* systemd(1): starts reboot.target. */
    if (pidfd_send_signal(container->leader, SIGRTMIN + 5, NULL, 0) < 0)
        return set_io_error(error, errno, "reboot host '%s'", container->host->name);
    loop_timer_set(container->loop, &container->timer, loop_now(container->loop) + STOP_PATIENCE_US,
                   is_late, container);
    enter_state(container, CONTAINER_STOPPING, NULL);
    return true;
}

/* Why, when it was not meant to end; caller frees. */
static char *explain_end(Container *container, int status) {
    if (container->killed || container->state != CONTAINER_STARTING)
        return g_steal_pointer(&container->problem);
    g_autofree char *tail = console_tail(container);
    return g_strdup_printf("systemd-nspawn %s %d: %s",
                           WIFEXITED(status) ? "ended with status" : "was ended by signal",
                           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), tail);
}

bool container_ended(Container *container, pid_t pid, int status) {
    if (pid != container->nspawn)
        return false;
    bool reboots = !container->killed && WIFEXITED(status) && WEXITSTATUS(status) == NSPAWN_REBOOT;
    g_autofree char *problem = reboots ? NULL : explain_end(container, status);
    g_autoptr(GError) error = NULL;
    forget_run(container);
    if (reboots) {
        container->state = CONTAINER_STOPPING;
        if (container_start(container, &error))
            return true;
    }
    enter_state(container, CONTAINER_OFF, error ? error->message : problem);
    return true;
}
