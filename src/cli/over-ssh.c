#include "cli/over-ssh.h"

#include <signal.h>
#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/plural.h"
#include "bundle/bundle.h"
#include "cli/printer.h"
#include "cli/saved-plan.h"
#include "cli/ssh-exchange.h"
#include "host/host-real.h"
#include "http/client.h"
#include "remote/script.h"
#include "remote/targets.h"

#define DEFAULT_PARALLEL 10
#define SETTLE_US        30000 /* an editor writes several files, or one in steps */
#define FILES_MAX        2

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    Loop *loop;
    Targets *targets;       /* NULL before they are started */
    SshExchange *exchange;  /* NULL: they share none */
    char *directory, *main; /* of the configuration, here */
    char *here, *there;     /* what its places begin with, as the user wrote it, and on a host */
    RemoteSource source;
    LoopTimer *settle;
    unsigned interrupts, n_refused;
    unsigned n_hosts;
    GArray *codes; /* of int */
} OverSsh;

static void over_ssh_clear(OverSsh *over) {
    loop_timer_clear(&over->settle);
    g_clear_pointer(&over->source.packed, g_bytes_unref);
    g_clear_pointer(&over->codes, g_array_unref);
    g_free(over->directory);
    g_free(over->here);
    g_free(over->there);
    g_free(over->main);
    printer_free(over->printer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OverSsh, over_ssh_clear)

/* --- what is heard */

static bool with_host(Printer *printer, const char *host, const char *line) {
    g_autoptr(Value) map = *line == '{' ? json_parse(line, strlen(line), host, NULL) : NULL;
    if (value_type(map) != VALUE_MAP)
        return false;
    value_map_set(map, "host", value_new_string(host));
    g_autofree char *text = json_print(map, JSON_COMPACT);
    printer_line(printer, STYLE_PLAIN, "%s", text);
    return true;
}

/* Places in the files that were sent become places in those of the user; caller frees. */
static char *with_places(const OverSsh *over, const char *line) {
    g_auto(GStrv) parts = g_strsplit(line, over->there, -1);
    return g_strjoinv(over->here, parts);
}

static void on_line(void *data, const char *host, bool is_error, const char *line) {
    OverSsh *over = data;
    static const char start[] = "stead: ";
    g_autofree char *text = with_places(over, line);
    if (is_error) {
        printer_host_message(over->printer, host,
                             g_str_has_prefix(text, start) ? text + strlen(start) : text);
    } else if (!printer_is_json(over->printer)) {
        printer_host_line(over->printer, host, text);
    } else if (!with_host(over->printer, host, line)) {
        printer_host_message(over->printer, host, line);
    }
}

static void on_copies(void *data, const char *host, size_t bytes) {
    OverSsh *over = data;
    g_autofree char *text = g_format_size(bytes);
    printer_progress(over->printer, "%s: copying stead, %s", host, text);
}

static void tell_end(OverSsh *over, const char *host, int exit_code, const GError *error,
                     bool has_run) {
    Value *map = value_new_map();
    value_map_set(map, "host", value_new_string(host));
    if (error != NULL)
        value_map_set(map, "error", value_new_string(error->message));
    else
        value_map_set(map, "exit_code", value_new_int(exit_code));
    value_map_set(map, "touched", value_new_bool(has_run));
    printer_json(over->printer, "host", map);
}

static void on_ended(void *data, const char *host, int exit_code, const GError *error,
                     bool has_run) {
    OverSsh *over = data;
    int code = error != NULL ? EXIT_FAILURES : exit_code;
    if (over->exchange != NULL)
        ssh_exchange_drop(over->exchange, host);
    if (error != NULL && !has_run)
        over->n_refused++;
    else
        g_array_append_val(over->codes, code);
    if (printer_is_json(over->printer))
        tell_end(over, host, exit_code, error, has_run);
    else if (error != NULL)
        printer_host_message(over->printer, host, error->message);
}

static void on_all_ended(void *data) {
    OverSsh *over = data;
    loop_quit(over->loop);
}

static unsigned count(const OverSsh *over, int mask) {
    unsigned n = 0;
    for (unsigned i = 0; i < over->codes->len; i++)
        n += (g_array_index(over->codes, int, i) & mask) == 0;
    return n;
}

static int sum_up(OverSsh *over) {
    const int *codes = (const int *)(const void *)over->codes->data;
    int code = targets_exit_code(codes, over->codes->len, over->n_refused);
    unsigned done = count(over, ~EXIT_CHANGED); /* 0 and 2 */
    unsigned failed = over->codes->len - done;
    if (over->interrupts > 0)
        code = EXIT_INTERRUPTED;
    if (printer_is_json(over->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "total", value_new_int(over->n_hosts));
        value_map_set(map, "done", value_new_int(done));
        value_map_set(map, "failed", value_new_int(failed));
        value_map_set(map, "not_touched", value_new_int(over->n_refused));
        value_map_set(map, "exit_code", value_new_int(code));
        printer_json(over->printer, "hosts", map);
    } else if (over->n_hosts > 1) {
        g_autofree char *untouched = over->n_refused > 0
                                         ? g_strdup_printf(", %u not touched", over->n_refused)
                                         : g_strdup("");
        printer_line(over->printer, failed + over->n_refused > 0 ? STYLE_BAD : STYLE_GOOD,
                     "%u hosts: %u done, %u failed%s", over->n_hosts, done, failed, untouched);
    }
    return code;
}

/* --- interrupts */

static void on_signal(void *data, int signal_number) {
    OverSsh *over = data;
    static const char *const steps[] = {
        "finishing what runs; interrupt again to cancel it",
        "cancelling; interrupt again to end the connections",
        "ending the connections; what runs there ends by itself",
    };
    unsigned step = MIN(over->interrupts, G_N_ELEMENTS(steps) - 1);
    over->interrupts++;
    printer_warning(over->printer, "interrupted: %s", steps[step]);
    if (over->targets != NULL)
        (void)targets_stop(over->targets); /* how many still run is seen as they end */
}

/* --- the configuration */

static bool pack(const OverSsh *over, RemoteSource *ret_source, GError **error) {
    g_autoptr(Bundle) bundle = bundle_of_directory(over->directory, over->main, error);
    if (bundle == NULL)
        return false;
    GBytes *packed = bundle_write(bundle, error);
    if (packed == NULL)
        return false;
    ret_source->packed = packed;
    memcpy(ret_source->digest, bundle->digest, DIGEST_HEX_SIZE);
    return true;
}

static void on_settled(void *data) {
    OverSsh *over = data;
    g_autoptr(GError) error = NULL;
    RemoteSource source;
    if (!pack(over, &source, &error)) {
        printer_warning(over->printer, "not sent: %s", error->message);
        return;
    }
    if (strcmp(source.digest, over->source.digest) == 0) {
        g_bytes_unref(source.packed);
        return;
    }
    g_bytes_unref(over->source.packed);
    over->source = source;
    if (over->targets != NULL)
        targets_update(over->targets, &source);
}

static void on_watch(void *data, HostEvent event, const char *detail) {
    OverSsh *over = data;
    if (event == HOST_EVENT_FAILED)
        printer_warning(over->printer, "edits are no longer seen: %s; start again", detail);
    else if (over->settle == NULL)
        loop_timer_set(over->loop, &over->settle, loop_now(over->loop) + SETTLE_US, on_settled,
                       over);
}

static bool take_place(OverSsh *over, const char *file, GError **error) {
    g_autofree char *path = g_canonicalize_filename(file, NULL);
    over->directory = g_path_get_dirname(path);
    over->main = g_path_get_basename(path);
    over->here = g_strndup(file, strlen(file) - strlen(over->main));
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "read '%s': no such file", file);
        return false;
    }
    const char *const shared[] = { "/", g_get_home_dir(), g_get_tmp_dir() };
    for (unsigned i = 0; i < G_N_ELEMENTS(shared); i++)
        if (g_strcmp0(over->directory, shared[i]) == 0) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "'%s' is in '%s', and all that is beside it would go to the hosts: put it "
                        "into a directory of its own",
                        file, over->directory);
            return false;
        }
    return true;
}

