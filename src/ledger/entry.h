#pragma once
/* Private to ledger: entries as rows: one compact JSON text each. */
#include "ledger/ledger.h"

/* What the index needs to know of an entry without reading it. */
typedef enum {
    ENTRY_HAS_PREIMAGE = 1 << 0,
    ENTRY_NAMES_CONTENT = 1 << 1, /* preimage or kept holds something like a content's digest */
} EntryFlags;

/* Secrets are masked. Equal entries give equal text. */
GBytes *entry_to_text(const LedgerEntry *entry, EntryFlags *ret_flags);
/* STEAD_ERROR_DAMAGED (naming path) when text is not what entry_to_text() writes. */
LedgerEntry *entry_from_text(GBytes *text, const char *path, GError **error);

/* Calls visit for each run of exactly 64 lower-case hexadecimal digits. hex is not terminated. */
void visit_digests(const char *text, size_t size, void (*visit)(void *data, const char *hex),
                   void *data);
