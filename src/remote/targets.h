#pragma once
/* The same on many machines, some of them at once. */
#include "remote/target.h"

typedef struct Targets Targets;

typedef struct {
    void (*line)(void *data, const char *host, bool is_error, const char *line);
    void (*copies)(void *data, const char *host, size_t bytes);
    /* error NULL: it ended with exit_code; has_run: something may have been done there. */
    void (*ended)(void *data, const char *host, int exit_code, const GError *error, bool has_run);
    void (*all_ended)(void *data);
    void *data;
} TargetsListener;

/* "a,user@b": in order, each once. */
GPtrArray *targets_parse_hosts(const char *text, GError **error);

/* hosts, job and listener's data are borrowed. Starts when the loop runs. */
Targets *targets_new(Loop *loop, const GPtrArray *hosts, unsigned parallel, const RemoteJob *job,
                     const RemoteSource *source, const TargetsListener *listener);
void targets_free(Targets *targets); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Targets, targets_free)
void targets_update(Targets *targets, const RemoteSource *source);
/* First: no further host begins, and those that run end their work; later calls press harder, the
 * third one ends ssh. Returns how many hosts still run. */
unsigned targets_stop(Targets *targets);

/* The exit code of all: 1 when nothing was touched anywhere. codes: of int; refused: how many hosts
 * were not touched at all, besides. */
int targets_exit_code(const int *codes, unsigned n_codes, unsigned n_refused);
