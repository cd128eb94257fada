/* stead lab: hosts that are containers here. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plural.h"
#include "cli/commands.h"
#include "cli/printer.h"
#include "cli/verbs.h"
#include "lab/change.h"
#include "lab/copy.h"
#include "lab/enter.h"
#include "lab/keeper.h"
#include "lab/remove.h"
#include "lab/talk.h"
#include "lab/up.h"
#include "lab/visit.h"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    char *data;      /* absolute */
    int64_t started; /* monotonic us */
} Session;

static int fail(Session *session, const GError *error) {
    printer_error(session->printer, error);
    return g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CANCELLED) ? EXIT_INTERRUPTED
                                                                      : EXIT_REFUSED;
}

static double seconds_since(int64_t start) {
    return (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
}

/* --- which lab -------------------------------------------------------------------------------- */

/* Those that are up, and have such a host where one is named; of Record. */
static GPtrArray *find_labs(const Session *session, const char *host) {
    GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)record_free);
    g_autoptr(GPtrArray) names = record_names(session->data);
    for (unsigned i = 0; i < names->len; i++) {
        g_autoptr(Record) record = NULL;
        (void)record_read(session->data, g_ptr_array_index(names, i), &record, NULL);
        if (record && record_is_live(record) &&
            (!host || lab_find_host(record->lab, host) >= 0 ||
             lab_find_network(record->lab, host) >= 0))
            g_ptr_array_add(found, g_steal_pointer(&record));
    }
    return found;
}

/* The one that is meant; NULL with error. */
static Record *choose_lab(const Session *session, const char *name, const char *host,
                          GError **error) {
    Record *record = NULL;
    if (name) {
        bool ok = record_read(session->data, name, &record, error);
        return ok ? record : (record_free(record), NULL);
    }
    g_autoptr(GPtrArray) found = find_labs(session, host);
    if (found->len == 1)
        return g_ptr_array_steal_index(found, 0);
    if (found->len > 1) {
        const Record *one = g_ptr_array_index(found, 0), *other = g_ptr_array_index(found, 1);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "labs '%s' and '%s' are up%s%s%s: choose one with --lab NAME", one->name,
                    other->name, host ? " and both have '" : "", host ? host : "", host ? "'" : "");
    } else if (host) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "no lab that is up has '%s'; 'stead lab list' shows what there is", host);
    } else {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "no lab is up; 'stead lab up FILE' sets one up");
    }
    return NULL;
}

/* --- up --------------------------------------------------------------------------------------- */

static void show_host(Session *session, const char *host, const char *state) {
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "host", value_new_string(host));
        value_map_set(map, "state", value_new_string(state));
        printer_json(session->printer, "lab-host", map);
    } else if (!session->arguments->quiet) {
        printer_line(session->printer, STYLE_PLAIN, "%6.1f s  %s is %s",
                     seconds_since(session->started), host, state);
    }
}

static void show_progress(void *data, const char *host, bool is_detail, const char *text) {
    Session *session = data;
    if (host) {
        show_host(session, host, text);
    } else if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "text", value_new_string(text));
        printer_json(session->printer, "base", map);
    } else if (!session->arguments->quiet) {
        printer_line(session->printer, is_detail ? STYLE_DIM : STYLE_PLAIN, "%6.1f s  %s%s",
                     seconds_since(session->started), is_detail ? "  " : "", text);
    }
    fflush(stdout);
}

static void show_up(Session *session, const char *name) {
    g_autoptr(Record) record = NULL;
    if (!record_read(session->data, name, &record, NULL)) /* somebody has ended it already */
        return;
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(name));
        value_map_set(map, "seconds", value_new_float(seconds_since(session->started)));
        printer_json(session->printer, "up", map);
        return;
    }
    printer_line(session->printer, STYLE_STRONG,
                 "lab '%s' is up after %.1f s: %u %s, %u %s; 'stead lab down %s' ends it", name,
                 seconds_since(session->started), record->lab->hosts->len,
                 plural(record->lab->hosts->len, "host", "hosts"), record->lab->networks->len,
                 plural(record->lab->networks->len, "network", "networks"), name);
}

