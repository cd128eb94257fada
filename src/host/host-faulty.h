#pragma once
/* Another host whose n-th call fails, for crash and error tests. Thread-safe. */
#include "host/host.h"

Host *host_faulty_new(Host *base); /* base is borrowed */
/* The n-th call (1: the next) fails with error_code and message and is not made; 0 disarms. call:
 * an operation's name in host-ops.h ("write", "package_apply", ...), or NULL for any. Only the
 * latest arming counts, and it fails one call. */
void host_faulty_arm(Host *faulty, const char *call, unsigned n, int error_code,
                     const char *message);
unsigned host_faulty_calls(const Host *faulty); /* calls of every operation seen so far */
