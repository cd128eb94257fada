#pragma once
/* The lock of lckpwdf(3) of a directory tree: an fcntl write lock on its /etc/.pwd.lock, which
 * useradd, passwd and systemd-sysusers take as well. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/host.h"

#define ACCOUNTS_LOCK_TIMEOUT_US 15000000 /* as lckpwdf(3) waits */

/* Waits until the lock is free. root: "/" or a directory; no link leads out of it. Closing *ret_fd
 * releases the lock. STEAD_ERROR_TIMEOUT names the process that has it, where that is known. */
bool accounts_lock_take(const char *root, uint64_t timeout_us, int *ret_fd, GError **error);

/* Sets the error for a root without /etc, where there is nothing to lock; returns false. */
bool accounts_lock_no_directory(GError **error);
/* The operation lock_accounts of the real host. */
bool real_lock_accounts(Host *host, int *ret_fd, GError **error);
