/*
 * drift: overwrites and deletes managed files in turn and takes the time until each is right again,
 * as another process sees it: from the write or unlink to the inotify event after which the file
 * holds what it should.
 *
 * Usage: drift DIR N SAMPLES. The files are DIR/f00001 to N; no file is taken twice while N lasts,
 * because changing one over and over is flapping. Prints median, 99th percentile and most in
 * milliseconds, and how many never came back.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_US 15000
#define WAIT_MS  3000

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_number(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static int is_right(const char *name, int number) {
    char expected[64], found[64];
    int length = snprintf(expected, sizeof expected, "content of %d\n", number);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, found, sizeof found) : -1;
    if (fd >= 0)
        close(fd);
    return n == length && memcmp(expected, found, (size_t)n) == 0;
}

static int spoil(const char *name, int by_deleting) {
    if (by_deleting)
        return unlink(name) == 0;
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    int done = fd >= 0 && write(fd, "spoilt", 6) == 6;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Milliseconds until the file is right; negative: not within WAIT_MS. */
static double sample(int watch, int number) {
    char name[32];
    _Alignas(struct inotify_event) char buffer[65536];
    snprintf(name, sizeof name, "f%05d", number);
    while (poll(&(struct pollfd){ .fd = watch, .events = POLLIN }, 1, 0) > 0) {
        if (read(watch, buffer, sizeof buffer) < 0)
            return -1;
    }
    double start = now_ms();
    if (!spoil(name, number % 2)) {
        perror(name);
        return -1;
    }
    for (;;) {
        int left = (int)(start + WAIT_MS - now_ms());
        if (left <= 0 || poll(&(struct pollfd){ .fd = watch, .events = POLLIN }, 1, left) <= 0)
            return -1;
        double time = now_ms() - start;
        if (read(watch, buffer, sizeof buffer) > 0 && is_right(name, number))
            return time;
    }
}

int main(int argc, char **argv) {
    int n = argc == 4 ? atoi(argv[2]) : 0, samples = n > 0 ? atoi(argv[3]) : 0;
    int watch = inotify_init1(IN_CLOEXEC);
    if (samples < 1 || samples > n || chdir(argv[1]) != 0 ||
        inotify_add_watch(watch, ".", IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
        fprintf(stderr, "usage: drift DIR N SAMPLES\n");
        return 1;
    }
    double *times = calloc((size_t)samples, sizeof *times);
    int got = 0;
    for (int i = 0; i < samples; i++) {
        /* An odd step, so that both ways of spoiling take turns. */
        double time = sample(watch, 1 + (int)((long)i * (n / samples | 1) % n));
        if (time >= 0)
            times[got++] = time;
        usleep(PAUSE_US);
    }
    qsort(times, (size_t)got, sizeof *times, by_number);
    if (got > 0)
        printf("%.3f %.3f %.3f %d\n", times[got / 2], times[got * 99 / 100], times[got - 1],
               samples - got);
    free(times);
    return got == 0;
}
