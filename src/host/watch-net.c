#include "host/watch-net.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/netlink.h"
#include "host/watch-queue.h"

#define BUFFER_SIZE   65536
#define DATAGRAMS_MAX 64 /* of one turn of the loop */
#define GROUP(number) (1u << ((number)-1))
#define GROUPS                                                                                     \
    (GROUP(RTNLGRP_LINK) | GROUP(RTNLGRP_IPV4_IFADDR) | GROUP(RTNLGRP_IPV6_IFADDR) |               \
     GROUP(RTNLGRP_IPV4_ROUTE) | GROUP(RTNLGRP_IPV6_ROUTE) | GROUP(RTNLGRP_IPV4_NETCONF))

/* The socket of one loop. */
typedef struct {
    NetWatchers *watchers;
    Loop *loop;
    int fd; /* -1: below a root */
    LoopSource *source;
    GPtrArray *watches; /* NetWatch, borrowed */
    GHashTable *names;  /* index -> name of each link */
    uint8_t *buffer;
    WatchQueue queue;
} NetGroup;

struct NetWatchers {
    bool is_machine;
    GPtrArray *groups;
};

typedef struct {
    QueuedWatch base;
    NetGroup *group;
    char *link;
} NetWatch;

/* --- telling */

static void tell_link(NetGroup *group, const char *link) {
    for (guint i = 0; i < group->watches->len; i++) {
        NetWatch *watch = group->watches->pdata[i];
        if (link == NULL || strcmp(watch->link, link) == 0)
            queued_watch_tell(&watch->base, TELL_CHANGED);
    }
}

/* Keeps names up to date; a link that is renamed is a change of both names. */
static void note_link(NetGroup *group, const NlLink *link, bool gone) {
    void *key = GUINT_TO_POINTER(link->index);
    const char *known = g_hash_table_lookup(group->names, key);
    if (known != NULL && strcmp(known, link->name) != 0)
        tell_link(group, known);
    tell_link(group, link->name);
    if (gone)
        g_hash_table_remove(group->names, key);
    else if (known == NULL || strcmp(known, link->name) != 0)
        g_hash_table_replace(group->names, key, g_strdup(link->name));
}

static void on_message(void *data, const NlMessage *message) {
    NetGroup *group = data;
    NlLink link;
    if (message == NULL)
        return;
    if (nl_read_link(message, &link)) {
        note_link(group, &link, message->type == RTM_DELLINK);
        return;
    }
    unsigned index = nl_read_index(message);
    const char *name =
        index != 0 ? g_hash_table_lookup(group->names, GUINT_TO_POINTER(index)) : NULL;
    if (name != NULL)
        tell_link(group, name);
    else if (message->type == RTM_NEWROUTE || message->type == RTM_DELROUTE)
        tell_link(group, NULL); /* of several links, or of one that is gone */
}

/* --- hearing */

static bool learn_names(NetGroup *group, GError **error) {
    struct ifinfomsg header = { 0 };
    g_autoptr(GByteArray) request = nl_request(RTM_GETLINK, NLM_F_DUMP, &header, sizeof header);
    int number, fd = nl_open(0, false, error);
    if (fd < 0)
        return false;
    bool done = nl_talk(fd, request, on_message, group, &number, error);
    (void)close(fd); /* only asked */
    return done;
}

static void fail(NetGroup *group, const char *why) {
    g_autofree char *detail = g_strdup_printf("watch the network: %s", why);
    for (guint i = 0; i < group->watches->len; i++)
        queued_watch_fail(group->watches->pdata[i], detail);
    g_clear_pointer(&group->source, loop_source_free);
}

/* What was dropped may have been about any link, and about their names. */
static void overrun(NetGroup *group) {
    g_autoptr(GError) error = NULL;
    tell_link(group, NULL);
    if (!learn_names(group, &error))
        fail(group, error->message);
}

/* False: nothing more to hear now. */
static bool hear(NetGroup *group) {
    ssize_t size = recv(group->fd, group->buffer, BUFFER_SIZE, MSG_TRUNC);
    if (size < 0 && errno == EINTR)
        return true;
    if (size < 0 && errno == ENOBUFS) {
        overrun(group);
        return true;
    }
    if (size < 0) {
        if (errno != EAGAIN)
            fail(group, g_strerror(errno));
        return false;
    }
    NlSpan rest = { group->buffer, MIN((size_t)size, BUFFER_SIZE) };
    NlMessage message;
    while (nl_next_message(&rest, &message))
        on_message(group, &message);
    if (size > BUFFER_SIZE)
        overrun(group);
    return true;
}

