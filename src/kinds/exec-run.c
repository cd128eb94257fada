/* Whether a command is to run, and running it. */
#include <signal.h>
#include <string.h>

#include "base/limits.h"
#include "host/accounts.h"
#include "host/host-overlay.h"
#include "kinds/account.h"
#include "kinds/exec.h"

#define TAIL_LINES  5 /* of a failed command's output, repeated in the error */
#define TAIL_BYTES  1000
#define NOTE_BYTES  160          /* of the last line of output, as a note */
#define NOTE_ALL    (64 * 1024)  /* of all of it, from its end */
#define KEPT_OUTPUT (256 * 1024) /* bytes of all outputs remembered until the next run */
#define KEPT_MTIME  "mtime"      /* kept: ns, the newest of mtimes after the last run */

static const struct {
    const char *name;
    unsigned fallback;
} outputs[] = {
    { "output", EXEC_SEND_OUTPUT },
    { "stdout", EXEC_SEND_STDOUT },
    { "stderr", EXEC_SEND_STDERR },
};

/* Then nothing that may repeat it is shown, and its outputs are secret as well. */
static bool knows_secret(const Resource *resource) {
    static const unsigned params[] = { EXEC_CMD, EXEC_ARGS, EXEC_ENV, EXEC_INPUT };
    for (size_t i = 0; i < G_N_ELEMENTS(params); i++) {
        const Value *value = resource_get(resource, params[i]);
        if (value != NULL && value_is_secret(value))
            return true;
    }
    return false;
}

/* --- running */

/* The last lines, each on a line of its own, or "". */
static char *tail_of(GBytes *output) {
    size_t size;
    const char *data = g_bytes_get_data(output, &size);
    while (size > 0 && g_ascii_isspace(data[size - 1]))
        size--;
    size_t start = size;
    for (unsigned lines = 0; start > 0 && size - start < TAIL_BYTES; start--)
        if (data[start - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    g_autofree char *text =
        g_utf8_make_valid(data != NULL ? data + start : "", (gssize)(size - start));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *joined = g_strjoinv("\n    ", lines);
    return size == start ? g_strdup("") : g_strconcat(":\n    ", joined, NULL);
}

static bool logs(const KindRun *run, const char *what) {
    const char *choice = resource_string(run->resource, EXEC_LOGOUTPUT);
    return strcmp(choice != NULL ? choice : "last", what) == 0; /* an older ledger does not say */
}

static bool failed(const KindRun *run, const char *what, const HostCommandResult *result,
                   GError **error) {
    g_autofree char *how = result->exit_status >= 0
                               ? g_strdup_printf("exit status %d", result->exit_status)
                               : g_strdup_printf("ended by signal %d (%s)%s", result->signal_number,
                                                 g_strsignal(result->signal_number),
                                                 result->signal_number == SIGKILL
                                                     ? "; if nobody did that, memory ran out: see "
                                                       "journalctl -k"
                                                     : "");
    g_autofree char *tail =
        knows_secret(run->resource) ? g_strdup(" (output not shown: it was given a secret)")
        : logs(run, "never")        ? g_strdup(" (output not shown: logoutput is \"never\")")
                                    : tail_of(result->output);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s failed, %s%s%s", what, how,
                result->truncated ? " (the end of its output was cut off)" : "", tail);
    return false;
}

/* The program itself could not be started: say what a shell would have made of it. A directory
 * that is missing explains itself. */
static void explain_missing(KindRun *run, const char *shell, const char *cwd, GError **error) {
    if (!g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND) || shell != NULL ||
        (cwd != NULL && !host_exists(run->host, cwd)))
        return;
    g_autofree char *message = g_steal_pointer(&(*error)->message);
    (*error)->message =
        g_strconcat(message, ": give its full path, or set shell if it is shell syntax", NULL);
}

/* Whoever its commands run as. */
static bool check_identity(KindRun *run, GError **error) {
    const char *user = exec_text(run->resource, EXEC_USER);
    const char *group = exec_text(run->resource, EXEC_GROUP);
    uid_t uid;
    gid_t gid;
    return (user == NULL || accounts_uid(run->host, user, &uid, error) ||
            account_remedy("user", user, error)) &&
           (group == NULL || accounts_gid(run->host, group, &gid, error) ||
            account_remedy("group", group, error));
}

static bool run_line(KindRun *run, const char *what, const char *line, const char *shell,
                     const char *cwd, HostCommandResult *ret_result, GError **error) {
    g_auto(ExecCommand) command = { 0 };
    if (!exec_command_init(&command, run->host, run->resource, line, shell, cwd, error)) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    const Value *input = resource_get(run->resource, EXEC_INPUT);
    if (strcmp(what, "cmd") == 0 && value_type(input) == VALUE_STRING) {
        command.command.input = value_string(input);
        command.command.input_size = value_string_size(input);
    }
    command.command.cancel = run->cancel;
    if (!check_identity(run, error)) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    g_autoptr(GError) problem = NULL;
    if (host_run(run->host, &command.command, ret_result, &problem))
        return true;
    explain_missing(run, shell, cwd, &problem);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "%s: ", what);
    return false;
}

