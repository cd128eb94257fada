#pragma once
/* The words of augeas: changes and conditions as Puppet writes them. Parsing only; augeas-lib.h
 * runs them. */
#include <glib.h>
#include <stdbool.h>

typedef enum {
    AUGEAS_SET,
    AUGEAS_SETM,
    AUGEAS_RM,
    AUGEAS_CLEAR,
    AUGEAS_CLEARM,
    AUGEAS_TOUCH,
    AUGEAS_MV,
    AUGEAS_RENAME,
    AUGEAS_INS,
    AUGEAS_DEFVAR,
    AUGEAS_DEFNODE,
    AUGEAS_GET,    /* conditions: path, comparison, text */
    AUGEAS_VALUES, /* path, clause, text or list */
    AUGEAS_MATCH,  /* path, clause (size: comparison), text or list */
} AugeasVerb;

#define AUGEAS_MAX_ARGS 4

typedef struct {
    AugeasVerb verb;
    char *args[AUGEAS_MAX_ARGS]; /* paths are absolute */
    char **list;                 /* of a clause with a list, or NULL */
} AugeasCommand;

void augeas_command_free(AugeasCommand *command); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AugeasCommand, augeas_command_free)

/* Paths that do not start with '/' or '$' are below context. Errors say what is wrong with text. */
AugeasCommand *augeas_change_parse(const char *text, const char *context, GError **error);
AugeasCommand *augeas_condition_parse(const char *text, const char *context, GError **error);
/* Which of its arguments are paths of the tree. */
bool augeas_is_path(const AugeasCommand *command, unsigned arg);
