#pragma once
/* The parts of the kind exec: its table (exec.c), deciding and running (exec-run.c). Only exec*.c
 * includes this. */
#include "kinds/kinds.h"

enum {
    EXEC_CMD,
    EXEC_ARGS,
    EXEC_SHELL,
    EXEC_CWD,
    EXEC_ENV,
    EXEC_PATH,
    EXEC_INPUT,
    EXEC_USER,
    EXEC_GROUP,
    EXEC_UMASK,
    EXEC_RETURNS,
    EXEC_REFRESHONLY,
    EXEC_CREATES,
    EXEC_IFCMD,
    EXEC_IFSHELL,
    EXEC_IFCWD,
    EXEC_IFEQUALS,
    EXEC_IFEQUALS_STDOUT,
    EXEC_NIFCMD,
    EXEC_NIFSHELL,
    EXEC_NIFCWD,
    EXEC_MTIMES,
    EXEC_DONECMD,
    EXEC_DONESHELL,
    EXEC_DONECWD,
    EXEC_UNDOCMD,
    EXEC_LOGOUTPUT,
    EXEC_WATCHCMD,
    EXEC_WATCHSHELL,
    EXEC_WATCHCWD,
    EXEC_WATCHFILES,
    EXEC_SEND_OUTPUT,
    EXEC_SEND_STDOUT,
    EXEC_SEND_STDERR,
    EXEC_N_ROWS,
};

/* A command of the resource, ready for host_run(). */
typedef struct {
    HostCommand command;
    char **argv, **env;
} ExecCommand;

void exec_command_clear(ExecCommand *command);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ExecCommand, exec_command_clear)

const char *exec_text(const Resource *resource, unsigned param); /* NULL when empty */
bool exec_has_list(const Resource *resource, unsigned param);    /* a list with a non-empty item */
/* argv of a command line; shell may be NULL, args a list or NULL. */
char **exec_argv(const char *line, const char *shell, const Value *args, GError **error);
/* Refuses unquoted signs of a shell in a line that none reads; remedy: how to have one. */
bool exec_check_words(const char *param, const char *line, const char *remedy, GError **error);
bool exec_returns(const Resource *resource, int status);
/* Fills in what all commands of a resource share: environment, user, group. host may be NULL. */
bool exec_command_init(ExecCommand *command, Host *host, const Resource *resource, const char *line,
                       const char *shell, const char *cwd, GError **error);

bool exec_observe(KindRun *run, State *actual, GError **error);
bool exec_diff(KindRun *run, const State *actual, Changes *changes, GError **error);
bool exec_apply(KindRun *run, const State *actual, const Changes *changes, GError **error);
