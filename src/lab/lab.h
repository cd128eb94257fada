#pragma once
/*
 * lab: hosts that are containers on this machine, with networks of their own, from one file. Uses
 * base, loop, host (netlink) and lang (YAML).
 *
 * A lab is a directory, DATA/labs/NAME, and a keeper: one process that is the first of a process
 * namespace and has mount and network namespaces of its own. Containers, overlay mounts, bridges
 * and wires exist only inside those, so all of them end with the keeper, however it ends. What can
 * be left behind is the directory and control groups; record.h and remove.h find them.
 *
 *   stead lab up --- up.c: base.c (the tree from Debian), program.c (stead itself), disk.c (what
 *                    differs from host to host), then keeper.c in another process:
 *   keeper.c         containers (container.c), wires (wires.c), what is cut (cut.c), talk.h
 *   others           ask the keeper by talk.h: it gives a descriptor of a host's first process,
 *                    through which enter.c and copy.c work
 *
 * Lab: what the file says, complete: every host has its addresses. Immutable once made.
 */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

enum {
    LAB_HOSTS_MAX = 200,
    LAB_NETWORKS_MAX = 32,
    LAB_NAME_MAX = 32,
};

typedef struct {
    char *name;
    char *prefix; /* "10.1.0.0/24" */
} LabNetwork;

/* Where a host is in a network: its interface ethN, N counting its ports. */
typedef struct {
    unsigned network; /* index in Lab.networks */
    char *address;    /* "10.1.0.11" */
    bool is_fixed;    /* by the file, as it was read; not kept */
} LabPort;

typedef struct {
    char *name;
    unsigned slot;       /* its number as long as it is there; no other host has it */
    GPtrArray *packages; /* of char *, sorted: on top of what every base has */
    char *configuration; /* absolute path here; NULL: no agent runs */
    Value *values;       /* a map, or NULL */
    char *hub;           /* it runs a hub over this store, "sqlite" or "etcd=..."; NULL: none */
    bool stays_out;      /* it does not join the lab's hub */
    Value *labels;       /* of a host that joins a hub: a map of texts, or NULL */
    GPtrArray *grants;   /* likewise, of char *: what it may publish beside its own name */
    unsigned ttl_s;      /* of what it publishes, seconds; 0: as usual */
    GPtrArray *ports;    /* of LabPort */
} LabHost;

typedef struct {
    char *name;
    char *release;       /* Debian's code name */
    char *mirror;        /* URL, or NULL: mmdebstrap's choice */
    char *deploy_key;    /* a public key as a line: what hosts that joined run has its signature */
    GPtrArray *networks; /* of LabNetwork */
    GPtrArray *hosts;    /* of LabHost */
} Lab;

void lab_free(Lab *lab); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lab, lab_free)

/* Reads a file of YAML. Problems (GError *, STEAD_ERROR_CONFIG: `file:line:column: text`) are
 * appended to problems, all of them; NULL then. */
Lab *lab_load(const char *file, GPtrArray *problems);

/* What the keeper and later commands read instead of the file, which may change meanwhile. */
Value *lab_to_value(const Lab *lab);
Lab *lab_from_value(const Value *value, GError **error);
Value *lab_host_to_value(const LabHost *host); /* as in lab_to_value() */

const LabNetwork *lab_network(const Lab *lab, unsigned index);
const LabHost *lab_host(const Lab *lab, unsigned index);
/* Index, or -1. */
int lab_find_host(const Lab *lab, const char *name);
int lab_find_network(const Lab *lab, const char *name);
const LabPort *lab_port(const LabHost *host, unsigned index);
/* The first host that runs a hub, or NULL: all other hosts join it. */
const LabHost *lab_hub(const Lab *lab);
bool lab_joins(const Lab *lab, const LabHost *host); /* it joins the lab's hub */
/* Whether an agent runs there: with a configuration, or for what its hub deploys. */
bool lab_has_agent(const Lab *lab, const LabHost *host);
/* The host's port in that network, or NULL. */
const LabPort *lab_port_in(const LabHost *host, unsigned network);

/* As names of labs, hosts and networks must be; NULL: it is good, else what is wrong with it. */
const char *lab_name_problem(const char *name, size_t max);
