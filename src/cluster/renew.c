/* Certificates of this host: renewed by the authority of the store before they expire. etcd reads
 * its own with each connection. */
#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "cluster/supervisor-private.h"

#define LOOK_US (3600 * (uint64_t)G_USEC_PER_SEC)

static int64_t now_of(const Supervisor *supervisor) {
    return (int64_t)(loop_wall_now(supervisor->loop) / G_USEC_PER_SEC);
}

static bool is_due(const Supervisor *supervisor) {
    const char *pem = supervisor->berth->certificate;
    g_autoptr(PkiCertificate) certificate =
        pki_certificate_parse(pem, strlen(pem), "client.pem", NULL);
    return certificate && pki_certificate_wants_renewal(certificate, now_of(supervisor));
}

static bool write_pem(const Berth *berth, const char *name, const char *pem, GError **error) {
    g_autofree char *path = berth_path(berth, name);
    return disk_replace(path, pem, strlen(pem), 0644, error);
}

/* The client's is written last: it says whether both are new. */
static bool renew(Supervisor *supervisor, const Value *authority, GError **error) {
    Berth *berth = supervisor->berth;
    g_autofree char *member = NULL, *client = NULL;
    if (!berth_certify(berth, authority, now_of(supervisor), &member, &client, error) ||
        !write_pem(berth, "member.pem", member, error) ||
        !write_pem(berth, "client.pem", client, error))
        return false;
    g_free(berth->certificate);
    berth->certificate = g_steal_pointer(&client);
    StoreEtcdOptions options = { .ca = berth->ca,
                                 .certificate = berth->certificate,
                                 .key = berth->key };
    if (!store_etcd_renew(supervisor->store, &options, error))
        return false;
    door_free(supervisor->door);
    supervisor->door = door_new(supervisor->loop, supervisor->store, berth, error);
    return supervisor->door != NULL;
}

static void on_authority(void *data, StoreAnswer *answer, const GError *problem) {
    Supervisor *supervisor = data;
    g_autoptr(GError) error = NULL;
    supervisor->renewal = NULL;
    g_autoptr(Value) authority = answer ? cluster_entry_value(store_answer_entry(answer)) : NULL;
    if (!authority)
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_FAILED, "read the authority: %s",
                    problem ? problem->message : "the store has none");
    else if (renew(supervisor, authority, &error))
        supervisor_tell(supervisor, false, "the certificates of this host were renewed");
    if (error)
        supervisor_tell(supervisor, true,
                        "renew the certificates of this host: %s; it is tried again in an hour",
                        error->message);
}

void renew_if_due(Supervisor *supervisor) {
    uint64_t now = loop_now(supervisor->loop);
    if (supervisor->renewal || now < supervisor->renewal_at)
        return;
    supervisor->renewal_at = now + LOOK_US;
    if (!is_due(supervisor))
        return;
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_AUTHORITY);
    supervisor->renewal = store_get(supervisor->store, key, on_authority, supervisor);
}
