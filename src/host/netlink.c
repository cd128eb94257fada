#include "host/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE   65536 /* twice the most that Linux puts into one datagram of a dump */
#define DUMP_ATTEMPTS 20    /* while others change what is listed */
#define TIMEOUT_S     10    /* the kernel answers at once; nothing waits for ever */

/* --- reading */

/* Cuts size bytes, and the padding behind them as far as there is some, from *rest. */
static NlSpan cut(NlSpan *rest, size_t size) {
    NlSpan part = { rest->data, size };
    size_t whole = MIN(NLMSG_ALIGN(size), rest->size);
    rest->data += whole;
    rest->size -= whole;
    return part;
}

bool nl_take(NlSpan *rest, void *ret, size_t size) {
    memset(ret, 0, size);
    if (rest->size < size)
        return false;
    NlSpan part = cut(rest, size);
    memcpy(ret, part.data, size);
    return true;
}

bool nl_next_message(NlSpan *rest, NlMessage *ret_message) {
    struct nlmsghdr header;
    if (rest->size < sizeof header)
        return false;
    memcpy(&header, rest->data, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest->size)
        return false;
    NlSpan whole = cut(rest, header.nlmsg_len);
    *ret_message =
        (NlMessage){ .type = header.nlmsg_type,
                     .flags = header.nlmsg_flags,
                     .body = { whole.data + sizeof header, whole.size - sizeof header } };
    return true;
}

bool nl_next_attribute(NlSpan *rest, uint16_t *ret_type, NlSpan *ret_value) {
    struct nlattr header;
    if (rest->size < sizeof header)
        return false;
    memcpy(&header, rest->data, sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > rest->size)
        return false;
    NlSpan whole = cut(rest, header.nla_len);
    *ret_type = header.nla_type & NLA_TYPE_MASK;
    *ret_value = (NlSpan){ whole.data + sizeof header, whole.size - sizeof header };
    return true;
}

NlSpan nl_find(NlSpan attributes, uint16_t type) {
    uint16_t found;
    NlSpan value;
    while (nl_next_attribute(&attributes, &found, &value))
        if (found == type)
            return value;
    return (NlSpan){ 0 };
}

uint32_t nl_u32(NlSpan value) {
    uint32_t number;
    (void)nl_take(&value, &number, sizeof number); /* else 0 */
    return number;
}

uint16_t nl_u16(NlSpan value) {
    uint16_t number;
    (void)nl_take(&value, &number, sizeof number); /* else 0 */
    return number;
}

uint8_t nl_u8(NlSpan value) {
    return value.size > 0 ? *value.data : 0;
}

void nl_name(NlSpan value, char *ret, size_t size) {
    size_t length = value.size > 0 ? strnlen((const char *)value.data, value.size) : 0;
    *ret = '\0';
    if (length >= size)
        return;
    memcpy(ret, value.data != NULL ? value.data : (const uint8_t *)"", length);
    ret[length] = '\0';
    if (net_name_problem(ret) != NULL)
        *ret = '\0';
}

/* --- making */

GByteArray *nl_request(uint16_t type, uint16_t flags, const void *header, size_t size) {
    struct nlmsghdr message = { .nlmsg_type = type,
                                .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
    GByteArray *request = g_byte_array_new();
    g_byte_array_append(request, (const uint8_t *)&message, sizeof message);
    g_byte_array_append(request, header, (guint)size);
    return request;
}

static void pad(GByteArray *request) {
    static const uint8_t zeros[NLMSG_ALIGNTO] = { 0 };
    g_byte_array_append(request, zeros, NLMSG_ALIGN(request->len) - request->len);
}

void nl_put(GByteArray *request, uint16_t type, const void *data, size_t size) {
    pad(request);
    struct nlattr header = { .nla_len = (uint16_t)(sizeof header + size), .nla_type = type };
    g_byte_array_append(request, (const uint8_t *)&header, sizeof header);
    g_byte_array_append(request, data, (guint)size);
    pad(request);
}

void nl_put_u32(GByteArray *request, uint16_t type, uint32_t number) {
    nl_put(request, type, &number, sizeof number);
}

void nl_put_text(GByteArray *request, uint16_t type, const char *text) {
    nl_put(request, type, text, strlen(text) + 1);
}

void nl_put_ip(GByteArray *request, uint16_t type, const IpPrefix *ip) {
    nl_put(request, type, ip->bytes, ip_width(ip) / 8);
}

guint nl_nest(GByteArray *request, uint16_t type) {
    guint nest = request->len;
    nl_put(request, type, NULL, 0);
    return nest;
}

void nl_nest_end(GByteArray *request, guint nest) {
    uint16_t size = (uint16_t)(request->len - nest);
    memcpy(request->data + nest + offsetof(struct nlattr, nla_len), &size, sizeof size);
}

/* --- talking */

int nl_open(uint32_t groups, bool nonblocking, GError **error) {
    static const int on = 1;
    const struct timeval timeout = { .tv_sec = TIMEOUT_S };
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0),
                    NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        /* Older kernels know some of these not: then errors have fewer words, and lists are longer
         * than they need be. */
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        return fd;
    }
    (void)set_io_error(error, errno, "talk to the kernel by netlink"); /* always false */
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    return -1;
}

/* What became of a request, as far as it was read. */
typedef struct {
    bool ended;
    bool interrupted; /* a list that is not one of one moment */
    int number;       /* errno */
    char *words;      /* the kernel's own, or NULL */
} Answer;

static void read_datagram(NlSpan datagram, NlVisit visit, void *data, Answer *answer) {
    NlMessage message;
    while (!answer->ended && nl_next_message(&datagram, &message)) {
        answer->interrupted |= (message.flags & NLM_F_DUMP_INTR) != 0;
        answer->ended = message.type == NLMSG_ERROR || message.type == NLMSG_DONE;
        if (answer->ended)
            answer->number = nl_read_end(&message, &answer->words);
        else if (visit != NULL)
            visit(data, &message);
    }
}

static bool receive(int fd, NlVisit visit, void *data, Answer *answer, GError **error) {
    g_autofree uint8_t *buffer = g_malloc(BUFFER_SIZE);
    while (!answer->ended) {
        ssize_t size = recv(fd, buffer, BUFFER_SIZE, MSG_TRUNC);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return set_io_error(error, errno, "hear the kernel by netlink");
        if (size > BUFFER_SIZE)
            return set_io_error(error, EMSGSIZE, "hear the kernel by netlink");
        read_datagram((NlSpan){ buffer, (size_t)size }, visit, data, answer);
    }
    return true;
}

static bool send_request(int fd, GByteArray *request, GError **error) {
    uint32_t length = request->len;
    memcpy(request->data + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof length);
    ssize_t sent;
    do
        sent = send(fd, request->data, request->len, 0);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 || set_io_error(error, errno, "ask the kernel by netlink");
}

bool nl_talk(int fd, GByteArray *request, NlVisit visit, void *data, int *ret_errno,
             GError **error) {
    for (unsigned attempt = 1;; attempt++) {
        Answer answer = { 0 };
        *ret_errno = 0;
        if (!send_request(fd, request, error) || !receive(fd, visit, data, &answer, error)) {
            *ret_errno = EIO;
            return false;
        }
        g_autofree char *words = answer.words;
        if (answer.number == 0 && (!answer.interrupted || attempt == DUMP_ATTEMPTS))
            return true;
        if (answer.number == 0) {
            if (visit != NULL)
                visit(data, NULL);
            continue;
        }
        *ret_errno = answer.number;
        (void)set_io_error(error, answer.number, "%s",
                           words != NULL ? words : "the kernel said no");
        return false;
    }
}
