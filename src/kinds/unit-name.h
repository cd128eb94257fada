#pragma once
/* Names of systemd units and where their files are, for the kinds svc and unit. */
#include <glib.h>
#include <stdbool.h>

/* With its suffix: a name without one means a service. Caller frees. */
char *unit_full_name(const char *name);
bool unit_name_check(const char *name, GError **error);
const char *unit_suffix(const char *unit); /* ".service", of a full name */
/* "getty@.service" for "getty@tty1.service"; NULL when it is no instance. */
char *unit_template(const char *unit);
bool unit_is_template(const char *unit); /* "getty@.service" */
/* Where systemd looks for files, its own first; NULL-terminated. */
const char *const *unit_directories(bool session);
