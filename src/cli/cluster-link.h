#pragma once
/* A cluster as a command on one of its hosts asks it. */
#include "cluster/berth.h"
#include "state/store.h"

typedef struct {
    Berth *berth;
    Loop *loop;
    Store *store;
} ClusterLink;

/* By what the host keeps in data. Does not wait for the cluster. */
bool cluster_link_open(ClusterLink *link, const char *data, GError **error);
void cluster_link_clear(ClusterLink *link);
