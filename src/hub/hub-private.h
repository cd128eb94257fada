#pragma once
/* What the files of hub/ share. */
#include "fleet/rollout.h"
#include "hub/hub.h"
#include "hub/usage.h"
#include "loop/worker.h"
#include "pki/pki.h"
#include "state/etcd-serve.h"

#define KEY_ALL          "hub/" /* begins all of these */
#define KEY_AUTHORITY    "hub/authority"
#define KEY_TOKENS       "hub/tokens/"
#define KEY_HOSTS        "hub/hosts/"
#define KEY_CERTIFICATES "hub/certificates/"
#define KEY_AUDIT        "hub/audit/"
#define KEY_LEASES       "hub/leases/"

#define PAGE_LIMIT  1000u /* entries of one answer */
#define NAME_BYTES  64u   /* of a host, a person, a token's name */
#define TTL_DEFAULT 3600
#define TTL_MAX     (366 * 86400)

typedef struct Guesses Guesses;   /* access.c */
typedef struct Feed Feed;         /* feed.c */
typedef struct Gateway Gateway;   /* gateway.h */
typedef struct Load Load;         /* gateway.h */
typedef struct Upkeep Upkeep;     /* upkeep.c */
typedef struct History History;   /* history.c */
typedef struct Channels Channels; /* channels.c */

struct Hub {
    Loop *loop;
    Store *state;
    Store *shared; /* the same, where many watches of it are dear; or NULL */
    HttpServer *server;
    char *data, *url, *fingerprint, *first_token;
    PkiKey *authority_key;
    PkiCertificate *authority;
    char *authority_pem;
    GHashTable *asks; /* set of Ask that wait for the store */
    Guesses *guesses;
    Feed *feed;
    Gateway *gateway;
    Usage *usage;
    Rollout *rollout;
    WorkerPool *workers; /* of bundles that are verified */
    Upkeep *upkeep;
    History *history;
    Channels *channels;
    Value *openapi;
    uint64_t last_record; /* the time in the name of our last audit record */
};

/* Roles that people have, each with the rights of those before it; hosts have their own. */
typedef enum { ROLE_NONE, ROLE_HOST, ROLE_READER, ROLE_OPERATOR, ROLE_ADMIN } Role;
Role role_parse(const char *name); /* ROLE_NONE: there is none of that name */
const char *role_name(Role role);

/* --- ask.c ------------------------------------------------------------------------------------ */

typedef struct Ask Ask;
typedef void (*AskNext)(Ask *ask, StoreAnswer *answer);

/* A request that is being answered. Its request owns it. */
struct Ask {
    Hub *hub;
    HttpRequest *request;
    Role role;
    char *who;        /* "host:web1", "token:ann", "anonymous" */
    char *host;       /* of a host: its name */
    char *credential; /* the key of the store with its token or certificate */

    void *pending; /* what it waits for; NULL: nothing */
    void (*cancel)(void *pending);
    AskNext next, after_write;
    void (*failed)(Ask *ask, const GError *error); /* answers; NULL: as all do */
    void (*go)(Ask *ask);                          /* after a wait */
    LoopTimer *timer;
    uint64_t deadline;       /* loop time */
    void (*again)(Ask *ask); /* when somebody changed it meanwhile; NULL: answers 409 */
    unsigned tries;
    char *text, *other; /* what a handler keeps from one step to the next */
    const char *action; /* of ask_note() */
    GBytes *bytes;
    Value *body;
    int64_t number;
    PkiCertificate *certificate;
    EtcdAsked *asked;    /* of the gateway */
    StoreAnswer *answer; /* the same: of a step before */
    Load *load;          /* the same: what of it the host has yet to take; or NULL */
    int load_kib;        /* of the answer */
    Claim *claim;        /* the same: what it is about to add to the store; or NULL */
    bool granting;       /* the same: a lease */
    unsigned turn;       /* the same: TurnOf */
    int ask_kib;         /* the same: what it costs its host before it is answered */
    bool in_turn;        /* the same: it is its host's turn */
};

Ask *ask_of(HttpRequest *request);
Ask *ask_new(Hub *hub, HttpRequest *request);
void ask_cancel_all(Hub *hub); /* answers all with 503 */
/* It waits for something that cancel(pending) ends without an answer; until ask_release(). */
void ask_hold(Ask *ask, void *pending, void (*cancel)(void *pending));
void ask_release(Ask *ask);
void ask_fail(Ask *ask, const GError *error); /* answers with what went wrong */
/* Calls go once the roster is loaded and knows what happened up to revision. */
void ask_await_roster(Ask *ask, int64_t revision, void (*go)(Ask *ask));

