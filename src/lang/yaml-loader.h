#pragma once
/* What the parts of the YAML graph loader share. Included by yaml-*.c only. */
#include "lang/lang.h"
#include "lang/problems.h"
#include "lang/yaml-node.h"

#define YAML_EXPORT_PREFIX "@@"

/* Keys that released mgmt graphs carry and that have no effect. */
enum { YAML_DEAD_KEYS = 4 };

typedef struct {
    unsigned count;
    Origin first;
} YamlDeadUse;

typedef struct {
    const char *file;
    const LangInputs *inputs;
    Problems *problems;
    GPtrArray *warnings;
    Graph *graph;
    GPtrArray *collected; /* of char *: kinds that `collect` asks for */
    GHashTable *exported; /* set of "kind\x1fname": exported and not collected */
    GHashTable *unknown;  /* set of kinds that were reported as unknown */
    unsigned n_hints;     /* names suggested so far: looking for them takes time */
    YamlDeadUse dead[YAML_DEAD_KEYS];
} YamlLoader;

Origin yaml_loader_origin(const YamlLoader *loader, const YamlNode *node);
void yaml_loader_problem(YamlLoader *loader, const YamlNode *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* ", did you mean 'x'?" or "". Caller frees. */
char *yaml_loader_hint(const char *name, const char *const *names, size_t n_names);
/* Whether key, of a kind or (NULL) of the document, is one of those; noted, and told by
 * yaml_loader_warn_dead_keys() once for each, however often it is there. */
bool yaml_loader_is_dead_key(YamlLoader *loader, const char *kind, const YamlNode *key);
void yaml_loader_warn_dead_keys(YamlLoader *loader);
/* Each unknown kind is told once, not at every edge too. */
void yaml_loader_report_kind(YamlLoader *loader, const YamlNode *node, const char *kind);

/* Shapes of nodes. Each adds the problem and returns false or NULL. */
bool yaml_loader_expect_type(YamlLoader *loader, const YamlNode *node, YamlNodeType type,
                             const char *what, const char *shape);
const char *yaml_loader_expect_text(YamlLoader *loader, const YamlNode *node, const char *what);
bool yaml_loader_is_known(const char *key, const char *const *names, size_t n_names);
/* Refuses other keys than names in a map that is no resource. */
void yaml_loader_check_keys(YamlLoader *loader, const YamlNode *map, const char *what,
                            const char *const *names, size_t n_names);
char *yaml_loader_key(const char *kind, const char *name); /* of loader->exported; caller frees */

/* yaml-resources.c, yaml-edges.c */
void yaml_load_resources(YamlLoader *loader, const YamlNode *map);
void yaml_load_edges(YamlLoader *loader, const YamlNode *list);
void yaml_load_collect(YamlLoader *loader, const YamlNode *list);
