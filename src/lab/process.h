#pragma once
/* Processes that are known for longer than their number is theirs: a number, and when it began. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    int64_t pid;    /* 0: none */
    uint64_t start; /* clock ticks since the machine's boot: field 22 of /proc/PID/stat */
} ProcessId;

/* False: there is no such process. */
bool process_identify(pid_t pid, ProcessId *ret_id);
/* A descriptor (pidfd) of it; -1: it has ended. */
int process_open(const ProcessId *id);
bool process_is_alive(const ProcessId *id);
/* SIGKILL, and waits until it is gone. False with error when that takes longer than seconds. */
bool process_end(const ProcessId *id, unsigned seconds, GError **error);
/* Whether the process behind a descriptor has ended; waits for that at most so long. */
bool process_wait(int pid_fd, int milliseconds);
/* The number here of the process behind a descriptor; -1: it has ended. */
pid_t process_number(int pid_fd);
/* Names this boot of the machine. Caller frees. */
char *process_boot(void);

/*
 * Starts a program, or our own (path NULL: /proc/self/exe), as the first process of a process
 * namespace, with mounts that are its own and /proc of its own. Nothing that it starts or mounts
 * outlives it.
 */
typedef struct {
    const char *path;
    char *const *argv;
    bool own_network;  /* it gets an empty network namespace */
    bool dies_with_us; /* kill -9 of this process ends it */
    int output;        /* a descriptor for what it prints, also errors; -1: /dev/null */
    int kept;          /* a further descriptor, which becomes number 3; -1: none */
} SealedProgram;

typedef struct {
    pid_t pid;
    int pid_fd, gate;
} SealedProcess;

/* It does nothing before process_release(), and never anything when this process ends before. */
bool process_start_sealed(const SealedProgram *program, SealedProcess *ret_process, GError **error);
void process_release(SealedProcess *process);
/* Closes what is open; the process goes on when it was released. */
void process_let_go(SealedProcess *process);
