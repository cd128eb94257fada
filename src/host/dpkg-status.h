#pragma once
/* dpkg's database of packages, var/lib/dpkg/status, as said in deb-control(5) and dpkg(1). */
#include "host/host.h"

typedef struct DpkgStatus DpkgStatus;

/* Lines that make no sense are passed over: dpkg itself is the judge of its database. */
DpkgStatus *dpkg_status_parse(const char *text, size_t size);
void dpkg_status_free(DpkgStatus *status); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpkgStatus, dpkg_status_free)

/* Takes in a later change, a file of var/lib/dpkg/updates: what it says of a package is all that
 * counts. The package is broken until dpkg has put that into its database. */
void dpkg_status_update(DpkgStatus *status, const char *text, size_t size);

/* Takes in what apt notes in var/lib/apt/extended_states: who was installed for the sake of others.
 * What an earlier text said does not count any more. */
void dpkg_status_mark(DpkgStatus *status, const char *text, size_t size);

/* name: "libc6", "libc6:i386", "python3:any". Without an architecture the machine's own is meant,
 * or "all". Fills everything but the candidate; a package that is not there is all zero. */
void dpkg_status_find(const DpkgStatus *status, const char *name, PackageInfo *ret_info);

/* The machine's own architecture; NULL when the database does not tell. */
const char *dpkg_status_architecture(const DpkgStatus *status);

/* Adds the names, "name:architecture", of all installed packages. Caller frees each. */
void dpkg_status_list_installed(const DpkgStatus *status, GPtrArray *names);
