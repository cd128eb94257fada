#include "http/routes.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"

static const HttpRoute routes[] = {
    { "GET", "/v1/hosts", "reader", "All", "Help.", NULL, "{\"type\":\"array\"}", "limit after" },
    { "GET", "/v1/hosts/{name}", "reader", "One", "Help.", NULL, "{\"type\":\"object\"}" },
    { "DELETE", "/v1/hosts/{name}", "admin", "Remove", "Help." },
    { "PUT", "/v1/hosts/{name}/facts/{key}", "host", "Set", "Help.", "{\"type\":\"object\"}" },
    { "GET", "/healthz", NULL, "Health", "Help." },
};

static const struct {
    const char *method, *path;
    unsigned status;
    int route;
    const char *text; /* parts joined by "|", what is allowed, or the nearest */
} rows[] = {
    { "GET", "/v1/hosts", 200, 0, "" },
    { "HEAD", "/v1/hosts", 200, 0, "" },
    { "GET", "/v1/hosts/web1", 200, 1, "web1" },
    { "GET", "/v1/hosts/web%2F1", 200, 1, "web/1" },
    { "GET", "/v1/hosts/a+b", 200, 1, "a+b" },
    { "DELETE", "/v1/hosts/x", 200, 2, "x" },
    { "PUT", "/v1/hosts/x/facts/y%20z", 200, 3, "x|y z" },
    { "PUT", "/v1/hosts/x", 405, -1, "GET, HEAD, DELETE" },
    { "HEAD", "/v1/hosts/x/facts/y", 405, -1, "PUT" },
    { "GET", "/v1/hosts/", 404, -1, "/v1/hosts" },
    { "GET", "/v1/hosts//facts/y", 404, -1, "/v1/hosts/{name}/facts/{key}" },
    { "GET", "/v1/hosts/web1/", 404, -1, "/v1/hosts/{name}" },
    { "GET", "/v1/host/web1", 404, -1, "/v1/hosts/{name}" },
    { "GET", "/v1%2Fhosts", 404, -1, "/v1/hosts" },
    { "GET", "", 404, -1, NULL },
    { "GET", "/v1/hosts/%00", 400, -1, NULL },
    { "GET", "/v1/hosts/%c3%28", 400, -1, NULL },
    { "get", "/healthz", 405, -1, "GET, HEAD" },
};

static void matches(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s %s", rows[i].method, rows[i].path);
        g_auto(RouteMatch) match =
            routes_match(routes, G_N_ELEMENTS(routes), rows[i].method, rows[i].path);
        g_assert_cmpuint(match.status, ==, rows[i].status);
        g_assert_true(match.route == (rows[i].route < 0 ? NULL : &routes[rows[i].route]));
        g_autofree char *parts = match.parts ? g_strjoinv("|", match.parts) : NULL;
        const char *text = parts ? parts : match.allow ? match.allow : match.nearest;
        g_assert_cmpstr(text, ==, rows[i].text);
    }
    g_assert_cmpint(route_part_index(&routes[3], "key"), ==, 1);
    g_assert_cmpint(route_part_index(&routes[3], "ke"), ==, -1);
}

static void describes(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) document = routes_openapi(routes, G_N_ELEMENTS(routes), "stead", "1", &error);
    g_assert_no_error(error);
    const Value *paths = value_map_get(document, "paths");
    g_assert_cmpuint(value_size(paths), ==, 4);
    const Value *host = value_map_get(paths, "/v1/hosts/{name}");
    g_assert_nonnull(value_map_get(host, "get"));
    const Value *remove = value_map_get(host, "delete");
    g_assert_cmpstr(value_map_string(remove, "summary", ""), ==, "Remove");
    g_assert_cmpstr(value_map_string(remove, "x-role", ""), ==, "admin");
    const Value *list = value_map_get(value_map_get(paths, "/v1/hosts"), "get");
    g_assert_cmpuint(value_size(value_map_get(list, "parameters")), ==, 2);
    const Value *health = value_map_get(value_map_get(paths, "/healthz"), "get");
    g_assert_cmpuint(value_size(value_map_get(health, "security")), ==, 0);
    const HttpRoute broken = { "GET", "/x", NULL, "X", "X.", NULL, "{" };
    g_assert_null(routes_openapi(&broken, 1, "stead", "1", &error));
    g_assert_true(g_str_has_prefix(error->message, "/x:1:2: "));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/routes/matches", matches);
    g_test_add_func("/routes/describes", describes);
    return g_test_run();
}
