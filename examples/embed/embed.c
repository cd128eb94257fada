/*
 * embed: a program that keeps a message of the day below a directory, with libstead inside its own
 * poll loop.
 *
 *     usage: embed ROOT
 *
 * Each line read from standard input becomes the message; whoever changes the file meanwhile is
 * corrected. Ends with its input.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stead.h>

static int fail(const char *what, stead_error *error) {
    for (const stead_error *one = error; one; one = stead_error_next(one))
        fprintf(stderr, "embed: %s: %s\n", what, stead_error_message(one));
    stead_error_free(error);
    return EXIT_FAILURE;
}

/* The graph for one message. NULL with error. */
static stead_graph *declare(const char *message, stead_error **error) {
    stead_graph *graph = stead_graph_new();
    stead_resource *file = stead_graph_add(graph, "file", "/etc/motd", error);
    if (file && stead_resource_set_string(file, "content", message, error) &&
        stead_resource_set_string(file, "mode", "0644", error) &&
        stead_graph_add(graph, "file", "/etc/", error) && stead_graph_validate(graph, error))
        return graph;
    stead_graph_free(graph);
    return NULL;
}

static void on_event(void *data, stead_event *event) {
    (void)data;
    switch (stead_event_get_type(event)) {
    case STEAD_EVENT_CHANGED:
        printf("%s %s '%s'%s\n", stead_event_action(event), stead_event_kind(event),
               stead_event_name(event), stead_event_corrective(event) ? ", drifted" : "");
        break;
    case STEAD_EVENT_FAILED:
        printf("failed %s '%s': %s\n", stead_event_kind(event), stead_event_name(event),
               stead_event_error(event));
        break;
    case STEAD_EVENT_CONVERGED:
        puts("converged");
        break;
    default:
        break;
    }
    fflush(stdout);
}

/* One line of input becomes the new graph. 0 at the end of input, -1 on error. */
static int read_message(stead_run *run, stead_error **error) {
    char line[256];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0)
        return 0;
    line[n] = '\0';
    stead_graph *graph = declare(line, error);
    bool ok = graph && stead_run_load(run, graph, error);
    stead_graph_free(graph); /* the run keeps what it needs */
    return ok ? 1 : -1;
}

/* The program's own loop: its input, and the library. */
static int serve(stead_run *run) {
    stead_error *error = NULL;
    struct pollfd fds[] = {
        { .fd = stead_run_get_fd(run), .events = POLLIN },
        { .fd = STDIN_FILENO, .events = POLLIN },
    };
    for (;;) {
        if (poll(fds, 2, stead_run_prepare(run)) < 0 && errno != EINTR)
            return fail("poll", NULL);
        int goes_on = stead_run_dispatch(run, &error);
        if (goes_on < 0)
            return fail("run", error);
        if (goes_on == 0)
            return EXIT_SUCCESS;
        if (fds[1].revents == 0)
            continue;
        int r = read_message(run, &error);
        if (r < 0)
            return fail("load", error);
        if (r == 0) {
            fds[1].fd = -1; /* poll() skips it */
            fds[1].revents = 0;
            stead_run_stop(run);
        }
    }
}

static int keep(stead_machine *machine) {
    stead_error *error = NULL;
    stead_run_options options = {
        .size = sizeof options,
        .flags = STEAD_RUN_KEEP,
        .on_event = on_event,
    };
    stead_graph *graph = declare("hello\n", &error);
    stead_run *run = graph ? stead_run_new(machine, graph, &options, &error) : NULL;
    stead_graph_free(graph);
    if (!run)
        return fail("start", error);
    int status = serve(run);
    if (!stead_run_flush(run, &error))
        status = fail("write what was done", error);
    stead_run_free(run);
    return status;
}

int main(int argc, char **argv) {
    stead_error *error = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: embed ROOT\n");
        return EXIT_FAILURE;
    }
    stead_machine_options options = { .size = sizeof options, .root = argv[1], .name = "embed" };
    stead_machine *machine = stead_machine_open(&options, &error);
    if (!machine)
        return fail("open", error);
    int status = keep(machine);
    stead_machine_close(machine);
    return status;
}