/* --- deciding */

typedef enum { DECIDE_NO, DECIDE_YES, DECIDE_MAYBE } Decision;

static bool newest_mtime(KindRun *run, int64_t *ret_ns, bool *ret_unknown, GError **error) {
    const Value *paths = resource_get(run->resource, EXEC_MTIMES);
    *ret_ns = INT64_MIN;
    *ret_unknown = false;
    for (size_t i = 0; paths != NULL && i < value_size(paths); i++) {
        FileInfo info;
        if (!host_stat(run->host, value_string(value_list_at(paths, i)), &info, error)) {
            g_prefix_error(error, "mtimes: ");
            return false;
        }
        *ret_unknown |= info.type == FILE_UNKNOWN;
        *ret_ns = MAX(*ret_ns, info.mtime_ns);
    }
    return true;
}

static bool decide_by_mtimes(KindRun *run, Decision *decision, GError **error) {
    int64_t newest;
    bool unknown;
    if (!newest_mtime(run, &newest, &unknown, error))
        return false;
    int64_t last = run->kept != NULL ? value_map_int(run->kept, KEPT_MTIME, INT64_MIN) : INT64_MIN;
    if (newest > last)
        *decision = DECIDE_YES;
    else if (unknown)
        *decision = DECIDE_MAYBE;
    return true;
}

/* *ret_found: the first that exists, or NULL. */
static bool find_created(KindRun *run, const char **ret_found, bool *ret_unknown, GError **error) {
    const Value *paths = resource_get(run->resource, EXEC_CREATES);
    *ret_found = NULL;
    *ret_unknown = false;
    for (size_t i = 0; paths != NULL && i < value_size(paths); i++) {
        const char *path = value_string(value_list_at(paths, i));
        FileInfo info;
        g_autoptr(GError) problem = NULL;
        if (*path == '\0')
            continue;
        if (host_stat(run->host, path, &info, &problem)) {
            if (info.type == FILE_UNKNOWN)
                *ret_unknown = true;
            else if (*ret_found == NULL)
                *ret_found = path;
        } else if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem), "creates: ");
            return false;
        }
    }
    return true;
}

static bool is_output(GBytes *output, const Resource *resource, unsigned param) {
    const Value *wanted = resource_get(resource, param);
    if (wanted == NULL || value_type(wanted) != VALUE_STRING)
        return false;
    size_t size;
    const char *data = g_bytes_get_data(output, &size);
    return size == value_string_size(wanted) &&
           (size == 0 || memcmp(data, value_string(wanted), size) == 0);
}

typedef struct {
    const char *name, *alias;
    unsigned cmd, shell, cwd;
} Guard;

/* "unless (nifcmd) 'test -e /x' succeeded" */
static char *guard_text(const Guard *guard, const Value *line, const HostCommandResult *result,
                        bool equals) {
    g_autofree char *how = equals ? g_strdup("printed what ifequals says")
                           : result->exit_status == 0
                               ? g_strdup("succeeded")
                               : g_strdup_printf("failed with exit status %d", result->exit_status);
    if (value_is_secret(line))
        return g_strdup_printf("%s (%s) %s", guard->alias, guard->name, how);
    return g_strdup_printf("%s (%s) '%s' %s", guard->alias, guard->name, value_string(line), how);
}

/* Runs each command of a guard until one blocks: then *ret_why, owned, says it. A guard that is
 * ended by a signal has not answered: that is an error, as a cancelled one is. */
static bool run_guard(KindRun *run, const Guard *guard, bool blocks_on_success, char **ret_why,
                      GError **error) {
    const Resource *resource = run->resource;
    const Value *lines = resource_get(resource, guard->cmd);
    for (size_t i = 0; lines != NULL && i < value_size(lines) && *ret_why == NULL; i++) {
        const char *line = value_string(value_list_at(lines, i));
        g_auto(HostCommandResult) result = { 0 };
        if (*line == '\0')
            continue;
        if (!run_line(run, guard->name, line, exec_text(resource, guard->shell),
                      resource_string(resource, guard->cwd), &result, error))
            return false;
        if (result.exit_status < 0)
            return failed(run, guard->name, &result, error);
        bool success = result.exit_status == 0;
        bool equals = success && guard->cmd == EXEC_IFCMD &&
                      (is_output(result.output, resource, EXEC_IFEQUALS) ||
                       is_output(result.out, resource, EXEC_IFEQUALS_STDOUT));
        if (equals || success == blocks_on_success)
            *ret_why = guard_text(guard, value_list_at(lines, i), &result, equals);
    }
    return true;
}

