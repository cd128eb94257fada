#pragma once
/* Starting a program: what posix_spawn(3) does, with chroot, user, group and directory. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    const char *label;            /* argv[0] as the user wrote it, for errors */
    const char *const *paths;     /* candidates, tried in this order; NULL-terminated */
    const char *root;             /* below which a path is looked for, for errors; NULL: none */
    const char *search_path;      /* the PATH they come from; NULL: argv[0] has a slash */
    char *const *argv;            /* NULL-terminated */
    char *const *env;             /* NULL-terminated */
    const char *chroot_directory; /* NULL: none */
    const char *cwd;              /* inside the chroot */
    int stdin_fd, stdout_fd, stderr_fd;
    bool set_uid, set_gid, set_groups, set_umask;
    bool dies_with_us; /* SIGKILL when the thread that starts it ends, however that comes */
    mode_t umask;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
} SpawnRequest;

/* The child leads a session and process group of its own, has default signal handling and no
 * descriptors but the three. Costs the same whatever the size of this process. Returns its process
 * id once it runs the program, or -1 with error. */
pid_t command_spawn(const SpawnRequest *request, GError **error);
