/* exec: a command, when it is needed. The table; deciding and running are in exec-run.c. */
#include "kinds/exec.h"

#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"

static const char *const log_choices[] = { "last", "always", "on_failure", "never", NULL };

static const Param exec_params[] = {
    [EXEC_CMD] = { "cmd", PARAM_STRING, PARAM_NAMED,
                   "Command to run. Without a shell it is split into words as a shell would, "
                   "quotes included, and nothing else is special.",
                   .aliases = "command" },
    [EXEC_ARGS] = { "args", PARAM_STRINGS, 0,
                    "Arguments, used as they are; cmd is then the program alone. Not with shell." },
    [EXEC_SHELL] = { "shell", PARAM_STRING, 0,
                     "Shell that gets cmd with -c, such as \"/bin/sh\", for pipes, variables and "
                     "redirections." },
    [EXEC_CWD] = { "cwd", PARAM_PATH, 0, "Directory to run in; / when unset." },
    [EXEC_ENV] = { "env", PARAM_MAP, 0,
                   "Environment variables of all its commands. Only PATH, HOME and LANG are set "
                   "besides; nothing is inherited.",
                   .aliases = "environment" },
    [EXEC_PATH] = { "path", PARAM_STRINGS, 0, "Directories in which programs are searched." },
    [EXEC_INPUT] = { "input", PARAM_STRING, PARAM_RECEIVES,
                     "Bytes for the standard input of cmd; empty when unset.", .aliases = "stdin" },
    [EXEC_USER] = { "user", PARAM_STRING, PARAM_REWATCH,
                    "User that all its commands run as, by name or number." },
    [EXEC_GROUP] = { "group", PARAM_STRING, PARAM_REWATCH,
                     "Group that all its commands run as, by name or number." },
    [EXEC_UMASK] = { "umask", PARAM_MODE, 0,
                     "Mode bits that files made by its commands do not get, such as \"0077\". "
                     "Unset: that of stead itself." },
    [EXEC_RETURNS] = { "returns", PARAM_STRINGS, 0,
                       "Exit codes of cmd that mean success, from 0 to 255; 0 when unset." },
    [EXEC_REFRESHONLY] = { "refreshonly", PARAM_BOOL, 0,
                           "Run only when another resource notifies this one.",
                           .fallback = "false" },
    [EXEC_CREATES] = { "creates", PARAM_STRINGS, PARAM_REWATCH,
                       "Paths that cmd creates: it does not run while one of them exists, and "
                       "fails "
                       "when it ends without making any. What is declared there, below it, or uses "
                       "it "
                       "(`file`, `line`, a program) comes after it by itself." },
    [EXEC_IFCMD] = { "ifcmd", PARAM_STRINGS, 0, "Commands that must all succeed for cmd to run.",
                     .aliases = "onlyif" },
    [EXEC_IFSHELL] = { "ifshell", PARAM_STRING, 0, "Shell for ifcmd." },
    [EXEC_IFCWD] = { "ifcwd", PARAM_PATH, 0, "Directory for ifcmd." },
    [EXEC_IFEQUALS] = { "ifequals", PARAM_STRING, 0,
                        "When ifcmd succeeds and prints exactly this, cmd does not run. Mind the "
                        "newline that most commands end with." },
    [EXEC_IFEQUALS_STDOUT] = { "ifequals_stdout", PARAM_STRING, 0,
                               "As ifequals, for the standard output alone." },
    [EXEC_NIFCMD] = { "nifcmd", PARAM_STRINGS, 0,
                      "Commands of which none may succeed for cmd to run.", .aliases = "unless" },
    [EXEC_NIFSHELL] = { "nifshell", PARAM_STRING, 0, "Shell for nifcmd." },
    [EXEC_NIFCWD] = { "nifcwd", PARAM_PATH, 0, "Directory for nifcmd." },
    [EXEC_MTIMES] = { "mtimes", PARAM_STRINGS, PARAM_REWATCH,
                      "Files that make cmd run when one was modified since it last ran, whatever "
                      "the guards say. A missing one is an error." },
    [EXEC_DONECMD] = { "donecmd", PARAM_STRING, 0,
                       "Command to run after cmd succeeded; its failure counts as that of cmd." },
    [EXEC_DONESHELL] = { "doneshell", PARAM_STRING, 0, "Shell for donecmd." },
    [EXEC_DONECWD] = { "donecwd", PARAM_PATH, 0, "Directory for donecmd." },
    [EXEC_UNDOCMD] = { "undocmd", PARAM_STRING, 0,
                       "Command that undoes cmd, run with the same shell and directory when the "
                       "resource leaves the configuration." },
    [EXEC_LOGOUTPUT] = { "logoutput", PARAM_ENUM, 0,
                         "What is told of the output of cmd: its last line (last), all of it "
                         "(always), only the end when it fails (on_failure), or nothing (never).",
                         .fallback = "last", .choices = log_choices },
    [EXEC_WATCHCMD] = { "watchcmd", PARAM_STRING, PARAM_REWATCH,
                        "Command that an agent keeps running: each line it prints is an event." },
    [EXEC_WATCHSHELL] = { "watchshell", PARAM_STRING, PARAM_REWATCH, "Shell for watchcmd." },
    [EXEC_WATCHCWD] = { "watchcwd", PARAM_PATH, PARAM_REWATCH, "Directory for watchcmd." },
    [EXEC_WATCHFILES] = { "watchfiles", PARAM_STRINGS, PARAM_REWATCH,
                          "Files whose changes are events; with a slash at the end everything in "
                          "a directory." },
    [EXEC_SEND_OUTPUT] = { "send_output", PARAM_STRING, 0,
                           "What output is while cmd has never run." },
    [EXEC_SEND_STDOUT] = { "send_stdout", PARAM_STRING, 0,
                           "What stdout is while cmd has never run." },
    [EXEC_SEND_STDERR] = { "send_stderr", PARAM_STRING, 0,
                           "What stderr is while cmd has never run." },
};
G_STATIC_ASSERT(G_N_ELEMENTS(exec_params) == EXEC_N_ROWS);

