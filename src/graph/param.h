#pragma once
/*
 * graph: resources, kinds as tables, edges, order, autoedges, autogroups. Pure data: uses base,
 * loop and host types, does no I/O. A Graph is built by one thread, sealed, and then only read.
 *
 * Param: one row of a kind's (or the meta) parameter table, and the conversion of input to it.
 */
#include <glib.h>

#include "base/error.h"
#include "base/value.h"

typedef enum {
    PARAM_STRING, /* any text; an integer counts as its digits */
    PARAM_PATH,   /* absolute path, normalised: no "//", "/./", no ".."; a trailing slash is kept */
    PARAM_BOOL,
    PARAM_INT,
    PARAM_FLOAT,    /* finite */
    PARAM_ENUM,     /* one of choices */
    PARAM_MODE,     /* "0644" or "u=rw,go=r"; kept as four octal digits */
    PARAM_DURATION, /* "500ms", "10s", "5m", "2h", "1d", "1h30m" or a number in the row's unit; kept
                       as int microseconds */
    PARAM_STRINGS,  /* a list of strings; one string counts as a list of one */
    PARAM_MAP,      /* string keys, string values (numbers and booleans become text) */
    PARAM_ANY,
} ParamType;

typedef enum {
    PARAM_REQUIRED = 1 << 0,
    PARAM_PROPERTY = 1 << 1, /* observed on the host and kept there; the rest steers how */
    PARAM_NAMED = 1 << 2,    /* defaults to the resource's name */
    PARAM_RECEIVES = 1 << 3, /* may be fed by another resource's output */
    PARAM_SECRET = 1 << 4,   /* always masked */
    PARAM_REWATCH = 1 << 5,  /* a change of it in a live swap re-arms the watch */
    PARAM_IDENTITY = 1 << 6, /* part of what says which thing on the host is meant */
    PARAM_ESSENCE = 1 << 7,  /* what the thing holds: warned of where a missing value unsets it */
} ParamFlags;

typedef struct {
    const char *name;
    ParamType type;
    ParamFlags flags;
    const char *help;           /* one or two sentences, never NULL */
    const char *fallback;       /* text of the default, parsed like input; NULL: unset */
    const char *const *choices; /* PARAM_ENUM: NULL-terminated */
    const char *unit;           /* PARAM_DURATION: "ms" or "s" for bare numbers */
    const char *aliases;        /* other names accepted, separated by spaces; NULL: none */
} Param;

/* Converts input to the row's type. The error says what was expected and what was found, with the
 * nearest choice suggested; it names neither parameter nor resource: the caller prefixes them.
 * Secrets stay secret, and an unknown value is passed through. */
Value *param_convert(const Param *param, const Value *input, GError **error);
/* A value that was converted before and comes back from a plan or the ledger: the same check, but
 * durations are microseconds already, and a named secret may be empty still. */
Value *param_restore(const Param *param, const Value *stored, GError **error);
/* The row's default, converted; NULL when it has none. A default that does not convert is a mistake
 * in the table: asserted. "" is an empty list or map. */
Value *param_fallback(const Param *param);
/* Index of the row with that name or alias, or -1. */
int param_find(const Param *params, size_t n_params, const char *name);
const char *param_type_name(ParamType type); /* for documentation: "string", "duration", ... */
