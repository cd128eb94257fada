#pragma once
/*
 * host: the machine as kinds see it. Uses base and loop. Kinds touch a machine only through this
 * interface.
 *
 * Implementations: real (host-real.h), overlay (host-overlay.h: reads through, keeps writes as
 * predictions: plans run on it), fake (host-fake.h: all in memory), faulty (host-faulty.h: fails
 * the n-th call of another host).
 *
 * Paths are absolute and mean "below the root of this host". A symbolic link inside the root never
 * leads out of it: absolute targets are resolved from the root, ".." stops at it. All calls except
 * host_watch() may block, may be made from any thread, and set GError (STEAD_ERROR_NOT_FOUND when
 * the thing is absent).
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/digest.h"
#include "base/error.h"
#include "host/net.h"
#include "loop/cancel.h"
#include "loop/loop.h"

typedef struct Host Host;

void host_free(Host *host); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

const char *
host_root(const Host *host); /* "/" or the directory given by --root, without a trailing slash */
bool host_is_prediction(const Host *host); /* overlay: nothing done here happens */
/* What it shows, apart from predictions, exists on this machine, below host_root(): programs that
 * know nothing of hosts see the same. Not so for hosts in memory. */
bool host_is_real(const Host *host);
bool host_is_privileged(const Host *host); /* may change owners and act as other users */

/* --- files
 * ---------------------------------------------------------------------------------------------------
 */

typedef enum { FILE_REGULAR, FILE_DIRECTORY, FILE_SYMLINK, FILE_OTHER, FILE_UNKNOWN } FileType;

/* Of the thing at a path itself, never of what a link there points to. FILE_UNKNOWN only on an
 * overlay: whether and what exists there is decided by a command that a plan does not run. */
typedef struct {
    FileType type;
    mode_t mode; /* permission bits, 07777 */
    uid_t uid;
    gid_t gid;
    uint64_t size;
    uint64_t inode;
    uint64_t device;
    int64_t mtime_ns;
    int64_t ctime_ns;
} FileInfo;

typedef enum { FILE_SET_MODE = 1 << 0, FILE_SET_UID = 1 << 1, FILE_SET_GID = 1 << 2 } FileSet;

typedef struct {
    FileSet set; /* which of the following count; the rest keeps what is there or the default of new
                    files */
    mode_t mode;
    uid_t uid;
    gid_t gid;
} FileAttributes;

bool host_stat(Host *host, const char *path, FileInfo *ret_info, GError **error);
/* The same, but may believe that the directory is still where it was found some milliseconds ago if
 * nothing that stead knows of has changed since: one call of the kernel instead of three below a
 * root. Only where no watch is armed: a change between arming it and the moment that is believed
 * would never be seen. */
bool host_glance(Host *host, const char *path, FileInfo *ret_info, GError **error);
/* Whole content of a regular file (links are followed inside the root); above limit bytes:
 * STEAD_ERROR_LIMIT. */
GBytes *host_read(Host *host, const char *path, size_t limit, GError **error);
/* SHA-256 of the content. With info (of that path, just taken) an unchanged file is not read again:
 * the host's fingerprint cache answers, see fingerprint.h. */
bool host_digest(Host *host, const char *path, const FileInfo *info, char ret_hex[DIGEST_HEX_SIZE],
                 GError **error);
char *host_read_link(Host *host, const char *path, GError **error);
char **host_list(Host *host, const char *path,
                 GError **error); /* names without . and .., sorted; g_strfreev() */

/* Replaces or creates a regular file in one step: temporary in the same directory, attributes,
 * rename. Without FILE_SET_* a replaced file keeps its mode and owner, a new one gets 0644 and the
 * caller's ids. A link at path is replaced, not followed. The parent must exist. A directory at
 * path is an error (STEAD_ERROR_EXISTS). */
bool host_write(Host *host, const char *path, GBytes *content, const FileAttributes *attributes,
                GError **error);
bool host_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error); /* default 0755 */
bool host_make_link(Host *host, const char *path, const char *target,
                    GError **error); /* replaces a link or file */
bool host_remove(Host *host, const char *path,
                 GError **error); /* a file, link or empty directory */
bool host_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error);

/* Between these two, calls by this thread do not pass through any link: reading, writing and making
 * things fail (STEAD_ERROR_IO) when a directory on the way, or the file to read, is one. For places
 * where somebody with fewer rights may put a link at any moment. They do not nest. */
