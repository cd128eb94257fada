#pragma once
/*
 * The roster: what the store knows of the hosts of a fleet and of the deploys they get, read and
 * kept current, all of it as of one revision. In the store, below stead/1/fleet/:
 *
 *   member/HOST     {"labels": {}, "grants": []}: HOST has joined; what it may publish besides
 *   reported/HOST   what it says of itself, under its lease: see report.h
 *   facts/HOST      {"facts": {}}: the host's own, written by it; selectors look at them; stays
 *                   while it is silent
 *   run/HOST        {"time", "digest", "resources", "changed", "failed", "blocked", "problems":
 *                   [{"resource", "error"}]}: its last run, with the first problems
 *   drift/HOST/TIME {"time", "resource", "what"}: the newest repairs, TIME in microseconds
 *   ask/HOST/ID     {"question": "why", "kind", "name"}: for the host, under the asker's lease
 *   answer/HOST/ID  {"answer"} or {"error"}: what it says, under its own lease
 *   desired/HOST    {"record", "digest", "back"}: what its agent shall run. Only the rollout writes
 *                   it; back says that this is a return to an earlier record
 *   stage/HOST      {"record", "stage", "why", "since", "before", "canary", "attempt", "tries"}:
 *                   how far it is with record; before: what it ran until then
 *   record/NUMBER   {"digest", "previous", "message", "time", "to", "strategy", "by", "statement"}:
 *                   a deploy; never changed
 *   outcome/NUMBER  {"outcome", "why", "time"}: "done" alone says that a deploy is proven
 *   bad/DIGEST      {"record", "why", "time"}: not to be deployed until it is forgiven
 *   rollout         {"record", "digest", "phase", "attempt", "sequence", "since", "why", "by"}:
 *                   every decision changes it, and is made only where it is as it was known
 *   log/NUMBER      {"time", "record", "host", "what", "why"}: the latest decisions
 *   channel/NAME    a branch that a hub follows: see hub/channel.h
 *
 * What cannot be read counts as not there.
 */
#include "fleet/layout.h"
#include "fleet/mirror.h"
#include "fleet/report.h"
#include "fleet/selector.h"
#include "fleet/strategy.h"

typedef enum {
    STAGE_WAITING,   /* not yet told */
    STAGE_CHANGING,  /* told; has not converged */
    STAGE_SOAKING,   /* converged; has to stay so */
    STAGE_PASSED,    /* held through the soak */
    STAGE_FAILED,    /* did not */
    STAGE_GIVEN,     /* got what was proven by others */
    STAGE_RETURNING, /* told to go back */
    STAGE_RETURNED,  /* converged with what it had */
    STAGE_STUCK,     /* did not, or has nothing to go back to */
} Stage;

typedef enum {
    PHASE_NONE, /* nothing was ever deployed */
    PHASE_CANARY,
    PHASE_ROLLING,
    PHASE_PAUSED,
    PHASE_HALTED,
    PHASE_REVERTING,
    PHASE_REVERTED,
    PHASE_ABORTED,
    PHASE_DONE,
} Phase;

typedef struct {
    char *name;
    bool is_member, is_alive;
    Value *labels, *grants; /* of a member; may be NULL */
    Value *facts;           /* as it said last; may be NULL */
    Value *run;             /* its last run; may be NULL */
    Report report;          /* while it is alive */
    int64_t silent_since;   /* seconds by our clock, of one that was heard before; 0: not known */
    uint64_t desired;       /* record; 0: none */
    char desired_digest[DIGEST_HEX_SIZE];
    Stage stage;
    uint64_t record; /* that stage is about; 0: none */
    uint64_t before; /* 0: none */
    bool canary;
    unsigned attempt, tries;
    int64_t since; /* seconds since 1970, by the clock of the hub that wrote it, for people */
    uint64_t seen; /* loop time when we saw this stage begin */
    char *why;
} RosterHost;

typedef struct {
    uint64_t number;
    char digest[DIGEST_HEX_SIZE];
    char *message, *by;
    int64_t time;
    Selector *to;
    Strategy strategy;
    char *problem; /* why it cannot be rolled out, or NULL */
} RosterRecord;

typedef struct {
    uint64_t record; /* 0: nothing was ever deployed */
    char digest[DIGEST_HEX_SIZE];
    Phase phase;
    unsigned attempt;  /* counts resumptions after a halt, from 0 on */
    uint64_t sequence; /* of the log */
    int64_t since;
    char *why, *by;
    int64_t revision; /* of the key; 0: there is none */
} RosterRollout;

typedef struct Roster Roster;

Roster *roster_new(Loop *loop, Store *store, LoopCallback changed, void *data);
void roster_free(Roster *roster); /* accepts NULL */

bool roster_is_loaded(const Roster *roster);
int64_t roster_revision(const Roster *roster);
const GPtrArray *roster_hosts(const Roster *roster); /* of RosterHost, by name */
const RosterHost *roster_host(const Roster *roster, const char *name);
const RosterRecord *roster_record(const Roster *roster, uint64_t number);
const RosterRecord *roster_newest(const Roster *roster); /* NULL: there is none */
const RosterRollout *roster_rollout(const Roster *roster);
bool roster_is_bad(const Roster *roster, const char *digest);
bool roster_is_done(const Roster *roster, uint64_t record);
/* {"outcome", "why", "time"}; NULL: it is not over. */
const Value *roster_outcome(const Roster *roster, uint64_t record);
/* The newest proven deploy that is meant for host, older than below; NULL: there is none. */
const RosterRecord *roster_base(const Roster *roster, const RosterHost *host, uint64_t below);

/* Of a value of the key LAYOUT_ROLLOUT (NULL: there is none). */
void roster_rollout_read(const StoreEntry *entry, RosterRollout *ret_rollout);
void roster_rollout_clear(RosterRollout *rollout);
const char *stage_name(Stage stage);
const char *phase_name(Phase phase);

/* Rows for people: a list of {"host", "labels", "record", "digest", "running", "running_record",
 * "state", "health", "since", "message", "stage", "why", "run"}. record and digest: what it shall
 * run; running: what it says that it runs, running_record being the newest deploy of that (0:
 * none). state is "silent" of a host that nothing is heard of: running is then of its last run, and
 * since the time of that; {"silent_since"} is when we heard that it went, or where we came later
 * {"silent_before"} when we came. to NULL: of all members. */
Value *roster_status(const Roster *roster, const Selector *to);
