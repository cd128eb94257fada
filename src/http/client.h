#pragma once
/*
 * The client half of http: requests over HTTP/1.1 and TLS that answer by callbacks of the loop;
 * connections are kept and used again. libcurl is loaded with the first client.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

#define HTTP_REPLY_LIMIT     (128u << 20)            /* bytes of a body that is kept in memory */
#define HTTP_CONNECT_TIMEOUT (5ull * G_USEC_PER_SEC) /* TCP and TLS together */

typedef struct HttpClient HttpClient;
typedef struct HttpCall HttpCall;

/* Texts in PEM; NULL: none. */
typedef struct {
    const char *ca; /* who may sign the servers' certificates; NULL: as on this host */
    const char *certificate, *key; /* ours */
    const char *socket; /* path of one of this machine that leads to all servers; NULL: none */
    bool unverified; /* whoever answers is believed: the caller checks what comes by other means */
} HttpClientOptions;

/* Loads libcurl now, for who wants to know, or wants it to be there. */
bool http_client_need(GError **error);
/* Copies options, which may be NULL. STEAD_ERROR_UNSUPPORTED without libcurl. */
HttpClient *http_client_new(Loop *loop, const HttpClientOptions *options, GError **error);
/* Accepts NULL. Not inside a callback. What is not answered never is. */
void http_client_free(HttpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpClient, http_client_free)

/* A part of the body as it comes; data of a reply that is not 2xx goes to the reply's body. The
 * call may be cancelled. */
typedef void (*HttpDataCallback)(void *data, const char *bytes, size_t size);

/* Everything is copied or referenced. */
typedef struct {
    const char *method; /* NULL: GET, with a body POST */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
    GBytes *body;               /* or NULL */
    uint64_t timeout;           /* us until all is there; 0: none, for streams */
    size_t reply_limit;         /* 0: HTTP_REPLY_LIMIT */
    bool once; /* never sent again by itself when the server closes a connection that was kept */
    HttpDataCallback on_data; /* NULL: the body is kept for the reply */
} HttpAsk;

typedef struct {
    unsigned status; /* 0: none came */
    GBytes *body;    /* never NULL */
    bool sent;       /* with error: the server may have got the request, or all of it */
} HttpReply;

/* reply is never NULL. error: STEAD_ERROR_TIMEOUT, _REFUSED (its certificate is not trusted),
 * _LIMIT, _IO; a status of 400 and above is none. */
typedef void (*HttpReplied)(void *data, const HttpReply *reply, const GError *error);

/* The answer comes from the loop, never from inside the call. The handle is valid until then. */
HttpCall *http_client_send(HttpClient *client, const HttpAsk *ask, HttpReplied replied, void *data);
void http_call_cancel(HttpCall *call); /* no callback after this */
