#pragma once
/* The checks that a configuration declares with health: looks at them again and again, and says
 * whether the host does its work. Commands, units and connections are looked at in workers. */
#include "fleet/report.h"
#include "host/host.h"

typedef struct Health Health;

/* host is borrowed. changed: what health_state() says, or why. */
Health *health_new(Loop *loop, Host *host, LoopCallback changed, void *data);
/* Ends what is under way. Accepts NULL. */
void health_free(Health *health);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Health, health_free)

/* checks: as LangResult.health, or NULL. The same again changes nothing. */
void health_set(Health *health, const Value *checks);
void health_reset(Health *health);    /* forgets what was seen: something else runs now */
void health_look_now(Health *health); /* at those that are not right */
/* Unchecked: none are declared, or they were not looked at often enough. *ret_why: of the first
 * check that is not right, borrowed; or NULL. */
ReportHealth health_state(const Health *health, const char **ret_why);
