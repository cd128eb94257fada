#pragma once
/* A whole machine in memory, for tests: files, accounts, packages, units, scripted commands. Starts
 * as an empty root with /etc, /etc/passwd (root), /etc/group (root), /tmp, /var. */
#include "host/host.h"

Host *host_fake_new(void);

/* Somebody else changes the machine: same effect as the host_ call, but every watch reports it. */
bool host_fake_tamper_write(Host *fake, const char *path, const char *text);
bool host_fake_tamper_remove(Host *fake, const char *path); /* with everything below */
bool host_fake_tamper_mode(Host *fake, const char *path, mode_t mode);

void host_fake_set_package(Host *fake, const char *name, const char *installed,
                           const char *candidate);
void host_fake_set_unit(Host *fake, const char *name, const UnitInfo *info);

/* Answers host_run() for a command whose argv joined by spaces equals line. run may be NULL:
 * exit_status and output are returned. The host counts calls. */
typedef void (*FakeCommand)(Host *fake, const HostCommand *command, HostCommandResult *ret_result,
                            void *data);
void host_fake_set_command(Host *fake, const char *line, int exit_status, const char *output,
                           FakeCommand run, void *data);
unsigned host_fake_count(
    Host *fake,
    const char *call); /* "write", "run", "stat", "package_apply", ... since the start */
const char *host_fake_last_log(Host *fake);
void host_fake_lose_events(Host *fake); /* as if the event queue had overflowed */
