/* Questions to one member of etcd. */
#include "state/etcd.h"

#include <string.h>

#include "base/json.h"
#include "state/etcd-private.h"

struct EtcdAsk {
    HttpCall *http;
    EtcdAnswered answered;
    void *data;
};

static Value *read_reply(const HttpReply *reply, GError **error) {
    if (reply->status != 200) {
        (void)etcd_fate(reply->status, reply->body, error);
        return NULL;
    }
    size_t size;
    const char *text = g_bytes_get_data(reply->body, &size);
    g_autoptr(Value) value = json_parse(text ? text : "", size, "etcd", NULL);
    if (value && value_type(value) == VALUE_MAP)
        return g_steal_pointer(&value);
    g_set_error_literal(error, STORE_ERROR, STORE_ERROR_FAILED,
                        "read the answer of etcd: it is no object of JSON");
    return NULL;
}

static void on_reply(void *data, const HttpReply *reply, const GError *problem) {
    EtcdAsk *ask = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = NULL;
    if (problem)
        g_set_error_literal(&error, STORE_ERROR,
                            reply->sent ? STORE_ERROR_UNKNOWN_OUTCOME : STORE_ERROR_UNAVAILABLE,
                            problem->message);
    else
        value = read_reply(reply, &error);
    EtcdAnswered answered = ask->answered;
    void *context = ask->data;
    g_free(ask);
    answered(context, value, error);
}

/* What a member knows by itself. */
static bool is_local(const char *path) {
    return g_str_has_prefix(path, "maintenance/") || strcmp(path, "cluster/member/list") == 0;
}

EtcdAsk *etcd_ask(Store *state, const char *url, const char *path, const char *body,
                  uint64_t timeout_us, EtcdAnswered answered, void *data) {
    EtcdAsk *ask = g_new0(EtcdAsk, 1);
    g_autoptr(GBytes) bytes = g_bytes_new(body, strlen(body));
    Etcd *etcd = etcd_of(state);
    ask->answered = answered;
    ask->data = data;
    const char *whom = url ? url : etcd->members[etcd->member % etcd->n_members];
    ask->http = etcd_send_to(etcd, whom, !is_local(path), path, bytes,
                             (HttpAsk){ .timeout = timeout_us, .once = true }, on_reply, ask);
    return ask;
}

void etcd_ask_cancel(EtcdAsk *ask) {
    http_call_cancel(ask->http);
    g_free(ask);
}

typedef struct {
    Loop *loop;
    bool over;
    Value *value;
    GError *error;
} Wait;

static void on_answered(void *data, const Value *answer, const GError *error) {
    Wait *wait = data;
    wait->over = true;
    wait->value = answer ? value_ref(answer) : NULL;
    wait->error = error ? g_error_copy(error) : NULL;
    loop_quit(wait->loop);
}

Value *etcd_ask_wait(Store *state, const char *url, const char *path, const char *body,
                     uint64_t timeout_us, GError **error) {
    Wait wait = { .loop = state->loop };
    EtcdAsk *ask = etcd_ask(state, url, path, body, timeout_us, on_answered, &wait);
    bool ran = loop_run(state->loop, error);
    if (!wait.over) {
        etcd_ask_cancel(ask);
        if (ran)
            g_set_error_literal(error, STORE_ERROR, STORE_ERROR_CANCELLED,
                                "the program was told to end");
        return NULL;
    }
    if (wait.error)
        g_propagate_error(error, wait.error);
    return wait.value;
}