static void show_change(Session *session, const char *name, const ChangeCounts *counts) {
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(name));
        value_map_set(map, "added", value_new_int(counts->added));
        value_map_set(map, "removed", value_new_int(counts->removed));
        printer_json(session->printer, "up", map);
    } else if (counts->added + counts->removed == 0) {
        printer_line(session->printer, STYLE_STRONG, "lab '%s' is up already, as the file says",
                     name);
    } else {
        printer_line(session->printer, STYLE_STRONG,
                     "lab '%s' is changed after %.1f s: %u added, "
                     "%u removed",
                     name, seconds_since(session->started), counts->added, counts->removed);
    }
    if (counts->off > 0 && !printer_is_json(session->printer))
        printer_line(session->printer, STYLE_CHANGE, "%u %s off; 'stead lab start %s' starts it",
                     counts->off, plural(counts->off, "host is", "hosts are"), counts->one_off);
}

static bool is_up(const Session *session, const Lab *lab) {
    g_autoptr(Record) record = NULL;
    return record_read(session->data, lab->name, &record, NULL) && record->is_up &&
           record_is_live(record);
}

static int run_change(Session *session, const Lab *lab) {
    g_autoptr(GError) error = NULL;
    ChangeCounts counts;
    if (!change_run(session->data, lab, show_progress, session, &counts, &error))
        return fail(session, error);
    show_change(session, lab->name, &counts);
    return EXIT_DONE;
}

static int run_up(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(Lab) lab = lab_load(words[0], problems);
    if (!lab) {
        printer_problems(session->printer, problems);
        return EXIT_REFUSED;
    }
    if (is_up(session, lab))
        return run_change(session, lab);
    g_autofree char *name = g_strdup(lab->name);
    if (!up_check(session->data, lab, &error) ||
        !up_run(session->data, g_steal_pointer(&lab), show_progress, session, &error))
        return fail(session, error);
    show_up(session, name);
    return EXIT_DONE;
}

static int run_keep(Session *session, char **words) {
    return keeper_run(words[0]);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void list_one(Session *session, const char *name, const Record *record) {
    bool live = record && record_is_live(record);
    const char *state = !live ? "left over" : record->is_up ? "up" : "being set up";
    unsigned n = record && record->lab ? record->lab->hosts->len : 0;
    if (!printer_is_json(session->printer)) {
        printer_line(session->printer, STYLE_PLAIN, "%-20s %s, %u %s%s", name, state, n,
                     plural(n, "host", "hosts"),
                     live ? "" : "; 'stead lab gc' removes what is left");
        return;
    }
    Value *map = value_new_map();
    value_map_set(map, "name", value_new_string(name));
    value_map_set(map, "state", value_new_string(state));
    value_map_set(map, "hosts", value_new_int(n));
    printer_json(session->printer, "lab", map);
}

static int run_list(Session *session, char **words) {
    g_autoptr(GPtrArray) names = record_names(session->data);
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autoptr(Record) record = NULL;
        (void)record_read(session->data, name, &record, NULL); /* damaged: left over */
        list_one(session, name, record);
    }
    if (names->len == 0 && !printer_is_json(session->printer))
        printer_line(session->printer, STYLE_PLAIN,
                     "no lab is up; 'stead lab up FILE' sets one up");
    return EXIT_DONE;
}

static Value *addresses_to_value(const Lab *lab, const LabHost *host) {
    Value *map = value_new_map();
    for (unsigned i = 0; i < host->ports->len; i++) {
        const LabPort *port = lab_port(host, i);
        value_map_set(map, lab_network(lab, port->network)->name, value_new_string(port->address));
    }
    return map;
}

