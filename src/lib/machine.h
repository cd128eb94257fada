#pragma once
/*
 * lib: libstead, the library that other programs link, and what the command stands on. Uses
 * everything up to engine, lang and kinds. stead.h is public and the only header that is installed;
 * the others let the command, which is linked with the same objects, reach what lies below an
 * object of the library.
 *
 * A machine: the host that is managed, and the ledger about it.
 */
#include "engine/engine.h"
#include "host/fingerprint.h"
#include "kinds/programs.h"
#include "lib/stead.h"

struct stead_machine {
    FingerprintCache *fingerprints;
    Host *host;
    Programs *programs; /* what kinds there are */
    char *state_dir;    /* NULL: nothing is remembered */
    char *name;         /* for those who find the ledger locked */
    Ledger *ledger;     /* NULL: not open */
    LedgerMode mode;    /* it is open in */
    stead_run *run;     /* the one that has the machine; NULL: none */
};

stead_machine *machine_new(const stead_machine_options *options, GError **error);
/* Opens the ledger for as much as is asked, or finds it open. Nothing to do without state_dir. One
 * thread at a time, not necessarily that of the machine. */
bool machine_open_ledger(stead_machine *machine, LedgerMode mode, GError **error);
void machine_close_ledger(stead_machine *machine);
/* The kinds for configurations beside file (NULL: of none): built in, of the machine's and the
 * options' directories, and those in `kinds` beside file. */
const KindSet *machine_kinds(stead_machine *machine, const char *file, GError **error);
