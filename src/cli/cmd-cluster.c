/* stead cluster: members of etcd that look after themselves. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/plural.h"
#include "cli/agent-join.h"
#include "cli/cluster-link.h"
#include "cli/cluster-status.h"
#include "cli/commands.h"
#include "cli/hub-call.h"
#include "cli/join-token.h"
#include "cli/printer.h"
#include "cli/time-text.h"
#include "cli/verbs.h"
#include "cluster/cluster.h"
#include "cluster/dump.h"

#define TOKEN_TTL_S 3600

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    const char *data;
    ClusterLink link;
} Context;

static int64_t now_s(void) {
    return g_get_real_time() / G_USEC_PER_SEC;
}

static bool check_size(int64_t size, GError **error) {
    if (size >= 1 && size <= CLUSTER_SIZE_MAX && cluster_size_is_good((unsigned)size))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "a cluster of %" G_GINT64_FORMAT
                " members: write 1, 3, 5 or 7; one more than an odd number bears no more losses",
                size);
    return false;
}

/* 0: not given. An election takes two seconds, in which nobody has a leader. */
static bool check_grace(int grace, GError **error) {
    if (grace == 0 || (grace >= 3 && grace <= 86400))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "read '--grace %d': write 3 to 86400 seconds", grace);
    return false;
}

/* --- a new host */

static Berth *make_place(const Context *context, GError **error) {
    const Arguments *arguments = context->arguments;
    if (!arguments->listen) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "--listen is missing: one address of this host by which the others "
                            "reach it, such as --listen 192.0.2.1");
        return NULL;
    }
    return berth_make(context->data, arguments->host ? arguments->host : g_get_host_name(),
                      arguments->listen, error);
}

static void tell_next(const Context *context, const Berth *berth, const char *what) {
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(berth->name));
        value_map_set(map, "client", value_new_string(berth->client));
        printer_json(context->printer, what, map);
        return;
    }
    printer_line(context->printer, STYLE_GOOD, "%s as %s", what, berth->name);
    if (strcmp(context->data, BERTH_DEFAULT) == 0)
        printer_line(context->printer, STYLE_PLAIN, "next: systemctl enable --now stead-cluster");
    else
        printer_line(context->printer, STYLE_PLAIN, "next: stead cluster member --data %s",
                     context->data);
}

static bool init(Context *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    int size = arguments->size ? arguments->size : (int)CLUSTER_SIZE;
    if (!check_size(size, error) || !check_grace(arguments->grace, error))
        return false;
    unsigned grace = arguments->grace ? (unsigned)arguments->grace : CLUSTER_GRACE_S;
    g_autoptr(Berth) berth = make_place(context, error);
    if (!berth || !berth_found(berth, (unsigned)size, grace, now_s(), error))
        return false;
    tell_next(context, berth, "initialized");
    return true;
}

static bool keep_answer(Berth *berth, const Value *answer, const char *authority, GError **error) {
    const char *member = value_map_string(answer, "member", ""),
               *client = value_map_string(answer, "client", "");
    g_autoptr(PkiKey) key = berth_key(berth, error);
    if (!key || !join_check_certificate(member, key, error) ||
        !join_check_certificate(client, key, error))
        return false;
    g_free(berth->name);
    berth->name = g_strdup(value_map_string(answer, "name", ""));
    return berth_complete(berth, authority, member, client,
                          value_map_string(answer, "endpoints", ""), error);
}

static Value *ask_door(const Berth *berth, const char *url, const char *authority,
                       const char *token, GError **error) {
    g_autoptr(PkiKey) key = berth_key(berth, error);
    g_autofree char *request = key ? pki_request_new(key, berth->name, error) : NULL;
    if (!request)
        return NULL;
    g_auto(HubLink) link = { .url = g_strdup(url), .ca = g_strdup(authority) };
    g_autoptr(Value) body = value_new_map();
    value_map_set(body, "token", value_new_string(token));
    value_map_set(body, "request", value_new_string(request));
    value_map_set(body, "address", value_new_string(berth->address));
    return hub_call(&link, "POST", "/v1/join", body, error);
}