static Value *host_status(const Lab *lab, const LabHost *host, const Value *state) {
    Value *map = value_new_map();
    value_map_set(map, "name", value_new_string(host->name));
    value_map_set(map, "state", value_new_string(value_map_string(state, "state", "?")));
    value_map_set(map, "since", value_new_int(value_map_int(state, "since", 0)));
    value_map_set(map, "addresses", addresses_to_value(lab, host));
    if (host->hub)
        value_map_set(map, "hub", value_new_string(host->hub));
    if (host->configuration)
        value_map_set(map, "configuration", value_new_string(host->configuration));
    return map;
}

/* states: the keeper's, in the order of hosts. */
static void status_as_json(Session *session, const Record *record, const Value *answer) {
    const Lab *lab = record->lab;
    const Value *states = value_map_get(answer, "hosts");
    Value *map = value_new_map(), *networks = value_new_map(), *hosts = value_new_list();
    for (unsigned i = 0; i < lab->networks->len; i++)
        value_map_set(networks, lab_network(lab, i)->name,
                      value_new_string(lab_network(lab, i)->prefix));
    for (unsigned i = 0; i < lab->hosts->len && i < value_size(states); i++)
        value_list_append(hosts, host_status(lab, lab_host(lab, i), value_list_at(states, i)));
    value_map_set(map, "name", value_new_string(record->name));
    value_map_set(map, "networks", networks);
    value_map_set(map, "hosts", hosts);
    value_map_set(map, "cuts", value_ref(value_map_get(answer, "cuts")));
    printer_json(session->printer, "lab-status", map);
}

static void print_host(Session *session, const Lab *lab, const LabHost *host, const Value *state) {
    GString *places = g_string_new(NULL);
    for (unsigned i = 0; i < host->ports->len; i++)
        g_string_append_printf(places, "  %s %s",
                               lab_network(lab, lab_port(host, i)->network)->name,
                               lab_port(host, i)->address);
    double seconds =
        (double)(g_get_real_time() - value_map_int(state, "since", 0)) / G_USEC_PER_SEC;
    const char *word = value_map_string(state, "state", "?");
    printer_line(
        session->printer, STYLE_PLAIN, "  %-16s %s%-8s%s for %.0f s%s%s%s%s", host->name,
        printer_style(session->printer, strcmp(word, "running") == 0 ? STYLE_GOOD : STYLE_CHANGE),
        word, printer_style(session->printer, STYLE_PLAIN), seconds, places->str,
        host->configuration        ? "  keeps "
        : lab_has_agent(lab, host) ? "  keeps what is deployed"
                                   : "",
        host->configuration ? host->configuration : "", host->hub ? "  hub" : "");
    g_string_free(places, TRUE);
}

static void print_status(Session *session, const Record *record, const Value *answer) {
    const Lab *lab = record->lab;
    const Value *states = value_map_get(answer, "hosts"), *cuts = value_map_get(answer, "cuts");
    printer_line(session->printer, STYLE_STRONG, "lab '%s'", record->name);
    for (unsigned i = 0; i < lab->networks->len; i++)
        printer_line(session->printer, STYLE_PLAIN, "  network %s %s", lab_network(lab, i)->name,
                     lab_network(lab, i)->prefix);
    for (unsigned i = 0; i < lab->hosts->len && i < value_size(states); i++)
        print_host(session, lab, lab_host(lab, i), value_list_at(states, i));
    for (unsigned i = 0; i < value_size(cuts); i++)
        printer_line(session->printer, STYLE_CHANGE, "  cut: %s and %s",
                     value_string(value_list_at(value_list_at(cuts, i), 0)),
                     value_string(value_list_at(value_list_at(cuts, i), 1)));
}

