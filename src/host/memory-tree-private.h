#pragma once
/* The inside of a memory tree, shared by memory-tree.c (finding, looking) and memory-tree-change.c.
 */
#include "host/memory-tree.h"

typedef enum {
    NODE_REMEMBERED, /* as the base has it: a directory or a link on the way to something */
    NODE_OWN,        /* kept here; whatever the base has at its place does not count */
    NODE_GONE,       /* removed here, though the base may have it */
} NodeState;

typedef struct MemoryNode MemoryNode;
struct MemoryNode {
    NodeState state;
    MemoryNode *parent; /* NULL: the root */
    FileInfo info;
    uint64_t stamp;
    bool covers; /* directory: what the base has below it does not show through */
    GBytes *content;
    char *target;
    GHashTable *children; /* name -> MemoryNode, made on first use */
};

struct MemoryTree {
    Host *base;
    MemoryNode *root;
    int touched; /* atomic */
    bool privileged;
    uid_t uid; /* of new files */
    gid_t gid;
    uint64_t stamp;
    uint64_t last_inode;
    int64_t last_time_ns;
    MemoryTreeChanged changed;
    void *changed_data;
};

typedef enum {
    SPOT_ABSENT,
    SPOT_OWN,     /* node says what is there */
    SPOT_BASE,    /* the base knows; node, when not NULL, remembers what it said */
    SPOT_UNKNOWN, /* nothing is kept, but something above it is FILE_UNKNOWN */
} SpotState;

/* Where a path leads. */
typedef struct {
    GString *path;      /* without links; "" for the root */
    MemoryNode *parent; /* NULL when this is the root */
    MemoryNode *node;   /* may be NULL, or NODE_GONE when absent */
    SpotState state;
    FileInfo info; /* when has_info */
    bool has_info;
} Spot;

void spot_clear(Spot *spot);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Spot, spot_clear)

const char *spot_path(const Spot *spot); /* "/" for the root */
const char *spot_name(const Spot *spot);

/* Fails when a parent is missing or no directory, but not when only the last name is absent. */
bool spot_find(MemoryTree *tree, const char *verb, const char *path, bool follow, Spot *ret_spot,
               GError **error);
/* Asks the base where it has to be asked, so that has_info is set or the state is SPOT_ABSENT. */
bool spot_load(MemoryTree *tree, Spot *spot, GError **error);
/* One name further down from the directory node at; spot->path names the new place already. */
void spot_step(MemoryTree *tree, Spot *spot, MemoryNode *at);

MemoryNode *node_new(MemoryNode *parent, NodeState state);
void node_free(MemoryNode *node);
MemoryNode *node_child(const MemoryNode *node, const char *name);
void node_adopt(MemoryNode *parent, const char *name, MemoryNode *child); /* takes ownership */

/* Names that show in the directory node at path, unsorted. */
GPtrArray *node_names(MemoryTree *tree, const MemoryNode *node, const char *path, GError **error);
