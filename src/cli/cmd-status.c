/* stead status, stead why: what stands where, asked from the running agent or read from the ledger.
 */
#include <string.h>

#include "agent/control.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/time-text.h"
#include "cli/why-text.h"

/* --- where answers come from ------------------------------------------------------------------ */

/* The agent's answer, or NULL with *ret_offline when none runs. */
static GPtrArray *ask_agent(Session *session, const Value *request, bool *ret_offline) {
    g_autofree char *path = g_build_filename(session->machine->state_dir, "agent.sock", NULL);
    g_autoptr(GError) error = NULL;
    GPtrArray *answer = control_ask(path, request, &error);
    *ret_offline = !answer && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    session_explain_permission(session, error);
    if (!answer && !*ret_offline)
        printer_error(session->printer, error);
    return answer;
}

typedef struct {
    GPtrArray *list; /* of Value */
    Ledger *ledger;
    const char *kind, *name; /* only this one; NULL: all */
} FromLedger;

static void add_entry(void *data, const LedgerEntry *entry) {
    FromLedger *from = data;
    if (from->kind &&
        (strcmp(from->kind, entry->kind) != 0 || strcmp(from->name, entry->name) != 0))
        return;
    Value *status = value_new_map();
    value_map_set(status, "kind", value_new_string(entry->kind));
    value_map_set(status, "name", value_new_string(entry->name));
    value_map_set(status, "state", value_new_string("ok"));
    const char *file = origin_parse(entry->origin).file; /* its lines may have moved since */
    value_map_set(status, "origin", value_new_string(file ? file : ""));
    if (entry->changed)
        value_map_set(status, "changed", value_new_int(entry->changed));
    g_ptr_array_add(from->list, status);
}

static Value *find_status(const GPtrArray *list, const char *kind, const char *name) {
    for (unsigned i = 0; i < list->len; i++) {
        Value *status = g_ptr_array_index(list, i);
        if (strcmp(value_map_string(status, "kind", ""), kind) == 0 &&
            strcmp(value_map_string(status, "name", ""), name) == 0)
            return status;
    }
    return NULL;
}

/* What the last run left: everything that is not right has a status of its own. */
static void add_status(void *data, const char *kind, const char *name, const Value *last) {
    FromLedger *from = data;
    if (from->kind && (strcmp(from->kind, kind) != 0 || strcmp(from->name, name) != 0))
        return;
    Value *status = find_status(from->list, kind, name);
    if (!status) {
        status = value_new_map();
        value_map_set(status, "kind", value_new_string(kind));
        value_map_set(status, "name", value_new_string(name));
        g_ptr_array_add(from->list, status);
    }
    for (size_t i = 0; value_type(last) == VALUE_MAP && i < value_size(last); i++) {
        const char *key;
        const Value *value = value_map_at(last, i, &key);
        value_map_set(status, key, value_ref(value));
    }
}

static GPtrArray *read_ledger(Session *session, const char *kind, const char *name) {
    if (!session_open_ledger(session, LEDGER_READ, "status"))
        return NULL;
    FromLedger from = {
        .list = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref),
        .ledger = session->machine->ledger,
        .kind = kind,
        .name = name,
    };
    ledger_visit(session->machine->ledger, add_entry, &from);
    ledger_visit_status(session->machine->ledger, add_status, &from);
    return from.list;
}

/* --- showing ---------------------------------------------------------------------------------- */

static Style style_of(const char *state) {
    if (strcmp(state, "ok") == 0)
        return STYLE_GOOD;
    if (strcmp(state, "failed") == 0 || strcmp(state, "blocked") == 0 ||
        strcmp(state, "retrying") == 0)
        return STYLE_BAD;
    return STYLE_CHANGE;
}

static void print_short(Printer *printer, const Value *status) {
    const char *state = value_map_string(status, "state", "?");
    g_autofree char *error = why_reason(status);
    printer_line(printer, STYLE_PLAIN, "%s%-9s%s %s '%s'%s%s",
                 printer_style(printer, style_of(state)), state,
                 printer_style(printer, STYLE_PLAIN), value_map_string(status, "kind", ""),
                 value_map_string(status, "name", ""), error ? ": " : "", error ? error : "");
}

static bool is_asked_for(const Arguments *arguments, const Value *status) {
    const char *state = value_map_string(status, "state", NULL);
    if (!state || strcmp(state, "hidden") == 0)
        return false;
    return !arguments->kind || strcmp(arguments->kind, value_map_string(status, "kind", "")) == 0;
}

