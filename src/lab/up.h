#pragma once
/* Setting a lab up. */
#include "lab/base.h"
#include "lab/lab.h"

/* host NULL: text is a line of progress, is_detail one of mmdebstrap's. Else the host's state has
 * changed to text. */
typedef void (*UpProgress)(void *data, const char *host, bool is_detail, const char *text);

/* Takes the lab over. Either all of it is up, or nothing is left; CANCELLED after SIGINT or
 * SIGTERM. */
bool up_run(const char *data, Lab *lab, UpProgress progress, void *progress_data, GError **error);
/* False: this lab cannot be set up here; the error says what to install, or to allow. */
bool up_check(const char *data, const Lab *lab, GError **error);
