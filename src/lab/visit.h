#pragma once
/* Running commands of this machine in the networks of a lab, as somebody beside its hosts would. */
#include "lab/record.h"

/* This process becomes the command: our files and environment, the lab's networks, where we are
 * number 1; and STEAD_HUB, STEAD_HUB_CA and STEAD_HUB_TOKEN_FILE of its hub, as its first admin.
 * Returns only with an error. */
void visit_exec(const Record *record, char *const *words, GError **error);