/* --- the command line there */

static bool refuse(const char *option, const char *why, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: %s", option, why);
    return false;
}

static bool shares(const Arguments *arguments) {
    return g_strcmp0(arguments->exchange, OVER_SSH_EXCHANGE) == 0;
}

static bool check_exchange(const Arguments *arguments, GError **error) {
    bool has_none = arguments->exchange == NULL || strcmp(arguments->exchange, "none") == 0;
    if (!has_none && !shares(arguments))
        return refuse("--exchange",
                      "with --ssh it is ssh: what these hosts publish is shared through the "
                      "connections to them; a store of their own is for their agents",
                      error);
    if (shares(arguments) && !arguments->watch)
        return refuse("--exchange ssh",
                      "without --watch nobody stays to publish anything; add --watch", error);
    if (arguments->exchange_host != NULL)
        return refuse("--host", "not with --ssh: in the exchange a host is called as ssh calls it",
                      error);
    if (has_none && (arguments->may_publish != NULL || arguments->exchange_ttl != 0))
        return refuse("--may-publish and --exchange-ttl", "they are for --exchange ssh", error);
    return true;
}

static bool check(const Arguments *arguments, const char *file, GError **error) {
    g_autoptr(Value) saved = g_str_has_suffix(file, ".json") ? saved_plan_load(file) : NULL;
    if (saved != NULL)
        return refuse(file,
                      "a saved plan is for the machine where it was made; give the configuration",
                      error);
    if (arguments->kinds != NULL)
        return refuse("--kinds", "not with --ssh: put the programs into 'kinds' beside FILE",
                      error);
    if (arguments->env != NULL)
        return refuse("--env", "not with --ssh: give the hosts values with --values", error);
    if (arguments->out != NULL)
        return refuse("--out", "not with --ssh: plans stay where they are made", error);
    if (arguments->watch && (arguments->force != NULL || arguments->timeout > 0 ||
                             arguments->verify || arguments->detailed_exitcode))
        return refuse("--watch",
                      "not with --force, --timeout, --verify or --detailed-exitcode: apply those "
                      "once before",
                      error);
    return check_exchange(arguments, error);
}

