#pragma once
/* What ssh(1) says when it does not get through, in one line with what to do. */
#include <glib.h>

/* said: what it wrote on standard error; ended: how it ended. */
void ssh_explain(const char *host, const char *said, const char *ended, GError **error);
