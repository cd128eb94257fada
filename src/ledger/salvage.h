#pragma once
/* Private to ledger: what can still be read of a damaged database. */
#include <glib.h>

#include "ledger/ledger.h"

typedef struct {
    unsigned entries, journal, pending; /* what was kept */
    unsigned lost;                      /* entries that are known to be lost */
    GString *lost_names;                /* the first few of them, for people; owned by the caller */
} SalvageCount;

/* Puts what can be read of the database at path into to. Works on a copy in the directory scratch;
 * fails only when that, or to, cannot be written. */
bool salvage_database(const char *path, const char *scratch, Ledger *to, SalvageCount *ret_count,
                      GError **error);
