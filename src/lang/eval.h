#pragma once
/*
 * Eval: one evaluation of a Lua configuration. Everything the C functions a program calls have in
 * common; made by lang_load(), freed when its graph is complete. Only lang/ sees this.
 *
 * Lua raises errors by longjmp(), which skips cleanup: a C function called from Lua owns nothing
 * while it calls what may raise. What such a function must keep meanwhile is put into the Eval,
 * which frees it whatever happens.
 */
#include <glib.h>
#include <lua.h>

#include "lang/finisher.h"
#include "lang/lang.h"
#include "lang/lua-memory.h"
#include "lang/problems.h"
#include "lang/source.h"
#include "lang/template.h"

/* Where something was written: a line, and the composite (define) whose body ran there. */
typedef struct {
    const char *file; /* interned */
    unsigned line;
    unsigned frame; /* index in Eval.frames; 0: not in a composite */
} Place;

/* A call of a composite kind. Frames are kept to the end: problems found later refer to them. */
typedef struct {
    unsigned parent; /* frame of the caller, 0: none */
    Place caller;
    char *show;  /* vhost 'shop' */
    Value *meta; /* map: meta parameters of the call, for all its resources; or NULL */
} Frame;

enum { PLACE_CALLERS = 4 }; /* how many callers of a place are shown at most */

/* What the message handler saw when an error was raised. */
typedef struct {
    Place place;
    Place callers[PLACE_CALLERS];
    unsigned n_callers;
    char *text;
    bool reported; /* it is among the problems already */
} Raised;

/* What is entered and left in turns; an error may leave several at once. */
typedef struct {
    unsigned frame, n_imports, n_outputs, n_pcalls;
} EvalDepth;

/* A value that was read and not given. */
typedef struct {
    char *name;
    Place place;
} Miss;

typedef struct Eval {
    const LangInputs *inputs;
    const char *entry; /* as given on the command line */
    char *directory;   /* of entry, "" or with a slash at its end */
    Sources *sources;  /* borrowed, as problems */
    Problems *problems;
    Value *reads; /* map, as LangResult.reads */
    bool wants_labels;
    Value *wanted_paths, *published, *wanted_kinds, *schedules; /* maps of LangResult.wants */
    Value *health;                                              /* map, as LangResult.health */
    GPtrArray *warnings;  /* of char *, as LangResult.warnings */
    GPtrArray *collected; /* of Resource: scratch of collect() */
    uint64_t next_change;

    lua_State *lua;
    LuaMemory *memory;
    uint64_t steps, max_steps; /* instructions, and work of C functions counted like them */
    uint64_t counted_requests; /* of memory, that are in steps */
    size_t max_memory;
    bool collecting;          /* the garbage collector runs: only programs that need it pay */
    bool has_absent;          /* a name is not there: what it would have declared is not known */
    bool met_absent;          /* the value that was just refused holds what stands for one */
    GHashTable *missing;      /* values that were read and not given, to where: char * to Place */
    const char *last_missing; /* a key of missing: the one read last; NULL: none was */
    GArray *recent_misses;    /* of Miss: since the last resource; the last few */
    bool fatal;               /* a limit was exceeded: no pcall() stops this error */
    Place memory_place;       /* where memory ran out */
    Raised raised;

    Graph *graph;
    Finisher *finisher; /* NULL: each resource is completed when it is declared */
    GArray *kinds;      /* of DeclaredKind */
    GArray *targets;    /* of Target */
    GArray *links;      /* of Link */
    GArray *frames;     /* of Frame; number 0 is unused */
    unsigned frame;     /* current */
    unsigned n_pcalls;  /* that are running */

    const void *place_function; /* whose file eval_place() found last; kept in the registry */
    const char *place_file;     /* interned; NULL: none */

    GPtrArray *secrets;        /* of Value: what secret and raw objects point to */
    GPtrArray *imports;        /* of char *: names of modules being loaded, outermost first */
    GPtrArray *outputs;        /* of TemplateOutput: templates being rendered */
    TemplateCode pending_code; /* being compiled */
    GPtrArray *texts, *errors; /* scratch of one declaration: of char *, of GError */
    char *pending_text;        /* freed when an error is raised while it is pushed */
    Value *pending_value;
} Eval;

Eval *eval_new(const LangInputs *inputs, const char *entry, Sources *sources, Problems *problems);
void eval_free(Eval *eval); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Eval, eval_free)

EvalDepth eval_depth(const Eval *eval);
void eval_restore(Eval *eval, EvalDepth depth);

static inline Eval *eval_of(lua_State *lua) {
    return *(Eval **)lua_getextraspace(lua);
}

void eval_open_places(lua_State *lua); /* so that the two below raise nothing */
/* The place of the nearest Lua function at or above the given stack level (1: who called the
 * running C function). */
Place eval_place(Eval *eval, lua_State *lua, int level);
/* The places of that and the further levels above; returns how many. */
unsigned eval_callers(lua_State *lua, int level, Place callers[PLACE_CALLERS]);
/* The line of a configuration that everybody may be pointed to: that of the outermost composite's
 * caller. */
Origin eval_origin(const Eval *eval, Place place);
/* Adds a problem at place; in a composite its caller comes first and the inner lines follow. */
void eval_problem(Eval *eval, Place place, const char *text);
/* The same at the line that called the running C function, with the callers of that line. */
void eval_problem_here(Eval *eval, lua_State *lua, const char *text);
/* Turns what on_error() kept into a problem. */
void eval_report_raised(Eval *eval);

/* Raise text, or the message of error (freed), at the line that called the C function. */
int eval_raise(lua_State *lua, const char *format, ...) G_GNUC_PRINTF(2, 3);
int eval_raise_error(lua_State *lua, GError *error);
/* Whether the value refused last holds what stands for an unknown name; forgets it. */
bool eval_take_absent(Eval *eval);
/* Ends the evaluation because of a problem that was added already. */
int eval_raise_reported(lua_State *lua);
/* Ends the evaluation, pcall() or not, because its result is not wanted any more. */
int eval_abandon(lua_State *lua);
/* Work of a C function that runs long without instructions; raises beyond the limit. */
void eval_charge(lua_State *lua, uint64_t steps);
/* The same for what is short: the next look at the limits notices. */
static inline void eval_count(lua_State *lua, uint64_t steps) {
    eval_of(lua)->steps += steps;
}
/* Push, taking ownership. */
void eval_push_text(lua_State *lua, char *text, size_t size);
void eval_push_value(lua_State *lua, Value *value);

/* A value that was not given was read. It may be meant to be optional; an error there tells of it.
 */
void eval_note_missing(Eval *eval, const char *name, Place place);
/* Whether values.NAME was not given and is handed to what runs: then an error tells of that one. */
bool eval_is_missing(Eval *eval, lua_State *lua, const char *name);
void eval_note_read(Eval *eval, const char *group, const char *name, const Value *value);
void eval_note_change(Eval *eval, uint64_t next_change);
/* path as written in a program: relative ones are beside the entry file. Caller frees. */
char *eval_path(const Eval *eval, const char *path);