static int run_status(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    const char *name = words[0] ? words[0] : session->arguments->lab;
    g_autoptr(Record) record = choose_lab(session, name, NULL, &error);
    g_autoptr(Value) answer =
        record ? lab_talk_ask(record->directory, lab_talk_request("status", NULL), NULL, &error)
               : NULL;
    if (!answer)
        return fail(session, error);
    if (printer_is_json(session->printer))
        status_as_json(session, record, answer);
    else
        print_status(session, record, answer);
    return EXIT_DONE;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static Value *ask_host(Session *session, const char *verb, const char *host, int *ret_attached,
                       GError **error) {
    g_autoptr(Record) record = choose_lab(session, session->arguments->lab, host, error);
    if (!record)
        return NULL;
    return lab_talk_ask(record->directory, lab_talk_request(verb, host), ret_attached, error);
}

/* pidfd of the host's first process; -1 with error. */
static int open_host(Session *session, const char *host, GError **error) {
    int leader = -1;
    g_autoptr(Value) answer = ask_host(session, "enter", host, &leader, error);
    return answer ? leader : -1;
}

static int enter(Session *session, const char *host, char **words, bool terminal) {
    g_autoptr(GError) error = NULL;
    int leader = open_host(session, host, &error);
    int code = leader >= 0 ? enter_run(leader, words, terminal, &error) : -1;
    if (leader >= 0)
        (void)close(leader); /* it only refers to a process */
    return code >= 0 ? code : fail(session, error);
}

static int run_exec(Session *session, char **words) {
    char **command = words[1] && strcmp(words[1], "--") == 0 ? words + 2 : words + 1;
    if (*command)
        return enter(session, words[0], command, false);
    g_autoptr(GError) error =
        g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "stead lab exec: the command is missing");
    return fail(session, error);
}

static int run_run(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    char **command = strcmp(words[0], "--") == 0 ? words + 1 : words;
    g_autoptr(Record) record = choose_lab(session, session->arguments->lab, NULL, &error);
    if (record && *command)
        visit_exec(record, command, &error);
    else if (record)
        error =
            g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "stead lab run: the command is missing");
    return fail(session, error);
}

static int run_shell(Session *session, char **words) {
    static const char script[] = "command -v bash >/dev/null && exec bash -l || exec sh -l";
    char *command[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                        (char *)(uintptr_t)script, NULL };
    return enter(session, words[0], command, true);
}

static int change_host(Session *session, const char *verb, const char *host, const char *done) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) answer = ask_host(session, verb, host, NULL, &error);
    if (!answer)
        return fail(session, error);
    if (printer_is_json(session->printer))
        show_host(session, host, done);
    else if (!session->arguments->quiet)
        printer_line(session->printer, STYLE_PLAIN, "host '%s' is %s after %.1f s", host, done,
                     seconds_since(session->started));
    return EXIT_DONE;
}

static int run_start(Session *session, char **words) {
    return change_host(session, "start", words[0], "running");
}

static int run_kill(Session *session, char **words) {
    return change_host(session, "kill", words[0], "off");
}

static int run_reboot(Session *session, char **words) {
    return change_host(session, "reboot", words[0], "running");
}

/* --- networks --------------------------------------------------------------------------------- */

static void show_cuts(Session *session, bool cut, bool changed, char **words) {
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "a", value_new_string(words[0] ? words[0] : "*"));
        value_map_set(map, "b", value_new_string(words[0] ? words[1] : "*"));
        value_map_set(map, "changed", value_new_bool(changed));
        printer_json(session->printer, cut ? "cut" : "healed", map);
        return;
    }
    if (session->arguments->quiet)
        return;
    if (words[0])
        printer_line(session->printer, STYLE_PLAIN, "%s and %s %s%s", words[0], words[1],
                     cut ? "are cut" : "reach each other", changed ? "" : " already");
    else
        printer_line(session->printer, STYLE_PLAIN, "all reach each other%s",
                     changed ? "" : " already");
}

static int change_cuts(Session *session, const char *verb, char **words) {
    g_autoptr(GError) error = NULL;
    Value *request = lab_talk_request(verb, NULL);
    if (words[0]) {
        value_map_set(request, "a", value_new_string(words[0]));
        value_map_set(request, "b", value_new_string(words[1]));
    }
    g_autoptr(Record) record = choose_lab(session, session->arguments->lab, words[0], &error);
    if (!record) {
        value_unref(request);
        return fail(session, error);
    }
    g_autoptr(Value) answer = lab_talk_ask(record->directory, request, NULL, &error);
    if (!answer)
        return fail(session, error);
    show_cuts(session, strcmp(verb, "cut") == 0, value_map_bool(answer, "changed", false), words);
    return EXIT_DONE;
}

