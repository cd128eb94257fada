#pragma once
/* Everything that is known about one resource, as people read it. */
#include "base/value.h"
#include "ledger/ledger.h"

/* "failed    file '/x': why", or that it is blocked. Caller frees. */
char *why_reason(const Value *status); /* what is wrong; NULL: nothing */
/* The lines below the first, each with its newline. ledger may be NULL. */
void why_append(GString *text, const Value *status, Ledger *ledger);
/* Adds to status why a command did not run, which who keeps it knows: see exec-run.c. */
void why_add_idle(Value *status, Ledger *ledger);