/* "exchange (etcd): out of reach since ...: why; going on with what is known" */
static void print_exchange(Printer *printer, const Value *exchange) {
    const char *error = value_map_string(exchange, "error", NULL);
    int64_t published = value_map_int(exchange, "published", 0);
    g_autofree char *since =
        time_show(value_map_int(exchange, "since", 0) * (int64_t)G_USEC_PER_SEC);
    const char *store = value_map_string(exchange, "store", "");
    if (!value_map_bool(exchange, "connected", false))
        printer_line(printer, STYLE_BAD,
                     "exchange (%s): out of reach since %s%s%s; what it had "
                     "last is used",
                     store, since, error ? ": " : "", error ? error : "");
    else
        printer_line(printer, STYLE_PLAIN,
                     "exchange (%s): as '%s', %" G_GINT64_FORMAT " published%s", store,
                     value_map_string(exchange, "host", ""), published,
                     value_map_bool(exchange, "stale", false)
                         ? "; some of it is not read yet: what was known last is used"
                         : "");
}

/* One that may be added to. */
static Value *copy_of(const Value *map) {
    Value *copy = value_new_map();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *name;
        const Value *value = value_map_at(map, i, &name);
        value_map_set(copy, name, value_ref(value));
    }
    return copy;
}

static void print_refused(Printer *printer, const Value *refused) {
    g_autofree char *since = time_show(value_map_int(refused, "since", 0));
    int64_t more = value_map_int(refused, "problems", 1) - 1;
    g_autofree char *others =
        more > 0 ? g_strdup_printf(" (and %" G_GINT64_FORMAT " more)", more) : g_strdup("");
    printer_line(printer, STYLE_BAD,
                 "the configuration is refused since %s, what was taken before it is kept: %s%s",
                 since, value_map_string(refused, "error", ""), others);
}

/* "hub: as 'web1', connected since ..." */
static void print_hub(Printer *printer, const Value *hub) {
    const char *error = value_map_string(hub, "error", NULL);
    g_autofree char *since = time_show(value_map_int(hub, "since", 0) * (int64_t)G_USEC_PER_SEC);
    bool known = value_map_get(hub, "since") != NULL;
    if (value_map_bool(hub, "connected", false))
        printer_line(printer, STYLE_PLAIN, "hub: as '%s', connected since %s",
                     value_map_string(hub, "host", ""), since);
    else
        printer_line(printer, STYLE_BAD, "hub: as '%s', out of reach%s%s%s%s",
                     value_map_string(hub, "host", ""), known ? " since " : " so far",
                     known ? since : "", error ? ": " : "", error ? error : "");
}

/* "deploy: record 12 (sha256:...), from the hub: why" */
static void print_deploy(Printer *printer, const Value *deploy) {
    const char *error = value_map_string(deploy, "error", NULL);
    int64_t record = value_map_int(deploy, "record", 0),
            wanted = value_map_int(deploy, "wanted", 0);
    if (record == 0)
        printer_line(printer, STYLE_PLAIN, "deploy: nothing is deployed here so far");
    else
        printer_line(
            printer, STYLE_PLAIN, "deploy: record %" G_GINT64_FORMAT " (sha256:%.12s), %s%s: %s",
            record, value_map_string(deploy, "digest", ""),
            strcmp(value_map_string(deploy, "from", ""), "hub") == 0 ? "from the hub"
                                                                     : "as kept on the disk",
            value_map_bool(deploy, "good", false) ? ", good" : "",
            value_map_string(deploy, "message", ""));
    if (error)
        printer_line(printer, STYLE_BAD, "deploy: %s", error);
    else if (wanted != 0 && wanted != record)
        printer_line(printer, STYLE_CHANGE, "deploy: record %" G_GINT64_FORMAT " is on its way",
                     wanted);
}

static bool has_error(const Value *value) {
    return value_map_get(value, "error") != NULL;
}

/* What the agent itself has to tell: members of its summary. */
static const struct {
    const char *member;
    void (*print)(Printer *printer, const Value *value);
    bool (*is_bad)(const Value *value); /* NULL: never */
} own_members[] = {
    { "refused", print_refused, has_error },
    { "deploy", print_deploy, has_error },
    { "hub", print_hub, NULL },
    { "exchange", print_exchange, NULL },
};

/* True: something of it is wrong. */
static bool show_agent(Session *session, const GPtrArray *answer) {
    bool bad = false;
    for (unsigned i = 0; i < answer->len; i++) {
        const Value *summary = answer->pdata[i] ? value_map_get(answer->pdata[i], "summary") : NULL;
        for (unsigned j = 0; summary && j < G_N_ELEMENTS(own_members); j++) {
            const Value *value = value_map_get(summary, own_members[j].member);
            if (value_type(value) != VALUE_MAP)
                continue;
            bad |= own_members[j].is_bad && own_members[j].is_bad(value);
            if (printer_is_json(session->printer))
                printer_json(session->printer, own_members[j].member, copy_of(value));
            else
                own_members[j].print(session->printer, value);
        }
    }
    return bad;
}