static const Output exec_outputs[] = {
    { "output", PARAM_STRING, "Standard output and error of the last run, as they came." },
    { "stdout", PARAM_STRING, "Standard output of the last run." },
    { "stderr", PARAM_STRING, "Standard error of the last run." },
};

/* Each command of the resource with its shell. */
static const struct {
    unsigned cmd, shell;
} lines[] = {
    { EXEC_CMD, EXEC_SHELL },       { EXEC_IFCMD, EXEC_IFSHELL },
    { EXEC_NIFCMD, EXEC_NIFSHELL }, { EXEC_DONECMD, EXEC_DONESHELL },
    { EXEC_UNDOCMD, EXEC_SHELL },   { EXEC_WATCHCMD, EXEC_WATCHSHELL },
};

typedef bool (*LineVisitor)(const Resource *resource, unsigned cmd, const char *line,
                            const char *shell, void *data, GError **error);

static bool visit_lines(const Resource *resource, LineVisitor visit, void *data, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        const char *shell = exec_text(resource, lines[i].shell);
        const Value *value = resource_get(resource, lines[i].cmd);
        if (value_type(value) == VALUE_STRING && value_string_size(value) > 0 &&
            !visit(resource, lines[i].cmd, value_string(value), shell, data, error))
            return false;
        for (size_t j = 0; value_type(value) == VALUE_LIST && j < value_size(value); j++) {
            const char *line = value_string(value_list_at(value, j));
            if (*line != '\0' && !visit(resource, lines[i].cmd, line, shell, data, error))
                return false;
        }
    }
    return true;
}

/* --- validation */

