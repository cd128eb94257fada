#pragma once
/* Private to state: what the files of the store in etcd share. */
#include "http/client.h"
#include "state/etcd-json.h"
#include "state/store-private.h"

typedef struct {
    Store state;
    HttpClient *http;
    GPtrArray *earlier; /* of HttpClient: with certificates that were renewed, for their calls */
    char **members;     /* their addresses, without a slash at the end */
    unsigned n_members;
    unsigned member;       /* the one that is asked; modulo their number, which changes */
    char *user, *password; /* NULL: without */
    char *token;           /* a header; NULL: none yet */
    HttpCall *login;
    char *cluster; /* its number, as it answered last; NULL: it has not yet */
} Etcd;

Etcd *etcd_of(Store *state);

/* Asks one member; replied as of http_client_send(). */
HttpCall *etcd_send(Etcd *etcd, unsigned member, const char *path, GBytes *body, HttpAsk ask,
                    HttpReplied replied, void *data);

/* with_leader: only if it knows the leader of its cluster. */
HttpCall *etcd_send_to(Etcd *etcd, const char *url, bool with_leader, const char *path,
                       GBytes *body, HttpAsk ask, HttpReplied replied, void *data);

/* The member failed: others are asked first from now on. Returns which. */
unsigned etcd_leave(Etcd *etcd, unsigned member);

/* Who we are has to be told (again). Calls that wait go on, or fail, when that is done. */
bool etcd_can_login(const Etcd *etcd);
void etcd_login(Etcd *etcd);

/* etcd-watch.c */
void etcd_watch(StoreWatch *watch);
void etcd_unwatch(StoreWatch *watch);
bool etcd_watch_waits(const StoreWatch *watch); /* for a login */
void etcd_watch_go_on(StoreWatch *watch, const GError *error);
