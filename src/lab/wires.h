#pragma once
/*
 * The networks of a lab, in the keeper's network namespace: a bridge brN for network N, and for
 * every port of a host a pair of ends: pS.N here (S: the host's slot), in the bridge, and ethM in
 * the host's namespace. A host gets new ones each time it starts, as after a loss of power.
 */
#include "lab/lab.h"

bool wires_make_bridges(const Lab *lab, GError **error);
/* A new network namespace with the host's interfaces, up and with their addresses: a descriptor;
 * -1 with error. Those of the host's last start are removed. */
int wires_connect(const Lab *lab, unsigned host, GError **error);
/* The name here of the end in that network of the host with the slot. */
void wires_port_name(unsigned slot, unsigned network, char ret_name[16]);
