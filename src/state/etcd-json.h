#pragma once
/*
 * Private to state: what is said to etcd's JSON gateway, and what it answers. Bytes travel as
 * base64, 64-bit numbers as strings, and what is zero, false or empty is left out.
 * https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and the messages of rpc.proto.
 */
#include "base/value.h"
#include "state/store-private.h"

/* The path after /v3/ and the body of a call's request. */
const char *etcd_path(const StoreCall *call);
GBytes *etcd_request(const StoreCall *call);
GBytes *etcd_watch_request(const StoreWatch *watch, int64_t from);
GBytes *etcd_login_request(const char *user, const char *password);

/* Of a call that was answered with status 200; NULL with error. */
StoreAnswer *etcd_answer(const StoreCall *call, const Value *value, GError **error);

/* A number that may be left out, as text or not. */
int64_t etcd_number(const Value *map, const char *key);
/* The changes of a message of a watch, of StoreEntry. NULL with error. */
GPtrArray *etcd_events(const Value *result, GError **error);

/* What an answer other than 200 means. */
typedef enum {
    ETCD_REFUSED,   /* for good; error says why */
    ETCD_LOGIN,     /* who we are has to be told again; nothing was done */
    ETCD_ELSEWHERE, /* nothing was done; another member may do it */
    ETCD_UNKNOWN,   /* it may be done or not */
} EtcdFate;
EtcdFate etcd_fate(unsigned status, GBytes *body, GError **error);
/* The same for the text that ends a stream. */
EtcdFate etcd_fate_of_text(const char *message, GError **error);
