#pragma once
/* stead cluster status */
#include "cli/cluster-link.h"
#include "cli/printer.h"

/* watch: tells every change until it is interrupted. False also when the cluster has no quorum. */
bool cluster_status(ClusterLink *link, Printer *printer, bool watch, GError **error);
