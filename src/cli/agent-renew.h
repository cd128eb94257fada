#pragma once
/* Keeps the certificate of a machine that joined a hub from expiring, while its agent runs. */
#include <glib.h>

#include "loop/loop.h"

typedef struct Renewal Renewal;
typedef void (*RenewalTell)(void *data, bool failed, const char *text);

/* directory: where agent_join() left things; a machine that did not join has none, and nothing is
 * done until it does. Looks now and every hour; tell says what was done, or why it could not. */
Renewal *renewal_new(Loop *loop, const char *directory, RenewalTell tell, void *data);
void renewal_free(Renewal *renewal); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Renewal, renewal_free)
