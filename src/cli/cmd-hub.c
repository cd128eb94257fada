/* stead hub: what a fleet meets at. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/hub-call.h"
#include "cli/hub-channel.h"
#include "cli/hub-migrate.h"
#include "cli/printer.h"
#include "cli/store-option.h"
#include "cli/verbs.h"
#include "cluster/dump.h"
#include "hub/hub.h"

static void on_stop(void *data, int signal_number) {
    loop_quit(data);
}

static void tell_start(Printer *printer, const Hub *hub, const char *data) {
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "url", value_new_string(hub_url(hub)));
        value_map_set(map, "ca_fingerprint", value_new_string(hub_ca_fingerprint(hub)));
        if (hub_first_token(hub))
            value_map_set(map, "token", value_new_string(hub_first_token(hub)));
        printer_json(printer, "started", map);
    } else {
        printer_line(printer, STYLE_STRONG, "hub at %s", hub_url(hub));
        printer_line(printer, STYLE_PLAIN, "authority %s", hub_ca_fingerprint(hub));
        if (hub_first_token(hub))
            printer_line(printer, STYLE_PLAIN,
                         "token of the first admin, told once: %s (kept in %s/admin-token)",
                         hub_first_token(hub), data);
    }
    loop_tell_ready();
    (void)fflush(stdout); /* who waits for the line may read from a pipe */
}

static Store *open_store(Loop *loop, const Arguments *arguments, const char *data, GError **error) {
    const char *where = arguments->store ? arguments->store : g_getenv("STEAD_STORE");
    g_autofree char *own = g_strdup_printf("sqlite=%s/state.db", data);
    if (!where && g_mkdir_with_parents(data, 0700) < 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO,
                    "make '%s': %s; --data DIR names another directory", data, g_strerror(errno));
        return NULL;
    }
    if (!where && !hub_check_not_migrated(data, error))
        return NULL;
    return store_open_named(loop, where ? where : own, arguments, error);
}

