#pragma once
/*
 * Private to ledger: the steps in progress, written ahead of their first effect.
 *
 * intent.log is text, one record a line, each appended by a single write(2):
 *
 *     stead intent log 1
 *     CHECKSUM ["begin",ID,KIND,NAME,PREIMAGE]
 *     CHECKSUM ["end",ID,KIND,NAME]
 *
 * CHECKSUM: 16 hexadecimal digits, text_hash() of the JSON after it. ID counts begins; an "end"
 * covers every begin of that step with an ID up to its own. PREIMAGE: a map, or null. A step is
 * live while one of its begins is not covered. The file is cut to nothing whenever no step is live,
 * and written anew with the live ones when it has grown above INTENT_LOG_COMPACT.
 *
 * A process killed inside its write, or a loss of power, leaves a torn last record: no newline, or
 * zero bytes. The step it was about had not begun; it is ignored and cut off before the next
 * record.
 *
 * All functions but open and free are thread-safe.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/value.h"

#define INTENT_LOG_COMPACT (1024 * 1024)       /* bytes */
#define LIMIT_INTENT_LOG   (512 * 1024 * 1024) /* bytes of a log that is read */

typedef struct IntentLog IntentLog;

typedef enum {
    INTENT_STRICT, /* damage is an error */
    INTENT_LENIENT /* whatever is whole is taken: for repair */
} IntentRule;

/* A missing file is an empty log; it is made by the first begin. */
IntentLog *intent_log_open(const char *path, IntentRule rule, GError **error);
void intent_log_free(IntentLog *log); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IntentLog, intent_log_free)

/* Steps found live at open, oldest first; preimage is that of the first of their begins that has
 * one. Until intent_log_forget_preimages(). */
void intent_log_visit(IntentLog *log,
                      void (*visit)(void *data, const char *kind, const char *name,
                                    const Value *preimage),
                      void *data);
void intent_log_forget_preimages(IntentLog *log);
unsigned intent_log_skipped(const IntentLog *log); /* damaged records left out by INTENT_LENIENT */

bool intent_log_begin(IntentLog *log, const char *kind, const char *name, const Value *preimage,
                      GError **error);
/* The ID to end the step with: that of its last begin; 0 when it is not live. */
uint64_t intent_log_last(IntentLog *log, const char *kind, const char *name);

typedef struct {
    char *kind, *name;
    uint64_t id; /* as intent_log_last() said when the step ended */
} IntentEnd;
/* Steps that are over and whose records are committed. They are no longer live here, whatever
 * happens; on error the file may still list them to the next process, which then looks at them once
 * more. */
bool intent_log_end(IntentLog *log, const IntentEnd *ends, size_t n_ends, GError **error);

/* The whole text, to look for content digests in. */
GBytes *intent_log_text(IntentLog *log, GError **error);