static bool join(Context *context, char **words, GError **error) {
    static const char missing[] =
        "stead cluster join: --ca-fingerprint, or the token, is missing; 'stead cluster token "
        "NAME' on a host of the cluster prints the whole call";
    const Arguments *arguments = context->arguments;
    if (!arguments->fingerprint) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, missing);
        return false;
    }
    g_autofree char *token = join_token(arguments, missing, error);
    if (!token)
        return false;
    g_autofree char *fingerprint = pki_fingerprint_parse(arguments->fingerprint, error);
    g_autoptr(Berth) berth = fingerprint ? make_place(context, error) : NULL;
    g_autofree char *authority = berth ? join_fetch_authority(words[0], fingerprint, error) : NULL;
    g_autoptr(Value) answer = authority ? ask_door(berth, words[0], authority, token, error) : NULL;
    if (!answer || !keep_answer(berth, answer, authority, error))
        return false;
    tell_next(context, berth, "joined");
    return true;
}

/* --- running */

static void on_stop(void *data, int signal_number) {
    loop_quit(data);
}

static void on_told(void *data, bool problem, const char *text) {
    Context *context = data;
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "problem", value_new_bool(problem));
        value_map_set(map, "text", value_new_string(text));
        printer_json(context->printer, "cluster", map);
    } else {
        printer_log(context->printer, problem ? LOG_WARNING : LOG_INFO,
                    problem ? STYLE_BAD : STYLE_PLAIN, "%s", text);
    }
    (void)fflush(stdout);
}

static bool check_program(const char *program, GError **error) {
    g_autofree char *path = g_find_program_in_path(program ? program : "etcd");
    if (path)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "run '%s': there is no such program: apt install etcd-server, or --etcd PROGRAM",
                program ? program : "etcd");
    return false;
}

static bool member(Context *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    g_autoptr(Berth) berth = berth_open(context->data, error);
    g_autoptr(Loop) loop = berth ? loop_new(error) : NULL;
    if (!loop || !check_program(arguments->etcd, error))
        return false;
    g_autoptr(LoopSource) on_int = loop_watch_signal(loop, SIGINT, on_stop, loop, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(loop, SIGTERM, on_stop, loop, error) : NULL;
    SupervisorOptions options = { .loop = loop,
                                  .berth = berth,
                                  .snapshot_s = (unsigned)MAX(arguments->every, 0),
                                  .snapshots = (unsigned)MAX(arguments->retain, 0),
                                  .program = arguments->etcd,
                                  .tell = on_told,
                                  .data = context };
    g_autoptr(Supervisor) supervisor = on_term ? supervisor_new(&options, error) : NULL;
    return supervisor && loop_run(loop, error);
}

/* --- what is told to a cluster */

/* Two of one name would take each other for lost. */
static bool check_name_is_free(Store *store, const char *name, GError **error) {
    g_autofree char *path = g_strconcat(CLUSTER_HOST, name, NULL);
    g_autoptr(GBytes) key = layout_bytes(path);
    g_autoptr(StoreAnswer) answer = store_wait(store_get(store, key, NULL, NULL), error);
    if (!answer || !store_answer_entry(answer))
        return answer != NULL;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "make a token for '%s': a host of that name is there; use another name, or stop it "
                "first when it is to join anew",
                name);
    return false;
}

static bool token(Context *context, char **words, GError **error) {
    int64_t ttl = TOKEN_TTL_S;
    if (context->arguments->ttl && !time_span_parse("--ttl", context->arguments->ttl, &ttl, error))
        return false;
    if (!cluster_link_open(&context->link, context->data, error) ||
        !check_name_is_free(context->link.store, words[0], error))
        return false;
    g_autofree char *made = cluster_token_new(context->link.store, words[0], now_s(), ttl, error);
    const char *pem = context->link.berth->ca;
    g_autoptr(PkiCertificate) authority =
        made ? pki_certificate_parse(pem, strlen(pem), "ca.pem", error) : NULL;
    if (!authority)
        return false;
    g_autofree char *print = pki_certificate_fingerprint(authority);
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(words[0]));
        value_map_set(map, "url", value_new_string(context->link.berth->door));
        value_map_set(map, "token", value_new_string(made));
        value_map_set(map, "ca_fingerprint", value_new_string(print));
        printer_json(context->printer, "token", map);
    } else {
        printer_line(context->printer, STYLE_PLAIN,
                     "stead cluster join %s --token %s --ca-fingerprint %s --listen ADDRESS",
                     context->link.berth->door, made, print);
    }
    return true;
}

