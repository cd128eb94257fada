#pragma once
/*
 * adopt: a configuration from what a machine is. Uses everything up to engine, lang and kinds.
 *
 * Each section (the table in adopt.c) reads one side of the machine through Host and writes the
 * resources that say it as a page of Lua. A resource is taken only when its kind, asked there and
 * then, finds the machine to be just so already: applying the result changes nothing, whatever a
 * kind would insist on. What cannot be said by the kind that fits best is said by `file`, else it
 * is told in a comment.
 *
 * Nothing is changed here, and nothing is written until adopt_write().
 */
#include <glib.h>
#include <stdbool.h>

#include "host/host.h"

/* A file of the result. */
typedef struct {
    char *path; /* relative to the directory of the result */
    GBytes *content;
} AdoptFile;

/* What became of a section. */
typedef struct {
    const char *name, *title;
    unsigned taken; /* resources */
    char *note;     /* what was left out, for people; NULL: nothing */
} AdoptSection;

typedef struct {
    GPtrArray *files;    /* of AdoptFile, site.lua first */
    GPtrArray *sections; /* of AdoptSection, those that were asked for */
    GPtrArray *unread;   /* of char *: what could not be read, and why */
    unsigned taken;      /* resources of all sections */
    unsigned secrets;    /* entries of secrets.yaml */
} AdoptResult;

void adopt_result_free(AdoptResult *result); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AdoptResult, adopt_result_free)

typedef struct {
    const char *only, *except; /* names of sections with commas between; NULL: all, none */
    bool all_files;            /* also those in /etc that no package has and no section knows */
    bool all_packages;         /* also those that every Debian has */
    bool with_secrets;         /* password hashes and private files, to secrets.yaml */
    /* Told before each section; may be NULL. */
    void (*progress)(void *data, const char *title);
    void *data;
} AdoptOptions;

/* Looks at the whole machine. What cannot be read is told, not an error. */
AdoptResult *adopt_collect(Host *host, const AdoptOptions *options, GError **error);

/* Names of all sections, with what they are about, for help: "hostname: ...". */
const char *adopt_section_name(unsigned index); /* NULL: there are no more */
const char *adopt_section_title(unsigned index);

/* Whether directory has something that adopt_write() would replace: STEAD_ERROR_EXISTS. Also
 * whether it can be made at all. */
bool adopt_check_place(const char *directory, GError **error);
/* Writes all files, for nobody but the caller to read, and none of them half: interrupted, the
 * directory has what it had before. overwrite: instead of what is there. */
bool adopt_write(const AdoptResult *result, const char *directory, bool overwrite, GError **error);

/* Evaluates what was written and plans it on the machine. Adds to differences (of char *) what
 * applying it would change. False when it cannot be evaluated at all. */
bool adopt_check(Host *host, const char *directory, GPtrArray *differences, GError **error);
