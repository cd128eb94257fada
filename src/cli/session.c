#include "cli/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"

/* What is wrong in the file has its place; what keeps it from being read has that of its name. */
static bool read_map(const char *option, const char *file, Value **ret_map, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (!file || (*ret_map = lang_load_values(file, &problem)))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_CONFIG))
        g_prefix_error(&problem, "--%s: ", option);
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool read_inputs(Session *session, GError **error) {
    const Arguments *arguments = session->arguments;
    return read_map(option_values.name, arguments->values, &session->values, error) &&
           read_map(option_secrets.name, arguments->secrets, &session->secrets, error);
}

/* A pipe or the like is nobody else's. */
static void warn_of_readers(const Session *session) {
    const char *file = session->arguments->secrets;
    struct stat found;
    if (!file || stat(file, &found) < 0 || !S_ISREG(found.st_mode) || !(found.st_mode & S_IROTH))
        return;
    g_autofree char *quoted = g_shell_quote(file);
    printer_warning(session->printer, "everybody may read the secrets in '%s': chmod 600 %s", file,
                    quoted);
}

Session *session_open(const Arguments *arguments) {
    g_autoptr(Session) session = g_new0(Session, 1);
    g_autoptr(GError) error = NULL;
    session->arguments = arguments;
    session->printer = printer_new(arguments);
    stead_machine_options options = {
        .root = arguments->root,
        .state = arguments->state,
        .flags = arguments->verify ? STEAD_MACHINE_VERIFY : 0,
        .kinds = (const char *const *)arguments->kinds,
    };
    session->machine = machine_new(&options, &error);
    if (!session->machine || !read_inputs(session, &error)) {
        printer_error(session->printer, error);
        return NULL;
    }
    warn_of_readers(session);
    return g_steal_pointer(&session);
}

void session_close(Session *session) {
    if (!session)
        return;
    stead_machine_close(session->machine);
    value_unref(session->values);
    value_unref(session->secrets);
    value_unref(session->exchange);
    printer_free(session->printer);
    g_free(session);
}

void session_exit(Session *session, int status) {
    machine_close_ledger(session->machine);
    programs_stop(session->machine->programs);
    g_clear_pointer(&session->printer, printer_free);
    exit(status);
}

void session_explain_permission(const Session *session, GError *error) {
    if (!error || geteuid() == 0 || !g_str_has_suffix(error->message, g_strerror(EACCES)))
        return;
    g_autofree char *message = g_steal_pointer(&error->message);
    error->message =
        g_strdup_printf("%s; run stead as root, or practise below --root DIR", message);
}

static bool open_ledger(Session *session, LedgerMode mode, const char *command, GError **error) {
    g_free(session->machine->name);
    session->machine->name = g_strdup(command);
    return machine_open_ledger(session->machine, mode, error);
}

bool session_open_ledger(Session *session, LedgerMode mode, const char *command) {
    g_autoptr(GError) error = NULL;
    if (open_ledger(session, mode, command, &error))
        return true;
    session_explain_permission(session, error);
    printer_error(session->printer, error);
    return false;
}

LangInputs session_inputs(const Session *session) {
    return (LangInputs){
        .kinds = programs_kinds(session->machine->programs),
        .host = session->machine->host,
        .values = session->values,
        .values_file = session->arguments->values,
        .secrets = session->secrets,
        .exchange = session->exchange,
        .env_names = (const char *const *)session->arguments->env,
        .wall_now = (uint64_t)g_get_real_time(),
        .noop = session->arguments->noop,
        .no_autoedges = session->arguments->no_autoedges,
    };
}

bool session_find_kinds(Session *session, const char *file) {
    g_autoptr(GError) error = NULL;
    if (machine_kinds(session->machine, file, &error))
        return true;
    printer_error(session->printer, error);
    return false;
}

bool session_load(Session *session, const char *file, LangResult *ret_result) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (!session_find_kinds(session, file))
        return false;
    LangInputs inputs = session_inputs(session);
    LangResult *result = ret_result;
    bool ok = lang_load(file, &inputs, result, problems);
    for (unsigned i = 0; result->warnings && i < result->warnings->len; i++)
        printer_warning(session->printer, "%s", (char *)g_ptr_array_index(result->warnings, i));
    printer_problems(session->printer, problems);
    return ok;
}

char *session_configuration(const Session *session, const char *file) {
    g_autofree char *path = g_canonicalize_filename(file, NULL);
    const char *last =
        session->machine->ledger ? ledger_configuration(session->machine->ledger) : NULL;
    struct stat one, other;
    bool same = last && stat(path, &one) == 0 && stat(last, &other) == 0 &&
                one.st_dev == other.st_dev && one.st_ino == other.st_ino;
    return same ? g_strdup(last) : g_steal_pointer(&path);
}

/* A ledger being opened in a thread of its own. */
typedef struct {
    Session *session;
    LedgerMode mode;
    const char *command;
    GError *error;
    GThread *thread;
} Opening;

static gpointer open_in_thread(gpointer data) {
    Opening *opening = data;
    (void)open_ledger(opening->session, opening->mode, opening->command, &opening->error);
    return NULL; /* the caller looks at the session and at error */
}

bool session_load_beside_ledger(Session *session, const char *file, LedgerMode mode,
                                const char *command, LangResult *ret_result) {
    if (!ledger_exists(session->machine->state_dir))
        return session_load(session, file, ret_result) &&
               session_open_ledger(session, mode, command);
    Opening opening = { .session = session, .mode = mode, .command = command };
    opening.thread = g_thread_new("ledger", open_in_thread, &opening);
    bool ok = session_load(session, file, ret_result);
    g_thread_join(opening.thread);
    g_autoptr(GError) error = opening.error;
    session_explain_permission(session, error);
    if (ok && error)
        printer_error(session->printer, error);
    return ok && !error;
}