static Value *wanted_now(Store *store, GError **error) {
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_WANTED);
    g_autoptr(StoreAnswer) answer = store_wait(store_get(store, key, NULL, NULL), error);
    if (!answer)
        return NULL;
    Value *wanted = cluster_entry_value(store_answer_entry(answer));
    return wanted ? wanted : value_new_map();
}

static bool size(Context *context, char **words, GError **error) {
    int64_t number = g_ascii_strtoll(words[0], NULL, 10);
    if (!check_size(number, error) || !check_grace(context->arguments->grace, error) ||
        !cluster_link_open(&context->link, context->data, error))
        return false;
    g_autoptr(Value) wanted = wanted_now(context->link.store, error), next = value_new_map();
    if (!wanted)
        return false;
    int64_t grace = context->arguments->grace ? context->arguments->grace
                                              : value_map_int(wanted, "grace", CLUSTER_GRACE_S);
    value_map_set(next, "size", value_new_int(number));
    value_map_set(next, "grace", value_new_int(grace));
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_WANTED), bytes = cluster_bytes(next);
    g_autoptr(StoreAnswer) answer =
        store_wait(store_put(context->link.store, key, bytes, 0, NULL, NULL), error);
    if (answer && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_PLAIN,
                     "%" G_GINT64_FORMAT " %s wanted; 'stead cluster status --watch' shows how it "
                     "gets there",
                     number, plural((unsigned long)number, "member", "members"));
    return answer != NULL;
}

static bool status(Context *context, char **words, GError **error) {
    return cluster_link_open(&context->link, context->data, error) &&
           cluster_status(&context->link, context->printer, context->arguments->watch, error);
}

/* --- copies */

static void tell_totals(const Context *context, const char *event, const char *what,
                        const DumpTotals *totals) {
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "file", value_new_string(what));
        value_map_set(map, "revision", value_new_int(totals->revision));
        value_map_set(map, "keys", value_new_int((int64_t)totals->keys));
        value_map_set(map, "leased", value_new_int((int64_t)totals->leased));
        value_map_set(map, "digest", value_new_string(totals->digest));
        printer_json(context->printer, event, map);
    } else if (!printer_is_quiet(context->printer)) {
        printer_line(context->printer, STYLE_GOOD,
                     "%s %s: %" G_GUINT64_FORMAT " %s of revision %" G_GINT64_FORMAT
                     ", without %" G_GUINT64_FORMAT " under leases",
                     event, what, totals->keys, plural(totals->keys, "key", "keys"),
                     totals->revision, totals->leased);
    }
}

static bool snapshot(Context *context, char **words, GError **error) {
    DumpTotals totals;
    if (!cluster_link_open(&context->link, context->data, error) ||
        !dump_check_whole(context->link.store, error))
        return false;
    g_autofree char *directory = berth_path(context->link.berth, "snapshots");
    g_autofree char *path = words[0] ? g_strdup(words[0]) : snapshots_next(directory, error);
    if (!path || !dump_save(context->link.store, path, &totals, error))
        return false;
    if (!words[0])
        snapshots_prune(directory, context->arguments->retain > 0
                                       ? (unsigned)context->arguments->retain
                                       : CLUSTER_SNAPSHOTS);
    tell_totals(context, "saved", path, &totals);
    return true;
}

static bool restore(Context *context, char **words, GError **error) {
    DumpTotals totals;
    if (!cluster_link_open(&context->link, context->data, error) ||
        !dump_fill_from_file(context->link.store, words[0], &totals, error) ||
        !dump_finish(context->link.store, error))
        return false;
    tell_totals(context, "restored", words[0], &totals);
    return true;
}

/* --- */

