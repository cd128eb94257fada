/* Watches: a stream for each, which tells a piece as its client takes what it was told. */
#include <string.h>

#include "hub/gateway.h"

#define AHEAD   (512u * 1024) /* bytes that a client is told before it takes them */
#define PIECE   (256u * 1024) /* bytes of keys and values of a message, or one entry */
#define LOOK_US 10000u        /* how often it is seen whether a client goes on */

struct Channel {
    Gateway *gateway;
    HttpStream *stream;
    StoreWatch *watch; /* NULL: the client is behind, or it is over */
    EtcdWatch asked;
    char *host, *credential;
    int64_t next; /* the first revision that is not in pending; 0: not known yet */
    bool created, over;
    GPtrArray *pending; /* of StoreEntry */
    unsigned told;      /* of pending */
    LoopTimer *look;
    uint64_t behind_since;
    StoreCall *check; /* of the credential */
    StoreCall *ask;   /* for the revision that the store is at */
};

static void listen(Channel *channel);

/* --- telling ---------------------------------------------------------------------------------- */

static void say(Channel *channel, GBytes *message) {
    http_stream_send(channel->stream, message);
    g_bytes_unref(message);
}

static void create(Channel *channel, int64_t revision) {
    channel->created = true;
    say(channel, etcd_watch_created(revision, store_identity(channel->gateway->hub->state)));
}

/* Says no more. The stream is closed later, from the loop. */
static void end(Channel *channel) {
    channel->over = true;
    store_watch_stop(g_steal_pointer(&channel->watch));
    loop_timer_clear(&channel->look);
    http_stream_end(channel->stream);
}

/* Many watches are told the same: the message is made once. Returns a new reference. */
static GBytes *message_of(Gateway *gateway, StoreEntry *const *entries, unsigned n,
                          int64_t revision, bool fragment) {
    if (gateway->message && !fragment && gateway->said->len == n &&
        memcmp(gateway->said->pdata, entries, n * sizeof *entries) == 0)
        return g_bytes_ref(gateway->message);
    GBytes *message = etcd_watch_events(entries, n, revision, fragment);
    if (fragment)
        return message;
    g_ptr_array_set_size(gateway->said, 0);
    for (unsigned i = 0; i < n; i++)
        g_ptr_array_add(gateway->said, store_entry_ref(entries[i]));
    g_clear_pointer(&gateway->message, g_bytes_unref);
    gateway->message = g_bytes_ref(message);
    return message;
}

/* How many of pending are the next message. */
static unsigned piece_of(const Channel *channel) {
    size_t bytes = 0;
    unsigned i = channel->told;
    for (; i < channel->pending->len && bytes < PIECE; i++) {
        const StoreEntry *entry = channel->pending->pdata[i];
        bytes += g_bytes_get_size(entry->key);
        bytes += entry->value ? g_bytes_get_size(entry->value) : 0;
    }
    return i - channel->told;
}

static bool tell_piece(Channel *channel) {
    unsigned left = channel->pending->len - channel->told;
    if (left == 0 || http_stream_queued(channel->stream) >= AHEAD)
        return false;
    unsigned n = piece_of(channel);
    StoreEntry *const *entries =
        (StoreEntry *const *)(void *)(channel->pending->pdata + channel->told);
    say(channel, message_of(channel->gateway, entries, n, entries[n - 1]->mod_revision, n < left));
    channel->told += n;
    return true;
}

static void on_look(void *data);

static void look_again(Channel *channel) {
    Loop *loop = channel->gateway->hub->loop;
    loop_timer_set(loop, &channel->look, loop_now(loop) + LOOK_US, on_look, channel);
}

/* Tells what the client takes. With more than that the watch rests: it goes on from where it was.
 */
static void pump(Channel *channel) {
    Loop *loop = channel->gateway->hub->loop;
    while (tell_piece(channel))
        channel->behind_since = 0;
    if (channel->told < channel->pending->len) {
        store_watch_stop(g_steal_pointer(&channel->watch));
        channel->behind_since = channel->behind_since ? channel->behind_since : loop_now(loop);
        look_again(channel);
        return;
    }
    g_ptr_array_set_size(channel->pending, 0);
    channel->told = 0;
    if (!channel->watch)
        listen(channel);
}

static void on_look(void *data) {
    Channel *channel = data;
    Loop *loop = channel->gateway->hub->loop;
    pump(channel);
    if (channel->behind_since == 0 ||
        loop_now(loop) - channel->behind_since < GATEWAY_BEHIND_S * (uint64_t)G_USEC_PER_SEC)
        return;
    end(channel);
    http_stream_drop(channel->stream);
}

/* --- hearing ---------------------------------------------------------------------------------- */

/* A client of etcd may begin with the revision that was compacted: it knows that one. */
static bool skip_compacted(Channel *channel, int64_t compacted, const GError *error) {
    if (!g_error_matches(error, STORE_ERROR, STORE_ERROR_COMPACTED) ||
        compacted != channel->asked.revision || channel->next != compacted)
        return false;
    store_watch_stop(g_steal_pointer(&channel->watch));
    channel->next = compacted + 1;
    listen(channel);
    return true;
}

static void fail(Channel *channel, int64_t revision, const GError *error) {
    bool compacted = g_error_matches(error, STORE_ERROR, STORE_ERROR_COMPACTED);
    say(channel, etcd_watch_cancelled(channel->gateway->revision, error, compacted ? revision : 0));
    end(channel);
}

