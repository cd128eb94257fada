#pragma once
/* A kind that a program speaks for: made from the program's own description, see programs.h. */
#include <glib.h>

#include "graph/kind.h"

typedef struct Talk Talk; /* program-talk.h */

typedef enum {
    PREDICTS_PROPERTIES, /* after an apply the properties are what was wanted */
    PREDICTS_SIMULATE,   /* the program says what an apply would do */
    PREDICTS_NONE,       /* only an apply shows what it does */
} Prediction;

typedef enum {
    WATCH_POLL,   /* looked at again from time to time */
    WATCH_FILES,  /* its PARAM "file" are all that it depends on */
    WATCH_EVENTS, /* the program tells */
} WatchMode;

#define PROGRAM_STATE 0 /* index of the parameter `state` of a removable kind */

typedef struct {
    GRegex *pattern; /* what the text must match; NULL: anything */
    char *pattern_text;
    bool is_file; /* a path of the managed host that the program reads or writes */
} ProgramParam;

typedef struct {
    Kind kind;            /* first: a Kind that points here */
    Value *described;     /* as the program said it */
    ProgramParam *extras; /* kind.n_params entries */
    Prediction predicts;
    WatchMode watch;
    uint64_t poll_us; /* 0: as any other kind that is not watched */
    unsigned parallel;
    bool removable; /* has `state`, and can be absent */
    bool below_root;
    Talk *talk;                 /* borrowed; NULL: nothing to talk with (tests, fuzzing) */
    GPtrArray *strings, *lists; /* memory of the tables */
} ProgramKind;

/* described: {"summary": ..., "params": [...], ...}. All of it is checked; the error names the
 * member that is wrong. */
ProgramKind *program_kind_new(const char *name, const char *path, const Value *described,
                              GError **error);
void program_kind_free(ProgramKind *kind); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProgramKind, program_kind_free)

/* program-run.c: the callbacks, for all such kinds. */
void program_kind_connect(ProgramKind *kind);

/* An answer to "observe", converted by the kind's table. outputs: *ret_outputs is a map or NULL. */
bool program_read_state(const ProgramKind *kind, const Resource *resource, const Value *answer,
                        State *state, Value **ret_outputs, GError **error);
/* The outputs of an answer, converted; *ret_outputs NULL: it has none. */
bool program_read_outputs(const ProgramKind *kind, const Value *answer, Value **ret_outputs,
                          GError **error);
/* What every request about a resource has: {"name": ..., "params": {...}}. */
Value *program_members(const Resource *resource);
/* A parameter as programs see it: durations in seconds, the rest as it is. */
Value *program_param_value(const Param *row, const Value *value);