static void on_readable(void *data, int fd, uint32_t epoll_events) {
    NetGroup *group = data;
    for (unsigned i = 0; i < DATAGRAMS_MAX && group->source != NULL && hear(group); i++)
        ;
}

/* --- groups */

static void on_posted(void *data);

static void post_group(void *data) {
    NetGroup *group = data;
    loop_post(group->loop, on_posted, group);
}

static void group_free(NetGroup *group) {
    g_ptr_array_remove(group->watchers->groups, group);
    loop_unpost(group->loop, on_posted, group);
    loop_source_free(group->source);
    if (group->fd >= 0)
        (void)close(group->fd); /* only heard */
    watch_queue_clear(&group->queue);
    g_ptr_array_unref(group->watches);
    g_hash_table_unref(group->names);
    g_free(group->buffer);
    g_free(group);
}

static void on_posted(void *data) {
    NetGroup *group = data;
    watch_queue_deliver(&group->queue);
    if (group->watches->len == 0)
        group_free(group);
}

static bool group_open(NetGroup *group, GError **error) {
    if (!group->watchers->is_machine)
        return true;
    group->fd = nl_open(GROUPS, true, error);
    if (group->fd < 0)
        return false;
    group->source = loop_watch_fd(group->loop, group->fd, EPOLLIN, on_readable, group, error);
    return group->source != NULL && learn_names(group, error);
}

static NetGroup *group_new(NetWatchers *watchers, Loop *loop, GError **error) {
    NetGroup *group = g_new0(NetGroup, 1);
    group->watchers = watchers;
    group->loop = loop;
    group->fd = -1;
    group->watches = g_ptr_array_new();
    group->names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    group->buffer = g_malloc(BUFFER_SIZE);
    watch_queue_init(&group->queue, post_group, group);
    g_ptr_array_add(watchers->groups, group);
    if (group_open(group, error))
        return group;
    group_free(group);
    return NULL;
}

static NetGroup *group_of(NetWatchers *watchers, Loop *loop, GError **error) {
    for (guint i = 0; i < watchers->groups->len; i++) {
        NetGroup *group = watchers->groups->pdata[i];
        bool dead = watchers->is_machine && group->source == NULL;
        if (group->loop == loop && !dead)
            return group;
    }
    return group_new(watchers, loop, error);
}

/* --- watches */

static void net_watch_free(HostWatch *host_watch) {
    NetWatch *watch = (NetWatch *)(void *)host_watch;
    NetGroup *group = watch->group;
    queued_watch_clear(&watch->base);
    g_ptr_array_remove(group->watches, watch);
    g_free(watch->link);
    g_free(watch);
    if (group->watches->len == 0 && !group->queue.is_busy)
        group_free(group);
}

NetWatchers *net_watchers_new(bool is_machine) {
    NetWatchers *watchers = g_new0(NetWatchers, 1);
    watchers->is_machine = is_machine;
    watchers->groups = g_ptr_array_new();
    return watchers;
}

void net_watchers_free(NetWatchers *watchers) {
    if (watchers == NULL)
        return;
    g_assert(watchers->groups->len == 0); /* watches end before their host */
    g_ptr_array_unref(watchers->groups);
    g_free(watchers);
}

HostWatch *net_watchers_add(NetWatchers *watchers, Loop *loop, const char *link, uint64_t owner,
                            HostWatchCallback callback, void *data, GError **error) {
    NetGroup *group = group_of(watchers, loop, error);
    if (group == NULL) {
        g_prefix_error(error, "watch link '%s': ", link);
        return NULL;
    }
    NetWatch *watch = g_new0(NetWatch, 1);
    watch->base.watch =
        (HostWatch){ .free = net_watch_free, .callback = callback, .data = data, .owner = owner };
    watch->base.queue = &group->queue;
    watch->group = group;
    watch->link = g_strdup(link);
    g_ptr_array_add(group->watches, watch);
    queued_watch_tell(&watch->base, TELL_READY);
    return &watch->base.watch;
}
