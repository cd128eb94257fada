/*
 * limit-talk: the least that asks a program that speaks for a kind about N resources: start it, let
 * it describe itself, send N requests to observe one after the other, each when the last one was
 * answered, end.
 *
 * Usage: limit-talk PROGRAM N
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static pid_t start(const char *program, FILE **to, FILE **from) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execl(program, program, (char *)NULL);
        fail(program);
    }
    close(in[0]);
    close(out[1]);
    *to = fdopen(in[1], "w");
    *from = fdopen(out[0], "r");
    if (pid < 0 || !*to || !*from)
        fail("start");
    return pid;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: limit-talk PROGRAM N\n");
        return 1;
    }
    FILE *to, *from;
    pid_t pid = start(argv[1], &to, &from);
    char *line = NULL;
    size_t room = 0;
    int n = atoi(argv[2]);
    for (int i = 0; i <= n; i++) {
        if (i == 0)
            fprintf(to, "{\"id\":1,\"request\":\"describe\",\"protocol\":1,\"root\":\"/\"}\n");
        else
            fprintf(to,
                    "{\"id\":%d,\"request\":\"observe\",\"name\":\"r%d\",\"params\":{\"state\":"
                    "\"exists\",\"text\":\"value %d\"}}\n",
                    i + 1, i, i);
        fflush(to);
        if (getline(&line, &room, from) < 0)
            fail("read an answer");
    }
    free(line);
    fclose(to);
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}
