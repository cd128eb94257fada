/* The part of a round of the supervisor that holds the seat: how all members are, and the next step
 * towards what is wanted. */
#include <string.h>

#include "cluster/supervisor-private.h"

#define FORGET_US (10 * (uint64_t)G_USEC_PER_SEC) /* who did not look for so long begins anew */
/* A learner with all but so many entries of the log has the rest in a moment. etcd has a limit of
 * its own beside this. */
#define SYNC_ENTRIES 5000

typedef struct {
    Supervisor *supervisor;
    const Listed *listed;
    EtcdAsk *ask;
    Health health;
} Probe;

void probe_free(void *data) {
    Probe *probe = data;
    g_clear_pointer(&probe->ask, etcd_ask_cancel);
    health_clear(&probe->health);
    g_free(probe);
}

/* --- how long members have been silent */

static unsigned silent_for(Supervisor *supervisor, const Probe *probe) {
    uint64_t now = loop_now(supervisor->loop);
    if (probe->health.healthy) {
        g_hash_table_remove(supervisor->silent, probe->listed->id);
        return 0;
    }
    uint64_t *since = g_hash_table_lookup(supervisor->silent, probe->listed->id);
    if (!since) {
        since = g_memdup2(&now, sizeof now);
        g_hash_table_insert(supervisor->silent, g_strdup(probe->listed->id), since);
    }
    return (unsigned)((now - *since) / G_USEC_PER_SEC);
}

/* --- what is done */

static const char *const words[] = { [CLUSTER_WAIT] = "wait",
                                     [CLUSTER_ADD] = "add",
                                     [CLUSTER_PROMOTE] = "promote",
                                     [CLUSTER_REMOVE] = "remove" };

static void on_noted(void *data, StoreAnswer *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->call = NULL;
    supervisor_end_round(supervisor);
}

/* For whoever asks how the cluster is; ends the round. */
static void note(Supervisor *supervisor, const char *kind, const char *whom, const char *why) {
    g_autofree char *text = g_strconcat(kind, " ", whom, ": ", why, NULL);
    bool counts = strstr(why, " is silent for ") != NULL; /* each second anew */
    if (counts || g_strcmp0(supervisor->change, text) == 0) {
        supervisor_end_round(supervisor);
        return;
    }
    g_free(supervisor->change);
    supervisor->change = g_steal_pointer(&text);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "at",
                  value_new_int((int64_t)(loop_wall_now(supervisor->loop) / G_USEC_PER_SEC)));
    value_map_set(map, "by", value_new_string(supervisor->berth->name));
    value_map_set(map, "kind", value_new_string(kind));
    value_map_set(map, "whom", value_new_string(whom));
    value_map_set(map, "why", value_new_string(why));
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_CHANGE), value = cluster_bytes(map);
    supervisor->call = store_put(supervisor->store, key, value, 0, on_noted, supervisor);
}

static const char *whom_of(const Supervisor *supervisor, const ClusterStep *step) {
    if (step->host || *step->member->name)
        return step->host ? step->host->name : step->member->name;
    for (unsigned i = 0; i < supervisor->hosts->len; i++) {
        const Value *host = g_ptr_array_index(supervisor->hosts, i);
        if (strcmp(value_map_string(host, "peer", ""), step->member->peer) == 0)
            return value_map_string(host, "name", "");
    }
    return step->member->peer;
}

/* What etcd asks for some patience with. */
static bool passes(const GError *error) {
    return strstr(error->message, "unhealthy cluster") ||
           strstr(error->message, "in sync with leader");
}

static void on_changed(void *data, const Value *answer, const GError *error) {
    Supervisor *supervisor = data;
    static const char *const done[] = { [CLUSTER_WAIT] = "",
                                        [CLUSTER_ADD] = "added as a learner",
                                        [CLUSTER_PROMOTE] = "promoted: it votes now",
                                        [CLUSTER_REMOVE] = "removed" };
    const char *whom = supervisor->whom, *why = supervisor->why;
    supervisor->ask = NULL;
    if (error) {
        /* Whether it was done, the list tells in the next round. */
        g_autofree char *text =
            g_strdup_printf("%s %s: %s", words[supervisor->step], whom, error->message);
        if (!passes(error))
            supervisor_tell_new(supervisor, true, text);
        supervisor_end_round(supervisor);
    } else {
        supervisor_tell(supervisor, false, "%s %s (%s)", whom, done[supervisor->step], why);
        note(supervisor, words[supervisor->step], whom, why);
    }
}

static void act(Supervisor *supervisor, const ClusterStep *step) {
    static const char *const paths[] = { [CLUSTER_WAIT] = "",
                                         [CLUSTER_ADD] = "cluster/member/add",
                                         [CLUSTER_PROMOTE] = "cluster/member/promote",
                                         [CLUSTER_REMOVE] = "cluster/member/remove" };
    g_autoptr(Value) body = value_new_map();
    if (step->kind == CLUSTER_ADD) {
        Value *peers = value_new_list();
        value_list_append(peers, value_new_string(step->host->peer));
        value_map_set(body, "peerURLs", peers);
        value_map_set(body, "isLearner", value_new_bool(true));
    } else {
        value_map_set(body, "ID", value_new_string(step->member->id));
    }
    const char *url = supervisor->urls[supervisor->url];
    for (unsigned i = 0; i < supervisor->probes->len; i++) {
        const Probe *probe = g_ptr_array_index(supervisor->probes, i);
        if (probe->health.leader)
            url = probe->listed->client;
    }
    g_autofree char *text = json_print(body, JSON_COMPACT);
    g_free(supervisor->whom);
    g_free(supervisor->why);
    supervisor->step = step->kind;
    supervisor->whom = g_strdup(whom_of(supervisor, step));
    supervisor->why = g_strdup(step->why);
    supervisor->ask = etcd_ask(supervisor->store, url, paths[step->kind], text, CLUSTER_CHANGE_US,
                               on_changed, supervisor);
}

