#pragma once
/* The keys of the exchange in its store: exchange.h says which there are. Callers free. */
#include "state/store.h"

#define LAYOUT_ROOT     "stead/1/"
#define LAYOUT_DATA     LAYOUT_ROOT "data/"
#define LAYOUT_EXPORT   LAYOUT_ROOT "export/"
#define LAYOUT_SCHEDULE LAYOUT_ROOT "schedule/"
#define LAYOUT_HOST     LAYOUT_ROOT "host/"
#define LAYOUT_KV       LAYOUT_ROOT "kv/"
#define LAYOUT_FLEET    LAYOUT_ROOT "fleet/" /* roster.h says what is below */
#define LAYOUT_MEMBER   LAYOUT_FLEET "member/"
#define LAYOUT_REPORTED LAYOUT_FLEET "reported/"
#define LAYOUT_FACTS    LAYOUT_FLEET "facts/"
#define LAYOUT_RUN      LAYOUT_FLEET "run/"
#define LAYOUT_DRIFT    LAYOUT_FLEET "drift/"
#define LAYOUT_ASK      LAYOUT_FLEET "ask/"
#define LAYOUT_ANSWER   LAYOUT_FLEET "answer/"
#define LAYOUT_DESIRED  LAYOUT_FLEET "desired/"
#define LAYOUT_STAGE    LAYOUT_FLEET "stage/"
#define LAYOUT_RECORD   LAYOUT_FLEET "record/"
#define LAYOUT_OUTCOME  LAYOUT_FLEET "outcome/"
#define LAYOUT_BAD      LAYOUT_FLEET "bad/"
#define LAYOUT_LOG      LAYOUT_FLEET "log/"
#define LAYOUT_KEYS     LAYOUT_FLEET "keys"
#define LAYOUT_CHANNEL  LAYOUT_FLEET "channel/"    /* hub/channel.h says what is below */
#define LAYOUT_HEAD     LAYOUT_ROOT "bundle/head/" /* deploy.h says what these are */
#define LAYOUT_CHUNK    LAYOUT_ROOT "bundle/chunk/"
#define LAYOUT_UPLOAD   LAYOUT_ROOT "bundle/upload/"
#define LAYOUT_ROLLOUT  LAYOUT_FLEET "rollout"

/* What a caller adds to a transaction that somebody else makes. */
typedef void (*TxnAddition)(void *data, StoreTxn *txn);

GBytes *layout_bytes(const char *text);
char *layout_text(GBytes *key); /* NULL: has a zero byte, so it is none of ours */
char *layout_data(const char *key, const char *host);
/* What begins all keys that path means ("web/", "web/web1", "/"). */
char *layout_data_of(const char *path);
char *layout_export(const char *kind, const char *host, const char *name);
char *layout_export_of(const char *kind);
char *layout_pool(const char *schedule, const char *host);
char *layout_seat(const char *schedule, unsigned number);
char *layout_reported(const char *host);
/* Numbers with so many digits that their order is that of the keys. */
char *layout_numbered(const char *prefix, uint64_t number);
