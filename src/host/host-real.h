#pragma once
/* This machine, or a directory tree of it. */
#include "host/fingerprint.h"
#include "host/host.h"

/* root: NULL or "/" for the machine itself; else an existing directory. fingerprints (borrowed, may
 * be NULL) must outlive the host. */
Host *host_real_new(const char *root, FingerprintCache *fingerprints, GError **error);

/* Removes what a killed write to path left behind (its temporary has a name derived from path). */
bool host_real_clean(Host *host, const char *path, GError **error);
/* The same for all writes below a directory, whatever their paths were. */
bool host_real_clean_tree(Host *host, const char *path, const Cancel *cancel, GError **error);
