#pragma once
/* A program that this process watches, and that ends with it. */
#include <glib.h>
#include <stdbool.h>

#include "loop/loop.h"

typedef struct Ward Ward;

/* status: as of waitpid(). The ward is freed by its owner, also from here. */
typedef void (*WardEnded)(void *data, int status);

/* In a process group of its own, with our standard output and errors; kill -9 of us kills it. To be
 * called in the thread that lives as long as the process. */
Ward *ward_start(Loop *loop, const char *const *arguments, WardEnded ended, void *data,
                 GError **error);
void ward_signal(const Ward *ward, int number);
/* Waits for its end, at most so long, then kills it; ended is not called. Accepts NULL. */
void ward_stop(Ward *ward, int number, unsigned milliseconds);
