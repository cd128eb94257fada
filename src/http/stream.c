/* Server-sent events, and lines of JSON. */
#include <string.h>

#include "http/server-private.h"

HttpStream *stream_new(HttpServer *server, HttpRequest *request, LoopCallback closed, void *data) {
    HttpStream *stream = g_new0(HttpStream, 1);
    stream->refs = 2;
    stream->server = server;
    stream->connection = request->connection;
    stream->peer = request->peer;
    if (stream->peer)
        g_atomic_int_inc(&stream->peer->refs);
    stream->limit = server ? server->options.stream_queue : HTTP_STREAM_QUEUE;
    stream->heartbeat = ":\n\n";
    stream->closed = closed;
    stream->data = data;
    g_mutex_init(&stream->lock);
    g_queue_init(&stream->queue);
    if (server)
        g_hash_table_add(server->streams, stream);
    return stream;
}

void stream_use_lines(HttpStream *stream) {
    stream->limit = HTTP_LINES_QUEUE;
    stream->heartbeat = "\n";
}

void stream_unref(HttpStream *stream) {
    if (!g_atomic_int_dec_and_test(&stream->refs))
        return;
    g_queue_clear_full(&stream->queue, (GDestroyNotify)g_bytes_unref);
    g_mutex_clear(&stream->lock);
    g_clear_pointer(&stream->peer, peer_unref);
    g_free(stream);
}

/* --- the connection's side -------------------------------------------------------------------- */

/* Moves up to size queued bytes to buffer. */
static size_t take(HttpStream *stream, char *buffer, size_t size) {
    size_t n = 0;
    GBytes *head;
    while (n < size && (head = g_queue_peek_head(&stream->queue))) {
        size_t length;
        const char *bytes = g_bytes_get_data(head, &length);
        size_t part = MIN(size - n, length - stream->offset);
        memcpy(buffer + n, bytes + stream->offset, part);
        n += part;
        stream->offset += part;
        if (stream->offset < length)
            continue;
        stream->bytes -= length;
        stream->offset = 0;
        g_bytes_unref(g_queue_pop_head(&stream->queue));
    }
    return n;
}

ssize_t stream_read(void *data, uint64_t position, char *buffer, size_t size) {
    HttpStream *stream = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->lock);
    if (stream->failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = take(stream, buffer, size);
    if (n > 0)
        return (ssize_t)n;
    if (stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    stream->waiting = true;
    mhd.suspend_connection(stream->connection);
    return 0;
}

void stream_gone(HttpStream *stream) {
    g_mutex_lock(&stream->lock);
    stream->failed = true;
    g_mutex_unlock(&stream->lock);
    loop_post(stream->server->loop, stream_closed, stream);
}

/* --- the loop's side -------------------------------------------------------------------------- */

void stream_closed(void *data) {
    HttpStream *stream = data;
    if (stream->server)
        g_hash_table_remove(stream->server->streams, stream);
    if (stream->closed)
        stream->closed(stream->data);
    stream_unref(stream);
}

/* Under lock. */
static void wake(HttpStream *stream) {
    if (!stream->waiting)
        return;
    stream->waiting = false;
    mhd.resume_connection(stream->connection);
}

/* False: the client is too far behind. */
static bool queue_bytes(HttpStream *stream, GBytes *bytes) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->lock);
    if (stream->failed || stream->ended)
        return true;
    if (stream->bytes + g_bytes_get_size(bytes) > stream->limit && stream->peer)
        return false;
    g_queue_push_tail(&stream->queue, g_bytes_ref(bytes));
    stream->bytes += g_bytes_get_size(bytes);
    wake(stream);
    return true;
}

/* Spread, so that what was told to all at once does not become heartbeats all at once. */
static void set_beat(HttpStream *stream, gint64 now) {
    gint64 period = (gint64)stream->server->options.heartbeat_seconds * G_USEC_PER_SEC;
    stream->beat = now + period - (gint64)((uintptr_t)stream / 16 * 7919 % (uintptr_t)(period / 4));
}

void http_stream_send(HttpStream *stream, GBytes *event) {
    if (!queue_bytes(stream, event))
        http_stream_drop(stream);
    else if (stream->server)
        set_beat(stream, g_get_monotonic_time());
}

void http_stream_end(HttpStream *stream) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->lock);
    stream->ended = true;
    wake(stream);
}

size_t http_stream_queued(HttpStream *stream) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&stream->lock);
    return stream->bytes;
}

void http_stream_drop(HttpStream *stream) {
    if (stream->server)
        __atomic_add_fetch(&stream->server->dropped, 1, __ATOMIC_RELAXED);
    stream_fail(stream);
}

void stream_fail(HttpStream *stream) {
    g_mutex_lock(&stream->lock);
    stream->failed = true;
    g_queue_clear_full(&stream->queue, (GDestroyNotify)g_bytes_unref);
    stream->bytes = stream->offset = 0;
    wake(stream);
    g_mutex_unlock(&stream->lock);
    if (stream->peer)
        peer_shut(stream->peer);
}

void stream_beat(HttpStream *stream, gint64 now) {
    if (stream->peer && stream->peer->gone) {
        stream_fail(stream);
        return;
    }
    if (now < stream->beat)
        return;
    g_autoptr(GBytes) bytes = g_bytes_new_static(stream->heartbeat, strlen(stream->heartbeat));
    http_stream_send(stream, bytes);
}

GBytes *stream_take_all(HttpStream *stream) {
    size_t size = stream->bytes - stream->offset;
    g_autofree char *buffer = g_malloc(size + 1);
    size = take(stream, buffer, size);
    return g_bytes_new_take(g_steal_pointer(&buffer), size);
}

static void append_field(GString *out, const char *name, const char *text) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        g_string_append_printf(out, "%s: %s\n", name, *line);
}

GBytes *http_event(const char *event, const char *id, const char *text) {
    GString *out = g_string_new(NULL);
    if (event)
        append_field(out, "event", event);
    if (id)
        append_field(out, "id", id);
    append_field(out, "data", text);
    g_string_append_c(out, '\n');
    return g_string_free_to_bytes(out);
}