/* *ret_why: set, owned, when the answer is no. */
static bool decide_by_guards(KindRun *run, Decision *decision, char **ret_why, GError **error) {
    static const Guard only_if = { "ifcmd", "onlyif", EXEC_IFCMD, EXEC_IFSHELL, EXEC_IFCWD };
    static const Guard unless = { "nifcmd", "unless", EXEC_NIFCMD, EXEC_NIFSHELL, EXEC_NIFCWD };
    const char *found;
    bool unknown;
    if (!find_created(run, &found, &unknown, error))
        return false;
    *decision = found != NULL ? DECIDE_NO : DECIDE_YES;
    if (found != NULL) {
        *ret_why = g_strdup_printf("creates: '%s' exists", found);
        return true;
    }
    bool has_commands =
        exec_has_list(run->resource, EXEC_IFCMD) || exec_has_list(run->resource, EXEC_NIFCMD);
    if (unknown || (run->planning && has_commands)) {
        *decision = DECIDE_MAYBE;
        return true;
    }
    if (!run_guard(run, &only_if, false, ret_why, error) ||
        (*ret_why == NULL && !run_guard(run, &unless, true, ret_why, error)))
        return false;
    if (*ret_why != NULL)
        *decision = DECIDE_NO;
    return true;
}

/* After a run: what it promised to create must be there. */
static bool check_created(KindRun *run, GError **error) {
    const char *found;
    bool unknown;
    if (!exec_has_list(run->resource, EXEC_CREATES))
        return true;
    if (!find_created(run, &found, &unknown, error))
        return false;
    if (found != NULL || unknown)
        return true;
    const char *path = value_string(value_list_at(resource_get(run->resource, EXEC_CREATES), 0));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "cmd succeeded, but '%s', which it creates, is not there", path);
    return false;
}

static bool has_guard(const Resource *resource) {
    return exec_has_list(resource, EXEC_CREATES) || exec_has_list(resource, EXEC_IFCMD) ||
           exec_has_list(resource, EXEC_NIFCMD);
}

/* *ret_why: owned; why not, where that is worth telling. */
static bool decide(KindRun *run, Decision *decision, char **ret_why, GError **error) {
    const Resource *resource = run->resource;
    *decision = DECIDE_NO;
    if (run->reason == REASON_VERIFY)
        return true; /* its success is all that can be said */
    if (exec_has_list(resource, EXEC_MTIMES) && !decide_by_mtimes(run, decision, error))
        return false;
    if (*decision != DECIDE_NO)
        return true;
    if (resource_bool(resource, EXEC_REFRESHONLY) && !run->refresh) {
        *ret_why = g_strdup("refreshonly, and nothing has notified it since it ran");
        return true;
    }
    /* Without a guard it would run each time it is looked at: only an event is a reason to. */
    if (!has_guard(resource) && !run->refresh && run->reason == REASON_POLL)
        return true;
    return decide_by_guards(run, decision, ret_why, error);
}

/* For `stead why`. An answer that has not changed costs no write. */
static void keep_why(KindRun *run, const char *why) {
    const char *known =
        run->kept != NULL ? value_map_string(run->kept, KIND_KEPT_IDLE, NULL) : NULL;
    if (why == NULL || g_strcmp0(known, why) == 0)
        return;
    Value *keep = value_new_map();
    for (size_t i = 0; run->kept != NULL && i < value_size(run->kept); i++) {
        const char *key;
        const Value *value = value_map_at(run->kept, i, &key);
        value_map_set(keep, key, value_ref(value));
    }
    value_map_set(keep, KIND_KEPT_IDLE, value_new_string(why));
    kind_run_keep(run, keep);
}

/* --- outputs */

static void send_kept(KindRun *run) {
    for (size_t i = 0; i < G_N_ELEMENTS(outputs); i++) {
        const Value *kept = run->kept != NULL ? value_map_get(run->kept, outputs[i].name) : NULL;
        const Value *value = kept != NULL ? kept : resource_get(run->resource, outputs[i].fallback);
        if (value != NULL)
            kind_run_send(run, outputs[i].name, value_ref(value));
    }
}

static Value *output_value(GBytes *bytes, bool secret) {
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    g_autoptr(Value) value = value_new_bytes(data, size);
    return secret ? value_as_secret(value, NULL) : g_steal_pointer(&value);
}

