#include "cli/agent-renew.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/agent-join.h"
#include "http/client.h"
#include "pki/pki.h"

#define LOOK_EVERY_US (3600 * (uint64_t)G_USEC_PER_SEC)
#define PATIENCE_US   (30 * (uint64_t)G_USEC_PER_SEC)

struct Renewal {
    Loop *loop;
    char *directory;
    RenewalTell tell;
    void *data;
    LoopTimer *timer;
    HttpClient *client; /* while a question is under way */
    PkiKey *key;
    unsigned failures; /* each asks the next hub, where there are several */
};

static char *read_text(const Renewal *renewal, const char *name) {
    g_autofree char *path = g_build_filename(renewal->directory, name, NULL);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL); /* NULL: not joined */
    return text;
}

static void tell_failure(Renewal *renewal, const char *why) {
    renewal->failures++;
    g_autofree char *text =
        g_strdup_printf("renew this machine's certificate: %s; it is tried again in an hour", why);
    renewal->tell(renewal->data, true, text);
}

/* The one of those in the file, separated by commas, whose turn it is. Caller frees. */
static char *hub_url(const Renewal *renewal) {
    g_autofree char *text = read_text(renewal, "url");
    g_auto(GStrv) urls = g_strsplit(text ? g_strstrip(text) : "", ",", -1);
    unsigned n = g_strv_length(urls);
    return n > 0 ? g_strdup(urls[renewal->failures % n]) : g_strdup("");
}

static bool is_due(const Renewal *renewal, const char *pem, GError **error) {
    g_autoptr(PkiCertificate) certificate =
        pki_certificate_parse(pem, strlen(pem), "certificate.pem", error);
    int64_t now = (int64_t)(loop_wall_now(renewal->loop) / G_USEC_PER_SEC);
    return certificate && pki_certificate_wants_renewal(certificate, now);
}

/* Keeps what the hub gave, when it is for our key. */
static bool take(const Renewal *renewal, const HttpReply *reply, GError **error) {
    size_t size;
    const char *text = g_bytes_get_data(reply->body, &size);
    g_autoptr(Value) answer = json_parse(text ? text : "", size, "the hub's answer", error);
    if (!answer)
        return false;
    bool map = value_type(answer) == VALUE_MAP;
    const char *pem = map ? value_map_string(answer, "certificate", "") : "";
    if (reply->status != 201) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "the hub refused: %s",
                    map ? value_map_string(answer, "error", "?") : "?");
        return false;
    }
    return join_check_certificate(pem, renewal->key, error) &&
           join_write(renewal->directory, "certificate.pem", pem, error);
}

static void on_replied(void *data, const HttpReply *reply, const GError *problem) {
    Renewal *renewal = data;
    g_autoptr(GError) error = problem ? g_error_copy(problem) : NULL;
    if (!error && take(renewal, reply, &error))
        renewal->tell(renewal->data, false, "renewed this machine's certificate");
    else
        tell_failure(renewal, error->message);
    g_clear_pointer(&renewal->key, pki_key_free);
}

static bool ask(Renewal *renewal, const char *pem, GError **error) {
    g_autofree char *ca = read_text(renewal, "ca.pem"), *url = hub_url(renewal);
    g_autofree char *path = g_build_filename(renewal->directory, "key.pem", NULL);
    renewal->key = pki_key_load(path, error);
    if (!renewal->key)
        return false;
    g_autofree char *key = pki_key_pem(renewal->key);
    g_autofree char *request = pki_request_new(renewal->key, g_get_host_name(), error);
    HttpClientOptions options = { .ca = ca, .certificate = pem, .key = key };
    renewal->client = request ? http_client_new(renewal->loop, &options, error) : NULL;
    if (!renewal->client)
        return false;
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "request", value_new_string(request));
    g_autofree char *text = json_print(map, JSON_COMPACT);
    g_autoptr(GBytes) body = g_bytes_new(text, strlen(text));
    g_autofree char *target = g_strconcat(url, "/v1/renew", NULL);
    const char *const headers[] = { "Content-Type: application/json", NULL };
    HttpAsk question = {
        .url = target, .headers = headers, .body = body, .timeout = PATIENCE_US, .once = true
    };
    (void)http_client_send(renewal->client, &question, on_replied, renewal);
    return true;
}

static void look(void *data) {
    Renewal *renewal = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *pem = read_text(renewal, "certificate.pem");
    g_clear_pointer(&renewal->client, http_client_free); /* of the hour before */
    g_clear_pointer(&renewal->key, pki_key_free);
    if (pem && is_due(renewal, pem, &error))
        (void)ask(renewal, pem, &error);
    if (error)
        tell_failure(renewal, error->message);
    loop_timer_set(renewal->loop, &renewal->timer, loop_now(renewal->loop) + LOOK_EVERY_US, look,
                   renewal);
}

Renewal *renewal_new(Loop *loop, const char *directory, RenewalTell tell, void *data) {
    Renewal *renewal = g_new0(Renewal, 1);
    renewal->loop = loop;
    renewal->directory = g_strdup(directory);
    renewal->tell = tell;
    renewal->data = data;
    loop_timer_set(loop, &renewal->timer, loop_now(loop), look, renewal);
    return renewal;
}

void renewal_free(Renewal *renewal) {
    if (!renewal)
        return;
    loop_timer_clear(&renewal->timer);
    http_client_free(renewal->client);
    pki_key_free(renewal->key);
    g_free(renewal->directory);
    g_free(renewal);
}
