#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "http/server-private.h"

HttpRequest *request_new(const HttpServerOptions *options, const char *method, const char *path) {
    HttpRequest *request = g_new0(HttpRequest, 1);
    request->refs = 2;
    request->options = options;
    request->method = g_strdup(method);
    request->path = g_strdup(path);
    request->headers = g_ptr_array_new_with_free_func(g_free);
    request->answer_headers = g_ptr_array_new_with_free_func(g_free);
    request->queries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    request->incoming = g_byte_array_new();
    return request;
}

void request_unref(HttpRequest *request) {
    if (!g_atomic_int_dec_and_test(&request->refs))
        return;
    g_free(request->method);
    g_free(request->path);
    g_ptr_array_unref(request->headers);
    g_ptr_array_unref(request->answer_headers);
    g_hash_table_unref(request->queries);
    route_match_clear(&request->match);
    g_clear_pointer(&request->incoming, g_byte_array_unref);
    g_clear_pointer(&request->body, g_bytes_unref);
    g_clear_pointer(&request->certificate, g_bytes_unref);
    g_clear_pointer(&request->answer, g_bytes_unref);
    g_clear_pointer(&request->stream, stream_unref);
    g_clear_pointer(&request->peer, peer_unref);
    if (request->free_kept)
        request->free_kept(request->kept);
    g_free(request);
}

/* --- reading ---------------------------------------------------------------------------------- */

const HttpRoute *http_request_route(const HttpRequest *request) {
    return request->match.route;
}

const char *http_request_method(const HttpRequest *request) {
    return request->method;
}

const char *http_request_path(const HttpRequest *request) {
    return request->path;
}

const char *http_request_part(const HttpRequest *request, const char *name) {
    int index = route_part_index(request->match.route, name);
    g_assert(index >= 0);
    return request->match.parts[index];
}

const char *http_request_query(const HttpRequest *request, const char *name) {
    return g_hash_table_lookup(request->queries, name);
}

const char *http_request_header(const HttpRequest *request, const char *name) {
    for (unsigned i = 0; i + 1 < request->headers->len; i += 2)
        if (g_ascii_strcasecmp(request->headers->pdata[i], name) == 0)
            return request->headers->pdata[i + 1];
    return NULL;
}

const char *http_request_peer(const HttpRequest *request) {
    return request->peer ? request->peer->address : "127.0.0.1";
}

GBytes *http_request_body(const HttpRequest *request) {
    return request->body;
}

GBytes *http_request_certificate(const HttpRequest *request) {
    return request->peer ? request->peer->certificate : request->certificate;
}

void http_request_keep(HttpRequest *request, void *data, GDestroyNotify free) {
    g_assert(!request->free_kept);
    request->kept = data;
    request->free_kept = free;
}

void *http_request_kept(const HttpRequest *request) {
    return request->kept;
}

Value *http_request_json(HttpRequest *request) {
    const char *type = http_request_header(request, "Content-Type");
    if (type && g_ascii_strncasecmp(type, "application/json", 16) != 0) {
        http_answer_error(request, 415, "send it with 'Content-Type: application/json'",
                          "read the body: it is '%.100s', not JSON", type);
        return NULL;
    }
    g_autoptr(GError) error = NULL;
    size_t size;
    const char *text = g_bytes_get_data(request->body, &size);
    g_autoptr(Value) value = json_parse(text ? text : "", size, "body", &error);
    if (!value) {
        http_answer_error(request, 400, NULL, "%s", error->message);
        return NULL;
    }
    if (value_type(value) != VALUE_MAP) {
        http_answer_error(request, 400, NULL, "read the body: expected an object, found a %s",
                          value_type_name(value_type(value)));
        return NULL;
    }
    return g_steal_pointer(&value);
}

/* --- before the handler ----------------------------------------------------------------------- */

