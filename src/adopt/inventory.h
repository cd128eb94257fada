#pragma once
/* What dpkg knows: packages, who has which file, configuration files as they were installed. */
#include <glib.h>
#include <stdbool.h>

#include "host/host.h"

typedef struct {
    char *name;
    char *id; /* name, with ":architecture" unless it is the machine's own */
    char *version;
    char *priority;
    char *depends;  /* Pre-Depends and Depends, as written */
    bool essential; /* Essential, Protected, or priority required */
    bool base; /* that, or of priority important or standard, or needed by such a package: every
                  Debian has it */
    bool held;
    bool automatic; /* came as a dependency */
    bool installed; /* wholly */
    bool removed;   /* only its configuration is left */
} Package;

typedef struct {
    const Package *package;
    char *path;
    char *md5;    /* as it was installed */
    bool managed; /* by ucf, which dpkg knows nothing of */
} Conffile;

typedef struct {
    GPtrArray *packages;  /* of Package, sorted by id */
    GPtrArray *conffiles; /* of Conffile, sorted by path */
    GHashTable *by_name;  /* name -> Package, of those that are there, if only by half */
    GHashTable *owners;   /* path -> name of a package, of several the first; of /etc and unit files
                           */
    GHashTable *shared;   /* paths that several packages have */
    GString *scripts;     /* text of all maintainer scripts and sysusers.d */
    bool has_dpkg;
} Inventory;

Inventory *inventory_new(Host *host, GError **error); /* without dpkg an empty one */
void inventory_free(Inventory *inventory);            /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Inventory, inventory_free)

const char *inventory_owner(const Inventory *inventory, const char *path); /* NULL: nobody */
bool inventory_is_shared(const Inventory *inventory, const char *path);    /* by several packages */
const Package *inventory_package(const Inventory *inventory, const char *name);
/* Whether a script of some package names it, as a word: what it made, then. */
bool inventory_mentions(const Inventory *inventory, const char *word);
