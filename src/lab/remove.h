#pragma once
/* The end of labs, orderly or after a crash: nothing of them is left. */
#include "lab/record.h"

/* Ends the lab's keeper, and all with it, then removes its control groups and its directory; the
 * record goes last. What is not there any more is no error. Takes record_lock(). */
bool remove_lab(const Record *record, GError **error);

/* A line for each thing that was left over and is gone now. */
typedef void (*RemoveReport)(void *data, const char *text);

/* Removes all that no lab which is up, or is being set up, needs. True: nothing is left. */
bool remove_leftovers(const char *data, RemoveReport report, void *report_data, GError **error);
