#include "lab/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "lab/process.h"
#include "lab/tree.h"

/* Part of the digest: changes when what is made of the same packages does. */
#define BASE_VERSION "1"
#define SAID_LINES   12 /* of mmdebstrap's that are told when it fails */

/* What every host has: systemd, and what a network is looked at with. */
static const char *const usual_packages[] = { "systemd", "systemd-sysv", "dbus",        "apt",
                                              "procps",  "iproute2",     "iputils-ping" };

/* All packages, with commas; caller frees. */
static char *package_list(const LabHost *host) {
    GString *list = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(usual_packages); i++)
        g_string_append_printf(list, "%s%s", i ? "," : "", usual_packages[i]);
    for (unsigned i = 0; i < host->packages->len; i++)
        g_string_append_printf(list, ",%s", (const char *)g_ptr_array_index(host->packages, i));
    return g_string_free(list, FALSE);
}

char *base_path(const char *data, const Lab *lab, const LabHost *host) {
    g_autofree char *packages = package_list(host);
    g_autofree char *key =
        g_strjoin("\n", BASE_VERSION, lab->release, lab->mirror ? lab->mirror : "", packages, NULL);
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(key, strlen(key), hex);
    return g_strdup_printf("%s/bases/%s-%.12s", data, lab->release, hex);
}

/* --- building --------------------------------------------------------------------------------- */

typedef struct {
    BaseProgress progress;
    void *data;
    GQueue said; /* of char *: the last lines */
} Talk;

static void hear(Talk *talk, const char *line) {
    talk->progress(talk->data, true, line);
    g_queue_push_tail(&talk->said, g_strdup(line));
    if (talk->said.length > SAID_LINES)
        g_free(g_queue_pop_head(&talk->said));
}

/* Until the program has closed its end. */
static void hear_all(Talk *talk, int fd) {
    FILE *file = fdopen(fd, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while (file && (length = getline(&line, &room, file)) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        hear(talk, line);
    }
    free(line);
    if (file)
        (void)fclose(file); /* it was read only */
    else
        (void)close(fd);
}

static bool explain_failure(Talk *talk, int status, GError **error) {
    GString *said = g_string_new(NULL);
    for (GList *line = talk->said.head; line; line = line->next)
        g_string_append_printf(said, "\n    %s", (const char *)line->data);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "mmdebstrap %s %d%s",
                WIFEXITED(status) ? "ended with status" : "was ended by signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), said->str);
    g_string_free(said, TRUE);
    return false;
}

/* In namespaces, so that what it has mounted and started ends with it, and it with us. */
static bool run_mmdebstrap(char **argv, Talk *talk, GError **error) {
    int pipe_fds[2], status = 0;
    SealedProcess process;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return set_io_error(error, errno, "make a pipe");
    SealedProgram program = {
        .path = "mmdebstrap", .argv = argv, .dies_with_us = true, .output = pipe_fds[1], .kept = -1
    };
    bool started = process_start_sealed(&program, &process, error);
    (void)close(pipe_fds[1]);
    if (!started) {
        (void)close(pipe_fds[0]);
        return false;
    }
    process_release(&process);
    hear_all(talk, pipe_fds[0]);
    while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR)
        continue;
    process_let_go(&process);
    return status == 0 || explain_failure(talk, status, error);
}

static bool write_to_disk(const char *path, GError **error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && syncfs(fd) == 0;
    if (!ok)
        set_io_error(error, errno, "write '%s' to disk", path);
    if (fd >= 0)
        (void)close(fd); /* nothing was written through it */
    return ok;
}

/* What was only for the build; it may not be there. */
static void forget_options(const char *new) {
    static const char *const paths[] = { "etc/apt/apt.conf.d/99mmdebstrap",
                                         "etc/dpkg/dpkg.cfg.d/99mmdebstrap" };
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *path = g_build_filename(new, paths[i], NULL);
        (void)unlink(path); /* ENOENT */
    }
}