void host_links_refuse(void);
void host_links_allow(void);
bool host_links_refused(void);

/* Content of a file beside the configuration, on the machine where stead runs, not below the root.
 */
GBytes *host_read_local(Host *host, const char *path, size_t limit, GError **error);

/* Helpers over the above (host-files.c). */
bool host_exists(Host *host, const char *path);
bool host_remove_tree(Host *host, const char *path, const Cancel *cancel, GError **error);
/* Moves what is at from, with everything in it, to a path where nothing is. On a real host in one
 * step, and only within one file system. A prediction keeps small files and takes the others as
 * unknown. */
bool host_move(Host *host, const char *from, const char *to, const Cancel *cancel, GError **error);
bool host_make_parents(Host *host, const char *path,
                       GError **error); /* missing directories above path, 0755 */

/* --- commands
 * -------------------------------------------------------------------------------------------------
 */

typedef struct {
    const char *const *argv; /* argv[0] with a slash is below the root; else looked up in PATH of
                                env, or a default */
    const char *const *env; /* "NAME=value", NULL-terminated; NULL: only PATH, HOME, LANG=C.UTF-8 */
    const char *cwd;        /* NULL: "/" of the host */
    const char *user, *group; /* NULL: as the caller; names or numbers */
    bool has_umask;           /* else as the caller's */
    mode_t umask;
    const void *input; /* bytes for its standard input, or NULL */
    size_t input_size;
    const int *input_fd; /* instead: a descriptor of the caller's, or NULL */
    Cancel *cancel; /* deadline and cancellation: SIGTERM to its process group, SIGKILL after 3 s */
} HostCommand;

typedef struct {
    int exit_status; /* -1 when ended by a signal */
    int signal_number;
    GBytes *output; /* both streams as they came, at most LIMIT_COMMAND_OUTPUT */
    GBytes *out, *err;
    bool truncated;
} HostCommandResult;

void host_command_result_clear(HostCommandResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HostCommandResult, host_command_result_clear)

/* Below --root: in a chroot when root, else with the root directory as cwd base; STEAD_ROOT is
 * always set there. On an overlay: STEAD_ERROR_UNPREDICTABLE. A non-zero exit is a result, not an
 * error. */
bool host_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
              GError **error);

/* Starts a command that runs on, for watches: its standard output is the pipe *ret_stdout_fd (read
 * end, non-blocking and close-on-exec; the caller closes it), its standard error is the caller's,
 * it leads a process group of its own, which the caller ends and reaps. cancel is not used: nothing
 * here waits. STEAD_ERROR_UNSUPPORTED where commands do not run. */
bool host_spawn(Host *host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
                GError **error);

/* --- packages
 * ----------------------------------------------------------------------------------------------------
 */

typedef struct {
    char *version;   /* installed, or NULL */
    char *candidate; /* newest available, or NULL; only filled when asked for */
    bool held;
    bool config_files; /* removed but not purged */
    bool broken;       /* half installed or configured, or dpkg was killed before it was done */
    bool reinstall;    /* so broken that only its archive mends it */
    bool automatic;    /* installed for the sake of others: goes with an autoremove */
    bool essential;    /* the machine does not work without it */
} PackageInfo;

void package_info_clear(PackageInfo *info);

typedef enum {
    PACKAGE_INSTALL,
    PACKAGE_UPGRADE,
    PACKAGE_VERSION,
    PACKAGE_REMOVE,
    PACKAGE_PURGE,
    PACKAGE_HOLD,
    PACKAGE_UNHOLD,
    PACKAGE_MARK_MANUAL, /* wanted for its own sake */
    PACKAGE_MARK_AUTO,
} PackageVerb;

typedef enum { RECOMMENDS_DEFAULT, RECOMMENDS_YES, RECOMMENDS_NO } PackageRecommends;

/* All strings are borrowed. What stands below the line counts for the whole transaction. */
typedef struct {
    const char *name;
    PackageVerb verb;
    const char *version; /* PACKAGE_VERSION; else what is expected to come, or NULL */
    const char *file;    /* of the host: the archive to install, NULL: what the sources offer */
    bool reinstall;      /* its files once more, also in the version that is there */
    /* --- */
    const char *release; /* that is preferred, NULL: as configured */
    PackageRecommends recommends;
    bool allow_downgrade;
    bool allow_untrusted;
    bool replace_config;   /* configuration files that differ are replaced, else kept */
    bool autoremove;       /* what was installed for the sake of others, and nobody needs, goes */
    bool force;            /* others, even essential ones, may be removed for it */
    uint64_t lock_timeout; /* us to wait for other programs that change packages; 0: a default */
} PackageAction;

