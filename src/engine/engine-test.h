#pragma once
/*
 * For the tests of engine/: a scripted kind ("probe") on a stub host in virtual time. A Probe
 * stands for the thing on the host that a resource of that name manages.
 */
#include "engine/engine.h"

typedef struct {
    char *name;
    /* What the test sets. */
    int wrong;      /* looks that find it wrong before an apply; an apply makes it 0 */
    int fail;       /* next applies that fail; -1: all */
    int fail_look;  /* next looks that fail */
    int fail_clean; /* next attempts to clean up that fail */
    bool stubborn;  /* stays wrong after an apply */
    int meddled;    /* next proofs that find something else changed meanwhile; -1: all */
    bool routine;   /* what is wrong is done whenever it is looked at */
    bool hold;      /* apply waits until the test clears it with probe_release() */
    bool late;      /* its watch becomes ready only by probe_ready() */
    bool no_watch;  /* its watch cannot be armed */
    int64_t send;   /* output "number" */
    /* What happened. */
    int looks, applies, refreshes, cancelled, watches, unwatches, cleans;
    unsigned company; /* members that its last apply was for */
    int64_t received;
    uint64_t last_look; /* loop time */
    HostWatch *watch;
} Probe;

typedef struct {
    Loop *loop;
    Host *host;
    Engine *engine;
    Ledger *ledger;
    EngineOptions options;
    GString *order;  /* names in the order of their applies, separated by spaces */
    GString *events; /* "changed:a failed:b converged" */
    Graph *graph;    /* being built */
} TestRun;

TestRun *test_run_new(void);
void test_run_free(TestRun *run);
Probe *probe(const char *name); /* makes it on first use */
void probes_forget(void);
void probe_ready(Probe *one);
void probe_event(Probe *one);
void probe_unwatch(Probe *one, const char *why);
void probe_release(Probe *one);

/* Builds a graph: resources by name (of kind "place" when it begins with a slash, else "probe"),
 * edges like "a>b" (a before b) or "a!b" (a notifies b). */
void test_graph(TestRun *run, const char *names, const char *edges);
void test_meta(TestRun *run, const char *name, const char *meta,
               Value *value); /* before test_load() */
void test_param(TestRun *run, const char *name, const char *param, Value *value);
void test_receive(TestRun *run, const char *name, const char *sender);
void test_load(TestRun *run);    /* seals and loads; asserts success */
void test_start(TestRun *run);   /* makes the engine from run->options */
void test_restart(TestRun *run); /* a new engine and ledger, as a new process would have */
void test_advance(TestRun *run, uint64_t us);      /* lets virtual time pass */
void test_advance_real(TestRun *run, uint64_t us); /* while workers are held */
char *test_state(TestRun *run, const char *name);  /* engine_status()'s state; caller frees */

extern const Kind probe_kind;
extern const KindSet probe_kinds;
