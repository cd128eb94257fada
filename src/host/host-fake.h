#pragma once
/*
 * A whole machine in memory, for tests: files, accounts, packages, units, scripted commands. Starts
 * as an empty root with /etc, /etc/passwd (root), /etc/group (root), /tmp, /var. Calls may come
 * from several threads. Watches are freed before their host.
 *
 * The clock of its files starts at a fixed date and each change takes a second. Unit files written
 * below /etc/systemd/system and its siblings make units exist, as on a real machine.
 * host_read_local() reads the real machine.
 */
#include "host/host.h"

Host *host_fake_new(void);

/* false: the caller is an ordinary user, 1000:1000, and may not change owners. */
void host_fake_set_privileged(Host *fake, bool privileged);

/* Somebody else changes the machine: same effect as the host_ call, but every watch reports it.
 * False when the call would fail. */
bool host_fake_tamper_write(Host *fake, const char *path, const char *text);
bool host_fake_tamper_remove(Host *fake, const char *path);       /* with everything below */
void host_fake_tamper_running_name(Host *fake, const char *name); /* it is "fake" at first */
/* As host_net_apply(). There is only the link lo at first. */
bool host_fake_tamper_net(Host *fake, const NetChange *change);
/* A link that was there before: a device, or a virtual link of a type, or NULL: it vanishes. It is
 * up and has an mtu of 1500. */
void host_fake_set_link(Host *fake, const char *link, const char *type);
void host_fake_add_address(Host *fake, const char *link, const NetAddress *address);
void host_fake_set_session(Host *fake, const NetSession *session); /* NULL: none, as at first */

/* At first / (ext4), /proc and /run are mounted. What is below a mount point stays in sight. */
bool host_fake_tamper_mount(Host *fake, const MountRequest *request);
bool host_fake_tamper_unmount(Host *fake, const char *point);
void host_fake_set_busy(Host *fake, const char *point, const char *user); /* NULL: nobody */
bool host_fake_tamper_mode(Host *fake, const char *path, mode_t mode);

typedef enum {
    FAKE_SYSCTL_ANY,
    FAKE_SYSCTL_NUMBER,  /* refuses what does not start with a digit */
    FAKE_SYSCTL_CLAMPED, /* makes of it a number from 0 to 100 */
    FAKE_SYSCTL_READ_ONLY,
} FakeSysctlRule;
/* A key as the kernel has it; there are none at first. */
void host_fake_set_sysctl(Host *fake, const char *key, const char *value, FakeSysctlRule rule);

/* installed: a version or NULL; candidate: likewise, NULL when no source offers the package. */
void host_fake_set_package(Host *fake, const char *name, const char *installed,
                           const char *candidate);
/* Of a package that was set: 'a' automatic, 'e' essential, 'b' broken. */
void host_fake_mark_package(Host *fake, const char *name, const char *marks);
/* others: names separated by spaces, without which name is not to be installed. */
void host_fake_set_depends(Host *fake, const char *name, const char *others);
/* A candidate that is found once lists have been fetched. */
void host_fake_offer_later(Host *fake, const char *name, const char *version);
void host_fake_fail_refresh(Host *fake, const char *problem); /* NULL: it works */
/* name: "user:" before it for a unit of the session. */
void host_fake_set_unit(Host *fake, const char *name, const UnitInfo *info);

/* Answers host_run() for a command whose argv joined by spaces equals line; one that was never set
 * is STEAD_ERROR_NOT_FOUND. run may be NULL: exit_status and output are returned. What run leaves
 * NULL in ret_result is returned as empty. run may use the host. */
typedef void (*FakeCommand)(Host *fake, const HostCommand *command, HostCommandResult *ret_result,
                            void *data);
void host_fake_set_command(Host *fake, const char *line, int exit_status, const char *output,
                           FakeCommand run, void *data);

/* How often an operation was called since the start: "write", "run", "stat", "package_apply", ...
 * by the names in host-ops.h. Tampering is not counted. */
unsigned host_fake_count(Host *fake, const char *call);
/* Of the latest host_log(), NULL: none yet. Owned by the host, until the next one. */
const char *host_fake_last_log(Host *fake);
void host_fake_lose_events(Host *fake); /* as if the event queue had overflowed */
