#pragma once
/* Which Puppet type becomes which kind, and which of its parameters which of the kind's: tables. */
#include "graph/resource.h"

typedef struct PuppetTarget PuppetTarget;
typedef struct PuppetParam PuppetParam;

/* Converts one value. The error says what is wrong; the caller puts resource and parameter before
 * it. */
typedef bool (*PuppetConvert)(PuppetTarget *target, const PuppetParam *row, const Value *input,
                              GError **error);

struct PuppetParam {
    const char *name; /* in Puppet */
    PuppetConvert convert;
    const char *param; /* of the kind; NULL: the converter knows, or there is none */
    const char *words; /* what the converter is told: "present>exists absent>absent" */
    const char *text;  /* why it is refused or has no effect, and what to do instead */
};

typedef struct {
    const char *name; /* in lower case */
    const char *kind; /* NULL: the type has no effect of its own, or (refusal) is not supported */
    const char *namevar; /* its value is what is meant on the host; defaults to the title */
    const char *named;   /* the kind's parameter for that; NULL: the resource's name itself */
    const PuppetParam *params;
    unsigned n_params;
    const char *refusal; /* with kind NULL */
    /* Looks at all parameters together, after each was converted. NULL: nothing to do. */
    bool (*finish)(PuppetTarget *target, GError **error);
    bool several; /* two of them may have one namevar: a command, a message */
} PuppetType;

extern const PuppetType puppet_types[];
extern const unsigned puppet_types_count;
/* What every type takes, but for relationships. */
extern const PuppetParam puppet_metaparams[];
extern const unsigned puppet_metaparams_count;

const PuppetType *puppet_type_find(const char *name); /* in any case; NULL: not there */

/* Converters, each also a name for what a row does. */
bool puppet_set(PuppetTarget *target, const PuppetParam *row, const Value *input, GError **error);
bool puppet_set_bool(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error);
bool puppet_set_int(PuppetTarget *target, const PuppetParam *row, const Value *input,
                    GError **error);
bool puppet_set_text(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error); /* anything as text */
bool puppet_set_list(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error); /* of texts; nothing for the word "absent" */
bool puppet_set_word(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error); /* by words */
bool puppet_name(PuppetTarget *target, const PuppetParam *row, const Value *input,
                 GError **error); /* the namevar: done elsewhere */
/* No effect in stead; a warning says so, unless the value is one of words or there is no text. */
bool puppet_ignore(PuppetTarget *target, const PuppetParam *row, const Value *input,
                   GError **error);
/* A problem, unless the value is one of words. */
bool puppet_refuse(PuppetTarget *target, const PuppetParam *row, const Value *input,
                   GError **error);

/* puppet-augeas.c, puppet-file.c, puppet-exec.c, puppet-service.c: what takes more than a word. */
#define PUPPET_CONVERTER(name)                                                                     \
    bool name(PuppetTarget *target, const PuppetParam *row, const Value *input, GError **error)
PUPPET_CONVERTER(puppet_file_ensure);
PUPPET_CONVERTER(puppet_file_mode);
PUPPET_CONVERTER(puppet_file_recurse);
PUPPET_CONVERTER(puppet_file_source);
PUPPET_CONVERTER(puppet_file_validate);
PUPPET_CONVERTER(puppet_exec_command);
PUPPET_CONVERTER(puppet_exec_guard);
PUPPET_CONVERTER(puppet_exec_refresh);
PUPPET_CONVERTER(puppet_exec_path);
PUPPET_CONVERTER(puppet_exec_environment);
PUPPET_CONVERTER(puppet_exec_tries);
PUPPET_CONVERTER(puppet_exec_seconds);
PUPPET_CONVERTER(puppet_package_ensure);
PUPPET_CONVERTER(puppet_package_options);
PUPPET_CONVERTER(puppet_package_source);
PUPPET_CONVERTER(puppet_service_enable);
PUPPET_CONVERTER(puppet_service_restart);
PUPPET_CONVERTER(puppet_user_gid);
PUPPET_CONVERTER(puppet_cron_target);
PUPPET_CONVERTER(puppet_augeas_context);
PUPPET_CONVERTER(puppet_augeas_load_path);
PUPPET_CONVERTER(puppet_meta_noop);
PUPPET_CONVERTER(puppet_meta_schedule);
bool puppet_file_finish(PuppetTarget *target, GError **error);
bool puppet_exec_finish(PuppetTarget *target, GError **error);
bool puppet_service_finish(PuppetTarget *target, GError **error);
bool puppet_augeas_finish(PuppetTarget *target, GError **error);
bool puppet_user_finish(PuppetTarget *target, GError **error);
bool puppet_mount_finish(PuppetTarget *target, GError **error);

/* For converters: sets a parameter of the kind (taking ownership of value), secret when the input
 * is; reads what the catalog gives for another parameter (NULL: nothing); whether a value is one of
 * words; the text of a text or number, NULL: it is neither; caller frees. */
bool puppet_target_set(PuppetTarget *target, const char *param, Value *value, GError **error);
bool puppet_target_set_meta(PuppetTarget *target, const char *param, Value *value, GError **error);
const Value *puppet_target_input(const PuppetTarget *target, const char *name);
bool puppet_is_one_of(const Value *value, const char *words);
char *puppet_text_of(const Value *value);
bool puppet_refused(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
