#include "http/routes.h"

#include <string.h>

#include "base/json.h"
#include "base/suggest.h"

char *url_decode(const char *text, size_t size) {
    char *decoded = g_uri_unescape_segment(text, text + size, NULL);
    if (decoded && !g_utf8_validate(decoded, -1, NULL))
        g_clear_pointer(&decoded, g_free);
    return decoded;
}

/* --- matching */

static bool is_part(const char *segment, size_t size) {
    return size > 2 && segment[0] == '{' && segment[size - 1] == '}';
}

/* Walks both paths segment by segment. parts: NULL only looks. False with *ret_bad when a segment
 * that a part would take cannot be decoded. */
static bool path_fits(const char *pattern, const char *path, GPtrArray *parts, bool *ret_bad) {
    while (*pattern == '/' && *path == '/') {
        pattern++, path++;
        size_t wanted = strcspn(pattern, "/"), got = strcspn(path, "/");
        if (is_part(pattern, wanted)) {
            char *decoded = got > 0 ? url_decode(path, got) : NULL;
            if (!decoded) {
                *ret_bad = got > 0;
                return false;
            }
            g_ptr_array_add(parts, decoded);
        } else if (wanted != got || memcmp(pattern, path, got) != 0) {
            return false;
        }
        pattern += wanted, path += got;
    }
    return *pattern == '\0' && *path == '\0';
}

static bool method_fits(const HttpRoute *route, const char *method) {
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* The pattern with what stands at the places of its parts in path. Caller frees. */
static char *filled(const char *pattern, const char *path) {
    g_auto(GStrv) segments = g_strsplit(pattern, "/", -1), given = g_strsplit(path, "/", -1);
    unsigned n_given = g_strv_length(given);
    for (unsigned i = 0; segments[i]; i++)
        if (i < n_given && *given[i] && is_part(segments[i], strlen(segments[i]))) {
            g_free(segments[i]);
            segments[i] = g_strdup(given[i]);
        }
    return g_strjoinv("/", segments);
}

static const char *nearest_path(const HttpRoute *routes, unsigned n_routes, const char *path) {
    g_autofree char *start = g_strndup(path, 256);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < n_routes; i++)
        g_ptr_array_add(paths, filled(routes[i].path, start));
    const char *nearest = suggest_nearest(start, (const char *const *)paths->pdata, paths->len);
    for (unsigned i = 0; nearest && i < n_routes; i++)
        if (paths->pdata[i] == nearest)
            return routes[i].path;
    return NULL;
}

