#pragma once
/*
 * cli: the stead command. One file a command, each ending in a const Command; the list is
 * commands.c. Uses everything below. --help, man pages, completion and the reference are generated
 * from these rows.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes, everywhere the same. */
typedef enum {
    EXIT_DONE = 0,        /* nothing failed; with --detailed-exitcode: nothing changed */
    EXIT_REFUSED = 1,     /* bad usage, bad configuration or refused: nothing was touched */
    EXIT_CHANGED = 2,     /* --detailed-exitcode: changed, or changes are pending */
    EXIT_UNREACHABLE = 3, /* the hub that was asked gave no answer: nothing is known */
    EXIT_FAILURES = 4,    /* some resources failed, the rest were done; 6: and some changed */
    EXIT_BLOCKED = 5,     /* blocked or timed out before converging */
    EXIT_INTERRUPTED = 130,
} ExitCode;

/* Everything options can say; each command lists those it takes. Strings are owned. */
typedef struct {
    char *root, *state, *values, *secrets, *out, *format, *since, *until, *kind, *output_dir, *only,
        *except, *key, *comment, *message, *previous, *digest, *store, *store_ca, *store_cert,
        *store_key, *store_user, *store_password_file, *lease, *data, *listen, *hub, *ca,
        *token_file, *token, *fingerprint, *host, *role, *ttl, *lab, *ssh, *exchange,
        *exchange_host, *to, *strategy, *fact, *etcd, *interval, *directory;
    char **labels, **may_publish, **deploy_keys, **names, **env, **force, **kinds;
    gboolean json, noop, detailed_exitcode, no_color, quiet, verify, no_autoedges, corrective, help;
    gboolean verbose, yes, junit, replace, all_files, all_packages, with_secrets, overwrite, check;
    gboolean prefix, keys_only, keep, watch, sign_only;
    int exchange_ttl, keep_drift, keep_audit, keep_history;
    int parallel, sema, flap, limit, record, size, grace, every, retain;
    int64_t revision, host_bytes, host_keys;
    double converged_timeout, timeout;
} Arguments;

/* One option: a GOptionEntry whose target is a member of Arguments. */
typedef struct {
    const char *name;
    char letter; /* 0: none */
    GOptionArg type;
    size_t offset;        /* of the member of Arguments */
    const char *argument; /* placeholder in help; NULL: takes none */
    const char *help;
} Option;

typedef struct {
    const char *name;
    const char *arguments; /* "FILE" in the usage line; "" for none */
    unsigned min_arguments, max_arguments;
    const char *summary; /* one line */
    const char *help;    /* the manual's body */
    const char *example;
    const Option *const *options; /* NULL-terminated list of rows from options.c */
    int (*run)(const Arguments *arguments, char **words);
    /* How many of the words, the command's own name among them, stand before those that are another
     * program's, so that none of them is an option of ours; 0: there are none. NULL: never. */
    unsigned (*own_words)(char **words);
} Command;

extern const Command *const commands[]; /* NULL-terminated */

const Command *command_find(const char *name);

/* options.c: the rows, shared between commands */
extern const Option option_root, option_state, option_json, option_noop, option_detailed_exitcode,
    option_no_color, option_values, option_secrets, option_env, option_parallel, option_sema,
    option_converged_timeout, option_timeout, option_verify, option_no_autoedges, option_out,
    option_quiet, option_format, option_since, option_until, option_kind, option_limit,
    option_corrective, option_flap, option_junit, option_verbose, option_replace, option_force,
    option_kinds, option_check, option_key, option_data, option_hub, option_ca, option_token_file,
    option_ssh, option_keep, option_exchange, option_exchange_host, option_may_publish,
    option_exchange_ttl;
