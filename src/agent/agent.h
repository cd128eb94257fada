#pragma once
/*
 * agent: keeps a host true for as long as it runs. Uses everything up to lang and engine. Evaluates
 * the configuration again when one of its files, an answer of the clock, the exchange, or SIGHUP
 * says so; a
 * configuration with problems is reported and the running one kept. Answers questions on a socket
 * (control.h).
 */
#include "engine/engine.h"
#include "fleet/exchange.h"
#include "lang/lang.h"

typedef struct Agent Agent;

/* What the agent tells whoever started it. */
typedef struct {
    void (*event)(void *data, const EngineEvent *event);
    void (*problems)(void *data,
                     const GPtrArray *problems); /* of GError; the old configuration stays */
    void (*warning)(void *data, const char *text);
    void (*news)(void *data, const char *text); /* good ones; or NULL */
    /* What came of agent_set_file(): error NULL: it runs. NULL: nobody asks. */
    void (*taken)(void *data, const GError *error);
    void (*refusal)(void *data); /* agent_refusal() is another; NULL: nobody asks */
    Value *(*more)(void *data);  /* a map of members for the summary of status; NULL: none */
    void *data;
} AgentListener;

typedef struct {
    Loop *loop;
    Host *host;
    Ledger *ledger;
    const char *file;   /* configuration; NULL: none until agent_set_file() */
    const char *socket; /* path of the control socket; NULL: none */
    LangInputs inputs;  /* wall_now, values and secrets are set anew for each evaluation */
    /* Whether what lies beside the configuration can be used, before each evaluation; NULL: yes. */
    bool (*check)(void *data, GError **error);
    void *check_data;
    const char *values_file, *secrets_file; /* read and watched as the configuration is; or NULL */
    /* Loop and listener are set by the agent; store NULL: no exchange. */
    ExchangeOptions exchange;
    EngineOptions engine; /* loop, host, ledger, kinds and listener are set by the agent */
    AgentListener listener;
} AgentOptions;

/* Evaluates and starts; problems of the first evaluation are told and NULL is returned. Everything
 * in options is borrowed. */
Agent *agent_new(const AgentOptions *options, GError **error);
void agent_free(Agent *agent); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Agent, agent_free)

/* Until agent_stop() has ended everything. */
bool agent_run(Agent *agent, GError **error);
/* Begins to end: what runs is finished, what was published is withdrawn. */
void agent_stop(Agent *agent);
/* Another configuration instead, with the values beside it (BUNDLE_VALUES) unless options name a
 * file of them, soon: only what differs is touched. One that has problems is told,
 * and the one that runs is kept. */
void agent_set_file(Agent *agent, const char *file);
/* The checks of the configuration that runs: LangResult.health; NULL: none. Borrowed. */
const Value *agent_health(const Agent *agent);
/* Why the configuration is not taken as it is now, and what was taken before is kept; or NULL. */
const char *agent_refusal(const Agent *agent);
Engine *agent_engine(Agent *agent);
void agent_reload(Agent *agent); /* soon; several calls in a row are one */
/* Whether a file or a call asked for the last evaluation; else the clock, or it is the first. */
bool agent_was_asked(const Agent *agent);
