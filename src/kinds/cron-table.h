#pragma once
/*
 * A crontab as text: crontab(5). Entries that stead keeps stand below a comment that names them, as
 * Puppet and Ansible do it; theirs are recognised, so that entries move from one to the other. The
 * environment of an entry stands between that comment and the command, and holds for all that comes
 * after it in the file, so an entry with an environment is put behind those without.
 */
#include "kinds/cron-field.h"
#include "kinds/edit.h"

/* One entry; in a table of the system it has a user. */
typedef struct {
    char *title;        /* "" : it has no comment that names it */
    char **environment; /* "NAME=value" each */
    char *special;      /* "daily"; "": the fields say when */
    char
        *fields[N_CRON_FIELDS]; /* as cron_field_parse() gives them, or as found; "" with special */
    char *user;                 /* NULL in a user's own table */
    char *command;
} CronEntry;

void cron_entry_clear(CronEntry *entry);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CronEntry, cron_entry_clear)

typedef struct {
    bool system;  /* lines name a user, as in /etc/cron.d */
    bool created; /* the file was made by us: without entries, nothing of it stays */
} CronTable;

/* The entry of that title; without one, a line without title that does the same as `like` at the
 * same times. False: there is none. Of several with one title the commands are joined by newlines.
 */
bool cron_table_find(const CronTable *table, GBytes *bytes, const CronEntry *like,
                     CronEntry *ret_entry);
/* Appends the text with the entry put in the place of what cron_table_find() finds. */
void cron_table_set(const CronTable *table, GBytes *bytes, const CronEntry *entry, GString *out);
/* Appends the text without all entries of that title. */
void cron_table_remove(const CronTable *table, GBytes *bytes, const char *title, GString *out);

/* "NAME=value" with the blanks around '=' dropped; NULL when it is no setting. Caller frees. */
char *cron_environment_parse(const char *text);
