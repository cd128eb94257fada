/*
 * Any bytes as a request, the first line its method and target, the rest its body: it is answered
 * once, with a status of HTTP; JSON answers parse, and refusals have a text.
 */
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "http/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(void *data, HttpRequest *request) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "name", value_new_string(http_request_part(request, "name")));
    const char *as = http_request_query(request, "as");
    value_map_set(map, "as", as ? value_new_string(as) : NULL);
    http_answer_json(request, 200, map);
}

static void put(void *data, HttpRequest *request) {
    g_autoptr(Value) body = http_request_json(request);
    if (body)
        http_answer_json(request, 201, body);
}

static void echo(void *data, HttpRequest *request) {
    http_answer(request, 200, "text/plain", http_request_body(request));
}

static void events(void *data, HttpRequest *request) {
    HttpStream *stream = http_answer_stream(request, NULL, NULL);
    g_autoptr(GBytes) event = http_event("put", "1", http_request_path(request));
    if (stream)
        http_stream_send(stream, event);
}

static const HttpRoute routes[] = {
    { "GET", "/v1/things/{name}", NULL, "", "", NULL, NULL, "as", 0, show },
    { "PUT", "/v1/things/{name}", NULL, "", "", NULL, NULL, NULL, 64, put },
    { "POST", "/v1/echo", NULL, "", "", NULL, NULL, NULL, 0, echo },
    { "GET", "/v1/events", NULL, "", "", NULL, NULL, NULL, 0, events },
};

static void answered(void *data, unsigned status, const char *content_type, GBytes *body) {
    ++*(unsigned *)data;
    g_assert_true(status >= 200 && status < 500);
    size_t size;
    const char *text = g_bytes_get_data(body, &size);
    if (strcmp(content_type, "application/json") != 0)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse(text, size, "answer", &error);
    g_assert_no_error(error);
    g_assert_true(status < 300 || value_map_string(value, "error", NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *end = size ? memchr(data, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - (const char *)data) : size;
    g_autofree char *head = g_strndup((const char *)data, line);
    char *target = strchr(head, ' ');
    if (target)
        *target++ = '\0';
    g_autoptr(GBytes) body = g_bytes_new(end ? end + 1 : "", end ? size - line - 1 : 0);
    HttpServerOptions options = { .routes = routes, .n_routes = G_N_ELEMENTS(routes) };
    unsigned answers = 0;
    http_try(&options, head, target ? target : "/", NULL, body, NULL, answered, &answers);
    g_assert_cmpuint(answers, ==, 1);
    return 0;
}
