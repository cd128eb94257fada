#pragma once
/* What the parts of the catalog loader share. Included by puppet-*.c only. */
#include "lang/lang.h"
#include "lang/problems.h"
#include "lang/puppet-types.h"

typedef enum {
    PUPPET_RESOURCE,  /* becomes a resource of a kind */
    PUPPET_CONTAINER, /* a class, a stage, an instance of a defined type */
    PUPPET_SKIPPED,   /* has no effect of its own, or was refused: edges with it are left out */
    PUPPET_VIRTUAL,   /* declared and not realized: nothing may refer to it */
} PuppetRole;

/* Edges of a container, drawn only where a relationship needs them. */
typedef struct {
    bool wanted; /* something comes before it (admitted) or after it (completed) */
    bool notifies;
    unsigned vertex;
} PuppetAnchor;

/* One resource of the catalog. */
typedef struct {
    const char *type, *title;      /* borrowed from the document */
    char *ref;                     /* Type[title], harmless for a terminal */
    const Value *parameters;       /* map, or NULL */
    const Value *sensitive, *tags; /* lists, or NULL */
    const PuppetType *row;         /* NULL: not one of the table */
    PuppetRole role;
    Origin origin;
    int vertex;       /* of a PUPPET_RESOURCE; -1: none */
    bool has_leaf;    /* of a container: there is a vertex in it */
    GArray *children; /* of unsigned: numbers of items; NULL: none */
    PuppetAnchor admitted, completed;
    unsigned mark; /* when it was last visited */
} PuppetItem;

typedef struct {
    const char *file; /* interned */
    const LangInputs *inputs;
    Sources *sources;
    Problems *problems;
    Graph *graph;
    const Value *document;
    GPtrArray *items;    /* of PuppetItem, in the order of the catalog */
    GHashTable *by_ref;  /* key of puppet_key() -> PuppetItem; also aliases and namevars */
    GPtrArray *warnings; /* what has no effect, told at the end */
    unsigned n_hints;    /* names suggested so far: looking for them takes time */
    unsigned mark;
} PuppetLoader;

/* A resource while its parameters are converted. */
struct PuppetTarget {
    PuppetLoader *loader;
    const PuppetItem *item;
    Resource *resource;
    bool secret; /* what is converted now must not be shown */
};

/* Adds a problem of that resource, at its place in the manifest. */
void puppet_problem(PuppetLoader *loader, const PuppetItem *item, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* Something has no effect; the same text is told once, with how often it applies. */
void puppet_warn(PuppetLoader *loader, const PuppetItem *item, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* ", did you mean 'x'?" or "". Caller frees. */
char *puppet_hint(const char *name, const char *const *names, size_t n_names);
/* Harmless for a terminal. Caller frees. */
char *puppet_shown(const char *text);
/* The key of by_ref, the same for every way of writing that Puppet takes for the same. Caller
 * frees. */
char *puppet_key(const char *type, const char *title);

/* puppet-value.c: a copy of value in which Puppet's rich data is resolved; what was wrapped as
 * Sensitive is secret. */
Value *puppet_plain_value(const Value *value, GError **error);

/* puppet-resource.c */
void puppet_load_resource(PuppetLoader *loader, PuppetItem *item);
/* puppet-edges.c: containment, then relationships. */
void puppet_load_containment(PuppetLoader *loader);
void puppet_load_edges(PuppetLoader *loader);
