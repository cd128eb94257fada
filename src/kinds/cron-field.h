#pragma once
/* The five fields of a line of a crontab: crontab(5). */
#include <glib.h>
#include <stdbool.h>

typedef enum {
    CRON_MINUTE,
    CRON_HOUR,
    CRON_MONTHDAY,
    CRON_MONTH,
    CRON_WEEKDAY,
    N_CRON_FIELDS,
} CronField; /* in the order in which they stand on the line */

/* One value, range or step, or several with commas between, as cron takes it: numbers without
 * leading zeros, for names too. NULL with error when cron would not take it. Caller frees. */
char *cron_field_parse(CronField field, const char *text, GError **error);
/* "" or a word such as "daily" that stands for all five; NULL-terminated. */
extern const char *const cron_specials[];
