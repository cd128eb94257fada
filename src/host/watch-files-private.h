#pragma once
/*
 * How file watches are put together. Shared by watch-*.c only.
 *
 *   FileWatch      what a caller holds; one Entry for each path it is about
 *   Entry          a name in a Directory; its event filter for own writes is a Stamp
 *   Directory      the directory of a path as it is written ("/var/run"), shared by all entries in
 *                  it. Resolved, it leads to the Mark of a real directory; on the way it depends on
 *                  a name in each directory above, and on those that links lead through. When one
 *                  of these names changes the directory is resolved again.
 *   Mark           one inotify watch, of one real directory, with all who need its events
 *   Tree           a FileWatch's view of everything below its path: a TreeDirectory for each
 *                  directory there
 *
 * A mark is always set before what is in the directory is looked at, so no change is missed:
 * one that happens after the look is an event.
 */
#include <sys/inotify.h>

#include "host/own-stamp.h"
#include "host/watch-files.h"
#include "host/watch-queue.h"

typedef struct Mark Mark;
typedef struct Entry Entry;
typedef struct Directory Directory;
typedef struct FileWatch FileWatch;
typedef struct Tree Tree;
typedef struct TreeDirectory TreeDirectory;

/* All watches of one loop. Its thread only, except where workers note their writes: everything
 * they touch is guarded by watchers->lock. */
typedef struct {
    FileWatchers *watchers;
    Loop *loop;
    int fd; /* inotify */
    int mounts_fd;
    LoopSource *source, *mounts_source;
    GHashTable *marks;       /* watch descriptor -> Mark */
    GHashTable *refused;     /* paths that met the limit of watches */
    GHashTable *directories; /* path as written -> Directory */
    GPtrArray *dirty;        /* Directory: to be resolved again */
    WatchQueue queue;        /* of FileWatch */
    GPtrArray *rechecks;     /* char *: paths whose own write ended with events kept back */
    GQueue scans;            /* TreeDirectory: not looked into yet */
    unsigned n_watches, n_trees;
    uint64_t turn; /* how often the event queue was read to its end */
    bool posted;   /* on_posted() is to come */
} WatchGroup;

struct FileWatchers {
    char *root;     /* directory before every path; "" for "/" */
    gint n_watches; /* atomic */
    GMutex lock;
    GPtrArray *groups; /* WatchGroup */
};

struct FileWatch {
    QueuedWatch base;
    WatchGroup *group;
    Tree *tree; /* NULL unless it watches one */
    unsigned n_entries;
    Entry *entries[];
};

struct Entry {
    Entry *next; /* another watch of the same path */
    FileWatch *watch;
    Directory *directory;
    OwnStamp *stamp; /* NULL: its owner never wrote */
    char name[];     /* "." for the directory itself, when the path is "/" */
};

struct Directory {
    WatchGroup *group;
    char *path;          /* as written, normalised */
    char *real_path;     /* without links; with mark */
    Mark *mark;          /* NULL: it does not exist */
    GPtrArray *needs;    /* Need: what it was resolved through */
    GHashTable *entries; /* name -> first Entry */
    GSList *trees;
    bool is_dirty;
    bool lost_events;
};

/* That a directory was resolved through a name below a mark. */
typedef struct {
    Mark *mark;
    char *name;
} Need;

struct Mark {
    WatchGroup *group;
    int wd;
    uint32_t mask;
    unsigned refs;
    bool is_dead;           /* the kernel has taken the watch away */
    GPtrArray *directories; /* Directory: resolved to this */
    GHashTable *dependents; /* name -> GPtrArray of Directory */
    GPtrArray *tree_directories;
};

struct Tree {
    FileWatch *watch;
    Directory *directory;
    TreeDirectory *top; /* NULL: there is no directory */
    GHashTable *stamps; /* path as written -> OwnStamp */
    unsigned n_scans;   /* of its directories in the group's scans */
};

struct TreeDirectory {
    Tree *tree;
    TreeDirectory *parent; /* NULL: the top */
    Mark *mark;
    GHashTable *children; /* name -> TreeDirectory */
    GList *scan;          /* its place in the group's scans */
    bool is_new;          /* appeared while watched: what is in it may not be known to anybody */
    char name[];
};

/* --- watch-marks.c */

/* Of a directory where others are looked up, and of one whose files are watched. */
#define MARK_STRUCTURE (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define MARK_ALL       (MARK_STRUCTURE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

/* A new reference; NULL with errno. path: real, below the root. */
Mark *mark_get(WatchGroup *group, const char *path, uint32_t mask);
void mark_unref(Mark *mark);
void mark_lost(Mark *mark); /* the kernel says it is no more */
void mark_set_dependent(Mark *mark, const char *name, Directory *directory);
void mark_unset_dependent(Mark *mark, const char *name, Directory *directory);
/* The error of a failed mark_get(), with the limit and how to raise it where that is the reason. */
void mark_error(WatchGroup *group, int errno_value, const char *path, GError **error);

/* --- watch-directory.c */

Directory *directory_get(WatchGroup *group, const char *path, GError **error);
void directory_drop_unused(Directory *directory); /* frees it when nobody watches in it */
void directory_make_dirty(Directory *directory);
void directories_resolve_dirty(WatchGroup *group);
Entry *entry_add(Directory *directory, const char *name, FileWatch *watch);
void entry_free(Entry *entry);
/* Something may have happened to it; events: inotify's. */
void entry_event(Entry *entry, uint32_t events);
void entry_recheck(Entry *entry);

/* --- watch-tree.c */

Tree *tree_watch_new(FileWatch *watch, Directory *directory);
void tree_watch_free(Tree *tree);
void tree_restart(Tree *tree); /* its directory is another one, or none */
void tree_event(TreeDirectory *directory, const char *name, uint32_t events);
void tree_directory_free(TreeDirectory *directory); /* with all below */
void tree_recheck(Tree *tree, const char *path);
void tree_drop_old_stamps(Tree *tree);
void trees_scan(WatchGroup *group); /* a slice of what is to be looked into */

/* --- watch-files.c */

void group_post(WatchGroup *group); /* deliver from the loop, soon */
