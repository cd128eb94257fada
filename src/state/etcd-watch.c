/*
 * A watch in etcd: a request whose answer does not end. When it does, the watch goes on at another
 * member from where it was.
 *
 * It asks for one revision more than it tells. After a compaction etcd still lets a watch begin at
 * that very revision, though what was deleted at it is not known any more: beginning before it,
 * such a watch is refused, and so nothing is ever left out.
 */
#include <string.h>

#include "base/json.h"
#include "state/etcd-private.h"

/* Between attempts, doubled each time. */
#define FIRST_PAUSE_US 50000u
#define MAX_PAUSE_US   2000000u
/* Bytes of one message, which has a few values at most. */
#define MESSAGE_LIMIT (64u << 20)

/* The job of a watch. */
typedef struct {
    Etcd *etcd;
    StoreWatch *watch;
    unsigned member;
    HttpCall *http;
    LoopTimer *pause;
    uint64_t pause_us;
    GByteArray *line; /* the beginning of a message */
    GPtrArray *held;  /* of StoreEntry: of a revision that is not whole yet */
    bool waits;       /* for a login */
    bool logged_in;   /* since it was open */
    char *cluster;    /* the number of the cluster it watches; NULL: not known yet */
} Stream;

static void connect(Stream *stream);

static GPtrArray *entries_new(void) {
    return g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
}

static void on_pause(void *data) {
    connect(data);
}

static void drop_partial(Stream *stream) {
    g_byte_array_set_size(stream->line, 0);
    g_ptr_array_set_size(stream->held, 0);
}

/* It is over. The watch may be gone afterwards. */
static void fail(Stream *stream, int64_t revision, const GError *error) {
    g_clear_pointer(&stream->http, http_call_cancel);
    watch_fail(stream->watch, revision, error);
}

/* Later, at another member. */
static void reconnect(Stream *stream) {
    Loop *loop = stream->etcd->state.loop;
    g_clear_pointer(&stream->http, http_call_cancel);
    drop_partial(stream);
    stream->member = etcd_leave(stream->etcd, stream->member);
    loop_timer_set(loop, &stream->pause, loop_now(loop) + stream->pause_us, on_pause, stream);
    stream->pause_us = MIN(stream->pause_us * 2, MAX_PAUSE_US);
}

static void login_and_connect(Stream *stream, const GError *error) {
    if (stream->logged_in || !etcd_can_login(stream->etcd)) {
        fail(stream, 0, error);
        return;
    }
    g_clear_pointer(&stream->http, http_call_cancel);
    drop_partial(stream);
    stream->logged_in = stream->waits = true;
    etcd_login(stream->etcd);
}

/* --- messages; each returns whether the watch goes on with this stream */

/* Whether it is the cluster that was watched before. One that was restored has revisions of its
 * own, so a watch of the old ones would wait for ever, or leave something out. */
static bool is_same_cluster(Stream *stream, const char *cluster, int64_t revision) {
    if (!stream->cluster)
        stream->cluster = g_strdup(cluster);
    if (strcmp(stream->cluster, cluster) == 0)
        return true;
    g_autoptr(GError) error = g_error_new_literal(
        STORE_ERROR, STORE_ERROR_COMPACTED,
        "watch: this is another cluster of etcd than before, such as one that was restored: its "
        "revisions are not those that were told; read the present and watch from there");
    fail(stream, revision, error);
    return false;
}

static bool on_created(Stream *stream, const char *cluster, int64_t revision) {
    g_autoptr(GPtrArray) none = entries_new();
    if (!is_same_cluster(stream, cluster, revision))
        return false;
    stream->pause_us = FIRST_PAUSE_US;
    stream->logged_in = false;
    return stream->watch->next > 0 || watch_tell(stream->watch, revision, none);
}

static void on_cancelled(Stream *stream, const Value *result) {
    g_autoptr(GError) error = NULL;
    int64_t compacted = etcd_number(result, "compact_revision");
    const char *reason = value_map_string(result, "cancel_reason", "");
    if (compacted > 0) {
        error = error_compacted(stream->watch->next, compacted);
        fail(stream, compacted, error);
        return;
    }
    /* Also said of a token that is not known any more. */
    if (etcd_fate_of_text(reason, &error) == ETCD_REFUSED && error->code == STORE_ERROR_DENIED)
        login_and_connect(stream, error);
    else
        reconnect(stream);
}

/* Takes from held what belongs to whole revisions. */
static GPtrArray *take_whole(Stream *stream, bool fragment) {
    GPtrArray *held = stream->held;
    unsigned whole = held->len;
    while (fragment && whole > 0 &&
           ((StoreEntry *)held->pdata[whole - 1])->mod_revision ==
               ((StoreEntry *)held->pdata[held->len - 1])->mod_revision)
        whole--;
    stream->held = entries_new();
    for (unsigned i = whole; i < held->len; i++)
        g_ptr_array_add(stream->held, store_entry_ref(g_ptr_array_index(held, i)));
    g_ptr_array_set_size(held, (int)whole);
    return held;
}

