#pragma once
/* What most commands begin with: the host, its ledger, the configuration. */
#include "cli/command.h"
#include "cli/printer.h"
#include "engine/engine.h"
#include "lang/lang.h"
#include "lib/machine.h"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    stead_machine *machine;
    Value *values, *secrets;
    Value *exchange; /* what is known of it, for evaluations; NULL: nothing */
} Session;

/* Opens the host. On error prints it and returns NULL. */
Session *session_open(const Arguments *arguments);
void session_close(Session *session); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_close)

/* Ends the process from inside a command that is done: output and ledger are complete, the memory
 * of the graph and the engine is left to the kernel, which takes it in one stroke. Only when no
 * worker runs any more. */
void session_exit(Session *session, int status) G_GNUC_NORETURN;

/* Opens the ledger; command names us to others who find it locked. Prints errors. */
bool session_open_ledger(Session *session, LedgerMode mode, const char *command);

/* Adds what to do about a state directory that is root's. error may be NULL. */
void session_explain_permission(const Session *session, GError *error);

/* Looks for programs that speak for kinds, also beside file (NULL: none). Prints what is wrong. */
bool session_find_kinds(Session *session, const char *file);

/* Evaluates a configuration. Prints every problem and returns false when there is one. */
bool session_load(Session *session, const char *file, LangResult *ret_result);

/* Both of the above at the same time: reading a large ledger takes as long as evaluating a large
 * configuration. A ledger that does not exist yet is not made for a wrong configuration. */
bool session_load_beside_ledger(Session *session, const char *file, LedgerMode mode,
                                const char *command, LangResult *ret_result);

/* What file is called in the ledger: its absolute path, links kept, or the name by which the ledger
 * knows this very file. Caller frees. */
char *session_configuration(const Session *session, const char *file);

/* The inputs of an evaluation, for those who evaluate again (agent). Borrows from session. */
LangInputs session_inputs(const Session *session);
