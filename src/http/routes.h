#pragma once
/* Tables of routes: which row takes a request, and what they say as an OpenAPI document. */
#include "http/server.h"

typedef struct {
    const HttpRoute *route; /* NULL: status says why */
    unsigned status;        /* 200, 400, 404, 405 */
    char *allow;            /* with 405: "GET, HEAD, PUT" */
    const char *nearest;    /* with 404: the path of the route that is most like it, or NULL */
    char **parts;           /* decoded, in the order of the route's path, NULL-terminated */
} RouteMatch;

/* path: as sent, without query. Pure and thread-safe. */
RouteMatch routes_match(const HttpRoute *routes, unsigned n_routes, const char *method,
                        const char *path);
void route_match_clear(RouteMatch *match);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RouteMatch, route_match_clear)

/* The index of {name} in the route's path, -1 when it has none. */
int route_part_index(const HttpRoute *route, const char *name);

/* "a%20b" as "a b". NULL when it is not UTF-8 or has a NUL. Caller frees. */
char *url_decode(const char *text, size_t size);

/* OpenAPI 3.1. Fails when a schema of a row is not JSON. */
Value *routes_openapi(const HttpRoute *routes, unsigned n_routes, const char *title,
                      const char *version, GError **error);