/* What a transaction does to packages that it does not name. */
typedef struct {
    enum { PACKAGE_COMES, PACKAGE_CHANGES, PACKAGE_GOES } what;
    char *name;    /* without the machine's own architecture */
    char *version; /* the new one; the last one of what goes; may be NULL */
    bool unneeded; /* it goes because nobody needs it any more */
} PackageEffect;

GPtrArray *package_effects_new(void); /* of PackageEffect */
/* Takes nothing: the strings are copied. */
void package_effects_add(GPtrArray *effects, const PackageEffect *effect);

typedef enum {
    REFRESH_STALE,   /* only when a source has changed since the lists were fetched */
    REFRESH_MISSING, /* something is missing: not twice within minutes, unless a source changed */
    REFRESH_ALWAYS,
} PackageRefresh;

/* An unknown name is no error: both versions NULL. The name may be followed by "/RELEASE": then the
 * candidate is the one preferred in that release. */
bool host_package_query(Host *host, const char *name, bool want_candidate, PackageInfo *ret_info,
                        GError **error);
/* What such a transaction would do to others, added to effects in the order of names; nothing is
 * changed. STEAD_ERROR_UNPREDICTABLE when that is decided by what a plan only predicts. */
bool host_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects, Cancel *cancel, GError **error);
/* All actions as one transaction of the package manager. */
bool host_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error);
/* Fetches the lists of what sources offer: of all sources, or with a path (its suffix says the
 * format) of those that this file names, in use or not. *ret_done: whether there was a reason. Some
 * lists may be new even on failure. On a prediction nothing is fetched. */
bool host_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                          Cancel *cancel, GError **error);
/* The nearest name that is offered; NULL: none is near, or it cannot be told. Caller frees. */
char *host_package_suggest(Host *host, const char *name);

/* --- units
 * ---------------------------------------------------------------------------------------------------------
 */

typedef struct {
    bool exists;
    bool active;     /* active, activating or reloading */
    bool restarting; /* active only in name: it ended by itself and waits to be started again */
    bool failed;
    bool ends;      /* it is not active, and ends by itself once started: Type=oneshot */
    bool enabled;   /* enabled or enabled-runtime; also of links to a unit that does not exist */
    bool is_static; /* static, generated, indirect: enabling means nothing */
    bool masked;
    bool can_reload;
    bool needs_daemon_reload;
    bool outdated; /* it runs, and its files have changed since it was started */
    bool busy;     /* systemd has a job for it that has not ended: the state is on its way */
} UnitInfo;

typedef enum {
    UNIT_START,
    UNIT_STOP,
    UNIT_RESTART,
    UNIT_RELOAD,
    UNIT_ENABLE,
    UNIT_DISABLE,
    UNIT_MASK,
    UNIT_UNMASK,
    UNIT_DAEMON_RELOAD
} UnitVerb;

/* name with suffix ("nginx.service"). session: the caller's user manager instead of the system's.
 * Below --root only enablement can be seen and changed. */
bool host_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                     GError **error);
bool host_unit_apply(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                     GError **error);
/* What the unit has logged as an error (priority err and above) since then (us since the epoch),
 * each line as "\n    " and the line; NULL: nothing, or no journal. Waits a moment for what is on
 * its way. A service that was told to reload may say so only here that it did not. Caller frees. */
char *host_unit_complaints(Host *host, const char *name, bool session, uint64_t since_us);

/* --- the name of the running machine
 * ----------------------------------------------------------------------------------------------
 */

/* What uname(2) says; caller frees. Below --root no machine runs: STEAD_ERROR_UNSUPPORTED. */
char *host_running_name(Host *host, GError **error);
bool host_set_running_name(Host *host, const char *name, GError **error);

/* --- the network of the running machine
 * ------------------------------------------------------------------------------------------------
 */

/* One link with its addresses and routes. None of that name is no error: exists = false. Below
 * --root no machine runs: STEAD_ERROR_UNSUPPORTED. */
bool host_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error);
/* The names of all links, in no order; caller frees with g_strfreev(). */
char **host_net_list(Host *host, GError **error);
bool host_net_apply(Host *host, const NetChange *change, GError **error);
/* By which connection somebody works on the machine now, as $SSH_CONNECTION of this process, or of
 * one it was started from, says. False: by none, as far as can be seen. */
