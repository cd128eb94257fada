/*
 * measure: what a program costs from start to exit. Started with posix_spawn, because fork is paid
 * by the size of who forks; from here and not from a script, because a child's peak memory begins
 * with its parent's.
 *
 * Usage: measure RUNS PROGRAM [ARGUMENT...]
 * Prints the medians of wall-clock time and of processor time (user and system) in milliseconds,
 * the least wall-clock time, and the largest peak resident memory in kilobytes. With /bin/true it
 * is the limit of starting.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_RUNS 1000

extern char **environ;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double ms_of(struct timeval time) {
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

static int by_number(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Starts argv with its output thrown away and waits. False when it did not start or exit with 0. */
static int run(char **argv, double *wall, double *cpu, long *peak_kb) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    double start = now_ms();
    pid_t pid;
    int problem = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (problem != 0) {
        fprintf(stderr, "measure: start '%s': %s\n", argv[0], strerror(problem));
        return 0;
    }
    int status;
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) < 0) {
        perror("measure: wait");
        return 0;
    }
    *wall = now_ms() - start;
    *cpu = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
    *peak_kb = usage.ru_maxrss > *peak_kb ? usage.ru_maxrss : *peak_kb;
    if (status == 0)
        return 1;
    fprintf(stderr, "measure: '%s' ended with %s %d\n", argv[0],
            WIFSIGNALED(status) ? "signal" : "code",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}

int main(int argc, char **argv) {
    int runs = argc > 2 ? atoi(argv[1]) : 0;
    if (runs < 1 || runs > MAX_RUNS) {
        fprintf(stderr, "usage: measure RUNS PROGRAM [ARGUMENT...]\n");
        return 1;
    }
    static double walls[MAX_RUNS], cpus[MAX_RUNS];
    long peak_kb = 0;
    for (int i = 0; i < runs; i++) {
        if (!run(argv + 2, &walls[i], &cpus[i], &peak_kb))
            return 1;
    }
    qsort(walls, (size_t)runs, sizeof *walls, by_number);
    qsort(cpus, (size_t)runs, sizeof *cpus, by_number);
    printf("%.3f %.3f %.3f %ld\n", walls[runs / 2], cpus[runs / 2], walls[0], peak_kb);
    return 0;
}
