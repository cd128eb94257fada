#pragma once
/*
 * http: HTTP/1.1 with TLS. Uses base, loop, libmicrohttpd (server) and libcurl (client), both
 * loaded when first needed.
 *
 * The server: connections live in the threads of libmicrohttpd; a request whose body is complete is
 * handed to the loop, where the handler of its route answers it, at once or later. A handler never
 * waits for a client: answers and streams are kept in memory, bounded, and a client that does not
 * take them is dropped. Everything here is called in the loop's thread.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/value.h"
#include "loop/loop.h"

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;
typedef struct HttpStream HttpStream;

/* data is HttpServerOptions.data. The request is answered by exactly one http_answer...() call, now
 * or later. */
typedef void (*HttpHandler)(void *data, HttpRequest *request);

/* A row of the table of routes. The first row that fits answers. Texts are for the OpenAPI document
 * and for errors. */
typedef struct {
    const char *method; /* "GET" answers HEAD too */
    const char *path;   /* "/v1/hosts/{name}": a part in braces takes one segment, decoded */
    const char *role;   /* who may; NULL: everybody. Judged by HttpServerOptions.dispatch */
    const char *summary;
    const char *help;
    const char *request;  /* JSON Schema of the body; NULL: takes none */
    const char *response; /* JSON Schema of the answer; NULL: not JSON */
    const char *query;    /* names of the parameters after "?", separated by spaces; or NULL */
    size_t body_limit;    /* bytes; 0: HTTP_BODY_LIMIT */
    HttpHandler handle;
} HttpRoute;

/* Defaults of what clients may ask of us. */
#define HTTP_BODY_LIMIT   (1024u * 1024) /* bytes */
#define HTTP_HEADER_LIMIT 8192u          /* bytes of memory a connection has for heads */
/* From connecting to the end of the first head. The handshakes of thousands that come at once
 * take their turns in it. */
#define HTTP_HEADER_SECONDS 20u
#define HTTP_BODY_SECONDS   60u /* from the end of the head to that of the body */
#define HTTP_IDLE_SECONDS   60u /* without a request, or without taking the answer */
/* Without a sign of the machine of a client that something is on its way to; it is looked at every
 * two seconds. */
#define HTTP_LOST_SECONDS            8u
#define HTTP_CONNECTIONS             16384u
#define HTTP_CONNECTIONS_PER_ADDRESS 256u
#define HTTP_STREAM_QUEUE            (256u * 1024) /* bytes a stream's client may be behind */
#define HTTP_LINES_QUEUE             (4u << 20)    /* the same of a stream of lines */
#define HTTP_HEARTBEAT_SECONDS       25u           /* of a stream that has nothing to say */

typedef struct {
    const char *address;           /* "127.0.0.1", "::" (any, IPv4 too) */
    uint16_t port;                 /* 0: any free one; see http_server_port() */
    const char *certificate, *key; /* PEM; both NULL: without TLS */
    const char *client_ca; /* PEM: asks clients for a certificate of this authority; or NULL */

    const HttpRoute *routes;
    unsigned n_routes;
    /* Called instead of the route's handler: who authorizes calls http_route_handle(). Or NULL. */
    HttpHandler dispatch;
    void *data;

    /* 0: the default above */
    unsigned header_seconds, body_seconds, idle_seconds, heartbeat_seconds;
    unsigned connections, connections_per_address;
    size_t stream_queue;
} HttpServerOptions;

/* Copies options but not the routes, which stay as long as the server. */
HttpServer *http_server_new(Loop *loop, const HttpServerOptions *options, GError **error);
/* Accepts NULL. Connections end at once; requests not answered yet stay valid until they are, and
 * streams call their closed callback from here. */
void http_server_free(HttpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)

uint16_t http_server_port(const HttpServer *server);