static bool on_events(Stream *stream, const Value *result, int64_t revision) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) events = etcd_events(result, &error);
    if (events == NULL) {
        fail(stream, 0, error);
        return false;
    }
    for (unsigned i = 0; i < events->len; i++) {
        StoreEntry *entry = g_ptr_array_index(events, i);
        if (entry->mod_revision >= stream->watch->next)
            g_ptr_array_add(stream->held, store_entry_ref(entry));
    }
    bool fragment = value_map_bool(result, "fragment", false);
    g_autoptr(GPtrArray) whole = take_whole(stream, fragment);
    if (whole->len > 0)
        revision = ((StoreEntry *)whole->pdata[whole->len - 1])->mod_revision;
    bool news = whole->len > 0 || (events->len == 0 && revision >= stream->watch->next);
    return !news || watch_tell(stream->watch, revision, whole);
}

static bool on_message(Stream *stream, const char *text, size_t size) {
    g_autoptr(Value) value = json_parse(text, size, "etcd", NULL);
    const Value *result = value_type(value) == VALUE_MAP ? value_map_get(value, "result") : NULL;
    if (value_type(result) != VALUE_MAP) { /* an error: no leader, ... */
        reconnect(stream);
        return false;
    }
    const Value *header = value_map_get(result, "header");
    bool headed = value_type(header) == VALUE_MAP;
    int64_t revision = headed ? etcd_number(header, "revision") : 0;
    if (value_map_bool(result, "canceled", false)) {
        on_cancelled(stream, result);
        return false;
    }
    if (value_map_bool(result, "created", false))
        return on_created(stream, headed ? value_map_string(header, "cluster_id", "") : "",
                          revision);
    return on_events(stream, result, revision);
}

static void on_data(void *data, const char *bytes, size_t size) {
    Stream *stream = data;
    const char *end;
    while ((end = memchr(bytes, '\n', size)) != NULL) {
        size_t length = (size_t)(end - bytes);
        g_autoptr(GByteArray) line = stream->line;
        stream->line = g_byte_array_new();
        g_byte_array_append(line, (const guint8 *)bytes, (guint)length);
        if (line->len > 0 && !on_message(stream, (const char *)line->data, line->len))
            return; /* stream may be gone */
        bytes = end + 1;
        size -= length + 1;
    }
    g_byte_array_append(stream->line, (const guint8 *)bytes, (guint)size);
    if (stream->line->len > MESSAGE_LIMIT)
        reconnect(stream);
}

static void on_end(void *data, const HttpReply *reply, const GError *problem) {
    Stream *stream = data;
    g_autoptr(GError) error = NULL;
    stream->http = NULL;
    EtcdFate fate = ETCD_ELSEWHERE;
    if (problem == NULL && reply->status != 200)
        fate = etcd_fate(reply->status, reply->body, &error);
    if (fate == ETCD_REFUSED)
        fail(stream, 0, error);
    else if (fate == ETCD_LOGIN)
        login_and_connect(stream, error);
    else
        reconnect(stream);
}

/* --- life */

static void connect(Stream *stream) {
    Etcd *etcd = stream->etcd;
    if (etcd->user != NULL && etcd->token == NULL) {
        stream->waits = true;
        etcd_login(etcd);
        return;
    }
    int64_t next = stream->watch->next;
    g_autoptr(GBytes) body = etcd_watch_request(stream->watch, next > 0 ? MAX(next - 1, 1) : 0);
    stream->http = etcd_send(etcd, stream->member, "watch", body, (HttpAsk){ .on_data = on_data },
                             on_end, stream);
}

void etcd_watch(StoreWatch *watch) {
    Etcd *etcd = etcd_of(watch->state);
    Stream *stream = g_new0(Stream, 1);
    *stream = (Stream){ .etcd = etcd, .watch = watch, .member = etcd->member };
    stream->pause_us = FIRST_PAUSE_US;
    stream->line = g_byte_array_new();
    stream->held = entries_new();
    watch->job = stream;
    connect(stream);
}

void etcd_unwatch(StoreWatch *watch) {
    Stream *stream = g_steal_pointer(&watch->job);
    loop_timer_clear(&stream->pause);
    g_clear_pointer(&stream->http, http_call_cancel);
    g_byte_array_unref(stream->line);
    g_ptr_array_unref(stream->held);
    g_free(stream->cluster);
    g_free(stream);
}

bool etcd_watch_waits(const StoreWatch *watch) {
    const Stream *stream = watch->job;
    return stream != NULL && stream->waits;
}

void etcd_watch_go_on(StoreWatch *watch, const GError *error) {
    Stream *stream = watch->job;
    stream->waits = false;
    if (error == NULL)
        connect(stream);
    else if (error->code == STORE_ERROR_UNAVAILABLE)
        reconnect(stream);
    else
        watch_fail(watch, 0, error);
}
