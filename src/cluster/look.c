/* What members and keys say, as it is used here. All of it comes from outside. */
#include <string.h>

#include "base/json.h"
#include "cluster/cluster.h"

static void listed_free(void *data) {
    Listed *listed = data;
    g_free(listed->id);
    g_free(listed->name);
    g_free(listed->peer);
    g_free(listed->client);
    g_free(listed);
}

static const char *first_of(const Value *map, const char *key) {
    const Value *list = value_map_get(map, key);
    bool any = value_type(list) == VALUE_LIST && value_size(list) > 0;
    const Value *first = any ? value_list_at(list, 0) : NULL;
    return value_type(first) == VALUE_STRING ? value_string(first) : NULL;
}

GPtrArray *cluster_list_read(const Value *answer) {
    GPtrArray *list = g_ptr_array_new_with_free_func(listed_free);
    const Value *members = value_map_get(answer, "members");
    for (size_t i = 0; value_type(members) == VALUE_LIST && i < value_size(members); i++) {
        const Value *one = value_list_at(members, i);
        if (value_type(one) != VALUE_MAP || !first_of(one, "peerURLs"))
            continue;
        Listed *listed = g_new0(Listed, 1);
        listed->id = g_strdup(value_map_string(one, "ID", ""));
        listed->name = g_strdup(value_map_string(one, "name", ""));
        listed->peer = g_strdup(first_of(one, "peerURLs"));
        listed->client = g_strdup(first_of(one, "clientURLs"));
        listed->learner = value_map_bool(one, "isLearner", false);
        g_ptr_array_add(list, listed);
    }
    return list;
}

const Listed *cluster_list_find(const GPtrArray *list, const char *peer) {
    for (unsigned i = 0; i < list->len; i++) {
        const Listed *listed = g_ptr_array_index(list, i);
        if (strcmp(listed->peer, peer) == 0)
            return listed;
    }
    return NULL;
}

static int64_t number(const Value *map, const char *key) {
    return g_ascii_strtoll(value_map_string(map, key, "0"), NULL, 10);
}

void cluster_health_read(const Value *answer, const char *id, Health *ret_health) {
    const char *leader = value_map_string(answer, "leader", "0");
    const Value *header = value_map_get(answer, "header");
    const char *self =
        value_type(header) == VALUE_MAP ? value_map_string(header, "member_id", "") : "";
    *ret_health = (Health){ .healthy = strcmp(leader, "0") != 0 && strcmp(self, id) == 0,
                            .leader = strcmp(leader, id) == 0,
                            .applied = number(answer, "raftAppliedIndex"),
                            .size = number(answer, "dbSize"),
                            .version = g_strdup(value_map_string(answer, "version", "?")) };
}

void health_clear(Health *health) {
    g_clear_pointer(&health->version, g_free);
}

Value *cluster_entry_value(const StoreEntry *entry) {
    size_t size;
    const char *text = entry ? g_bytes_get_data(entry->value, &size) : NULL;
    g_autoptr(Value) value = text ? json_parse(text, size, "store", NULL) : NULL;
    return value && value_type(value) == VALUE_MAP ? g_steal_pointer(&value) : NULL;
}

GPtrArray *cluster_hosts_read(const StoreResult *result) {
    GPtrArray *hosts = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (unsigned i = 0; i < result->entries->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(result->entries, i);
        Value *host = cluster_entry_value(entry);
        if (host && entry->lease != 0 && *value_map_string(host, "peer", ""))
            g_ptr_array_add(hosts, host);
        else
            value_unref(host); /* withdrawn, or none of ours */
    }
    return hosts;
}

GBytes *cluster_bytes(const Value *value) {
    char *text = json_print(value, JSON_COMPACT | JSON_REVEAL);
    return g_bytes_new_take(text, strlen(text));
}
