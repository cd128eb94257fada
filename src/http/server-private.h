#pragma once
/*
 * What the files of the server share. Threads: an HttpRequest belongs to the connection's thread
 * until it is handed over, then to the loop until it is answered, then to the connection again. A
 * connection that is suspended stays until somebody resumes it, whatever its client does.
 *
 * Locks, in the order they are taken: HttpStream.lock, HttpServer.lock, libmicrohttpd's own.
 */
#include "http/mhd-lib.h"
#include "http/routes.h"
#include "http/server.h"

#define DISCARD_LIMIT (16u * 1024 * 1024) /* of a body that is refused: read before the answer */

/* A connection. */
typedef struct {
    gint refs; /* atomic */
    HttpServer *server;
    GList link; /* in HttpServer.peers */
    int fd;     /* under HttpServer.lock; -1: closed */
    char *address;
    GBytes *certificate;
    bool certificate_asked;
    gint64 deadline; /* atomic: monotonic us when it has kept us waiting too long; 0: none */
    /* loop */
    gint64 waits_since; /* monotonic us when it was first seen not to take what was sent; 0: does */
    bool gone;          /* it ended the connection, or is lost */
} Peer;

struct HttpRequest {
    gint refs;          /* atomic: the connection, whoever answers */
    HttpServer *server; /* NULL: gone, or never there (http_try) */
    const HttpServerOptions *options;
    struct MHD_Connection *connection;
    Peer *peer;
    char *method, *path;
    GPtrArray *headers;  /* names and values in turn */
    GHashTable *queries; /* name -> value, decoded */
    RouteMatch match;
    size_t body_limit, body_seen;
    GByteArray *incoming;
    GBytes *body;
    GBytes *certificate; /* of http_try */
    bool handed_over, delivered;
    void *kept;
    GDestroyNotify free_kept;

    unsigned status; /* 0: not answered */
    const char *content_type;
    GBytes *answer;
    GPtrArray *answer_headers; /* as headers */
    HttpStream *stream;
    HttpAnswered answered; /* of http_try */
    void *answered_data;
};

struct HttpStream {
    gint refs; /* atomic: the loop until closed was called, the request */
    HttpServer *server;
    struct MHD_Connection *connection;
    Peer *peer;
    size_t limit;
    const char *heartbeat;
    /* loop only */
    LoopCallback closed;
    void *data;
    gint64 beat; /* monotonic us of the next heartbeat */

    GMutex lock;
    GQueue queue;         /* of GBytes; under lock, as what follows */
    size_t offset, bytes; /* sent of the first; queued in all, the sent part included */
    bool waiting;         /* the connection is suspended until there is something to send */
    bool ended;           /* after what is queued */
    bool failed;          /* at once */
};

struct HttpServer {
    Loop *loop;
    HttpServerOptions options; /* limits filled in; texts are not kept */
    struct MHD_Daemon *daemon;
    uint16_t port;
    LoopTimer *sweep;
    unsigned sweeps;
    GHashTable *streams; /* loop only: set of HttpStream */
    GString *log;        /* of libmicrohttpd while it starts; then NULL */

    GMutex lock;
    GQueue peers;     /* of Peer, by their links; under lock, as what follows */
    GHashTable *held; /* set of HttpRequest that wait for an answer, suspended */
    bool stopping;

    gint64 requests, refused, too_slow, dropped; /* atomic */
};

/* request.c */
HttpRequest *request_new(const HttpServerOptions *options, const char *method, const char *path);
void request_unref(HttpRequest *request);
void request_add_query(HttpRequest *request, const char *name, const char *value);
/* Answers with the reason why no route takes the request, or it has what the route does not take;
 * true: the route does. */
bool request_find_route(HttpRequest *request);
void request_take_body(HttpRequest *request, const void *data, size_t size);
void request_body_done(HttpRequest *request);
void request_dispatch(HttpRequest *request);

/* connection.c: what libmicrohttpd calls, in its threads */
enum MHD_Result on_access(void *data, struct MHD_Connection *connection, const char *url,
                          const char *method, const char *version, const char *upload,
                          size_t *upload_size, void **slot);
void on_completed(void *data, struct MHD_Connection *connection, void **slot,
                  enum MHD_RequestTerminationCode code);
void on_connection(void *data, struct MHD_Connection *connection, void **slot,
                   enum MHD_ConnectionNotificationCode code);
void http_server_deliver(void *data); /* loop: a request that was handed over */
void peer_unref(Peer *peer);
void peer_shut(Peer *peer); /* its thread sees the connection end */
/* Sees whether it is gone; a connection to a machine that is lost is shut. A suspended one is not
 * seen to end by its thread. Under HttpServer.lock, in the loop, every few seconds. */
void peer_look(Peer *peer, gint64 now);

/* stream.c */
HttpStream *stream_new(HttpServer *server, HttpRequest *request, LoopCallback closed, void *data);
void stream_use_lines(HttpStream *stream); /* instead of events; before it has anything */
void stream_unref(HttpStream *stream);
ssize_t stream_read(void *data, uint64_t position, char *buffer, size_t size);
void stream_gone(HttpStream *stream); /* the connection's thread: closed is called in the loop */
void stream_fail(HttpStream *stream);
void stream_closed(void *data); /* loop: takes it out of the server and tells its owner */
GBytes *stream_take_all(HttpStream *stream);
void stream_beat(HttpStream *stream, gint64 now);