/* "+" is a space here, unlike in paths. What cannot be decoded is kept for the refusal. */
void request_add_query(HttpRequest *request, const char *name, const char *value) {
    g_autofree char *text = g_strdup(value ? value : "");
    for (char *at = text; *at; at++)
        if (*at == '+')
            *at = ' ';
    char *decoded = url_decode(text, strlen(text));
    g_hash_table_replace(request->queries, g_strdup(name), decoded);
}

static bool answer_no_route(HttpRequest *request) {
    const RouteMatch *match = &request->match;
    if (match->status == 405) {
        http_set_header(request, "Allow", match->allow);
        g_autofree char *hint = g_strdup_printf("it takes %s", match->allow);
        http_answer_error(request, 405, hint, "no method %.20s for '%.200s'", request->method,
                          request->path);
    } else if (match->status == 400) {
        http_answer_error(request, 400, NULL, "read the path: '%.200s' is not UTF-8, or has %%00",
                          request->path);
    } else {
        g_autofree char *hint =
            match->nearest
                ? g_strdup_printf("did you mean %s? /v1/openapi.json has all", match->nearest)
                : g_strdup("/v1/openapi.json has all there are");
        http_answer_error(request, 404, hint, "no such path '%.200s'", request->path);
    }
    return false;
}

static bool has_word(const char *words, const char *word) {
    g_auto(GStrv) list = g_strsplit(words ? words : "", " ", -1);
    return g_strv_contains((const char *const *)list, word);
}

static bool check_queries(HttpRequest *request) {
    GHashTableIter iter;
    void *name, *value;
    g_hash_table_iter_init(&iter, request->queries);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        const char *known = request->match.route->query;
        if (!has_word(known, name)) {
            g_autofree char *hint = known ? g_strdup_printf("it takes: %s", known) : NULL;
            http_answer_error(request, 400, hint ? hint : "it takes none",
                              "no parameter '%.100s' of '%.200s'", (char *)name, request->path);
            return false;
        }
        if (!value) {
            http_answer_error(request, 400, NULL,
                              "read the parameter '%s': it is not UTF-8, or has %%00",
                              (char *)name);
            return false;
        }
    }
    return true;
}

bool request_find_route(HttpRequest *request) {
    const HttpServerOptions *options = request->options;
    request->match =
        routes_match(options->routes, options->n_routes, request->method, request->path);
    const HttpRoute *route = request->match.route;
    if (!route)
        return answer_no_route(request);
    request->body_limit = route->body_limit ? route->body_limit : HTTP_BODY_LIMIT;
    return check_queries(request);
}

static void refuse_size(HttpRequest *request) {
    g_clear_pointer(&request->incoming, g_byte_array_unref);
    if (!request->status)
        http_answer_error(request, 413, NULL, "read the body: it is larger than %zu bytes",
                          request->body_limit);
}

void request_take_body(HttpRequest *request, const void *data, size_t size) {
    request->body_seen += size;
    if (request->body_seen > request->body_limit)
        refuse_size(request);
    else if (!request->status)
        g_byte_array_append(request->incoming, data, (guint)size);
}

void request_body_done(HttpRequest *request) {
    request->body = g_byte_array_free_to_bytes(g_steal_pointer(&request->incoming));
}

void http_route_handle(HttpRequest *request) {
    request->match.route->handle(request->options->data, request);
}

void request_dispatch(HttpRequest *request) {
    HttpHandler dispatch = request->options->dispatch;
    if (dispatch)
        dispatch(request->options->data, request);
    else
        http_route_handle(request);
}

/* --- answers ---------------------------------------------------------------------------------- */

void http_set_header(HttpRequest *request, const char *name, const char *value) {
    g_ptr_array_add(request->answer_headers, g_strdup(name));
    g_ptr_array_add(request->answer_headers, g_strdup(value));
}

/* Gives the request back to its connection. Before it was handed over, that has it. */
static void give_back(HttpRequest *request) {
    HttpServer *server = request->server;
    if (request->answered && !request->stream)
        request->answered(request->answered_data, request->status, request->content_type,
                          request->answer);
    if (request->peer && !request->handed_over)
        return;
    if (server) {
        g_mutex_lock(&server->lock);
        g_hash_table_remove(server->held, request);
        mhd.resume_connection(request->connection);
        g_mutex_unlock(&server->lock);
    }
    request_unref(request);
}

