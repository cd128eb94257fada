/*
 * limit-repair: the least that keeps files right: one inotify watch, and whatever is deleted or
 * overwritten is compared and written again beside its place and renamed into it. Runs until it is
 * killed.
 *
 * Usage: limit-repair DIR. A file DIR/f00012 is right when it holds "content of 12".
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static int is_right(const char *name, const char *content, ssize_t length) {
    char buffer[128];
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, buffer, sizeof buffer) : -1;
    if (fd >= 0)
        close(fd);
    return n == length && memcmp(buffer, content, (size_t)n) == 0;
}

static void repair(const char *name) {
    char content[64], temporary[300];
    ssize_t length = snprintf(content, sizeof content, "content of %d\n", atoi(name + 1));
    if (name[0] != 'f' || is_right(name, content, length))
        return;
    snprintf(temporary, sizeof temporary, ".%s.new", name);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, content, (size_t)length) != length)
        perror("limit-repair: write");
    close(fd);
    if (rename(temporary, name) != 0)
        perror("limit-repair: rename");
}

int main(int argc, char **argv) {
    int watch = inotify_init1(IN_CLOEXEC);
    if (argc != 2 || chdir(argv[1]) != 0 ||
        inotify_add_watch(watch, ".", IN_MODIFY | IN_DELETE | IN_MOVED_FROM) < 0) {
        fprintf(stderr, "usage: limit-repair DIR\n");
        return 1;
    }
    for (;;) {
        _Alignas(struct inotify_event) char buffer[65536];
        ssize_t n = read(watch, buffer, sizeof buffer);
        if (n <= 0)
            return 1;
        for (char *p = buffer; p < buffer + n;) {
            const struct inotify_event *event = (const void *)p;
            if (event->len > 0)
                repair(event->name);
            p += sizeof *event + event->len;
        }
    }
}
