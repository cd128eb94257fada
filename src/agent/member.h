#pragma once
/*
 * The agent's part in a fleet: what this machine says of itself (reports.h) and, when it follows
 * the deploys of its hub, what it runs (follow.h). Whether or not the hub is in reach, the agent
 * goes on.
 */
#include "agent/agent.h"

typedef struct Member Member;

typedef struct {
    Loop *loop;
    Store *store;          /* of the fleet */
    Host *machine;         /* for facts and health */
    const char *host;      /* our name */
    unsigned ttl_s;        /* of what is said under a lease; 0: REPORT_TTL */
    const char *directory; /* of the deploys, see deploys.h; NULL: does not follow them */
    const char *pinned;    /* file of keys */
    void (*note)(void *data, bool bad, const char *text);
    bool (*why)(void *data, const char *kind, const char *name, GString *answer);
    void *data;
} MemberOptions;

/* All is borrowed. agent has no file yet when it is to follow deploys. */
Member *member_new(Agent *agent, const MemberOptions *options, GError **error);
void member_free(Member *member); /* before its agent; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Member, member_free)

/* To be called by the agent's listener. */
void member_event(Member *member, const EngineEvent *event);
void member_taken(Member *member, const GError *error);
void member_refusal(Member *member);
void member_add_status(const Member *member, Value *more); /* members "hub" and "deploy" */
void member_retry(Member *member);                         /* SIGHUP */