void http_answer(HttpRequest *request, unsigned status, const char *content_type, GBytes *body) {
    g_assert(request->status == 0);
    request->status = status;
    request->content_type = content_type;
    request->answer = g_bytes_ref(body);
    give_back(request);
}

void http_answer_json(HttpRequest *request, unsigned status, const Value *value) {
    GString *text = g_string_new(NULL);
    json_append(text, value, JSON_COMPACT);
    g_string_append_c(text, '\n');
    g_autoptr(GBytes) body = g_string_free_to_bytes(text);
    http_answer(request, status, "application/json", body);
}

static G_GNUC_PRINTF(1, 0) char *printable_utf8(const char *format, va_list arguments) {
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    return g_utf8_make_valid(text, -1);
}

void http_answer_error(HttpRequest *request, unsigned status, const char *hint, const char *format,
                       ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = printable_utf8(format, arguments);
    va_end(arguments);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "error", value_new_string(text));
    if (hint)
        value_map_set(map, "hint", value_new_string(hint));
    http_answer_json(request, status, map);
}

static HttpStream *answer_stream(HttpRequest *request, const char *type, LoopCallback closed,
                                 void *data) {
    bool gone = request->peer && !request->server;
    if (gone || strcmp(request->method, "HEAD") == 0) {
        g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
        http_answer(request, 200, type, nothing);
        return NULL;
    }
    g_assert(request->status == 0);
    request->stream = stream_new(request->server, request, closed, data);
    request->status = 200;
    request->content_type = type;
    return request->stream;
}

HttpStream *http_answer_stream(HttpRequest *request, LoopCallback closed, void *data) {
    HttpStream *stream = answer_stream(request, "text/event-stream", closed, data);
    if (stream)
        give_back(request);
    return stream;
}

HttpStream *http_answer_lines(HttpRequest *request, LoopCallback closed, void *data) {
    HttpStream *stream = answer_stream(request, "application/json", closed, data);
    if (stream) {
        stream_use_lines(stream);
        give_back(request);
    }
    return stream;
}

/* --- without a connection --------------------------------------------------------------------- */

static void split_queries(HttpRequest *request, const char *query) {
    g_auto(GStrv) pairs = g_strsplit(query, "&", -1);
    for (char **pair = pairs; *pair; pair++) {
        char *value = strchr(*pair, '=');
        if (value)
            *value++ = '\0';
        if (**pair)
            request_add_query(request, *pair, value);
    }
}

static void finish_stream(HttpRequest *request) {
    g_autoptr(GBytes) all = stream_take_all(request->stream);
    request->answered(request->answered_data, 200, request->content_type, all);
    stream_closed(request->stream);
}

void http_try(const HttpServerOptions *options, const char *method, const char *url,
              const char *const *headers, GBytes *body, GBytes *certificate, HttpAnswered answered,
              void *data) {
    const char *query = strchr(url, '?');
    g_autofree char *path = g_strndup(url, query ? (size_t)(query - url) : strlen(url));
    HttpRequest *request = request_new(options, method, path);
    request->answered = answered;
    request->answered_data = data;
    request->certificate = certificate ? g_bytes_ref(certificate) : NULL;
    for (; headers && headers[0] && headers[1]; headers += 2) {
        g_ptr_array_add(request->headers, g_strdup(headers[0]));
        g_ptr_array_add(request->headers, g_strdup(headers[1]));
    }
    if (query)
        split_queries(request, query + 1);
    if (request_find_route(request)) {
        size_t size = 0;
        const void *bytes = body ? g_bytes_get_data(body, &size) : NULL;
        request_take_body(request, bytes, size);
        if (!request->status) {
            request_body_done(request);
            request_dispatch(request);
        }
        if (request->stream)
            finish_stream(request);
    }
    request_unref(request);
}
