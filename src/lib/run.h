#pragma once
/* A run of the public interface: an engine with a loop of its own. */
#include "lib/machine.h"

struct stead_run {
    stead_machine *machine;
    Loop *loop;
    Engine *engine;
    bool keep;          /* goes on after convergence */
    bool opened_ledger; /* and closes it */
    bool restless;      /* something was asked for since the loop last had nothing to do */
    bool dispatching;
    bool over;               /* stopped, and nothing runs any more */
    EngineListener listener; /* what the engine says goes here */
    void *listener_data;
    stead_event_callback on_event; /* of stead_run_new() */
    void *data;
};

/* Makes loop and engine; nothing is loaded yet. options as for engine_new(): loop, host, kinds,
 * ledger and state_dir are set here. */
stead_run *run_new(stead_machine *machine, const EngineOptions *options, bool keep, GError **error);
