#include <string.h>

#include "base/digest.h"
#include "base/json.h"
#include "kinds/kinds.h"

/* msg: a message in the journal or syslog, once for each text, and on every notification. */

enum { P_BODY, P_PRIORITY, P_FIELDS, P_JOURNAL, P_SYSLOG, N_PARAMS };

#define N_PRIORITIES 8
#define FIELD_MAX    64 /* journald's limit on the length of a field's name */

/* The index modulo N_PRIORITIES is the priority of syslog(3); the second half is mgmt's spelling.
 */
static const char *const priorities[] = {
    "emerg", "alert", "crit", "err",     "warning", "notice", "info",  "debug", "Emerg",
    "Alert", "Crit",  "Err",  "Warning", "Notice",  "Info",   "Debug", NULL,
};

static const Param params[N_PARAMS] = {
    [P_BODY] = { "body", PARAM_STRING, PARAM_NAMED | PARAM_RECEIVES,
                 "The text of the message; the resource's name unless given." },
    [P_PRIORITY] = { "priority", PARAM_ENUM, 0, "How urgent it is, in the words of syslog(3).",
                     .fallback = "info", .choices = priorities },
    [P_FIELDS] = { "fields", PARAM_MAP, 0,
                   "Further fields of the journal entry. Names are letters, digits and "
                   "underscores, "
                   "do not start with an underscore, and are written in capitals." },
    [P_JOURNAL] = { "journal", PARAM_BOOL, 0, "Send it to the systemd journal.",
                    .fallback = "true" },
    [P_SYSLOG] = { "syslog", PARAM_BOOL, 0, "Send it to syslog as well.", .fallback = "false" },
};

static bool check_field(const char *name, GError **error) {
    static const char *const reserved[] = { "MESSAGE", "PRIORITY", NULL };
    g_autofree char *upper = g_ascii_strup(name, -1);
    if (g_strv_contains(reserved, upper)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse field '%s': it is set by 'body' and 'priority'", name);
        return false;
    }
    size_t length = strlen(name);
    bool good = length > 0 && length <= FIELD_MAX && name[0] != '_' && !g_ascii_isdigit(name[0]) &&
                strspn(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == length;
    if (!good)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse field '%s': use letters, digits and underscores, starting with a "
                    "letter, at most %d characters",
                    name, FIELD_MAX);
    return good;
}

static bool msg_validate(const Resource *resource, GError **error) {
    const Value *fields = resource_get(resource, P_FIELDS);
    for (size_t i = 0; fields && i < value_size(fields); i++) {
        const char *name;
        (void)value_map_at(fields, i, &name);
        if (!check_field(name, error))
            return false;
    }
    return true;
}

/* What identifies the message: a digest, because the body may be a secret. */
static Value *message_mark(const Resource *resource) {
    g_autoptr(Value) all = value_new_list();
    for (unsigned i = 0; i < N_PARAMS; i++) {
        const Value *value = resource_get(resource, i);
        value_list_append(all, value ? value_ref(value) : value_new_nil());
    }
    g_autofree char *text = json_print(all, JSON_REVEAL);
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(text, strlen(text), hex);
    Value *mark = value_new_map();
    value_map_set(mark, "sent", value_new_string(hex));
    return mark;
}

static bool msg_observe(KindRun *run, State *actual, GError **error) {
    actual->exists = true;
    return true;
}

/* In a plan, when it is received from what has not run yet. */
static bool is_unknown(const Value *body) {
    return !body || value_type(body) == VALUE_UNKNOWN;
}

static bool msg_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Value *body = resource_get(run->resource, P_BODY);
    bool unknown = is_unknown(body);
    if (!run->refresh && !unknown) {
        g_autoptr(Value) mark = message_mark(run->resource);
        if (value_equal(mark, run->keep ? run->keep : run->kept))
            return true;
    }
    changes->action = ACTION_RUN;
    changes->uncertain = unknown && !run->refresh;
    changes_add(changes, "body", NULL, body ? value_ref(body) : value_new_unknown(), NULL);
    return true;
}

static GPtrArray *journal_fields(const Value *map) {
    GPtrArray *fields = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; map && i < value_size(map); i++) {
        const char *name;
        const Value *value = value_map_at(map, i, &name);
        g_autofree char *upper = g_ascii_strup(name, -1);
        g_ptr_array_add(fields, g_strdup_printf("%s=%s", upper, value_string(value)));
    }
    g_ptr_array_add(fields, NULL);
    return fields;
}

static int priority_number(const char *name) {
    for (int i = 0; priorities[i]; i++)
        if (g_str_equal(priorities[i], name))
            return i % N_PRIORITIES;
    g_assert_not_reached(); /* the row's choices */
}

static bool msg_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    const Value *body = resource_get(resource, P_BODY);
    if (is_unknown(body))
        return true;
    g_autoptr(GPtrArray) fields = journal_fields(resource_get(resource, P_FIELDS));
    if (!host_log(run->host, priority_number(resource_string(resource, P_PRIORITY)),
                  value_string(body), (const char *const *)fields->pdata,
                  resource_bool(resource, P_JOURNAL), resource_bool(resource, P_SYSLOG), error)) {
        g_prefix_error(error, "cannot send the message: ");
        return false;
    }
    kind_run_keep(run, message_mark(resource));
    if (value_is_secret(body))
        kind_run_note(run, "(secret)");
    else
        kind_run_note(run, "%s", value_string(body));
    return true;
}

const Kind kind_msg = {
    .name = "msg",
    .summary = "Send a message to the journal or syslog",
    .help = "Sends `body` to the systemd journal (unless `journal = false`), and to syslog when "
            "asked. The message is sent once; it is sent again when any of its parameters has "
            "changed, and each time another resource notifies it. That it was sent is remembered "
            "in the ledger, so that neither a second run nor a restarted agent repeats it.\n\n"
            "A secret in `body` reaches the journal in clear: that is where it was asked to go. "
            "Everywhere else it is shown as \"(secret)\".",
    .example = "msg \"converged\" {\n"
               "  body = \"the web configuration was changed\",\n"
               "  priority = \"notice\",\n"
               "  fields = { team = \"web\" },\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_REFRESHES,
    .validate = msg_validate,
    .observe = msg_observe,
    .diff = msg_diff,
    .apply = msg_apply,
};
