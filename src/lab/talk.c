#include "lab/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"

#define MESSAGE_MAX (256 * 1024) /* bytes: the state of all hosts a lab may have */
#define WAITING     64           /* connections that the keeper has not taken yet */

/* By the directory's descriptor: the path of a socket has room for 107 bytes only. False: errno. */
static bool with_address(const char *directory, int fd,
                         int (*call)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int place = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return false;
    g_snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", place);
    bool ok = call(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    int number = errno;
    (void)close(place);
    errno = number;
    return ok;
}

int lab_talk_listen(const char *directory, GError **error) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(077);
    bool ok = fd >= 0 && with_address(directory, fd, bind) && listen(fd, WAITING) == 0;
    int number = errno;
    umask(before);
    if (ok)
        return fd;
    set_io_error(error, number, "listen at '%s/control'", directory);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int lab_talk_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

int lab_talk_connect(const char *directory, GError **error) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && with_address(directory, fd, connect))
        return fd;
    int number = errno;
    if (fd >= 0)
        (void)close(fd);
    if (number == ECONNREFUSED || number == ENOENT)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "the lab's keeper does not run; 'stead lab gc' removes what is left");
    else
        set_io_error(error, number, "talk with the lab's keeper");
    return -1;
}

bool lab_talk_pair(int ret_fds[2], GError **error) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) == 0 ||
           set_io_error(error, errno, "make a pair of sockets");
}

bool lab_talk_send(int fd, Value *message, int attached, GError **error) {
    g_autoptr(Value) owned = message;
    g_autofree char *text = json_print(owned, JSON_COMPACT);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS } };
    struct iovec part = { text, strlen(text) };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    if (attached >= 0) {
        memcpy(CMSG_DATA(&control.header), &attached, sizeof attached);
        header.msg_control = &control;
        header.msg_controllen = sizeof control.bytes;
    }
    ssize_t n;
    do
        n = sendmsg(fd, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0 || set_io_error(error, errno, "send a message");
}

static int attached_to(struct msghdr *header) {
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    int fd = -1;
    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
        control->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

static Value *parse(const char *text, size_t size, GError **error) {
    g_autoptr(Value) message = json_parse(text, size, "message", error);
    if (!message || value_type(message) == VALUE_MAP)
        return g_steal_pointer(&message);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read a message: it is no object");
    return NULL;
}

Value *lab_talk_receive(int fd, int *ret_attached, GError **error) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    g_autofree char *text = g_malloc(MESSAGE_MAX);
    struct iovec part = { text, MESSAGE_MAX };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.bytes };
    ssize_t n;
    do
        n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    int attached = n >= 0 ? attached_to(&header) : -1;
    if (ret_attached)
        *ret_attached = attached;
    else if (attached >= 0)
        (void)close(attached); /* nobody wants it */
    if (n <= 0) {
        if (n < 0 && errno != ECONNRESET)
            set_io_error(error, errno, "receive a message");
        return NULL;
    }
    return parse(text, (size_t)n, error);
}

static Value *wait_for_end(int fd, int *ret_attached, GError **error) {
    for (;;) {
        g_autoptr(GError) problem = NULL;
        g_autoptr(Value) message = lab_talk_receive(fd, ret_attached, &problem);
        if (problem) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return NULL;
        }
        const char *refusal = message
                                  ? value_map_string(message, "error", NULL)
                                  : "the lab has ended meanwhile; 'stead lab gc' removes what is "
                                    "left of it";
        if (refusal) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s", refusal);
            return NULL;
        }
        if (value_map_bool(message, "done", false))
            return g_steal_pointer(&message);
    }
}

Value *lab_talk_ask(const char *directory, Value *request, int *ret_attached, GError **error) {
    int fd = lab_talk_connect(directory, error);
    if (fd < 0) {
        value_unref(request);
        return NULL;
    }
    Value *answer =
        lab_talk_send(fd, request, -1, error) ? wait_for_end(fd, ret_attached, error) : NULL;
    (void)close(fd);
    return answer;
}

Value *lab_talk_request(const char *verb, const char *host) {
    Value *request = value_new_map();
    value_map_set(request, "do", value_new_string(verb));
    if (host)
        value_map_set(request, "host", value_new_string(host));
    return request;
}