/* Each calls next with the answer, or answers the request with what went wrong. */
void ask_get(Ask *ask, const char *key, AskNext next);
void ask_get_two(Ask *ask, const char *key, const char *other, AskNext next);
/* Keys that begin with prefix, after the key prefix + after (NULL: all). */
void ask_list(Ask *ask, const char *prefix, const char *after, unsigned limit, AskNext next);
void ask_commit(Ask *ask, StoreTxn *txn, AskNext next);
/* A call that was started with on_asked and ask. */
void ask_wait(Ask *ask, StoreCall *call, AskNext next);
void on_asked(void *ask, StoreAnswer *answer, const GError *error);

GBytes *key_of(const char *prefix, const char *name);
Value *entry_value(const StoreEntry *entry); /* NULL: no entry, or damaged */
/* The name in a key: what is after its prefix. Caller frees. */
char *entry_name(const StoreEntry *entry, const char *prefix);
/* GET ?limit=&after=: false when it has been answered. */
bool ask_page(Ask *ask, unsigned *ret_limit, const char **ret_after);
/* Answers with {"NAME": [...], "next": ...}; show may return NULL to leave one out. */
typedef Value *(*ShowEntry)(const StoreEntry *entry, const Value *value);
void ask_answer_page(Ask *ask, StoreAnswer *answer, const char *name, const char *prefix,
                     ShowEntry show);

int64_t wall_seconds(const Hub *hub);
bool name_is_good(const char *name); /* of a host or a person */

/* --- write.c ---------------------------------------------------------------------------------- */

/* A change with its record in the audit log: both or neither. */
typedef struct Write Write;
Write *write_new(Ask *ask, const char *action, const char *subject);
/* before: as it was read; NULL: it must not be there. after: owned; NULL deletes. */
void write_change(Write *write, const char *prefix, const char *name, const StoreEntry *before,
                  Value *after);
/* The same of what is in the log as show makes it (a new value): without passwords. */
typedef Value *(*ShowNamed)(const char *name, const Value *value);
void write_change_shown(Write *write, const char *prefix, const char *name,
                        const StoreEntry *before, Value *after, ShowNamed show);
/* Deletes whatever is there; not in the log. */
void write_delete(Write *write, const char *prefix, const char *name, bool all_below);
/* Puts whatever was there before; not in the log's before. after: owned. */
void write_put(Write *write, const char *prefix, const char *name, Value *after);
/* Frees write. When somebody was faster the request is answered with 409. */
void write_commit(Write *write, AskNext next);
/* For changes that fleet/ makes: a TxnAddition that adds the record of ask->action, about
 * ask->text, after which it is as ask->body (may be NULL). */
void write_note(void *ask, StoreTxn *txn);
/* Where nobody asked: adds the record of what the hub does by itself. */
typedef struct {
    const char *who, *from;
} Actor;
void write_note_of(Hub *hub, const Actor *actor, const char *action, const char *subject,
                   const Value *after, StoreTxn *txn);

/* --- members.c -------------------------------------------------------------------------------- */

/* Of a request or record: {"labels": {NAME: TEXT}, "grants": [PATH]}, both optional. False: *error
 * says what is wrong. */
bool member_check(const Value *wish, GError **error);
/* Copies labels and grants of value, or else of fallback (may be NULL), to map. */
void member_copy(Value *map, const Value *value, const Value *fallback);
/* Adds to write what the fleet knows of the host of this record; revoked: nothing. */
void member_write(Write *write, const char *host, const Value *record);
void member_forget(Write *write, const char *host);
/* One level, without the member except (may be NULL); map NULL gives an empty one. */
Value *map_copy(const Value *map, const char *except);

/* --- upkeep.c --------------------------------------------------------------------------------- */

Upkeep *upkeep_new(Hub *hub, unsigned keep_drift_days, unsigned keep_audit_days);
void upkeep_free(Upkeep *upkeep); /* accepts NULL */
void upkeep_run(Upkeep *upkeep);  /* now, whether we lead or not: for tests */

/* --- history.c -------------------------------------------------------------------------------- */

/* keep: us that the store remembers what was before. */
History *history_new(Hub *hub, uint64_t keep);
void history_free(History *history); /* accepts NULL */