bool host_session(Host *host, NetSession *ret_session);

/* --- mounts
 * ----------------------------------------------------------------------------------------------
 */

typedef struct MountTable MountTable; /* mounts.h */

/* What is mounted now; mount_table_free(). Below --root nothing is: STEAD_ERROR_UNSUPPORTED, from
 * all three. */
MountTable *host_mounts(Host *host, GError **error);

typedef struct {
    const char *source, *point;
    const char *fstype;  /* NULL: found out */
    const char *options; /* as in fstab; what only programs read is left out. NULL: none */
    bool remount;        /* what is mounted there gets these options */
    Cancel *cancel;
} MountRequest;

/* As mount(8) and umount(8) do it, also with the help of mount.TYPE. An unmount of what is in use
 * fails, and says by whom; lazy: it goes from sight at once and ends when nobody uses it. Both give
 * up after LIMIT_MOUNT_SECONDS: a server that does not answer must not hold everything up. */
bool host_mount(Host *host, const MountRequest *request, GError **error);
bool host_unmount(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error);

/* --- parameters of the kernel
 * ----------------------------------------------------------------------------------------------
 */

typedef struct {
    char *value;   /* without the line break at its end; g_free() */
    bool writable; /* by the caller */
} SysctlInfo;

/* key: with slashes, as below /proc/sys: "net/ipv4/ip_forward". NOT_FOUND: no such key, or a group
 * of keys. Below --root no kernel runs: STEAD_ERROR_UNSUPPORTED. */
bool host_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error);
/* Whether the kernel made of it what was asked for is seen by reading it again. */
bool host_sysctl_write(Host *host, const char *key, const char *value, GError **error);
/* Names below a group of keys, "" for all; sorted, g_strfreev(). */
char **host_sysctl_list(Host *host, const char *group, GError **error);

/* --- messages
 * ---------------------------------------------------------------------------------------------------------
 */

/* fields: "NAME=value", NULL-terminated, or NULL. priority as in syslog(3). */
bool host_log(Host *host, int priority, const char *text, const char *const *fields, bool journal,
              bool syslog, GError **error);

/* --- watches (loop thread only)
 * ------------------------------------------------------------------------------------------ */

typedef enum {
    HOST_WATCH_FILE, /* name: a path; its content, attributes, appearance, also through missing or
                        replaced parents */
    HOST_WATCH_TREE, /* name: a directory; everything below it as well */
    HOST_WATCH_UNIT, /* name: unit name, "user:" before it for the session manager */
    HOST_WATCH_PACKAGES,     /* name ignored: the package database */
    HOST_WATCH_ACCOUNTS,     /* name ignored: /etc/passwd, group, shadow, gshadow */
    HOST_WATCH_RUNNING_NAME, /* name ignored: host_running_name(); owners hear their own changes,
                                and below --root nothing happens */
    HOST_WATCH_NET,    /* name: a link; it, its addresses and its routes; owners hear their own
                          changes, and below --root nothing happens */
    HOST_WATCH_MOUNT,  /* name: a mount point; what is mounted there. Own changes and roots as for
                          the running name */
    HOST_WATCH_SYSCTL, /* name: a key; what programs write to it. Likewise; what the kernel changes
                          by itself, or is written through another /proc, may go unseen */
} HostWatchClass;

typedef enum {
    HOST_EVENT_READY,   /* armed: whatever happens from here on is seen; comes once, from the loop,
                           after host_watch() */
    HOST_EVENT_CHANGED, /* something may have changed, or events were lost: look again */
    HOST_EVENT_FAILED,  /* the watch is dead (limit, connection lost); free it; detail says why */
} HostEvent;

typedef struct HostWatch HostWatch;
typedef void (*HostWatchCallback)(void *data, HostEvent event, const char *detail);

/* owner: see host_writer_begin(); 0 for none. */
HostWatch *host_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                      uint64_t owner, HostWatchCallback callback, void *data, GError **error);
void host_watch_free(HostWatch *watch); /* accepts NULL; no callback afterwards */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostWatch, host_watch_free)

/* Between begin and end, writes made by this thread belong to owner: watches of the same owner do
 * not report them. Everybody else's watches do. */
void host_writer_begin(uint64_t owner);
void host_writer_end(void);