static const struct {
    Verb verb;
    bool (*run)(Context *context, char **words, GError **error);
} verbs[] = {
    { { "init", "", 0, 0 }, init },
    { { "join", "URL", 1, 1 }, join },
    { { "member", "", 0, 0 }, member },
    { { "token", "NAME", 1, 1 }, token },
    { { "status", "", 0, 0 }, status },
    { { "size", "N", 1, 1 }, size },
    { { "snapshot", "[FILE]", 0, 1 }, snapshot },
    { { "restore", "FILE", 1, 1 }, restore },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    Context context = { .arguments = arguments, .printer = printer };
    context.data = arguments->data ? arguments->data : BERTH_DEFAULT;
    int verb = VERB_FIND("cluster", verbs, words, &error);
    bool done = verb >= 0 && verbs[verb].run(&context, words + 1, &error);
    cluster_link_clear(&context.link);
    if (done)
        return EXIT_DONE;
    printer_error(printer, error);
    bool is_away = error->domain == STORE_ERROR || error->domain == HUB_UNREACHABLE;
    return is_away ? EXIT_FAILURES : hub_exit_code(error);
}

#define TO(member) offsetof(Arguments, member)

static const Option option_cluster_data = {
    "data",   0,     G_OPTION_ARG_FILENAME,
    TO(data), "DIR", "What this host keeps of its cluster (default: /var/lib/stead-cluster)",
};
static const Option option_cluster_host = {
    "host",   0,      G_OPTION_ARG_STRING,
    TO(host), "NAME", "init: this host's name in the cluster (default: its hostname)",
};
static const Option option_cluster_listen = {
    "listen",
    0,
    G_OPTION_ARG_STRING,
    TO(listen),
    "ADDR[:PORT]",
    "init, join: this host's address for the others (port 2379); the two ports after it are used "
    "too",
};
static const Option option_size = {
    "size", 0, G_OPTION_ARG_INT, TO(size), "N", "init: members that are wanted (default 3)",
};
static const Option option_grace = {
    "grace",          0,
    G_OPTION_ARG_INT, TO(grace),
    "SECONDS",        "init, size: a member that is silent for so long is replaced (default 120)",
};
static const Option option_cluster_ttl = {
    "ttl",   0,      G_OPTION_ARG_STRING,
    TO(ttl), "TIME", "token: how long it is good: 90s, 15m, 1h, 7d (default 1h)",
};
static const Option option_every = {
    "snapshot-every", 0,         G_OPTION_ARG_INT,
    TO(every),        "SECONDS", "member: between snapshots (default 3600)",
};
static const Option option_retain = {
    "retain",   0,   G_OPTION_ARG_INT,
    TO(retain), "N", "member, snapshot: keep the last N snapshots of this host (default 48)",
};
static const Option option_etcd = {
    "etcd", 0, G_OPTION_ARG_FILENAME, TO(etcd), "PROGRAM", "member: the etcd to run, 3.4 or later",
};
static const Option option_status_watch = {
    "watch", 0, G_OPTION_ARG_NONE, TO(watch), NULL, "status: tell every change until interrupted",
};

static const Option *const options[] = {
    &option_cluster_data,
    &option_cluster_host,
    &option_cluster_listen,
    &option_size,
    &option_grace,
    &option_join_token,
    &option_join_token_file,
    &option_ca_fingerprint,
    &option_cluster_ttl,
    &option_status_watch,
    &option_every,
    &option_retain,
    &option_etcd,
    &option_json,
    &option_quiet,
    &option_no_color,
    NULL,
};

const Command command_cluster = {
    .name = "cluster",
    .arguments = "init | join URL | member | token NAME | status | size N | snapshot [FILE] | "
                 "restore FILE",
    .min_arguments = 1,
    .max_arguments = 2,
    .summary = "Run etcd on some hosts as a cluster that looks after itself",
    .help = "init begins a cluster on this host; token NAME prints the call by which the host NAME "
            "joins it. On each\n"
            "of these hosts, member runs all the time (as the unit stead-cluster): it starts and "
            "watches etcd there.\n"
            "As many hosts as are wanted (size N) have members, one after the other; one that is "
            "lost for longer\n"
            "than --grace is replaced by a host that has none. snapshot writes a copy of all keys, "
            "as every member\n"
            "does each hour; restore puts one into an empty cluster. Exit code 4: the cluster is "
            "not in reach, or\n"
            "has no quorum. See doc/cluster.md.",
    .example = "stead cluster init --listen 192.0.2.1 --size 3",
    .options = options,
    .run = run,
};
