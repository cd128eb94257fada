#pragma once
/* Private to ledger: the records of intent.log, from and to text. The format is in intent-log.h. */
#include "ledger/intent-log.h"

#define INTENT_LOG_HEADER "stead intent log 1\n"

typedef struct {
    bool is_begin; /* else an end */
    uint64_t id;
    const char *kind, *name; /* valid during the visit */
    const Value *preimage;   /* NULL: none */
    size_t offset, size;     /* of the line, its newline included */
} IntentRecord;

typedef struct {
    size_t valid_size; /* what comes after is torn */
    unsigned skipped;  /* damaged records left out */
} IntentParsed;

/* where names the file in errors. */
bool intent_parse(const char *text, size_t size, const char *where, IntentRule rule,
                  void (*visit)(void *data, const IntentRecord *record), void *data,
                  IntentParsed *ret_parsed, GError **error);

/* Appends what comes before the kind; returns where the record starts. Then comes the rest of its
 * members, then intent_record_end(), which fills in the checksum. */
size_t intent_record_start(GString *out, bool is_begin, uint64_t id);
void intent_record_end(GString *out, size_t start);
