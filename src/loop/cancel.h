#pragma once
/* A request to stop, shared between the loop and one worker: a flag, a descriptor to poll, a
 * deadline. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Cancel Cancel;

Cancel *cancel_new(uint64_t timeout_us); /* 0: no deadline; counted from now */
Cancel *cancel_ref(Cancel *cancel);
void cancel_unref(Cancel *cancel); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cancel, cancel_unref)

void cancel_request(Cancel *cancel); /* thread-safe, idempotent */
void cancel_kill(Cancel *cancel);    /* stronger: children get SIGKILL at once */
bool cancel_wants_kill(const Cancel *cancel);
/* Returns false with STEAD_ERROR_CANCELLED or _TIMEOUT once requested or late. NULL never cancels.
 */
bool cancel_check(const Cancel *cancel, GError **error);
/* Readable once requested (not at the deadline); made on first use; owned by cancel. -1 when the
 * process has no descriptor left: poll() skips it, and only the deadline is seen. */
int cancel_fd(Cancel *cancel);
int cancel_poll_timeout_ms(const Cancel *cancel); /* until the deadline, rounded up; -1: none */
