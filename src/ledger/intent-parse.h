#pragma once
/* Private to ledger: the records of intent.log, from and to text. The format is in intent-log.h. */
#include "ledger/intent-log.h"

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

void intent_append_header(GString *out);
/* rest: the JSON after the ID: `"KIND","NAME",PREIMAGE]` or `"KIND","NAME"]`. */
void intent_append_record(GString *out, bool is_begin, uint64_t id, const char *rest);