/* --- how it is */

static int64_t log_of_leader(const Supervisor *supervisor) {
    int64_t most = 0;
    for (unsigned i = 0; i < supervisor->probes->len; i++) {
        const Probe *probe = g_ptr_array_index(supervisor->probes, i);
        if (probe->health.leader)
            most = probe->health.applied;
    }
    return most;
}

static void fill_members(Supervisor *supervisor, ClusterMember *members) {
    int64_t log = log_of_leader(supervisor);
    for (unsigned i = 0; i < supervisor->probes->len; i++) {
        const Probe *probe = g_ptr_array_index(supervisor->probes, i);
        members[i] = (ClusterMember){
            .id = probe->listed->id,
            .name = probe->listed->name,
            .peer = probe->listed->peer,
            .learner = probe->listed->learner,
            .healthy = probe->health.healthy,
            .leader = probe->health.leader,
            .in_sync = log > 0 && log - probe->health.applied <= SYNC_ENTRIES,
            .silent_s = silent_for(supervisor, probe),
        };
    }
}

static void fill_hosts(const Supervisor *supervisor, ClusterHost *hosts) {
    for (unsigned i = 0; i < supervisor->hosts->len; i++) {
        const Value *host = g_ptr_array_index(supervisor->hosts, i);
        hosts[i] = (ClusterHost){ .name = value_map_string(host, "name", ""),
                                  .peer = value_map_string(host, "peer", ""),
                                  .data = value_map_string(host, "data", ""),
                                  .broken = value_map_bool(host, "broken", false),
                                  .failures = (unsigned)value_map_int(host, "failures", 0) };
    }
}

static void decide(Supervisor *supervisor) {
    unsigned n_members = supervisor->probes->len, n_hosts = supervisor->hosts->len;
    g_autofree ClusterMember *members = g_new0(ClusterMember, n_members + 1);
    g_autofree ClusterHost *hosts = g_new0(ClusterHost, n_hosts + 1);
    fill_members(supervisor, members);
    fill_hosts(supervisor, hosts);
    int64_t size = supervisor->wanted ? value_map_int(supervisor->wanted, "size", 0) : 0;
    int64_t grace = supervisor->wanted ? value_map_int(supervisor->wanted, "grace", CLUSTER_GRACE_S)
                                       : CLUSTER_GRACE_S;
    ClusterView view = { members, n_members, hosts, n_hosts, (unsigned)size, (unsigned)grace };
    ClusterStep step;
    if (size < 1 || size > CLUSTER_SIZE_MAX) {
        supervisor_tell_new(supervisor, true,
                            "the wanted size is not known: 'stead cluster size N' tells it");
        supervisor_end_round(supervisor);
        return;
    }
    cluster_decide(&view, &step);
    if (step.kind != CLUSTER_WAIT && !tenure_is_sure(supervisor->tenure)) {
        supervisor_end_round(supervisor); /* another may have the seat by now */
        return;
    }
    if (step.kind != CLUSTER_WAIT) {
        act(supervisor, &step);
        return;
    }
    if (!strstr(step.why, " is silent for "))
        supervisor_tell_new(supervisor, false, step.why);
    bool news = *step.why || !supervisor->change || g_str_has_prefix(supervisor->change, "wait");
    if (news)
        note(supervisor, words[CLUSTER_WAIT], "", step.why);
    else
        supervisor_end_round(supervisor);
}

static void on_health(void *data, const Value *answer, const GError *error) {
    Probe *probe = data;
    Supervisor *supervisor = probe->supervisor;
    probe->ask = NULL;
    if (answer)
        cluster_health_read(answer, probe->listed->id, &probe->health);
    if (--supervisor->asking == 0)
        decide(supervisor);
}

void steer(Supervisor *supervisor) {
    uint64_t now = loop_now(supervisor->loop);
    if (now - supervisor->steered_at > FORGET_US)
        g_hash_table_remove_all(supervisor->silent);
    supervisor->steered_at = now;
    g_ptr_array_set_size(supervisor->probes, 0);
    supervisor->asking = 0;
    for (unsigned i = 0; i < supervisor->list->len; i++) {
        Probe *probe = g_new0(Probe, 1);
        probe->supervisor = supervisor;
        probe->listed = g_ptr_array_index(supervisor->list, i);
        g_ptr_array_add(supervisor->probes, probe);
        if (!probe->listed->client)
            continue;
        probe->ask = etcd_ask(supervisor->store, probe->listed->client, "maintenance/status", "{}",
                              CLUSTER_ASK_US, on_health, probe);
        supervisor->asking++;
    }
    if (supervisor->asking == 0)
        decide(supervisor);
}
