#pragma once
/*
 * The agent's socket (mode 0600, in the state directory): one JSON request a connection, answered
 * by JSON objects, one a line, the last being {"end": true} or {"error": "..."}. Requests:
 *   {"ask": "status"}                              every resource as engine_visit_status() gives
 * it, then a {"summary": {...}}
 *   {"ask": "why", "kind": KIND, "name": NAME}     one resource
 * A client that does not read is dropped after CONTROL_PATIENCE_US; it never holds the agent up.
 */
#include "engine/engine.h"

#define CONTROL_REQUEST_MAX 65536
#define CONTROL_CLIENTS_MAX 16
#define CONTROL_PATIENCE_US (10 * G_USEC_PER_SEC)

typedef struct Control Control;

/* What the agent itself has to tell beside its engine: members for the summary of status. NULL:
 * nothing. */
typedef Value *(*ControlMore)(void *data);

Control *control_new(Loop *loop, const char *path, Engine *engine, ControlMore more, void *data,
                     GError **error);
void control_free(Control *control); /* removes the socket; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Control, control_free)

/* The client side, blocking: the answers without the last line. STEAD_ERROR_NOT_FOUND: no agent
 * listens at path. */
GPtrArray *control_ask(const char *path, const Value *request, GError **error); /* of Value */
