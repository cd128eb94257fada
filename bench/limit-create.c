/*
 * limit-create: the least that creates N small files, each complete or not there at all: written
 * beside its place and renamed into it, as stead does. No fsync of each.
 *
 * Usage: limit-create DIR N. The files are DIR/f00001 and so on; the directory must exist.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int create(int dir, int number) {
    char name[32], temporary[40], content[64];
    snprintf(name, sizeof name, "f%05d", number);
    snprintf(temporary, sizeof temporary, ".%s.new", name);
    int length = snprintf(content, sizeof content, "content of %d\n", number);
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return 0;
    int complete = write(fd, content, (size_t)length) == length;
    complete &= close(fd) == 0;
    return complete && renameat(dir, temporary, dir, name) == 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: limit-create DIR N\n");
        return 1;
    }
    int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 1; dir >= 0 && i <= atoi(argv[2]); i++) {
        if (!create(dir, i)) {
            perror("limit-create");
            return 1;
        }
    }
    return dir < 0;
}
