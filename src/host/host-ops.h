#pragma once
/* For implementers of hosts only: the table behind host.h. Every implementation embeds Host as its
 * first member. */
#include "host/host.h"

typedef struct HostOps {
    const char *name;
    void (*free)(Host *host); /* everything, root and the host itself included */
    bool (*stat)(Host *host, const char *path, FileInfo *ret_info, GError **error);
    /* Optional, NULL: stat. */
    bool (*glance)(Host *host, const char *path, FileInfo *ret_info, GError **error);
    GBytes *(*read)(Host *host, const char *path, size_t limit, GError **error);
    bool (*digest)(Host *host, const char *path, const FileInfo *info,
                   char ret_hex[DIGEST_HEX_SIZE], GError **error);
    char *(*read_link)(Host *host, const char *path, GError **error);
    char **(*list)(Host *host, const char *path, GError **error);
    bool (*write)(Host *host, const char *path, GBytes *content, const FileAttributes *attributes,
                  GError **error);
    bool (*make_directory)(Host *host, const char *path, const FileAttributes *attributes,
                           GError **error);
    bool (*make_link)(Host *host, const char *path, const char *target, GError **error);
    bool (*remove)(Host *host, const char *path, GError **error);
    bool (*set_attributes)(Host *host, const char *path, const FileAttributes *attributes,
                           GError **error);
    /* Optional, NULL: built from list and remove. For hosts where names may be swapped meanwhile.
     */
    bool (*remove_tree)(Host *host, const char *path, const Cancel *cancel, GError **error);
    /* Optional, NULL: built from reading, making and removing. */
    bool (*move)(Host *host, const char *from, const char *to, GError **error);
    GBytes *(*read_local)(Host *host, const char *path, size_t limit, GError **error);
    bool (*run)(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                GError **error);
    /* NULL: commands do not run here. */
    bool (*spawn)(Host *host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
                  GError **error);
    bool (*package_query)(Host *host, const char *name, bool want_candidate, PackageInfo *ret_info,
                          GError **error);
    bool (*package_foresee)(Host *host, const PackageAction *actions, size_t n_actions,
                            GPtrArray *effects, Cancel *cancel, GError **error);
    bool (*package_apply)(Host *host, const PackageAction *actions, size_t n_actions,
                          Cancel *cancel, GError **error);
    bool (*package_refresh)(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                            Cancel *cancel, GError **error);
    char *(*package_suggest)(Host *host, const char *name);
    bool (*unit_query)(Host *host, const char *name, bool session, UnitInfo *ret_info,
                       GError **error);
    /* NULL: nothing of the kind can be known */
    char *(*unit_complaints)(Host *host, const char *name, bool session, uint64_t since_us);
    bool (*unit_apply)(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                       GError **error);
    char *(*running_name)(Host *host, GError **error);
    bool (*set_running_name)(Host *host, const char *name, GError **error);
    bool (*net_query)(Host *host, const char *link, NetInfo *ret_info, GError **error);
    char **(*net_list)(Host *host, GError **error);
    bool (*net_apply)(Host *host, const NetChange *change, GError **error);
    bool (*session)(Host *host, NetSession *ret_session);
    MountTable *(*mounts)(Host *host, GError **error);
    bool (*mount)(Host *host, const MountRequest *request, GError **error);
    bool (*unmount)(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error);
    bool (*sysctl_read)(Host *host, const char *key, SysctlInfo *ret_info, GError **error);
    bool (*sysctl_write)(Host *host, const char *key, const char *value, GError **error);
    char **(*sysctl_list)(Host *host, const char *group, GError **error);
    bool (*log)(Host *host, int priority, const char *text, const char *const *fields, bool journal,
                bool syslog, GError **error);
    /* NULL: no other program changes the accounts of this host. Takes the lock that they respect;
     * closing *ret_fd releases it, -1: there is nothing to close. */
    bool (*lock_accounts)(Host *host, int *ret_fd, GError **error);
    HostWatch *(*watch)(Host *host, Loop *loop, HostWatchClass class, const char *name,
                        uint64_t owner, HostWatchCallback callback, void *data, GError **error);
} HostOps;

struct HostAccounts; /* accounts-private.h */

struct Host {
    const HostOps *ops;
    char *root;
    bool prediction;
    bool privileged;
    bool is_real;      /* what it shows exists, on this machine or below its root */
    bool is_machine;   /* reads this very machine, not a tree below a root: NSS speaks of it, too */
    int changes;       /* atomic: goes up with whatever may have changed the machine, see below */
    struct HostKv *kv; /* borrowed, or NULL: host/kv.h */
    struct HostAccounts *accounts; /* atomic; made on first use, freed by host_free() */
};

void host_accounts_free(struct HostAccounts *accounts); /* accepts NULL */

/* The machine may be another one than before: after every change made through host.h and before
 * every change that a watch reports. What was looked up before is not to be relied on after. */
static inline void host_note_change(Host *host) {
    g_atomic_int_inc(&host->changes);
}

/* Every implementation embeds this first; host_watch_free() calls free. */
struct HostWatch {
    void (*free)(HostWatch *watch);
    HostWatchCallback callback;
    void *data;
    uint64_t owner;
    Host *host; /* set by host_watch() */
};

bool host_path_check(const char *path, GError **error); /* refuses what is not absolute */
/* Calls the callback, which may free the watch. */
void host_watch_tell(HostWatch *watch, HostEvent event, const char *detail);

uint64_t host_writer(void); /* owner of writes made by this thread, 0: nobody's */
