#pragma once
/*
 * One container: systemd-nspawn on an overlay of its base. Runs in the keeper only, whose mounts
 * and processes end with it.
 *
 *   off --start--> starting --ready--> running --reboot--> stopping --gone--> starting
 *   any --kill, or its own end--> off; a reboot that the host does itself starts it again
 */
#include "lab/record.h"
#include "loop/loop.h"

typedef enum {
    CONTAINER_OFF,
    CONTAINER_STARTING,
    CONTAINER_RUNNING,
    CONTAINER_STOPPING
} ContainerState;

typedef struct Container Container;

/* After each change of state. problem: why it did not come up, or did not go down; else NULL. */
typedef void (*ContainerChanged)(void *data, Container *container, const char *problem);

/* record and loop are borrowed and outlive it. */
Container *container_new(const Record *record, unsigned host, Loop *loop, ContainerChanged changed,
                         void *data);
void container_free(Container *container); /* accepts NULL; what runs is not ended */
/* Once: where it writes stays mounted while the keeper lives. */
bool container_mount(Container *container, GError **error);

bool container_start(Container *container, GError **error); /* only when it is off */
/* As by pulling the plug. It is off when that has been done: container_ended(). */
void container_kill(Container *container);
bool container_reboot(Container *container, GError **error); /* orderly; only when it is running */
/* A child of the keeper has ended; false: it is not this container's. */
bool container_ended(Container *container, pid_t pid, int status);

ContainerState container_state(const Container *container);
const char *container_state_name(ContainerState state);
const LabHost *container_host(const Container *container);
/* The same host in another lab, that its record now has. */
void container_set_host(Container *container, unsigned host);
void container_unmount(Container *container);        /* only when it is off */
int64_t container_since(const Container *container); /* us since the epoch: of the last change */
/* pidfd of its first process, borrowed; -1: it has none yet, or no more. */
int container_leader(const Container *container);
