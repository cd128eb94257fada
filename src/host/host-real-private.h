#pragma once
/* Shared by the files of the real host only: host-real*.c and watch-*.c. */
#include <limits.h>
#include <sys/stat.h>

#include "host/host-ops.h"
#include "host/host-real.h"

typedef struct FileWatchers FileWatchers;       /* watch-files.h */
typedef struct UnitWatchers UnitWatchers;       /* watch-units.h */
typedef struct NetWatchers NetWatchers;         /* watch-net.h */
typedef struct PackageDatabase PackageDatabase; /* host-real-packages.c */
typedef struct UnitManagers UnitManagers;       /* host-real-units.c */

typedef struct Parent Parent; /* host-real-place.c */

/* The directory that was opened last, for looks at its entries. */
typedef struct {
    GMutex lock;
    Parent *parent; /* NULL: none */
} LastParent;

void last_parent_init(LastParent *last);
void last_parent_clear(LastParent *last);

typedef struct {
    Host host;
    int root_fd;                    /* O_PATH descriptor; -1 when the root is "/" */
    FingerprintCache *fingerprints; /* borrowed, may be NULL */
    FileWatchers *file_watchers;
    UnitWatchers *unit_watchers;
    NetWatchers *net_watchers; /* NULL below a root */
    PackageDatabase *packages;
    UnitManagers *units;
    LastParent last_parent; /* only below a root */
    gint cannot_name;       /* atomic: a file made without a name cannot be given one */
} RealHost;

static inline RealHost *real_host(Host *host) {
    return (RealHost *)(void *)host;
}

static inline bool real_host_has_root(const RealHost *self) {
    return self->root_fd >= 0;
}

/* --- host-real-place.c: where a path is, without leaving the root */

/* The last component of a path and the directory it is in, for the *at() calls. Below "/" that is
 * simply the whole path. */
typedef struct {
    int fd;           /* owned unless AT_FDCWD */
    const char *name; /* borrowed from the path, or from copy */
    char copy[NAME_MAX + 1];
} Place;

/* verb and path for the error: "<verb> '<path>': ...". */
bool place_open(RealHost *self, Place *ret_place, const char *verb, const char *path,
                GError **error);
void place_close(Place *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_close)

/* stat(2) of an entry of a directory that was opened a moment ago. Returns false when it must be
 * looked at from the root. */
bool place_glance(RealHost *self, const char *path, struct stat *ret_stat);

bool real_can_resolve(int root_fd); /* errno ENOSYS: the kernel cannot stay below a root */
/* open(2) of what path leads to, links followed inside the root. Returns -1 with errno. */
int real_open(RealHost *self, const char *path, int flags);
char *real_local_path(RealHost *self, const char *path); /* root and path; caller frees */

void file_info_from_stat(const struct stat *st, FileInfo *ret_info);

/* --- host-real-write.c: temporaries and attributes */

/* Room for the directory of a path and the name of a temporary. */
#define TEMPORARY_SIZE (PATH_MAX + 32)

/* The temporary that writes to place go through: same directory, name derived from its name. */
void temporary_path(const Place *place, char ret_temporary[TEMPORARY_SIZE]);
/* Whether a file of that name is a temporary of any stead, on its way to another name. */
bool temporary_is_name(const char *name);
/* Removes a temporary that nobody is writing any more. False with errno EBUSY when somebody is;
 * true also when there is none. */
bool temporary_remove(int fd, const char *temporary);

/* Resolves what attributes leave open from old (NULL: nothing there) and default_mode. */
FileAttributes attributes_complete(const FileAttributes *attributes, const struct stat *old,
                                   mode_t default_mode);
/* Gives an open file, which looks like st, these attributes; touches only what differs. */
bool attributes_apply(int fd, const struct stat *st, const FileAttributes *attributes,
                      GError **error);
/* The mode to create something with, so that it is at no time more open than wanted. */
mode_t attributes_first_mode(const FileAttributes *attributes);

/* --- the operations, as in HostOps */

bool real_glance(Host *host, const char *path, FileInfo *ret_info, GError **error);
bool real_stat(Host *host, const char *path, FileInfo *ret_info, GError **error);
GBytes *real_read(Host *host, const char *path, size_t limit, GError **error);
GBytes *real_read_local(Host *host, const char *path, size_t limit, GError **error);
bool real_digest(Host *host, const char *path, const FileInfo *info, char ret_hex[DIGEST_HEX_SIZE],
                 GError **error);
char *real_read_link(Host *host, const char *path, GError **error);
char **real_list(Host *host, const char *path, GError **error);

bool real_write(Host *host, const char *path, GBytes *content, const FileAttributes *attributes,
                GError **error);
bool real_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error);
bool real_make_link(Host *host, const char *path, const char *target, GError **error);
bool real_remove(Host *host, const char *path, GError **error);
bool real_remove_tree(Host *host, const char *path, const Cancel *cancel, GError **error);
bool real_move(Host *host, const char *from, const char *to, GError **error);
bool real_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error);

bool real_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
              GError **error);

bool real_spawn(Host *host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
                GError **error);

PackageDatabase *package_database_new(void);
void package_database_free(PackageDatabase *database); /* accepts NULL */
bool real_package_query(Host *host, const char *name, bool want_candidate, PackageInfo *ret_info,
                        GError **error);
bool real_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects, Cancel *cancel, GError **error);
bool real_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                          Cancel *cancel, GError **error);
char *real_package_suggest(Host *host, const char *name);
bool real_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error);

UnitManagers *unit_managers_new(void);
void unit_managers_free(UnitManagers *managers); /* accepts NULL */
bool real_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                     GError **error);
char *real_unit_complaints(Host *host, const char *name, bool session, uint64_t since_us);
bool real_unit_apply(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                     GError **error);

char *real_running_name(Host *host, GError **error);
bool real_set_running_name(Host *host, const char *name, GError **error);
HostWatch *real_watch_running_name(RealHost *self, Loop *loop, HostWatchCallback callback,
                                   void *data, GError **error);

bool real_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error);
char **real_net_list(Host *host, GError **error);
bool real_net_apply(Host *host, const NetChange *change, GError **error);
bool real_session(Host *host, NetSession *ret_session);

MountTable *real_mounts(Host *host, GError **error);
bool real_mount(Host *host, const MountRequest *request, GError **error);
bool real_unmount(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error);
HostWatch *real_watch_mount(RealHost *self, Loop *loop, const char *point,
                            HostWatchCallback callback, void *data, GError **error);

bool real_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error);
bool real_sysctl_write(Host *host, const char *key, const char *value, GError **error);
char **real_sysctl_list(Host *host, const char *group, GError **error);
HostWatch *real_watch_sysctl(RealHost *self, Loop *loop, const char *key,
                             HostWatchCallback callback, void *data, GError **error);

bool real_log(Host *host, int priority, const char *text, const char *const *fields, bool journal,
              bool syslog, GError **error);