static int run_cut(Session *session, char **words) {
    return change_cuts(session, "cut", words);
}

static int run_heal(Session *session, char **words) {
    if (!words[0] || words[1])
        return change_cuts(session, "heal", words);
    g_autoptr(GError) error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                                          "stead lab heal: name two, or none for all that is cut");
    return fail(session, error);
}

/* --- copy ------------------------------------------------------------------------------------- */

/* HOST:PATH; a path here has a slash before any colon, as with scp(1). *ret_host is the caller's to
 * free; NULL: it is here. */
static const char *split_place(const char *text, char **ret_host) {
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    if (!colon || (slash && slash < colon))
        return text;
    *ret_host = g_strndup(text, (size_t)(colon - text));
    return colon + 1;
}

/* From the root of a host where the path is not absolute. */
static bool open_place(Session *session, const char *host, CopyPlace *place, GError **error) {
    if (!host)
        return true;
    if (!*place->path) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead lab copy: the path in host '%s' is missing", host);
        return false;
    }
    place->leader = open_host(session, host, error);
    return place->leader >= 0;
}

static int run_copy(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    g_autofree char *host_from = NULL, *host_to = NULL;
    CopyPlace from = { -1, split_place(words[0], &host_from) };
    CopyPlace to = { -1, split_place(words[1], &host_to) };
    if (!host_from && !host_to)
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead lab copy: neither is in a host; write HOST:PATH");
    bool ok = !error && open_place(session, host_from, &from, &error) &&
              open_place(session, host_to, &to, &error) && copy_run(&from, &to, &error);
    if (from.leader >= 0)
        (void)close(from.leader); /* they only refer to processes */
    if (to.leader >= 0)
        (void)close(to.leader);
    return ok ? EXIT_DONE : fail(session, error);
}

/* --- the end ---------------------------------------------------------------------------------- */

static int run_down(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    const char *name = words[0] ? words[0] : session->arguments->lab;
    g_autoptr(Record) record = NULL;
    /* Also of one whose record is damaged, when it is named. */
    if (name && !record_read(session->data, name, &record, &error) && record)
        g_clear_error(&error);
    else if (!name)
        record = choose_lab(session, NULL, NULL, &error);
    if (error || !remove_lab(record, &error))
        return fail(session, error);
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(record->name));
        printer_json(session->printer, "down", map);
    } else if (!session->arguments->quiet) {
        printer_line(session->printer, STYLE_PLAIN, "lab '%s' is gone", record->name);
    }
    return EXIT_DONE;
}

static void report(void *data, const char *text) {
    Session *session = data;
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "text", value_new_string(text));
        printer_json(session->printer, "removed", map);
        return;
    }
    printer_line(session->printer, STYLE_PLAIN, "%s", text);
}

static int run_gc(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    return remove_leftovers(session->data, report, session, &error) ? EXIT_DONE
                                                                    : fail(session, error);
}

/* --- the command ------------------------------------------------------------------------------ */

static const struct {
    Verb verb;
    int (*run)(Session *session, char **words);
} verbs[] = {
    { { "up", "FILE", 1, 1 }, run_up },
    { { "list", "", 0, 0 }, run_list },
    { { "status", "[LAB]", 0, 1 }, run_status },
    { { "exec", "HOST COMMAND...", 2, ANY }, run_exec },
    { { "run", "COMMAND...", 1, ANY }, run_run },
    { { "shell", "HOST", 1, 1 }, run_shell },
    { { "reboot", "HOST", 1, 1 }, run_reboot },
    { { "kill", "HOST", 1, 1 }, run_kill },
    { { "start", "HOST", 1, 1 }, run_start },
    { { "cut", "A B", 2, 2 }, run_cut },
    { { "heal", "[A B]", 0, 2 }, run_heal },
    { { "copy", "FROM TO", 2, 2 }, run_copy },
    { { "down", "[LAB]", 0, 1 }, run_down },
    { { "gc", "", 0, 0 }, run_gc },
    { { "keep", "DIR", 1, 1, .hidden = true }, run_keep }, /* what `up` starts */
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autofree char *data =
        g_canonicalize_filename(arguments->data ? arguments->data : LAB_DATA, NULL);
    Session session = { arguments, printer, data, g_get_monotonic_time() };
    g_autoptr(GError) error = NULL;
    int verb = VERB_FIND("lab", verbs, words, &error);
    if (verb < 0)
        return fail(&session, error);
    if (geteuid() == 0)
        return verbs[verb].run(&session, words + 1);
    g_set_error_literal(&error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "stead lab needs root: it makes containers and networks; call it with "
                        "sudo");
    return fail(&session, error);
}