static void add_text(GString *words, const char *option, const char *text) {
    g_autofree char *quoted = text != NULL ? g_shell_quote(text) : NULL;
    if (quoted != NULL)
        g_string_append_printf(words, " %s=%s", option, quoted);
}

static void add_options(GString *words, const Arguments *arguments) {
    const struct {
        const char *option;
        bool given;
    } switches[] = {
        { "--json", arguments->json },
        { "--noop", arguments->noop },
        { "--replace", arguments->replace },
        { "--quiet", arguments->quiet },
        { "--verbose", arguments->verbose },
        { "--verify", arguments->verify },
        { "--no-autoedges", arguments->no_autoedges },
        { "--detailed-exitcode", arguments->detailed_exitcode },
        { "--no-color", true },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++)
        if (switches[i].given)
            g_string_append_printf(words, " %s", switches[i].option);
    add_text(words, "--root", arguments->root);
    add_text(words, "--state", arguments->state);
    for (char **force = arguments->force; force != NULL && *force != NULL; force++)
        add_text(words, "--force", *force);
    if (arguments->sema > 0)
        g_string_append_printf(words, " --sema=%d", arguments->sema);
    if (arguments->timeout > 0)
        g_string_append_printf(words, " --timeout=%f", arguments->timeout);
    if (arguments->converged_timeout > 0)
        g_string_append_printf(words, " --converged-timeout=%f", arguments->converged_timeout);
    if (shares(arguments))
        g_string_append(words, " --exchange=hub=\"$run\"");
    else
        add_text(words, "--exchange", arguments->exchange);
    if (arguments->exchange_ttl > 0)
        g_string_append_printf(words, " --exchange-ttl=%d", arguments->exchange_ttl);
}

/* A name for the shell there, and stable: the ledger knows the configuration by its path. */
static char *plain_name(const char *directory) {
    char *name = g_path_get_basename(directory);
    for (char *c = name; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("._-", *c) == NULL)
            *c = '_';
    return name;
}

/* The end of a name says how the file is to be read. */
static bool add_file(GString *words, const char *option, const char *name, const char *path,
                     RemoteFile *files, unsigned *n_files, GError **error) {
    static const char *const suffixes[] = { ".yaml", ".yml", ".json", ".toml" };
    if (path == NULL)
        return true;
    GBytes *bytes = disk_read(path, LIMIT_CONFIG_FILE, error);
    if (bytes == NULL)
        return false;
    const char *suffix = "";
    for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(path, suffixes[i]))
            suffix = suffixes[i];
    g_autofree char *there = g_strconcat(name, suffix, NULL);
    files[(*n_files)++] = (RemoteFile){ g_intern_string(there), bytes };
    g_string_append_printf(words, " %s=\"$run/%s\"", option, there);
    return true;
}

static bool make_words(const OverSsh *over, const char *verb, const char *directory, GString *words,
                       RemoteFile *files, unsigned *n_files, GError **error) {
    const Arguments *arguments = over->arguments;
    g_autofree char *main = g_shell_quote(over->main);
    g_string_append(words, arguments->watch ? "agent" : verb);
    add_options(words, arguments);
    if (!add_file(words, "--values", "values", arguments->values, files, n_files, error) ||
        !add_file(words, "--secrets", "secrets", arguments->secrets, files, n_files, error))
        return false;
    g_string_append_printf(words, " \"$site/%s/\"%s", directory, main);
    return true;
}