/* --- channels.c: branches that are followed --------------------------------------------------- */

Channels *channels_new(Hub *hub);
void channels_free(Channels *channels); /* as in a crash; another hub goes on. Accepts NULL */
void channels_metrics(const Channels *channels, GString *text); /* for Prometheus */

/* --- access.c --------------------------------------------------------------------------------- */

void hub_dispatch(void *data, HttpRequest *request);
Guesses *guesses_new(void);
void guesses_free(Guesses *guesses); /* accepts NULL */

/* A token is "stead_ID_SECRET"; the store has the SHA-256 of the secret. */
char *token_new(char **ret_id, char **ret_hash);
bool token_parse(const char *token, char **ret_id, char **ret_hash);
/* Whether the store's record is of that hash, and has not expired; *ret_why says what is wrong. */
bool token_fits(const Value *record, const char *hash, int64_t now, const char **ret_why);
/* Answers 429 when the sender has guessed too often. */
bool guess_allowed(Ask *ask);
void guess_failed(Ask *ask, const char *why); /* answers 401 */

/* --- setup.c ---------------------------------------------------------------------------------- */

bool setup_directory(Hub *hub, GError **error);
/* Our name among hubs, kept in the data directory; caller frees. */
char *setup_name(const Hub *hub, GError **error);
bool setup_authority(Hub *hub, GError **error);
/* For commands on this machine: where the hub answers. */
bool setup_note_url(const Hub *hub, const char *url, GError **error);
/* PEM of the certificate with its authority's, and of the key. */
bool setup_server(Hub *hub, const char *const *names, char **ret_certificate, char **ret_key,
                  GError **error);

/* --- feed.c: what /v1/events tells ------------------------------------------------------------ */

/* Tells changes after revision, and can tell again those up to FEED_ITEMS back. */
#define FEED_ITEMS 4096u
Feed *feed_new(Hub *hub, int64_t revision);
void feed_free(Feed *feed); /* accepts NULL */
/* Answers with a stream of what comes after the event of that id; NULL: of what comes from now on.
 */
void feed_attach(Feed *feed, Ask *ask, const char *after);
int64_t feed_revision(const Feed *feed);

/* --- gateway.c -------------------------------------------------------------------------------- */

/* Takes load (may be NULL) over: so much of it was sent, or will never be. From any thread. */
void gateway_unload(Load *load, int kib);

/* --- api-*.c ---------------------------------------------------------------------------------- */

void get_health(void *data, HttpRequest *request);
void get_metrics(void *data, HttpRequest *request);
void get_openapi(void *data, HttpRequest *request);
void get_ca(void *data, HttpRequest *request);
void get_events(void *data, HttpRequest *request);
void get_audit(void *data, HttpRequest *request);
void get_tokens(void *data, HttpRequest *request);
void post_token(void *data, HttpRequest *request);
void delete_token(void *data, HttpRequest *request);
void get_hosts(void *data, HttpRequest *request);
void get_host(void *data, HttpRequest *request);
void revoke_host(void *data, HttpRequest *request);
void join(void *data, HttpRequest *request);
void renew(void *data, HttpRequest *request);
void change_member(void *data, HttpRequest *request);
void put_bundle(void *data, HttpRequest *request);
void get_bundle(void *data, HttpRequest *request);
void forgive_bundle(void *data, HttpRequest *request);
void get_deploys(void *data, HttpRequest *request);
void get_deploy(void *data, HttpRequest *request);
void post_deploy(void *data, HttpRequest *request);
void get_keys(void *data, HttpRequest *request);
void put_keys(void *data, HttpRequest *request);
void get_rollout(void *data, HttpRequest *request);
void order_rollout(void *data, HttpRequest *request);
void get_fleet(void *data, HttpRequest *request);
void get_facts(void *data, HttpRequest *request);
void get_drift(void *data, HttpRequest *request);
void get_why(void *data, HttpRequest *request);
void get_sd(void *data, HttpRequest *request);

void get_channels(void *data, HttpRequest *request);
void get_channel(void *data, HttpRequest *request);
void post_channel(void *data, HttpRequest *request);
void delete_channel(void *data, HttpRequest *request);
void check_channel(void *data, HttpRequest *request);

Value *show_channel(const StoreEntry *entry, const Value *value);
Value *show_host(const StoreEntry *entry, const Value *value);
Value *show_token(const StoreEntry *entry, const Value *value);
Value *show_deploy(const StoreEntry *entry, const Value *value);