static const Option option_lab_data = {
    .name = "data",
    .type = G_OPTION_ARG_FILENAME,
    .offset = offsetof(Arguments, data),
    .argument = "DIR",
    .help = "Keep labs and their bases in DIR (default: /var/lib/stead/lab)",
};
static const Option option_lab = {
    .name = "lab",
    .type = G_OPTION_ARG_STRING,
    .offset = offsetof(Arguments, lab),
    .argument = "NAME",
    .help = "The lab, where several are up",
};

static const Option *const options[] = {
    &option_lab_data, &option_lab, &option_quiet, &option_json, &option_no_color, NULL,
};

/* `lab exec [OPTION...] HOST COMMAND...`, `lab run [OPTION...] COMMAND...`: the command is not
 * ours. */
static unsigned own_words(char **words) {
    unsigned operands = 0;
    bool has_host = false;
    for (unsigned i = 1; words[i]; i++) {
        if (words[i][0] == '-') {
            for (const Option *const *option = options; *option; option++)
                if (words[i][1] == '-' && (*option)->argument && words[i + 1] &&
                    strcmp(words[i] + 2, (*option)->name) == 0)
                    i++;
            continue;
        }
        operands++;
        if (operands == 1 && strcmp(words[i], "exec") != 0 && strcmp(words[i], "run") != 0)
            return 0;
        if (operands == 1)
            has_host = strcmp(words[i], "exec") == 0;
        else
            return !has_host ? i : words[i + 1] ? i + 1 : 0;
    }
    return 0;
}

const Command command_lab = {
    .name = "lab",
    .arguments = "up FILE | list | status [LAB] | exec HOST COMMAND... | run COMMAND... | shell "
                 "HOST | reboot HOST | "
                 "kill HOST | start HOST | cut A B | heal [A B] | copy FROM TO | down [LAB] | gc",
    .min_arguments = 1,
    .max_arguments = ANY,
    .summary = "Rehearse on hosts that are containers of this machine",
    .help =
        "up makes the hosts and networks that FILE lists, in YAML: Debian with systemd, this "
        "stead, "
        "and an\n"
        "agent on each that has a configuration. The first time it builds what they start from, "
        "which takes\n"
        "minutes; later it takes seconds. Either all is up, or nothing is left. Of a lab that is "
        "up "
        "it starts the\n"
        "hosts that are new in FILE and ends those that are gone; the others go on.\n\n"
        "exec runs a command in a host and exits as it does; run one of this machine in the lab's "
        "networks, where\n"
        "STEAD_HUB leads to its hub; shell gives a terminal in a host. reboot is orderly, kill\n"
        "is a loss of power, start follows it; files stay. cut lets nothing pass between two "
        "hosts, "
        "or between a\n"
        "host and a network, until heal. copy takes HOST:PATH on either side, directories too.\n\n"
        "down ends a lab, with all that its hosts have written. gc removes what a crash has left: "
        "of labs that\n"
        "are not up, nothing remains. --lab chooses where several labs have such a host. Needs "
        "root and the\n"
        "packages systemd-container and mmdebstrap.",
    .example = "stead lab up three.yaml",
    .options = options,
    .run = run,
    .own_words = own_words,
};