/* What is right is only counted, unless asked for. JSON takes its maps out of the answer. */
static int show_all(Session *session, GPtrArray *answer, bool offline) {
    Printer *printer = session->printer;
    unsigned ok = 0, bad = 0;
    for (unsigned i = 0; i < answer->len; i++) {
        Value *status = g_ptr_array_index(answer, i);
        if (!is_asked_for(session->arguments, status))
            continue;
        bool right = strcmp(value_map_string(status, "state", ""), "ok") == 0;
        ok += right;
        bad += !right;
        if (printer_is_json(printer))
            printer_json(printer, "status", g_steal_pointer(&g_ptr_array_index(answer, i)));
        else if (!right || session->arguments->verbose)
            print_short(printer, status);
    }
    if (!printer_is_json(printer))
        printer_line(printer, bad ? STYLE_BAD : STYLE_GOOD, "%u right, %u not%s", ok, bad,
                     offline ? " (no agent runs: as the last run left it)" : "");
    return bad ? EXIT_FAILURES : EXIT_DONE;
}

static int run_status(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    g_autoptr(Value) request = value_new_map();
    value_map_set(request, "ask", value_new_string("status"));
    bool offline;
    g_autoptr(GPtrArray) answer = ask_agent(session, request, &offline);
    if (!answer && offline)
        answer = read_ledger(session, NULL, NULL);
    if (!answer)
        return EXIT_REFUSED;
    bool bad = show_agent(session, answer);
    int code = show_all(session, answer, offline);
    return bad ? EXIT_FAILURES : code;
}

/* The ledger is opened when there is something to ask it. */
static Ledger *ledger_of(Session *session) {
    if (!session->machine->ledger)
        (void)session_open_ledger(session, LEDGER_READ, "why"); /* a detail */
    return session->machine->ledger;
}

static void explain(Session *session, const Value *status) {
    g_autoptr(GString) text = g_string_new(NULL);
    why_append(text, status, ledger_of(session));
    print_short(session->printer, status);
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    for (char **line = lines; *line && **line; line++)
        printer_line(session->printer, STYLE_PLAIN, "%s", *line);
}

static int run_why(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    g_autoptr(Value) request = value_new_map();
    value_map_set(request, "ask", value_new_string("why"));
    value_map_set(request, "kind", value_new_string(words[0]));
    value_map_set(request, "name", value_new_string(words[1]));
    bool offline;
    g_autoptr(GPtrArray) answer = ask_agent(session, request, &offline);
    if (!answer && offline)
        answer = read_ledger(session, words[0], words[1]);
    if (!answer)
        return EXIT_REFUSED;
    if (answer->len == 0) {
        g_autoptr(GError) error =
            g_error_new(STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                        "no %s '%s' is managed here; 'stead status --verbose' lists what is",
                        words[0], words[1]);
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    Value *status = g_ptr_array_index(answer, 0);
    if (strcmp(value_map_string(status, "state", ""), "ok") == 0)
        why_add_idle(status, ledger_of(session));
    if (printer_is_json(session->printer))
        printer_json(session->printer, "why", g_steal_pointer(&g_ptr_array_index(answer, 0)));
    else
        explain(session, status);
    return EXIT_DONE;
}

static const Option *const status_options[] = {
    &option_root, &option_state,    &option_kind, &option_verbose,
    &option_json, &option_no_color, NULL,
};

const Command command_status = {
    .name = "status",
    .arguments = "",
    .summary = "Show what is right and what is not",
    .help = "Asks the running agent, or reads what the last run left in the ledger. Shows every "
            "resource that\n"
            "is not right; --verbose shows all. Exits with 4 when something is not right.",
    .example = "stead status",
    .options = status_options,
    .run = run_status,
};

static const Option *const why_options[] = {
    &option_root, &option_state, &option_json, &option_no_color, NULL,
};

const Command command_why = {
    .name = "why",
    .arguments = "KIND NAME",
    .min_arguments = 2,
    .max_arguments = 2,
    .summary = "Explain one resource: state, blockers, last error, next try",
    .help = "Tells what the resource waits for, which failed resource blocks it and why, what kept "
            "a command from\n"
            "running, its last error, its last change, and when it is tried again.",
    .example = "stead why file /etc/motd",
    .options = why_options,
    .run = run_why,
};
