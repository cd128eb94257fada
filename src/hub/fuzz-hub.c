/*
 * Any bytes as a request to a hub: the first line its method and target, the second who asks ("a":
 * the admin, "r": a reader, "h": a host, else nobody), the rest its body. It is answered once, with
 * a status of HTTP that is not the hub's fault, in JSON that parses.
 */
#include <glib/gstdio.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "hub/hub.h"
#include "pki/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    Loop *loop;
    Hub *hub;
    char *admin, *reader;
    GBytes *host; /* certificate */
    unsigned answers, status;
    Value *value;
} Site;

static void on_answered(void *data, unsigned status, const char *content_type, GBytes *body) {
    Site *site = data;
    size_t size;
    const char *text = g_bytes_get_data(body, &size);
    g_autoptr(GError) error = NULL;
    site->answers++;
    site->status = status;
    g_clear_pointer(&site->value, value_unref);
    if (strcmp(content_type, "application/json") == 0) {
        site->value = json_parse(text, size, "answer", &error);
        g_assert_no_error(error);
        g_assert_true(status < 300 || value_map_string(site->value, "error", NULL));
    }
    loop_quit(site->loop);
}

static void ask(Site *site, const char *method, const char *target, const char *token,
                GBytes *certificate, GBytes *body) {
    HttpServerOptions options = hub_try_options(site->hub);
    g_autofree char *bearer = g_strconcat("Bearer ", token, NULL);
    const char *const headers[] = { "Authorization", bearer, NULL };
    site->answers = 0;
    http_try(&options, method, target, token ? headers : NULL, body, certificate, on_answered,
             site);
    g_assert_true(loop_run(site->loop, NULL));
    g_assert_cmpuint(site->answers, ==, 1);
}

static void post(Site *site, const char *target, const char *text) {
    g_autoptr(GBytes) body = g_bytes_new(text, strlen(text));
    ask(site, "POST", target, site->admin, NULL, body);
    g_assert_cmpuint(site->status, ==, 201);
}

static GBytes *joined(Site *site) {
    g_autoptr(PkiKey) key = pki_key_new(NULL);
    g_autofree char *request = pki_request_new(key, "web1", NULL);
    post(site, "/v1/tokens", "{\"host\":\"web1\"}");
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "token", value_new_string(value_map_string(site->value, "token", "")));
    value_map_set(wish, "request", value_new_string(request));
    g_autofree char *text = json_print(wish, JSON_COMPACT);
    post(site, "/v1/join", text);
    const char *pem = value_map_string(site->value, "certificate", "");
    g_autoptr(PkiCertificate) certificate = pki_certificate_parse(pem, strlen(pem), "it", NULL);
    return pki_certificate_der(certificate);
}

/* Lives as long as the process. */
static Site *site_of_process(void) {
    static Site *site;
    if (site)
        return site;
    site = g_new0(Site, 1);
    site->loop = loop_new_virtual(NULL);
    Store *store = store_open_memory(site->loop);
    g_autofree char *directory = g_dir_make_tmp("stead-fuzz-XXXXXX", NULL);
    g_autofree char *ca = g_build_filename(directory, "ca.pem", NULL);
    g_autofree char *token = g_build_filename(directory, "admin-token", NULL);
    HubOptions options = { .loop = site->loop, .state = store, .data = directory };
    site->hub = hub_new(&options, NULL);
    g_assert_nonnull(site->hub);
    g_autofree char *name = g_build_filename(directory, "name", NULL);
    g_assert_cmpint(g_remove(name) | g_remove(ca) | g_remove(token) | g_rmdir(directory), ==, 0);
    site->admin = g_strdup(hub_first_token(site->hub));
    post(site, "/v1/tokens", "{\"name\":\"ann\",\"role\":\"reader\"}");
    site->reader = g_strdup(value_map_string(site->value, "token", ""));
    site->host = joined(site);
    return site;
}

/* The text up to the next line end, which is skipped. Caller frees. */
static char *next_line(const char **text, size_t *size) {
    const char *end = memchr(*text, '\n', *size);
    size_t length = end ? (size_t)(end - *text) : *size;
    char *line = g_strndup(*text, length);
    *text += length + (end != NULL), *size -= length + (end != NULL);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    Site *site = site_of_process();
    const char *text = (const char *)data;
    g_autofree char *head = next_line(&text, &size), *who = next_line(&text, &size);
    char *target = strchr(head, ' ');
    if (target)
        *target++ = '\0';
    if (target && strstr(target, "events"))
        return 0; /* has no end */
    g_autoptr(GBytes) body = g_bytes_new(text, size);
    const char *token = *who == 'a' ? site->admin : *who == 'r' ? site->reader : NULL;
    ask(site, head, target ? target : "/", token, *who == 'h' ? site->host : NULL, body);
    g_assert_cmpuint(site->status, >=, 200);
    g_assert_cmpuint(site->status, <, 500);
    return 0;
}
