#pragma once
/* Resource: one declared thing: kind, name, converted parameters, meta, origin. Immutable once in a
 * graph; ref-counted. */
#include <glib.h>

#include "base/origin.h"
#include "base/value.h"
#include "graph/meta.h"

typedef struct Kind Kind;
typedef struct Resource Resource;

/* parameter `param` of the resource comes from output `output` of another at run time. */
typedef struct {
    unsigned param;
    char *kind, *name, *output;
} Receive;

struct Resource {
    gatomicrefcount refs;
    const Kind *kind;
    char *name;
    Value **params; /* kind->n_params entries; NULL: unset */
    Meta *meta;     /* NULL: meta_defaults; use resource_meta() */
    Origin origin;
    GArray *receives; /* of Receive; NULL: none */
};

Resource *resource_new(const Kind *kind, const char *name, Origin origin);
Resource *resource_ref(const Resource *resource);
void resource_unref(Resource *resource); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Resource, resource_unref)
Resource *resource_copy(const Resource *resource); /* a new one that may be changed */

/* Building: before the resource is shared. Errors name the parameter, not the resource: loaders put
 * place and resource before them with resource_prefix(). A nil input unsets the parameter. */
bool resource_set(Resource *resource, const char *param, const Value *input,
                  GError **error); /* converts; suggests names */
void resource_put(Resource *resource, unsigned param,
                  Value *value); /* converted already; takes ownership */
bool resource_receive(Resource *resource, const char *param, const char *kind, const char *name,
                      const char *output, GError **error);
Meta *resource_own_meta(Resource *resource);
/* Fills fallbacks, checks required ones, meta_validate(), then kind->validate(). Parameters that
 * are received count as set. Hidden resources are not validated. Every problem is appended to
 * problems (GError*) - all of them, not only the first; true when there was none. */
bool resource_finish(Resource *resource, GPtrArray *problems);

/* Reading, by row index of the kind's table. The type must be that of the row (asserted). Borrowed.
 */
const Value *resource_get(const Resource *resource, unsigned param); /* NULL: unset */
const char *resource_string(const Resource *resource,
                            unsigned param); /* NULL: unset; string, path, enum, mode */
bool resource_bool(const Resource *resource, unsigned param); /* unset: false */
int64_t resource_int(const Resource *resource, unsigned param,
                     int64_t fallback); /* also durations, us */
double resource_float(const Resource *resource, unsigned param, double fallback);
const Meta *resource_meta(const Resource *resource);
bool resource_has_receives(const Resource *resource);
bool resource_receives(const Resource *resource, unsigned param); /* comes from another resource */
/* Known only at run time: received and not yet there, or unknown in a plan. Such a parameter reads
 * as unset by resource_string() and the like; resource_get() gives VALUE_UNKNOWN in a plan. */
bool resource_is_unknown(const Resource *resource, unsigned param);

bool resource_equal(const Resource *a,
                    const Resource *b); /* kind, name, params, meta, receives; not origin */
guint resource_key_hash(gconstpointer resource); /* kind and name */
gboolean resource_key_equal(gconstpointer a, gconstpointer b);
/* Which thing on the host is meant: the PARAM_IDENTITY values, so that one thing under two names is
 * noticed. NULL: the kind has none, or one of them is received. Caller frees. */
char *resource_identity(const Resource *resource);
char *resource_show(const Resource *resource);  /* file '/etc/x'; caller frees */
char *origin_show(Origin origin);               /* "site.lua:12"; NULL: not from a file */
Origin origin_parse(const char *text);          /* the reverse; NULL and "" are no place */
char *resource_where(const Resource *resource); /* "site.lua:12: " or ""; caller frees */
/* Puts "site.lua:12: file '/etc/x': " before the message. */
void resource_prefix(const Resource *resource, GError **error);
/* {kind, name, params, program, meta, receives} */
Value *resource_to_value(const Resource *resource);
/* The other way round is resource_from_value() in kind.h. */