typedef struct {
    uint64_t connections; /* now */
    uint64_t streams;     /* now */
    uint64_t requests;    /* ever, those refused before a handler included */
    uint64_t refused;     /* ever: answered 4xx before a handler saw them */
    uint64_t too_slow;    /* ever: connections dropped because they kept a limit of time waiting */
    uint64_t dropped;     /* ever: streams dropped because the client was behind */
} HttpServerStats;
HttpServerStats http_server_stats(HttpServer *server);

/* --- requests; what is returned is the request's ------------------------------------------- */

const HttpRoute *http_request_route(const HttpRequest *request);
const char *http_request_method(const HttpRequest *request);
const char *http_request_path(const HttpRequest *request); /* as sent, without the query */
/* A part in braces of the route's path, decoded; it is valid UTF-8. Must be one of the route. */
const char *http_request_part(const HttpRequest *request, const char *name);
const char *http_request_query(const HttpRequest *request, const char *name); /* decoded, or NULL */
const char *http_request_header(const HttpRequest *request, const char *name); /* or NULL */
const char *http_request_peer(const HttpRequest *request); /* address without port */
GBytes *http_request_body(const HttpRequest *request);     /* empty when there is none */
/* The certificate in DER that the client proved to have the key of, NULL without one. That is all
 * that is known of it: who signed it and whether it has expired is the handler's to check. */
GBytes *http_request_certificate(const HttpRequest *request);
/* The body as a JSON object. NULL: it is none, and the request has been answered with 400 or 415.
 */
Value *http_request_json(HttpRequest *request);

/* Keeps something of the handler's with the request, freed with it in any thread. */
void http_request_keep(HttpRequest *request, void *data, GDestroyNotify free);
void *http_request_kept(const HttpRequest *request); /* NULL: nothing was kept */

/* Calls the handler of the request's route. */
void http_route_handle(HttpRequest *request);

/* --- answers; each ends the request for the handler ------------------------------------------ */

/* Before the answer. name is a literal. */
void http_set_header(HttpRequest *request, const char *name, const char *value);
void http_answer(HttpRequest *request, unsigned status, const char *content_type, GBytes *body);
void http_answer_json(HttpRequest *request, unsigned status, const Value *value);
/* {"error": ..., "hint": ...}; hint may be NULL */
void http_answer_error(HttpRequest *request, unsigned status, const char *hint, const char *format,
                       ...) G_GNUC_PRINTF(4, 5);

/* Answers with a stream of server-sent events that stays open. closed(data) is called once, in the
 * loop, when the client is gone, was too far behind, or http_stream_end() was called; then the
 * stream must not be used any more. NULL for HEAD, or when the server is gone: answered, and closed
 * is not called. */
HttpStream *http_answer_stream(HttpRequest *request, LoopCallback closed, void *data);
/* The same with lines of JSON, which http_stream_send() gets with their ends; heartbeats are empty
 * lines. */
HttpStream *http_answer_lines(HttpRequest *request, LoopCallback closed, void *data);
/* event, id may be NULL; text may have lines. Caller unrefs; one for any number of streams. */
GBytes *http_event(const char *event, const char *id, const char *text);
void http_stream_send(HttpStream *stream, GBytes *event);
void http_stream_end(HttpStream *stream); /* after what was sent */
/* Bytes that the client has not taken. */
size_t http_stream_queued(HttpStream *stream);
/* At once, as a client that is too far behind. */
void http_stream_drop(HttpStream *stream);

/* --- a request without a connection: of tests, and of who runs the server itself ------------ */

typedef void (*HttpAnswered)(void *data, unsigned status, const char *content_type, GBytes *body);
/* Goes the way of a real one, through routes and dispatch of options, to answered. A stream ends
 * after what is sent before the handler returns. headers: names and values in turn,
 * NULL-terminated, or NULL. */
void http_try(const HttpServerOptions *options, const char *method, const char *url,
              const char *const *headers, GBytes *body, GBytes *certificate, HttpAnswered answered,
              void *data);
