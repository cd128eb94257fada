#include "agent/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/control-protocol.h"
#include "base/json.h"

struct Control {
    Loop *loop;
    Engine *engine;
    ControlMore more;
    void *more_data;
    char *path;
    int fd;
    LoopSource *source;
    GPtrArray *clients; /* of Client */
};

typedef struct {
    Control *control;
    int fd;
    LoopSource *source;
    LoopTimer *patience;
    GString *request;
    GString *answer;
    size_t sent;
    bool answering;
} Client;

static void client_free(void *data) {
    Client *client = data;
    loop_source_free(client->source);
    loop_timer_clear(&client->patience);
    close(client->fd);
    g_string_free(client->request, TRUE);
    g_string_free(client->answer, TRUE);
    g_free(client);
}

static void client_drop(Client *client) {
    g_ptr_array_remove_fast(client->control->clients, client);
}

static void on_patience(void *data) {
    client_drop(data);
}

/* --- server ----------------------------------------------------------------------------------- */

static void on_client(void *data, int fd, uint32_t events);

static bool watch_client(Client *client, uint32_t events) {
    loop_source_free(client->source);
    client->source =
        loop_watch_fd(client->control->loop, client->fd, events, on_client, client, NULL);
    return client->source != NULL;
}

static void write_some(Client *client) {
    ssize_t n = send(client->fd, client->answer->str + client->sent,
                     client->answer->len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        client->sent += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || client->sent == client->answer->len)
        client_drop(client);
}

static void read_some(Client *client) {
    char buffer[4096];
    ssize_t n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 || client->request->len + (size_t)MAX(n, 0) > CONTROL_REQUEST_MAX) {
        client_drop(client);
        return;
    }
    g_string_append_len(client->request, buffer, n);
    if (n > 0 && !memchr(buffer, '\n', (size_t)n))
        return;
    const Control *control = client->control;
    g_autoptr(Value) more = control->more ? control->more(control->more_data) : NULL;
    control_answer(control->engine, more, client->request->str, client->request->len,
                   client->answer);
    client->answering = true;
    if (!watch_client(client, EPOLLOUT))
        client_drop(client);
}

static void on_client(void *data, int fd, uint32_t events) {
    Client *client = data;
    if (client->answering)
        write_some(client);
    else
        read_some(client);
}

static void on_connection(void *data, int fd, uint32_t events) {
    Control *control = data;
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted < 0)
        return;
    if (control->clients->len >= CONTROL_CLIENTS_MAX) {
        close(accepted);
        return;
    }
    Client *client = g_new0(Client, 1);
    client->control = control;
    client->fd = accepted;
    client->request = g_string_new(NULL);
    client->answer = g_string_new(NULL);
    g_ptr_array_add(control->clients, client);
    loop_timer_set(control->loop, &client->patience, loop_now(control->loop) + CONTROL_PATIENCE_US,
                   on_patience, client);
    if (!watch_client(client, EPOLLIN))
        client_drop(client);
}

/* Paths of sockets are short: connect through the directory's descriptor when it is longer. */
static bool address_of(const char *path, struct sockaddr_un *ret_address, int *ret_dir,
                       GError **error) {
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *ret_dir = -1;
    if (strlen(path) < sizeof ret_address->sun_path) {
        strcpy(ret_address->sun_path, path);
        return true;
    }
    g_autofree char *dir = g_path_get_dirname(path), *name = g_path_get_basename(path);
    *ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir < 0)
        return set_io_error(error, errno, "open '%s'", dir);
    g_snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s", *ret_dir,
               name);
    return true;
}

static int listen_at(const char *path, GError **error) {
    struct sockaddr_un address;
    int dir, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !address_of(path, &address, &dir, error)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* The ledger's lock says that nobody else listens: what is there is left over. */
    (void)unlink(address.sun_path);
    mode_t mask = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound < 0 || listen(fd, CONTROL_CLIENTS_MAX) < 0) {
        (void)set_io_error(error, errno, "listen on '%s'", path);
        close(fd);
        fd = -1;
    }
    if (dir >= 0)
        close(dir);
    return fd;
}

Control *control_new(Loop *loop, const char *path, Engine *engine, ControlMore more, void *data,
                     GError **error) {
    g_autoptr(Control) control = g_new0(Control, 1);
    control->loop = loop;
    control->engine = engine;
    control->more = more;
    control->more_data = data;
    control->path = g_strdup(path);
    control->clients = g_ptr_array_new_with_free_func(client_free);
    control->fd = listen_at(path, error);
    if (control->fd < 0)
        return NULL;
    control->source = loop_watch_fd(loop, control->fd, EPOLLIN, on_connection, control, error);
    return control->source ? g_steal_pointer(&control) : NULL;
}

void control_free(Control *control) {
    if (!control)
        return;
    g_ptr_array_unref(control->clients);
    loop_source_free(control->source);
    if (control->fd >= 0) {
        close(control->fd);
        (void)unlink(control->path);
    }
    g_free(control->path);
    g_free(control);
}

/* --- client ----------------------------------------------------------------------------------- */

static int connect_to(const char *path, GError **error) {
    struct sockaddr_un address;
    int dir, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !address_of(path, &address, &dir, error)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int connected = connect(fd, (struct sockaddr *)&address, sizeof address);
    int failure = errno;
    if (dir >= 0)
        close(dir);
    if (connected == 0)
        return fd;
    close(fd);
    (void)set_io_error(error, failure == ECONNREFUSED ? ENOENT : failure, "ask the agent at '%s'",
                       path);
    return -1;
}

static bool exchange(int fd, const Value *request, GString *answer, GError **error) {
    g_autofree char *text = json_print(request, JSON_COMPACT);
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    struct timeval patience = { .tv_sec = 10 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return set_io_error(error, errno, "ask the agent");
    char buffer[65536];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        g_string_append_len(answer, buffer, n);
    return n == 0 || set_io_error(error, errno, "read the agent's answer");
}

GPtrArray *control_ask(const char *path, const Value *request, GError **error) {
    int fd = connect_to(path, error);
    if (fd < 0)
        return NULL;
    g_autoptr(GString) answer = g_string_new(NULL);
    bool ok = exchange(fd, request, answer, error);
    close(fd);
    return ok ? control_parse_answer(answer->str, error) : NULL;
}
