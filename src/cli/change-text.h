#pragma once
/* Changes as people read them: one property, what it was, what it becomes. */
#include "graph/kind.h"
#include "ledger/ledger.h"

/* One value: digests short, what is not there as "(none)", texts cut inside their quotes so that at
 * most width characters are shown. */
char *change_text_value(const Value *value, size_t width);

/* "mode \"0644\" -> \"0600\"", "mode \"0600\"" for what was not there, "tree +bin ~bin/run -old"
 * for maps; the separator follows the property's name: " " in lines, ": " in plans. */
char *change_text(const char *property, const char *separator, const Value *before,
                  const Value *after, size_t width);

/* What was done, in a word: of a restart that was a reload only, "reload". */
const char *change_journal_action(const JournalEntry *entry);

/* Whether a restart is a reload only: a service was notified and can reload. */
bool change_is_reload(Action action, const Value *after_of_notified);
