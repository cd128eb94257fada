#include "cli/exchange-of.h"

#include "cli/store-option.h"

#define SNAPSHOT    "exchange.json"
#define PATIENCE_US (15 * (uint64_t)G_USEC_PER_SEC) /* of who asks only once */

void exchange_of_clear(ExchangeOf *exchange) {
    g_clear_pointer(&exchange->options.store, store_free);
    g_clear_pointer(&exchange->host, g_free);
    g_clear_pointer(&exchange->snapshot, g_free);
}

static bool check(const Arguments *arguments, GError **error) {
    bool has_others =
        arguments->exchange_host || arguments->may_publish || arguments->exchange_ttl != 0;
    if (!arguments->exchange && has_others) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "--host, --may-publish and --exchange-ttl are for --exchange STORE");
        return false;
    }
    int ttl = arguments->exchange_ttl;
    if (ttl == 0 || (ttl >= (int)EXCHANGE_MIN_TTL && ttl <= (int)EXCHANGE_MAX_TTL))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "--exchange-ttl is from %u to %u seconds",
                EXCHANGE_MIN_TTL, EXCHANGE_MAX_TTL);
    return false;
}

bool exchange_of_session(Session *session, Loop *loop, ExchangeOf *ret) {
    const Arguments *arguments = session->arguments;
    g_autoptr(GError) error = NULL;
    *ret = (ExchangeOf){ .host = NULL };
    if (!check(arguments, &error)) {
        printer_error(session->printer, error);
        return false;
    }
    if (!arguments->exchange)
        return true;
    ret->host = g_strdup(arguments->exchange_host ? arguments->exchange_host : g_get_host_name());
    ret->snapshot = g_build_filename(session->machine->state_dir, SNAPSHOT, NULL);
    ret->options = (ExchangeOptions){
        .loop = loop,
        .store = store_open_named(loop, arguments->exchange, arguments, &error),
        .host = ret->host,
        .grants = (const char *const *)arguments->may_publish,
        .ttl_s = (unsigned)arguments->exchange_ttl,
        .snapshot = ret->snapshot,
        .reads_only = arguments->noop,
    };
    if (ret->options.store)
        return true;
    g_prefix_error(&error, "open the exchange: ");
    printer_error(session->printer, error);
    return false;
}

static Value *read_snapshot(Session *session) {
    g_autofree char *path = g_build_filename(session->machine->state_dir, SNAPSHOT, NULL);
    g_autoptr(GError) error = NULL;
    Value *view = exchange_read_snapshot(path, &error);
    if (error)
        printer_warning(session->printer, "%s; what is known of the exchange is not used",
                        error->message);
    return view;
}

static void on_changed(void *data) {
    loop_quit(data);
}

/* That the store is out of reach, among others: then there is nothing to wait for. */
static void on_note(void *data, const char *text) {
    loop_quit(data);
}

static bool has_failed(const Exchange *exchange) {
    g_autoptr(Value) status = exchange_status(exchange);
    return value_map_get(status, "error") != NULL;
}

/* Whether file reads nothing that is not known yet. Its problems are told when it counts. */
static bool knows_enough(Session *session, const char *file, Exchange *exchange) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_auto(LangResult) result = { 0 };
    value_unref(session->exchange);
    session->exchange = exchange_view(exchange);
    LangInputs inputs = session_inputs(session);
    (void)lang_load(file, &inputs, &result, problems);
    return !result.wants || exchange_want(exchange, result.wants);
}

static bool read_store(Session *session, const char *file, Loop *loop, GError **error) {
    g_auto(ExchangeOf) of = { .host = NULL };
    if (!exchange_of_session(session, loop, &of))
        return false;
    of.options.reads_only = true;
    of.options.snapshot = NULL;
    of.options.patience_us = PATIENCE_US;
    of.options.listener =
        (ExchangeListener){ .changed = on_changed, .note = on_note, .data = loop };
    g_autoptr(Exchange) exchange = exchange_new(&of.options, error);
    if (!exchange)
        return false;
    bool asked = false;
    for (; !knows_enough(session, file, exchange) && !has_failed(exchange); asked = true)
        if (!loop_run(loop, error))
            return false;
    g_autoptr(Value) status = exchange_status(exchange);
    if (!asked || value_map_bool(status, "connected", false))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "read the exchange: %s; without --exchange what the agent knew last is used",
                value_map_string(status, "error", "the store does not answer"));
    return false;
}

bool exchange_of_file(Session *session, const char *file) {
    g_autoptr(GError) error = NULL;
    if (!session->arguments->exchange && !session->arguments->exchange_host) {
        session->exchange = read_snapshot(session);
        return true;
    }
    g_autoptr(Loop) loop = session_find_kinds(session, file) ? loop_new(&error) : NULL;
    bool ok = loop && read_store(session, file, loop, &error);
    if (error)
        printer_error(session->printer, error);
    return ok;
}
