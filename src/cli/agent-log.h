#pragma once
/*
 * The log of an agent: a line when everything was looked at for the first time, one for each
 * correction, failure, recovery and reload, one at the end. Below --json events go out as they are.
 */
#include "agent/agent.h"
#include "cli/printer.h"

typedef struct AgentLog AgentLog;

/* printer is borrowed; the times begin now. converged_timeout: us that the engine waits before it
 * says that it has converged. */
AgentLog *agent_log_new(Printer *printer, const char *configuration, uint64_t converged_timeout);
void agent_log_free(AgentLog *log); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentLog, agent_log_free)

/* agent: NULL while it is being made. */
void agent_log_event(AgentLog *log, Agent *agent, const EngineEvent *event);
void agent_log_stopping(AgentLog *log, Agent *agent, int signal_number);
void agent_log_stopped(AgentLog *log, Agent *agent);