/* Labs have no way out: an apt that tries would only make its caller wait. */
static bool finish(const char *new, const char *tree, GError **error) {
    forget_options(new);
    g_autofree char *sources = g_build_filename(new, "etc/apt/sources.list", NULL);
    g_autofree char *machine = g_build_filename(new, "etc/machine-id", NULL);
    return g_file_set_contents(sources, "", 0, error) &&
           g_file_set_contents(machine, "", 0, error) && write_to_disk(new, error) &&
           (rename(new, tree) == 0 || set_io_error(error, errno, "rename '%s'", new)) &&
           write_to_disk(tree, error);
}

static bool build(const char *tree, const Lab *lab, const LabHost *host, Talk *talk,
                  GError **error) {
    g_autofree char *new = g_strconcat(tree, ".new", NULL);
    g_autofree char *packages = package_list(host);
    g_autofree char *include = g_strconcat("--include=", packages, NULL);
    const char *argv[] = { "mmdebstrap",
                           "--mode=root",
                           "--variant=minbase",
                           include,
                           "--aptopt=Acquire::Retries \"3\"",
                           "--dpkgopt=force-unsafe-io", /* all is synced at the end */
                           lab->release,
                           new,
                           lab->mirror,
                           NULL };
    g_autofree char *text =
        g_strdup_printf("building the base, once: %s with %s", lab->release, packages);
    talk->progress(talk->data, false, text);
    if (!tree_remove(new, error))
        return false;
    if (run_mmdebstrap((char **)(uintptr_t)argv, talk, error) && finish(new, tree, error))
        return true;
    g_prefix_error(error, "build the base of %s: ", lab->release);
    (void)tree_remove(new, NULL); /* the next builder tries again, and tells */
    return false;
}

/* -1 with error. */
static int lock_build(const char *tree, Talk *talk, GError **error) {
    g_autofree char *path = g_strconcat(tree, ".lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        set_io_error(error, errno, "open '%s'", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    talk->progress(talk->data, false, "waiting for another stead that builds the same base");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            set_io_error(error, errno, "lock '%s'", path);
            (void)close(fd);
            return -1;
        }
    return fd;
}

char *base_provide(const char *data, const Lab *lab, const LabHost *host, BaseProgress progress,
                   void *progress_data, GError **error) {
    g_autofree char *tree = base_path(data, lab, host);
    g_autofree char *directory = g_path_get_dirname(tree);
    Talk talk = { .progress = progress, .data = progress_data };
    if (g_file_test(tree, G_FILE_TEST_IS_DIR))
        return g_steal_pointer(&tree);
    if (g_mkdir_with_parents(directory, 0711) < 0) {
        set_io_error(error, errno, "make directory '%s'", directory);
        return NULL;
    }
    int lock = lock_build(tree, &talk, error);
    bool ok = lock >= 0 &&
              (g_file_test(tree, G_FILE_TEST_IS_DIR) || build(tree, lab, host, &talk, error));
    if (lock >= 0)
        (void)close(lock);
    g_queue_clear_full(&talk.said, g_free);
    return ok ? g_steal_pointer(&tree) : NULL;
}

/* --- what is left over ------------------------------------------------------------------------ */

/* name: of a tree that is not finished. */
static bool sweep_one(const char *directory, const char *name, unsigned *removed, GError **error) {
    g_autofree char *new = g_build_filename(directory, name, NULL);
    g_autofree char *lock_path =
        g_strdup_printf("%.*slock", (int)(strlen(new) - strlen("new")), new);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = true;
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) {
        ok = tree_remove(new, error);
        *removed += ok;
    }
    if (lock >= 0)
        (void)close(lock);
    return ok;
}

bool base_sweep(const char *data, unsigned *ret_removed, GError **error) {
    g_autofree char *directory = g_build_filename(data, "bases", NULL);
    g_autoptr(GDir) listing = g_dir_open(directory, 0, NULL); /* none: nothing was built */
    const char *name;
    *ret_removed = 0;
    while (listing && (name = g_dir_read_name(listing)))
        if (g_str_has_suffix(name, ".new") && !sweep_one(directory, name, ret_removed, error))
            return false;
    return true;
}
