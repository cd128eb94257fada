#pragma once
/* A program of this machine that we talk with over pipes: not below any root, with few rights of
 * its own to wishes about user or directory. For commands of the managed host see host_run(). */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The descriptors are non-blocking and close-on-exec. */
typedef struct {
    pid_t pid; /* leads its session and process group */
    int pid_fd;
    int in_fd, out_fd, err_fd; /* we write its standard input, and read the others */
} Child;

#define CHILD_NONE ((Child){ .pid = 0, .pid_fd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1 })

/* words: the path of the program and its arguments; env: "NAME=value"; both NULL-terminated; the
 * directory is "/". It gets SIGKILL when the calling thread ends, also by kill -9 of this process.
 */
bool child_start(Child *child, const char *const *words, const char *const *env, GError **error);
void child_signal(const Child *child, int signal_number); /* its process group; gone is fine */
void child_close_input(Child *child);
/* Waits for the end of the process, ends what is left of its group, closes everything. Returns
 * "ended with status 1" or "was ended by signal 9 (Killed)"; caller frees. *ret_signal, which may
 * be NULL: 9; 0: it ended by itself. */
char *child_reap(Child *child, int *ret_signal);