static bool invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool invalid(GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

static bool check_line(const Resource *resource, unsigned cmd, const char *line, const char *shell,
                       void *data, GError **error) {
    g_auto(GStrv) argv = exec_argv(line, shell, NULL, error);
    if (argv == NULL) {
        g_prefix_error(error, "%s: ", exec_params[cmd].name);
        return false;
    }
    if (shell != NULL)
        return true;
    const char *shell_name = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
        if (lines[i].cmd == cmd)
            shell_name = exec_params[lines[i].shell].name;
    g_autofree char *remedy = g_strdup_printf("set %s = \"/bin/sh\"", shell_name);
    return exec_check_words(exec_params[cmd].name, line, remedy, error);
}

static bool check_paths(const Resource *resource, unsigned param, GError **error) {
    const Value *paths = resource_get(resource, param);
    for (size_t i = 0; paths != NULL && i < value_size(paths); i++) {
        const char *path = value_string(value_list_at(paths, i));
        if (*path != '\0' && *path != '/')
            return invalid(error, "%s: '%s' must be an absolute path", exec_params[param].name,
                           path);
    }
    return true;
}

static bool check_env(const Resource *resource, GError **error) {
    const Value *env = resource_get(resource, EXEC_ENV);
    for (size_t i = 0; env != NULL && i < value_size(env); i++) {
        const char *name;
        (void)value_map_at(env, i, &name); /* any value will do */
        size_t size =
            strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        if (size == 0 || name[size] != '\0' || g_ascii_isdigit(*name))
            return invalid(error, "env: '%s' is no name of a variable", name);
    }
    return true;
}

static bool check_returns(const Resource *resource, GError **error) {
    const Value *codes = resource_get(resource, EXEC_RETURNS);
    for (size_t i = 0; codes != NULL && i < value_size(codes); i++) {
        const char *code = value_string(value_list_at(codes, i));
        guint64 number;
        if (!g_ascii_string_to_unsigned(code, 10, 0, 255, &number, NULL))
            return invalid(error, "returns: '%s' is no exit code from 0 to 255", code);
    }
    return true;
}

static bool exec_validate(const Resource *resource, GError **error) {
    const char *cmd = exec_text(resource, EXEC_CMD);
    bool has_args = exec_has_list(resource, EXEC_ARGS);
    if (cmd == NULL)
        return invalid(error, "cmd must not be empty");
    if (has_args && exec_text(resource, EXEC_SHELL) != NULL)
        return invalid(error, "args and shell exclude each other: write all of it in cmd");
    if (has_args && strpbrk(cmd, " \t\n") != NULL)
        return invalid(error, "with args, cmd must be the program alone");
    if (!exec_has_list(resource, EXEC_IFCMD) &&
        (resource_get(resource, EXEC_IFEQUALS) != NULL ||
         resource_get(resource, EXEC_IFEQUALS_STDOUT) != NULL))
        return invalid(error, "ifequals needs an ifcmd whose output it is");
    return visit_lines(resource, check_line, NULL, error) &&
           check_paths(resource, EXEC_CREATES, error) &&
           check_paths(resource, EXEC_MTIMES, error) &&
           check_paths(resource, EXEC_WATCHFILES, error) && check_env(resource, error) &&
           check_returns(resource, error);
}

/* --- edges */

static bool want_program(const Resource *resource, unsigned cmd, const char *line,
                         const char *shell, void *edges, GError **error) {
    g_auto(GStrv) argv = exec_argv(line, shell, NULL, NULL);
    if (argv == NULL)
        return true;
    if (*argv[0] == '/')
        auto_edges_want(edges, "path", argv[0], true);
    g_autofree char *program = g_path_get_basename(argv[0]);
    auto_edges_want(edges, "package", program, true); /* many bring a program of their name */
    return true;
}

static void want_paths(const Resource *resource, unsigned param, AutoEdges *edges) {
    const Value *paths = resource_get(resource, param);
    for (size_t i = 0; paths != NULL && i < value_size(paths); i++) {
        g_autofree char *path = g_strdup(value_string(value_list_at(paths, i)));
        size_t size = strlen(path);
        if (size > 1 && path[size - 1] == '/')
            path[size - 1] = '\0';
        if (*path == '/')
            auto_edges_want(edges, "path", path, true);
    }
}

static void exec_auto_edges(const Resource *resource, AutoEdges *edges) {
    (void)visit_lines(resource, want_program, edges, NULL); /* the visitor never fails */
    want_paths(resource, EXEC_MTIMES, edges);
    want_paths(resource, EXEC_WATCHFILES, edges);
    const char *cwd = resource_string(resource, EXEC_CWD);
    if (cwd != NULL) {
        g_autofree char *below = g_build_filename(cwd, "inside", NULL);
        auto_edges_want_parent(edges, below);
    }
    const Value *creates = resource_get(resource, EXEC_CREATES);
    for (size_t i = 0; creates != NULL && i < value_size(creates); i++) {
        const char *path = value_string(value_list_at(creates, i));
        if (*path != '/')
            continue;
        auto_edges_want_parent(edges, path);
        auto_edges_own(edges, path);
    }
    auto_edges_want_account(edges, exec_text(resource, EXEC_USER), "user", "uid");
    auto_edges_want_account(edges, exec_text(resource, EXEC_GROUP), "group", "gid");
}

/* --- watch */

static bool watch_paths(Watcher *watcher, const Resource *resource, unsigned param,
                        GError **error) {
    const Value *paths = resource_get(resource, param);
    for (size_t i = 0; paths != NULL && i < value_size(paths); i++) {
        g_autofree char *path = g_strdup(value_string(value_list_at(paths, i)));
        size_t size = strlen(path);
        bool tree = size > 1 && path[size - 1] == '/';
        if (tree)
            path[size - 1] = '\0';
        if (size > 0 &&
            !watcher_host(watcher, tree ? HOST_WATCH_TREE : HOST_WATCH_FILE, path, error))
            return false;
    }
    return true;
}

static bool exec_watch(Watcher *watcher, const Resource *resource, GError **error) {
    if (!watch_paths(watcher, resource, EXEC_CREATES, error) ||
        !watch_paths(watcher, resource, EXEC_MTIMES, error) ||
        !watch_paths(watcher, resource, EXEC_WATCHFILES, error))
        return false;
    const char *line = exec_text(resource, EXEC_WATCHCMD);
    if (line == NULL)
        return true;
    g_auto(ExecCommand) command = { 0 };
    return exec_command_init(&command, NULL, resource, line, exec_text(resource, EXEC_WATCHSHELL),
                             resource_string(resource, EXEC_WATCHCWD), error) &&
           watcher_command(watcher, &command.command, error);
}

/* --- undoing */

static Resource *exec_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    static const unsigned shared[] = { EXEC_SHELL, EXEC_CWD,       EXEC_ENV,
                                       EXEC_PATH,  EXEC_USER,      EXEC_GROUP,
                                       EXEC_UMASK, EXEC_LOGOUTPUT, EXEC_REFRESHONLY };
    const Value *undo = resource_get(resource, EXEC_UNDOCMD);
    if (exec_text(resource, EXEC_UNDOCMD) == NULL)
        return NULL;
    Resource *inverse = resource_new(resource->kind, resource->name, resource->origin);
    for (size_t i = 0; i < G_N_ELEMENTS(shared); i++)
        if (resource_get(resource, shared[i]) != NULL)
            resource_put(inverse, shared[i], value_ref(resource_get(resource, shared[i])));
    resource_put(inverse, EXEC_REFRESHONLY, value_new_bool(false));
    resource_put(inverse, EXEC_CMD, value_ref(undo));
    return inverse;
}

