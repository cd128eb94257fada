#pragma once
/* Private to state: the words of etcd's API that both sides of it use. */
#include "state/call.h"

typedef struct {
    const char *target, *member; /* of a compare */
} EtcdField;

extern const EtcdField etcd_fields[STORE_VALUE + 1];
extern const char *const etcd_relations[STORE_GREATER + 1];
extern const char *const etcd_requests[OP_RANGE + 1];  /* members of an operation */
extern const char *const etcd_responses[OP_RANGE + 1]; /* members of its answer */
extern const char *const etcd_paths[CALL_LOOK + 1];    /* after /v3/ */
/* A transaction of one operation has a path of its own. NULL: a range. */
extern const char *const etcd_op_paths[OP_RANGE + 1];

void etcd_add_text(GString *json, const char *name, const char *text);
void etcd_add_number(GString *json, const char *name, int64_t number); /* 0 is left out */
void etcd_add_flag(GString *json, const char *name, bool flag);        /* as is false */
void etcd_add_bytes(GString *json, const char *name, GBytes *bytes);
