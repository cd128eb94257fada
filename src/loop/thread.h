#pragma once
/* Threads beside the loop's. */
#include <glib.h>

/* As g_thread_try_new(), with all signals blocked whatever the mask of the caller: signals belong
 * to the loop, and one that any other thread takes is not seen by it but ends the process. */
GThread *thread_start(const char *name, GThreadFunc function, void *data, GError **error);