static bool serve(const Arguments *arguments, Printer *printer, Loop *loop, Store *store,
                  const char *data, GError **error) {
    HubOptions options = { .loop = loop,
                           .state = store,
                           .data = data,
                           .listen = arguments->listen ? arguments->listen : ":",
                           .names = (const char *const *)arguments->names,
                           .keep_drift_days = (unsigned)MAX(arguments->keep_drift, 0),
                           .keep_audit_days = (unsigned)MAX(arguments->keep_audit, 0),
                           .keep_history_minutes = (unsigned)MAX(arguments->keep_history, 0),
                           .host_bytes = (uint64_t)MAX(arguments->host_bytes, 0),
                           .host_keys = (uint64_t)MAX(arguments->host_keys, 0),
                           .limits.connections_per_address = 0 };
    /* Before threads start, or these would get the signals. */
    g_autoptr(LoopSource) on_int = loop_watch_signal(loop, SIGINT, on_stop, loop, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(loop, SIGTERM, on_stop, loop, error) : NULL;
    bool whole = on_term && dump_check_whole(store, error);
    g_autoptr(Hub) hub = whole ? hub_new(&options, error) : NULL;
    if (!hub)
        return false;
    tell_start(printer, hub, data);
    return loop_run(loop, error);
}

static int serve_until_stopped(const Arguments *arguments, Printer *printer, const char *data) {
    g_autoptr(GError) error = NULL;
    hub_raise_descriptors();
    Loop *loop = loop_new(&error);
    Store *store = loop ? open_store(loop, arguments, data, &error) : NULL;
    bool served = store && serve(arguments, printer, loop, store, data, &error);
    if (!served)
        printer_error(printer, error);
    store_free(store);
    loop_free(loop);
    return served ? EXIT_DONE : EXIT_REFUSED;
}

static int migrate(const Arguments *arguments, char **words) {
    return hub_migrate(arguments, arguments->data ? arguments->data : HUB_DATA_DEFAULT);
}

static const struct {
    Verb verb;
    int (*run)(const Arguments *arguments, char **words);
} verbs[] = {
    { { "channel", "add NAME URL#BRANCH | list | check NAME | remove NAME", 1, 3 }, hub_channel },
    { { "migrate", "", 0, 0 }, migrate },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    const char *data = arguments->data ? arguments->data : HUB_DATA_DEFAULT;
    if (!words[0])
        return serve_until_stopped(arguments, printer, data);
    int verb = VERB_FIND("hub", verbs, words, &error);
    if (verb >= 0)
        return verbs[verb].run(arguments, words + 1);
    printer_error(printer, error);
    return EXIT_REFUSED;
}

#define TO(member) offsetof(Arguments, member)

static const Option option_listen = {
    "listen",   0,           G_OPTION_ARG_STRING,
    TO(listen), "ADDR:PORT", "Where to answer (default: port 8440 of all addresses)",
};
static const Option option_name = {
    "name",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    TO(names),
    "NAME",
    "A further name or address by which others reach this hub (repeatable); its own are known",
};

static const Option option_keep_drift = {
    "keep-drift",   0,      G_OPTION_ARG_INT,
    TO(keep_drift), "DAYS", "How long repairs that hosts report are kept (default: 30)",
};
static const Option option_keep_audit = {
    "keep-audit",   0,      G_OPTION_ARG_INT,
    TO(keep_audit), "DAYS", "How long records of the audit log are kept (default: 365)",
};
static const Option option_host_bytes = {
    "host-bytes",   0,       G_OPTION_ARG_INT64,
    TO(host_bytes), "BYTES", "How much of the store each host may have (default: 33554432)",
};
static const Option option_host_keys = {
    "host-keys",   0,   G_OPTION_ARG_INT64,
    TO(host_keys), "N", "How many keys of the store each host may have (default: 50000)",
};

static const Option option_keep_history = {
    "keep-history",
    0,
    G_OPTION_ARG_INT,
    TO(keep_history),
    "MINUTES",
    "How long the store remembers what was before, for who was away (default: 60)",
};

static const Option option_interval = {
    "interval",   0,      G_OPTION_ARG_STRING,
    TO(interval), "TIME", "channel add: how often the repository is asked (default: 60s)",
};
static const Option option_directory = {
    "directory",   0,     G_OPTION_ARG_STRING,
    TO(directory), "SUB", "channel add: where in the repository main.lua is (default: its top)",
};
static const Option option_hub_to = {
    "to",
    0,
    G_OPTION_ARG_STRING,
    TO(to),
    "TEXT",
    "channel add: for which hosts: all, web*, 'role=web and site=ams1' (default: all); "
    "migrate: the empty store that gets everything: etcd=URL[,URL...]",
};
static const Option option_channel_strategy = {
    "strategy",
    0,
    G_OPTION_ARG_STRING,
    TO(strategy),
    "STRATEGY",
    "channel add: how it goes from host to host: batch=2,soak=60s,max-failures=1",
};

static const Option *const options[] = {
    &option_data,
    &option_keep_drift,
    &option_keep_audit,
    &option_keep_history,
    &option_host_bytes,
    &option_host_keys,
    &option_listen,
    &option_name,
    &option_store,
    &option_store_ca,
    &option_store_cert,
    &option_store_key,
    &option_store_user,
    &option_store_password_file,
    &option_interval,
    &option_directory,
    &option_hub_to,
    &option_channel_strategy,
    &option_hub,
    &option_ca,
    &option_token_file,
    &option_json,
    &option_quiet,
    &option_no_color,
    NULL,
};

const Command command_hub = {
    .name = "hub",
    .arguments = "[migrate | channel add NAME URL#BRANCH | channel list | channel check NAME | "
                 "channel remove NAME]",
    .min_arguments = 0,
    .max_arguments = 4,
    .summary = "Run the hub of a fleet",
    .help =
        "Lets hosts join, keeps who they are, and tells what happens. The first start makes an "
        "authority for\n"
        "certificates and a token for the first admin, which is printed once. Everything but "
        "that token is in\n"
        "the store: state.db in --data, or --store etcd=URL[,URL...], over which several hubs "
        "are equal.\n"
        "migrate moves it from that file to an empty etcd, --to, with the hub stopped; it may be "
        "run again.\n"
        "GET /v1/openapi.json describes what it can be asked. See doc/hub.md.\n\n"
        "channel add lets a hub that runs follow a branch of a git repository: each commit that "
        "was signed with\n"
        "`stead deploy DIR --sign-only` is deployed within --interval. list tells what came of "
        "the newest commits,\n"
        "check looks now and says so, remove ends it; what was deployed stays. See "
        "doc/deploys.md.",
    .example = "stead hub --data /var/lib/stead-hub --listen 192.0.2.1:8440",
    .options = options,
    .run = run,
};