/* --- all of it */

/* Before there are targets. False: error is set. */
static bool open_exchange(OverSsh *over, const GPtrArray *hosts, RemoteJob *job, GError **error) {
    if (!shares(over->arguments))
        return true;
    over->exchange = ssh_exchange_new(over->loop, hosts, over->arguments->may_publish, error);
    if (over->exchange == NULL)
        return false;
    if (over->interrupts > 0) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CANCELLED,
                            "interrupted before it began; nothing was touched");
        return false;
    }
    job->own_files = ssh_exchange_files;
    job->data = over->exchange;
    job->back = ssh_exchange_address(over->exchange);
    return true;
}

static int run_targets(OverSsh *over, const GPtrArray *hosts, RemoteJob *job, GError **error) {
    TargetsListener listener = { on_line, on_copies, on_ended, on_all_ended, over };
    int given = over->arguments->parallel;
    unsigned parallel = given > 0 ? (unsigned)given : DEFAULT_PARALLEL;
    Host *host = over->arguments->watch ? host_real_new(NULL, NULL, error) : NULL;
    HostWatch *watch = NULL;
    if (over->arguments->watch) {
        parallel = hosts->len; /* none ends to make room for another */
        watch = host != NULL ? host_watch(host, over->loop, HOST_WATCH_TREE, over->directory, 0,
                                          on_watch, over, error)
                             : NULL;
    }
    g_autoptr(LoopSource) on_int = loop_watch_signal(over->loop, SIGINT, on_signal, over, error);
    g_autoptr(LoopSource) on_term =
        on_int != NULL ? loop_watch_signal(over->loop, SIGTERM, on_signal, over, error) : NULL;
    bool ready = on_term != NULL && (watch != NULL || !over->arguments->watch) &&
                 open_exchange(over, hosts, job, error);
    if (ready) {
        over->targets = targets_new(over->loop, hosts, parallel, job, &over->source, &listener);
        ready = loop_run(over->loop, error);
    }
    g_clear_pointer(&over->targets, targets_free);
    g_clear_pointer(&over->exchange, ssh_exchange_free);
    host_watch_free(watch);
    host_free(host);
    loop_timer_clear(&over->settle);
    if (ready)
        return sum_up(over);
    return over->interrupts > 0 ? EXIT_INTERRUPTED : EXIT_REFUSED;
}

static int run_job(OverSsh *over, const char *verb, const GPtrArray *hosts, GError **error) {
    RemoteFile files[FILES_MAX] = { 0 };
    unsigned n_files = 0;
    g_autofree char *directory = plain_name(over->directory);
    over->there = g_strdup_printf(REMOTE_SITE "/%s/", directory);
    g_autofree char *ssh = g_find_program_in_path("ssh");
    g_autoptr(GString) words = g_string_new(NULL);
    g_autoptr(RemoteProgram) program = NULL;
    int code = EXIT_REFUSED;
    if (ssh == NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "--ssh: there is no ssh here; install it: apt install openssh-client");
    else if (pack(over, &over->source, error) &&
             /* What is loaded is copied. */
             (!shares(over->arguments) || http_client_need(error)) &&
             make_words(over, verb, directory, words, files, &n_files, error) &&
             (program = remote_program_new(error)) != NULL) {
        RemoteJob job = { .ssh = ssh,
                          .program = program,
                          .files = files,
                          .n_files = n_files,
                          .directory = directory,
                          .words = words->str,
                          .keep = over->arguments->keep,
                          .unprivileged = over->arguments->root != NULL };
        code = run_targets(over, hosts, &job, error);
    }
    for (unsigned i = 0; i < n_files; i++)
        g_bytes_unref(files[i].bytes);
    return code;
}

int over_ssh(const Arguments *arguments, const char *verb, const char *file) {
    g_autoptr(Loop) loop = NULL;
    g_auto(OverSsh) over = { .arguments = arguments, .printer = printer_new(arguments) };
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hosts = NULL;
    int code = EXIT_REFUSED;
    over.codes = g_array_new(FALSE, FALSE, sizeof(int));
    if (check(arguments, file, &error) &&
        (hosts = targets_parse_hosts(arguments->ssh, &error)) != NULL &&
        take_place(&over, file, &error) && (loop = loop_new(&error)) != NULL) {
        over.loop = loop;
        over.n_hosts = hosts->len;
        code = run_job(&over, verb, hosts, &error);
    }
    if (error != NULL)
        printer_error(over.printer, error);
    return code;
}
