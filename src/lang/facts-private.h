#pragma once
/* Reading small system files, for facts*.c only. */
#include "host/host.h"

/* Content as text, without blanks at its ends; NULL when unreadable or not text. Caller frees. */
char *facts_text(Host *host, const char *format, ...) G_GNUC_PRINTF(2, 3);
