#pragma once
/*
 * mounts: what is mounted, as /proc/self/mountinfo tells it (proc(5)), and what mount options mean.
 * Only data: nothing here asks the kernel.
 *
 * Options are of three sorts. Flags are the kernel's own for every file system (ro, nosuid,
 * noatime); programs' options never reach the kernel (nofail, x-systemd.*, user); all others belong
 * to the file system.
 */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/host.h"

typedef struct {
    uint32_t id, parent;
    uint64_t device; /* of the file system: major << 32 | minor */
    char *root;      /* which directory of the file system is seen: "/" unless bound */
    char *point;     /* absolute */
    char *options;   /* of the mount: "rw,nosuid,relatime" */
    char *extra;     /* optional fields: "shared:1", or "" */
    char *fstype, *source;
    char *super_options; /* of the file system: "rw,size=1024k" */
} Mount;

struct MountTable {
    GPtrArray *mounts; /* of Mount, owned, in the kernel's order: what covers comes later */
};

MountTable *mount_table_new(void);
void mount_table_free(MountTable *table); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountTable, mount_table_free)
MountTable *mount_table_copy(const MountTable *table);
/* Lines that are none are an error: STEAD_ERROR_DAMAGED. */
MountTable *mount_table_parse(const char *text, size_t size, GError **error);
char *mount_table_print(const MountTable *table); /* in the format that is parsed; caller frees */

/* The mount that shows at exactly this point; NULL: none. */
const Mount *mount_table_at(const MountTable *table, const char *point);
/* The mount that path, which no link leads through, is in; NULL only in an empty table. */
const Mount *mount_table_of(const MountTable *table, const char *path);
/* One that is mounted below the point, the last one; NULL: none. */
const Mount *mount_table_below(const MountTable *table, const char *point);

/* \040 and the like, as in mountinfo and fstab. Both always succeed; caller frees. */
char *mount_escape(const char *text);
char *mount_unescape(const char *text, size_t size);

/* --- options */

/* Has an option of that name, with or without a value. */
bool mount_options_have(const char *options, const char *name);
/* The value behind "name=", or NULL; caller frees. */
char *mount_options_value(const char *options, const char *name);
bool mount_options_bind(const char *options); /* bind or rbind */
/* Without those that only programs read: what is given to mount(8). "" when nothing is left. */
char *mount_options_for_kernel(const char *options);
/* Whether both ask for the same: order, repetition and "defaults" do not count. */
bool mount_options_equal(const char *a, const char *b);

/* Whether what is mounted is as the options ask for. False only on evidence: what the kernel does
 * not show is believed. *ret_wanted and *ret_found then name the options in question. from: where
 * the source of a bind mount is, whose flags it may have inherited; else NULL. */
bool mount_options_hold(const char *options, const Mount *mount, const Mount *from,
                        char **ret_wanted, char **ret_found);
/* Whether what differs (as *ret_wanted above) can only be had by mounting anew. */
bool mount_options_need_new(const char *wanted);

/* --- what mounting does to a table: for fake hosts and predictions */

/* The mount gets these options. bound: its file system, which others see too, keeps its own. */
void mount_options_apply(Mount *mount, const char *options, bool bound);

/* Whether mount point, and source where it is a path, exist on the host: the errors of mount(8). */
bool mount_request_check(Host *host, const MountRequest *request, GError **error);
/* source is a path of the same tree where it binds. FAILED where mount(8) does. */
bool mount_table_mount(MountTable *table, const MountRequest *request, GError **error);
bool mount_table_unmount(MountTable *table, const char *point, bool lazy, GError **error);