const Kind kind_exec = {
    .name = "exec",
    .summary = "Run a command when it is needed",
    .help =
        "Runs a command. Guards say when: `creates` (not while the path exists), `ifcmd` (all must "
        "succeed), `nifcmd` (none may succeed), `refreshonly` (only when notified), `mtimes` "
        "(always "
        "when a file is newer than the last run). They are asked at every check, so that an agent "
        "runs the command again when its effect is gone.\n\n"
        "A command without any guard runs once in a one-shot apply; in an agent it runs at the "
        "start, when its definition changes, on each event of `watchcmd` or `watchfiles`, and when "
        "it is notified, but never because time has passed. A notification runs it again, and "
        "guards other than refreshonly still count.\n\n"
        "The environment is PATH, HOME, LANG and `env`, nothing else. Exit codes other than "
        "`returns` are failures and are shown with the last lines of output. Time limits and "
        "further tries are the meta parameters timeout, retry and delay.\n\n"
        "A plan runs nothing, not even guards: it shows what would run, as uncertain where a guard "
        "decides, and takes what `creates` names and the outputs for unknown. Outputs are kept (up "
        "to 256 KB) and sent again while the command need not run, except those of a command that "
        "was given a secret: they are secret themselves. When the resource leaves the "
        "configuration `undocmd` is run, if there is one.",
    .example =
        "exec \"make dhparam\" {\n"
        "  cmd = \"openssl dhparam -out /etc/ssl/dh.pem 2048\", creates = \"/etc/ssl/dh.pem\",\n"
        "}\n"
        "exec \"reload rules\" { cmd = \"/usr/sbin/nft -f /etc/nftables.conf\", refreshonly = "
        "true }\n"
        "file \"/etc/nftables.conf\" { source = \"nftables.conf\", notify = exec \"reload "
        "rules\" }\n",
    .params = exec_params,
    .n_params = G_N_ELEMENTS(exec_params),
    .outputs = exec_outputs,
    .n_outputs = G_N_ELEMENTS(exec_outputs),
    .flags = KIND_REFRESHES | KIND_UNPREDICTABLE,
    .validate = exec_validate,
    .observe = exec_observe,
    .diff = exec_diff,
    .apply = exec_apply,
    .watch = exec_watch,
    .auto_edges = exec_auto_edges,
    .reverse = exec_reverse,
};