static void on_change(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Channel *channel = data;
    Gateway *gateway = channel->gateway;
    if (error) {
        if (!skip_compacted(channel, revision, error))
            fail(channel, revision, error);
        return;
    }
    gateway->revision = MAX(gateway->revision, revision);
    bool news = events && events->len > 0;
    channel->next = MAX(channel->next, revision + 1);
    for (unsigned i = 0; news && i < events->len; i++)
        g_ptr_array_add(channel->pending, store_entry_ref(events->pdata[i]));
    if (news)
        pump(channel);
    else
        say(channel, etcd_watch_progress(revision));
}

static void listen(Channel *channel) {
    const Hub *hub = channel->gateway->hub;
    channel->watch = store_watch(hub->shared ? hub->shared : hub->state, channel->asked.key,
                                 channel->asked.prefix, channel->next, on_change, channel);
}

/* --- life ------------------------------------------------------------------------------------- */

static void channel_free(Channel *channel) {
    store_watch_stop(channel->watch);
    loop_timer_clear(&channel->look);
    if (channel->check)
        store_call_cancel(channel->check);
    if (channel->ask)
        store_call_cancel(channel->ask);
    g_ptr_array_unref(channel->pending);
    etcd_watch_clear(&channel->asked);
    g_free(channel->host);
    g_free(channel->credential);
    g_free(channel);
}

static void on_closed(void *data) {
    Channel *channel = data;
    (void)g_ptr_array_remove_fast(channel->gateway->channels, channel);
    channel_free(channel);
}

unsigned gateway_watches_of(const Gateway *gateway, const char *host) {
    unsigned count = 0;
    for (unsigned i = 0; i < gateway->channels->len; i++) {
        const Channel *channel = gateway->channels->pdata[i];
        count += !channel->over && g_strcmp0(channel->host, host) == 0;
    }
    return count;
}

void gateway_turn_away(Gateway *gateway, const char *credential) {
    for (unsigned i = 0; i < gateway->channels->len; i++) {
        Channel *channel = gateway->channels->pdata[i];
        if (!channel->over && g_strcmp0(channel->credential, credential) == 0)
            end(channel);
    }
}

/* The end of a client is noticed when something is sent to it. */
static void look_for_ended(const Gateway *gateway, const char *host) {
    for (unsigned i = 0; i < gateway->channels->len; i++) {
        Channel *channel = gateway->channels->pdata[i];
        if (!channel->over && channel->created && g_strcmp0(channel->host, host) == 0)
            say(channel, g_bytes_new_static("\n", 1));
    }
}

static bool is_permitted(const Ask *ask, const EtcdWatch *watch, GError **error) {
    Gateway *gateway = ask->hub->gateway;
    Permit permit = { .host = ask->host, .everything = gateway->everything };
    if (!permit_read(&permit, watch->from, watch->end, error))
        return false;
    if (!ask->host || gateway_watches_of(gateway, ask->host) < GATEWAY_WATCHES)
        return true;
    look_for_ended(gateway, ask->host);
    g_set_error(error, STORE_ERROR, STORE_ERROR_TOO_LARGE,
                "host '%s' has GATEWAY_WATCHES (%u) watches open: it ends one before it gets "
                "another",
                ask->host, GATEWAY_WATCHES);
    return false;
}

static void on_checked(void *data, StoreAnswer *answer, const GError *error) {
    Channel *channel = data;
    channel->check = NULL;
    g_autoptr(Value) record = answer ? entry_value(store_answer_entry(answer)) : NULL;
    if (!channel->over && (!record || value_map_bool(record, "revoked", false)))
        end(channel);
}

/* Once more, now that it is among those that a change of its credential ends: who was turned away
 * while the request was on its way is found here. */
static void check_again(Channel *channel) {
    if (!channel->credential)
        return;
    g_autoptr(GBytes) key = key_of(channel->credential, "");
    channel->check = store_get(channel->gateway->hub->state, key, on_checked, channel);
}

/* The client counts from there. */
static void on_now(void *data, StoreAnswer *answer, const GError *error) {
    Channel *channel = data;
    channel->ask = NULL;
    if (channel->over)
        return;
    if (error) {
        fail(channel, 0, error);
        return;
    }
    create(channel, answer->revision);
    channel->next = answer->revision + 1;
    listen(channel);
}

/* What begins now has a number: then it is as any other. */
static void begin_now(Channel *channel) {
    channel->ask = store_get(channel->gateway->hub->state, channel->asked.from, on_now, channel);
}

/* Takes over what is in watch. */
static void open_channel(Ask *ask, EtcdWatch *watch) {
    Gateway *gateway = ask->hub->gateway;
    Channel *channel = g_new0(Channel, 1);
    channel->gateway = gateway;
    channel->asked = *watch;
    *watch = (EtcdWatch){ .key = NULL };
    channel->host = g_strdup(ask->host);
    channel->credential = g_strdup(ask->credential);
    channel->pending = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    channel->next = channel->asked.revision;
    channel->stream = http_answer_lines(ask->request, on_closed, channel);
    if (!channel->stream) {
        channel_free(channel);
        return;
    }
    g_ptr_array_add(gateway->channels, channel);
    if (channel->next > 0) {
        create(channel, MAX(gateway->revision, channel->next - 1));
        listen(channel);
    } else {
        begin_now(channel);
    }
    check_again(channel);
}

void gateway_watch(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(GError) error = NULL;
    g_auto(EtcdWatch) watch = { .key = NULL };
    ask->hub->gateway->requests++;
    if (etcd_watch_parse(http_request_body(request), &watch, &error) &&
        is_permitted(ask, &watch, &error))
        open_channel(ask, &watch);
    else
        gateway_refuse(ask, error);
}
