#pragma once
/*
 * lang: configurations to graphs: Lua programs, mgmt YAML graphs, Puppet catalogs. Uses base, host
 * (facts), graph and Lua, libyaml; knows kinds only as tables. Evaluation is pure: same inputs,
 * same graph.
 */
#include <glib.h>

#include "graph/graph.h"

/* For files of test cases (`stead test`): what case(name, inputs, check) in them does. */
typedef struct {
    /* Tries a configuration out with these inputs (a map); gives the map that check is called with.
     */
    Value *(*run)(void *data, const Value *inputs, GError **error);
    /* A case is over: problems (of GError *) are what its expectations said; empty: it passed. */
    void (*report)(void *data, const char *name, const GPtrArray *problems);
    void *data;
} LangCases;

typedef struct {
    const KindSet *kinds;
    Host *host; /* facts and read() are taken from it; may be NULL: facts are empty unless given */
    const Value *values;     /* map from --values, or NULL */
    const char *values_file; /* where they are from, to be told; NULL: from no file */
    const Value *facts;      /* overrides what is read from the host (tests), or NULL */
    const Value *secrets;    /* map of names and strings from --secrets, or NULL: none are known */
    bool any_secret;         /* others are empty: for evaluations that nothing is done with */
    const Value *exchange;   /* the view of fleet/exchange.h; NULL: there is no exchange */
    const char *const *env_names; /* environment variables the program may read; NULL: none */
    uint64_t wall_now;            /* us since the epoch, for clock.* */
    bool no_autoedges;
    bool noop; /* --noop: exported resources of a YAML graph are left out, as in mgmt */
    uint64_t max_instructions; /* 0: LIMIT_LUA_INSTRUCTIONS */
    size_t max_memory;         /* 0: LIMIT_LUA_MEMORY */
    const LangCases *cases;    /* NULL: no test cases, the program has no function case() */
} LangInputs;

/* What an evaluation gave. Sealed graph with autoedges (not yet grouped). */
typedef struct {
    Graph *graph;
    char **files;         /* every file read: configuration, imports, templates, read(), values;
                             NULL-terminated */
    uint64_t next_change; /* wall us at which clock.* answers would differ; 0: never */
    Value *reads;  /* map of input name -> value as read (facts.os, values.port, env.HOME): for
                      explaining */
    Value *wants;  /* what it asks of the exchange, and publishes: fleet/exchange.h; also of an
                      evaluation that failed, as far as it came */
    Value *health; /* checks that show that the host does its work: map of names to {"exec": list
                      of words, "http": URL and "status", "tcp": "ADDRESS:PORT" or "unit": name,
                      "interval", "timeout" in us, "of", "passes"}; NULL: no program said any */
    unsigned auto_edge_count;
    GPtrArray *warnings; /* of char *: `file:line:column: text`, nothing to stop for; never NULL */
} LangResult;

void lang_result_clear(LangResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LangResult, lang_result_clear)

/* Loads FILE by its suffix (.lua, .yaml, .yml, .json: a Puppet catalog). Problems (GError*,
 * STEAD_ERROR_CONFIG, `file:line: text` with the line's text below) are appended to problems, all
 * of them, in the order of lines; false when there was any: graph is NULL then, files tells what to
 * watch for a next try. */
bool lang_load(const char *file, const LangInputs *inputs, LangResult *ret_result,
               GPtrArray *problems);

/* One row per function or table a program can use, for the generated reference and type stubs. */
typedef struct {
    const char *name;      /* "template", "std.text.trim" */
    const char *signature; /* "(path: string, vars: table?): string" */
    const char *help;
} LangFunction;
extern const LangFunction lang_functions[];
extern const size_t lang_functions_count;

/* Facts of a host as one map. */
Value *lang_facts(Host *host);

/* Reads a file of values or secrets by its suffix: .json, .toml, else YAML. Always a map. */
Value *lang_load_values(const char *file, GError **error);

/* Renders a template, for tests and fuzzing. where is shown in errors; format (may be NULL) as in
 * template(path, vars, format). Caller frees. */
char *lang_render(const char *text, size_t size, const char *where, const char *format,
                  const Value *vars, GError **error);
