#pragma once
/*
 * What a host of a cluster keeps, in a directory of its own (0700):
 *   config.json     {name, address, port}: who it is
 *   identity.json   {id, initial, founder, started, served, failures}: the member it is, or none
 *   key.pem         made here, never sent; for all of:
 *   member.pem      certificate of its etcd, towards clients and other members
 *   client.pem      certificate by which it asks members
 *   ca.pem          their authority
 *   endpoints       addresses of members and other hosts, as last seen
 *   authority.json  only between `init` and the first start: what the store will have
 *   etcd/           the data of etcd; etcd-TIME: what was moved aside, for a human to delete;
 *                   etcd-unfinished: the last first start of a cluster that did not get to one
 *   snapshots/
 */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"
#include "pki/pki.h"

#define BERTH_DEFAULT "/var/lib/stead-cluster"
#define BERTH_PORT    2379u /* for clients; the next one for members, the one after that to join */

typedef struct {
    char *data;
    char *name, *address;
    unsigned port;
    char *peer, *client, *door; /* URLs */
    char *id;                   /* of the member it is, decimal; "": none, or not known yet */
    char *initial;              /* what etcd is told at its first start; "" */
    bool founder;               /* that start begins a cluster instead of joining one */
    bool started;               /* etcd has run, so there are data, or they were lost */
    bool served;                /* for some time */
    unsigned failures;
    char *ca, *certificate, *key; /* PEM; certificate: client.pem */
    char *endpoints;              /* with commas between */
} Berth;

/* "192.0.2.1", "192.0.2.1:2379", "[2001:db8::1]:2379": an address, as etcd binds to no names. */
bool berth_parse_listen(const char *listen, char **ret_address, unsigned *ret_port, GError **error);

/* A new one, without certificates; STEAD_ERROR_EXISTS when there is one. The key is made, or taken
 * from an earlier attempt. */
Berth *berth_make(const char *data, const char *name, const char *listen, GError **error);
/* Durable, and last: with it it is complete. */
bool berth_complete(Berth *berth, const char *ca, const char *member, const char *client,
                    const char *endpoints, GError **error);
/* Of a new cluster: an authority of its own, and this host as the first member. */
bool berth_found(Berth *berth, unsigned size, unsigned grace_s, int64_t now_s, GError **error);

/* New certificates for its key, by an authority as of CLUSTER_AUTHORITY; they are not kept. */
bool berth_certify(const Berth *berth, const Value *authority, int64_t now_s, char **ret_member,
                   char **ret_client, GError **error);

Berth *berth_open(const char *data, GError **error);
void berth_free(Berth *berth); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Berth, berth_free)

char *berth_path(const Berth *berth, const char *name);
PkiKey *berth_key(const Berth *berth, GError **error);
bool berth_has_data(const Berth *berth); /* of etcd */
bool berth_save_identity(const Berth *berth, GError **error);
bool berth_set_endpoints(Berth *berth, const char *endpoints, GError **error);
/* Moves the data of etcd aside, if there are any. */
bool berth_set_aside(const Berth *berth, GError **error);
/* Whether there are data of a cluster that nobody has seen working: its id is not known, and its
 * store has not got what it begins with. An etcd that was stopped before it had written down who
 * its cluster is never elects a leader again. */
bool berth_is_unfinished(const Berth *berth);
/* Moves them to etcd-unfinished, in place of earlier ones. */
bool berth_begin_anew(const Berth *berth, GError **error);

/* The arguments of etcd. Caller frees with g_strfreev(). */
char **berth_etcd_arguments(const Berth *berth, const char *program);
