#pragma once
/* What the sections share. */
#include "adopt/adopt.h"
#include "adopt/inventory.h"
#include "adopt/page.h"
#include "graph/kind.h"

#define INLINE_SIZE        2000 /* bytes of a file's content that are written into the page */
#define INLINE_LINES       40
#define LIMIT_ADOPTED_FILE (1024u * 1024) /* bytes of a file that is taken at all */

/* One thing in /etc. */
typedef struct {
    char *path;
    FileInfo info;
    const char *owner; /* name of the package that has it; NULL: none */
} EtcEntry;

typedef struct Form Form;

typedef struct Adopt {
    Host *host;
    const AdoptOptions *options;
    Inventory *inventory;
    GPtrArray *etc;         /* of EtcEntry, sorted by path, directories before what is in them */
    GHashTable *claimed;    /* paths that a section has dealt with */
    GHashTable *declared;   /* "kind name" of all that was taken */
    GHashTable *services;   /* name of a svc -> Form: those that will be taken */
    GHashTable *service_of; /* package -> name of its svc, when one of services */
    unsigned usual_units;   /* enabled on every Debian */
    char *units_problem;    /* why systemd does not answer; NULL: it does */
    AdoptResult *result;
    GString *secrets; /* YAML */
    Page *page;       /* of the section that runs */
    unsigned taken;   /* by it */
    char *note;       /* see AdoptSection */
} Adopt;

typedef struct {
    const char *name, *title;
    const char *help; /* below the heading; NULL: none */
    /* Finds out what others must know before anything is written; wanted: it will be shown. NULL:
     * nothing. */
    void (*collect)(Adopt *adopt, bool wanted);
    void (*write)(Adopt *adopt);
    const char *const *patterns; /* of paths in /etc, for section_files_write() */
} Section;

/* --- forms: a resource on its way to the page (form.c) */

/* NULL when there is no such kind; every call below accepts that. */
Form *form_new(const char *kind, const char *name);
void form_free(Form *form);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Form, form_free)
void form_string(Form *form, const char *param, const char *text);
void form_int(Form *form, const char *param, int64_t number);
void form_bool(Form *form, const char *param, bool yes);
void form_list(Form *form, const char *param, const char *const *items);      /* NULL-terminated */
void form_text(Form *form, const char *param, const char *text, size_t size); /* as [[ ]] */
/* content, written to a file beside the configuration and named as the source. */
void form_source(Form *form, const char *source, GBytes *content);
void form_secret(Form *form, const char *param, const char *secret, const char *text, size_t size);
void form_notify(Form *form, const char *kind, const char *name);
/* Whether its kind finds nothing to do; problem (may be NULL) says what it would do. */
bool form_fits(Form *form, Host *host, char **ret_problem);
/* When it fits and nothing of that name is declared yet: appends it to the page. */
bool adopt_take(Adopt *adopt, Form *form);
bool adopt_is_declared(Adopt *adopt, const char *kind, const char *name);

/* --- files (take-file.c) */

typedef enum {
    TAKEN,
    TAKE_SECRET,     /* left out: see AdoptOptions.with_secrets */
    TAKE_UNREADABLE, /* told in result->unread */
    TAKE_UNFIT,      /* a device, too large, ... */
} TakeResult;

/* A `file` for what is at path, with its directories as far as no package has them. notify: the
 * name of a svc, or NULL. */
TakeResult adopt_take_file(Adopt *adopt, const char *path, const char *notify);
bool adopt_is_private(Adopt *adopt, const char *path, const FileInfo *info, GBytes *content);
/* Keeps a secret for secrets.yaml. */
void adopt_keep_secret(Adopt *adopt, const char *name, const char *text, size_t size);

/* --- helpers (adopt.c) */

bool adopt_claim(Adopt *adopt, const char *path); /* false: somebody has */
bool adopt_is_claimed(Adopt *adopt, const char *path);
/* Content as a string; NULL when absent, or unreadable: that is told. */
char *adopt_read(Adopt *adopt, const char *path);
void adopt_tell_unread(Adopt *adopt, const char *path, const GError *error);
void adopt_note(Adopt *adopt, const char *format, ...) G_GNUC_PRINTF(2, 3); /* adds "; ..." */
void adopt_sort(GPtrArray *texts); /* of char *, by bytes */
extern const Section sections[];   /* ends with a row without a name */

void section_names_write(Adopt *adopt);
void section_packages_write(Adopt *adopt);
void section_users_write(Adopt *adopt);
void section_units_collect(Adopt *adopt, bool wanted);
void section_units_write(Adopt *adopt);
void section_cron_write(Adopt *adopt);
void section_mounts_write(Adopt *adopt);
void section_sysctl_write(Adopt *adopt);
void section_files_write(Adopt *adopt, const char *const *patterns);
void section_conffiles_write(Adopt *adopt);
void section_rest_write(Adopt *adopt);
/* The entries of a user's crontab, or all of it as a file; nothing when there is none. */
void take_crontab(Adopt *adopt, const char *user);