static void add_allowed(GString *allow, const HttpRoute *route) {
    g_string_append_printf(allow, "%s%s%s", allow->len ? ", " : "", route->method,
                           strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
}

RouteMatch routes_match(const HttpRoute *routes, unsigned n_routes, const char *method,
                        const char *path) {
    g_autoptr(GString) allow = g_string_new(NULL);
    bool any_bad = false;
    for (unsigned i = 0; i < n_routes; i++) {
        g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
        bool bad = false;
        if (path_fits(routes[i].path, path, parts, &bad)) {
            if (!method_fits(&routes[i], method)) {
                add_allowed(allow, &routes[i]);
                continue;
            }
            g_ptr_array_add(parts, NULL);
            char **taken = (char **)g_ptr_array_steal(parts, NULL);
            return (RouteMatch){ .route = &routes[i], .status = 200, .parts = taken };
        }
        any_bad = any_bad || bad;
    }
    if (allow->len)
        return (RouteMatch){ .status = 405, .allow = g_strdup(allow->str) };
    if (any_bad)
        return (RouteMatch){ .status = 400 };
    return (RouteMatch){ .status = 404, .nearest = nearest_path(routes, n_routes, path) };
}

void route_match_clear(RouteMatch *match) {
    g_clear_pointer(&match->allow, g_free);
    g_clear_pointer(&match->parts, g_strfreev);
}

int route_part_index(const HttpRoute *route, const char *name) {
    int index = 0;
    size_t size = strlen(name);
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{'), index++)
        if (strncmp(at + 1, name, size) == 0 && at[1 + size] == '}')
            return index;
    return -1;
}

/* --- OpenAPI */

static void set_text(Value *map, const char *key, const char *text) {
    if (text)
        value_map_set(map, key, value_new_string(text));
}

static Value *map_of(const char *key, Value *item) {
    Value *map = value_new_map();
    value_map_set(map, key, item);
    return map;
}

/* {"content": {"application/json": {"schema": ...}}} */
static Value *content_of(const char *schema, const char *where, GError **error) {
    Value *parsed = json_parse(schema, strlen(schema), where, error);
    return parsed ? map_of("content", map_of("application/json", map_of("schema", parsed))) : NULL;
}

static Value *parameter(const char *name, size_t size, const char *in) {
    Value *map = value_new_map();
    g_autofree char *copy = g_strndup(name, size);
    set_text(map, "name", copy);
    set_text(map, "in", in);
    value_map_set(map, "required", value_new_bool(strcmp(in, "path") == 0));
    value_map_set(map, "schema", map_of("type", value_new_string("string")));
    return map;
}

static Value *parameters_of(const HttpRoute *route) {
    Value *list = value_new_list();
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{'))
        value_list_append(list, parameter(at + 1, strcspn(at + 1, "}"), "path"));
    g_auto(GStrv) names = g_strsplit(route->query ? route->query : "", " ", -1);
    for (char **name = names; *name; name++)
        if (**name)
            value_list_append(list, parameter(*name, strlen(*name), "query"));
    return list;
}

static bool add_body(Value *operation, const HttpRoute *route, GError **error) {
    if (!route->request)
        return true;
    Value *content = content_of(route->request, route->path, error);
    if (!content)
        return false;
    value_map_set(content, "required", value_new_bool(true));
    value_map_set(operation, "requestBody", content);
    return true;
}

static bool add_responses(Value *operation, const HttpRoute *route, GError **error) {
    static const char problem[] =
        "{\"type\": \"object\", \"properties\": {\"error\": {\"type\": \"string\"}, \"hint\": "
        "{\"type\": \"string\"}}, \"required\": [\"error\"]}";
    Value *done =
        route->response ? content_of(route->response, route->path, error) : value_new_map();
    if (!done)
        return false;
    set_text(done, "description", "done");
    Value *failed = content_of(problem, route->path, NULL);
    set_text(failed, "description", "refused or failed");
    Value *responses = value_new_map();
    value_map_set(responses, "200", done);
    value_map_set(responses, "default", failed);
    value_map_set(operation, "responses", responses);
    return true;
}

static Value *operation_of(const HttpRoute *route, GError **error) {
    g_autoptr(Value) operation = value_new_map();
    set_text(operation, "summary", route->summary);
    set_text(operation, "description", route->help);
    set_text(operation, "x-role", route->role);
    value_map_set(operation, "parameters", parameters_of(route));
    Value *security = value_new_list();
    if (route->role) {
        value_list_append(security, map_of("token", value_new_list()));
        value_list_append(security, map_of("certificate", value_new_list()));
    }
    value_map_set(operation, "security", security);
    if (!add_body(operation, route, error) || !add_responses(operation, route, error))
        return NULL;
    return g_steal_pointer(&operation);
}

static Value *security_schemes(void) {
    Value *token = value_new_map(), *certificate = value_new_map(), *schemes = value_new_map();
    set_text(token, "type", "http");
    set_text(token, "scheme", "bearer");
    set_text(certificate, "type", "mutualTLS");
    value_map_set(schemes, "token", token);
    value_map_set(schemes, "certificate", certificate);
    return map_of("securitySchemes", schemes);
}

/* All methods of one path are one object. */
static Value *path_item(const HttpRoute *routes, unsigned n_routes, const char *path,
                        GError **error) {
    g_autoptr(Value) item = value_new_map();
    for (unsigned i = 0; i < n_routes; i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        Value *operation = operation_of(&routes[i], error);
        if (!operation)
            return NULL;
        g_autofree char *method = g_ascii_strdown(routes[i].method, -1);
        value_map_set(item, method, operation);
    }
    return g_steal_pointer(&item);
}

Value *routes_openapi(const HttpRoute *routes, unsigned n_routes, const char *title,
                      const char *version, GError **error) {
    g_autoptr(Value) document = value_new_map();
    g_autoptr(Value) paths = value_new_map();
    for (unsigned i = 0; i < n_routes; i++) {
        Value *item = path_item(routes, n_routes, routes[i].path, error);
        if (!item)
            return NULL;
        value_map_set(paths, routes[i].path, item);
    }
    Value *info = value_new_map();
    set_text(info, "title", title);
    set_text(info, "version", version);
    set_text(document, "openapi", "3.1.0");
    value_map_set(document, "info", info);
    value_map_set(document, "components", security_schemes());
    value_map_set(document, "paths", g_steal_pointer(&paths));
    return g_steal_pointer(&document);
}