/* Secrets are not kept: the ledger would hand back an empty one. */
static bool send_and_keep(KindRun *run, const HostCommandResult *result, GError **error) {
    GBytes *const streams[] = { result->output, result->out, result->err };
    bool secret = knows_secret(run->resource), unknown;
    g_autoptr(Value) kept = value_new_map();
    size_t total = 0;
    int64_t newest;
    for (size_t i = 0; i < G_N_ELEMENTS(outputs); i++)
        total += g_bytes_get_size(streams[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(outputs); i++) {
        g_autoptr(Value) value = output_value(streams[i], secret);
        kind_run_send(run, outputs[i].name, value_ref(value));
        if (!secret && total <= KEPT_OUTPUT)
            value_map_set(kept, outputs[i].name, value_ref(value));
    }
    if (!newest_mtime(run, &newest, &unknown, error))
        return false;
    if (newest != INT64_MIN)
        value_map_set(kept, KEPT_MTIME, value_new_int(newest));
    kind_run_keep(run, g_steal_pointer(&kept));
    return true;
}

static void note_output(KindRun *run, const HostCommandResult *result) {
    size_t size;
    if (result->truncated) {
        kind_run_note(run, "only the first %u MB of its output are kept",
                      LIMIT_COMMAND_OUTPUT / (1024 * 1024));
        return;
    }
    const char *data = g_bytes_get_data(result->output, &size);
    while (size > 0 && g_ascii_isspace(data[size - 1]))
        size--;
    bool all = logs(run, "always");
    size_t start = size, most = all ? NOTE_ALL : NOTE_BYTES;
    while (start > 0 && (all || data[start - 1] != '\n') && size - start < most)
        start--;
    if (size == start || knows_secret(run->resource) || !(all || logs(run, "last")))
        return;
    g_autofree char *line = g_utf8_make_valid(data + start, (gssize)(size - start));
    kind_run_note(run, "%s", line);
}

/* --- callbacks */

/* exists: nothing to do. The slot of cmd, which is no property, carries an unknown when a plan
 * cannot tell. */
bool exec_observe(KindRun *run, State *actual, GError **error) {
    Decision decision;
    g_autofree char *why = NULL;
    if (!decide(run, &decision, &why, error) ||
        (run->planning && decision != DECIDE_NO && !check_identity(run, error)))
        return false;
    actual->exists = decision == DECIDE_NO;
    if (decision == DECIDE_MAYBE)
        state_set(actual, EXEC_CMD, value_new_unknown());
    if (decision == DECIDE_NO && run->reason != REASON_VERIFY) {
        send_kept(run);
        keep_why(run, why);
    }
    return true;
}

static Value *shown_command(const Resource *resource) {
    const Value *args = resource_get(resource, EXEC_ARGS);
    GString *line = g_string_new(resource_string(resource, EXEC_CMD));
    for (size_t i = 0; args != NULL && i < value_size(args); i++)
        g_string_append_printf(line, " %s", value_string(value_list_at(args, i)));
    g_autofree char *text = g_string_free(line, FALSE);
    g_autoptr(Value) value = value_new_string(text);
    bool secret = value_is_secret(resource_get(resource, EXEC_CMD)) ||
                  (args != NULL && value_is_secret(args));
    return secret ? value_as_secret(value, NULL) : g_steal_pointer(&value);
}

bool exec_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (actual->exists)
        return true;
    changes->action = ACTION_RUN;
    changes->routine = !has_guard(run->resource);
    changes->uncertain = state_get(actual, EXEC_CMD) != NULL;
    changes_add(changes, "cmd", NULL, shown_command(run->resource), NULL);
    return true;
}

/* A plan never runs anything: what the command makes and says is unknown from here on. */
static bool predict(KindRun *run) {
    const Value *creates = resource_get(run->resource, EXEC_CREATES);
    for (size_t i = 0; creates != NULL && i < value_size(creates); i++)
        if (*value_string(value_list_at(creates, i)) != '\0')
            host_overlay_mark_unknown(run->host, value_string(value_list_at(creates, i)));
    for (size_t i = 0; i < G_N_ELEMENTS(outputs); i++)
        kind_run_send(run, outputs[i].name, value_new_unknown());
    return true;
}

static bool run_done(KindRun *run, GError **error) {
    const Resource *resource = run->resource;
    const char *line = exec_text(resource, EXEC_DONECMD);
    g_auto(HostCommandResult) result = { 0 };
    if (line == NULL)
        return true;
    return run_line(run, "donecmd", line, exec_text(resource, EXEC_DONESHELL),
                    resource_string(resource, EXEC_DONECWD), &result, error) &&
           (result.exit_status == 0 || failed(run, "donecmd", &result, error));
}

bool exec_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    g_auto(HostCommandResult) result = { 0 };
    if (run->planning)
        return predict(run);
    if (!run_line(run, "cmd", resource_string(resource, EXEC_CMD), exec_text(resource, EXEC_SHELL),
                  resource_string(resource, EXEC_CWD), &result, error))
        return false;
    if (!exec_returns(resource, result.exit_status))
        return failed(run, "cmd", &result, error);
    note_output(run, &result);
    return run_done(run, error) && check_created(run, error) && send_and_keep(run, &result, error);
}
