#include <stddef.h>

#include "cli/command.h"

#define TO(member) offsetof(Arguments, member)

const Option option_root = {
    "root",
    0,
    G_OPTION_ARG_FILENAME,
    TO(root),
    "DIR",
    "Manage the directory tree DIR instead of this machine; works without root for files and "
    "accounts",
};
const Option option_state = {
    "state",
    0,
    G_OPTION_ARG_FILENAME,
    TO(state),
    "DIR",
    "Keep the ledger in DIR (default: /var/lib/stead, below --root: ROOT/var/lib/stead)",
};
const Option option_json = {
    "json", 0, G_OPTION_ARG_NONE, TO(json), NULL, "Print JSON, one object a line",
};
const Option option_noop = {
    "noop", 0, G_OPTION_ARG_NONE, TO(noop), NULL, "Look and report, change nothing",
};
const Option option_detailed_exitcode = {
    "detailed-exitcode",   0,    G_OPTION_ARG_NONE,
    TO(detailed_exitcode), NULL, "Exit with 2 when something changed or would change",
};
const Option option_no_color = {
    "no-color",   0,    G_OPTION_ARG_NONE,
    TO(no_color), NULL, "Print without colours (also: NO_COLOR in the environment)",
};
const Option option_values = {
    "values",   0,      G_OPTION_ARG_FILENAME,
    TO(values), "FILE", "Values the configuration reads as values.NAME: a YAML, JSON or TOML map",
};
const Option option_secrets = {
    "secrets",
    0,
    G_OPTION_ARG_FILENAME,
    TO(secrets),
    "FILE",
    "Secrets the configuration reads as secret \"NAME\": a YAML or JSON map of strings",
};
const Option option_env = {
    "env",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    TO(env),
    "NAME",
    "Let the configuration read the environment variable NAME as env.NAME (repeatable)",
};
const Option option_kinds = {
    "kinds",
    0,
    G_OPTION_ARG_FILENAME_ARRAY,
    TO(kinds),
    "DIR",
    "Also use the programs in DIR that speak for kinds (repeatable); always: /etc/stead/kinds, "
    "/usr/lib/stead/kinds and kinds beside FILE",
};
const Option option_parallel = {
    "parallel",
    0,
    G_OPTION_ARG_INT,
    TO(parallel),
    "N",
    "Work on at most N resources at once (default: twice the number of processors)",
};
const Option option_replace = {
    "replace",
    0,
    G_OPTION_ARG_NONE,
    TO(replace),
    NULL,
    "Take over from the FILE that was applied last: undo what only that one declares",
};
const Option option_force = {
    "force",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    TO(force),
    "KIND[NAME]",
    "Undo this resource, which left the configuration, although that loses data (repeatable)",
};
const Option option_sema = {
    "sema",
    0,
    G_OPTION_ARG_INT,
    TO(sema),
    "N",
    "Every resource takes one of N permits of a semaphore of all; 1 makes everything serial",
};
const Option option_converged_timeout = {
    "converged-timeout", 0,
    G_OPTION_ARG_DOUBLE, TO(converged_timeout),
    "SECONDS",           "Keep watching, and be done only after SECONDS without a change",
};
const Option option_timeout = {
    "timeout",   0,         G_OPTION_ARG_DOUBLE,
    TO(timeout), "SECONDS", "Stop after SECONDS and exit with 5 when it has not converged by then",
};
const Option option_verify = {
    "verify",
    0,
    G_OPTION_ARG_NONE,
    TO(verify),
    NULL,
    "Read every managed file again instead of trusting its unchanged inode, size and times",
};
const Option option_no_autoedges = {
    "no-autoedges",   0,    G_OPTION_ARG_NONE,
    TO(no_autoedges), NULL, "Do not add the edges that follow from what resources are",
};
const Option option_out = {
    "out", 'o', G_OPTION_ARG_FILENAME, TO(out), "FILE", "Write the result to FILE",
};
const Option option_quiet = {
    "quiet", 'q', G_OPTION_ARG_NONE, TO(quiet), NULL, "Print errors and the summary only",
};
const Option option_verbose = {
    "verbose", 'v', G_OPTION_ARG_NONE, TO(verbose), NULL, "Also print what was found right",
};
const Option option_format = {
    "format", 0, G_OPTION_ARG_STRING, TO(format), "NAME", "Output format",
};
const Option option_since = {
    "since",   0,      G_OPTION_ARG_STRING,
    TO(since), "TIME", "Only after TIME: a duration ago (90s, 15m, 2h, 7d) or 2026-01-31T08:00",
};
const Option option_until = {
    "until", 0, G_OPTION_ARG_STRING, TO(until), "TIME", "Only before TIME",
};
const Option option_kind = {
    "kind", 0, G_OPTION_ARG_STRING, TO(kind), "KIND", "Only resources of this kind",
};
const Option option_limit = {
    "limit", 'n', G_OPTION_ARG_INT, TO(limit), "N", "At most N entries",
};
const Option option_corrective = {
    "corrective",   0,    G_OPTION_ARG_NONE,
    TO(corrective), NULL, "Only corrections of drift, not changes of the configuration",
};
const Option option_flap = {
    "flap",
    0,
    G_OPTION_ARG_INT,
    TO(flap),
    "N",
    "Back off from a resource corrected more than N times a minute (default 10; 0: never)",
};
const Option option_junit = {
    "junit", 0, G_OPTION_ARG_NONE, TO(junit), NULL, "Print the results as JUnit XML instead of TAP",
};
const Option option_check = {
    "check",   0,    G_OPTION_ARG_NONE,
    TO(check), NULL, "Try the program KIND, a path, out and say what is wrong with it",
};
const Option option_key = {
    "key", 0, G_OPTION_ARG_FILENAME, TO(key), "KEY", "The file of a key; to verify also its line",
};
const Option option_data = {
    "data",   0,     G_OPTION_ARG_FILENAME,
    TO(data), "DIR", "The hub's own directory (default: /var/lib/stead-hub)",
};
const Option option_hub = {
    "hub",   0,     G_OPTION_ARG_STRING,
    TO(hub), "URL", "The hub to ask (also: STEAD_HUB; default: the one of --data on this machine)",
};
const Option option_ca = {
    "ca",   0,      G_OPTION_ARG_FILENAME,
    TO(ca), "FILE", "The hub's authority, PEM (also: STEAD_HUB_CA; default: ca.pem of --data)",
};
const Option option_token_file = {
    "token-file",
    0,
    G_OPTION_ARG_FILENAME,
    TO(token_file),
    "FILE",
    "The token that says who we are (also: STEAD_HUB_TOKEN_FILE; default: admin-token of --data)",
};
const Option option_ssh = {
    "ssh",
    0,
    G_OPTION_ARG_STRING,
    TO(ssh),
    "HOSTS",
    "Do it on these hosts instead, USER@HOST with commas between, through ssh; "
    "--parallel then counts hosts (default 10)",
};
const Option option_keep = {
    "keep", 0, G_OPTION_ARG_NONE, TO(keep), NULL, "With --ssh: leave stead there for the next time",
};
const Option option_exchange = {
    "exchange",
    0,
    G_OPTION_ARG_STRING,
    TO(exchange),
    "STORE",
    "Share what is published with the other hosts in STORE: hub (the default where this machine "
    "joined one), hub=DIR (with what joining left in DIR), etcd=URL[,URL...], sqlite=FILE, or "
    "none; with --ssh and --watch: ssh, through the connections to the hosts",
};
const Option option_exchange_host = {
    "host",
    0,
    G_OPTION_ARG_STRING,
    TO(exchange_host),
    "NAME",
    "This host's name in the exchange (default: as it joined its hub, or its hostname)",
};
const Option option_may_publish = {
    "may-publish",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    TO(may_publish),
    "PATH",
    "Also allow to publish PATH, or all below it with a slash at its end; {host} in it is this "
    "host's name (repeatable)",
};
const Option option_exchange_ttl = {
    "exchange-ttl",   0,
    G_OPTION_ARG_INT, TO(exchange_ttl),
    "SECONDS",        "What this host publishes is gone so long after it was lost (default 60)",
};
