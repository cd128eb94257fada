#include "cli/exchange-of.h"

#include <string.h>

#include "base/error.h"
#include "cli/agent-join.h"
#include "cli/joined.h"
#include "cli/store-option.h"

#define SNAPSHOT    "exchange.json"
#define HUB         "hub" /* alone, or with "=DIR": where joining left what it takes */
#define PATIENCE_US (15 * (uint64_t)G_USEC_PER_SEC) /* of who asks only once */

void exchange_of_clear(ExchangeOf *exchange) {
    g_clear_pointer(&exchange->options.store, store_free);
    g_clear_pointer(&exchange->host, g_free);
    g_clear_pointer(&exchange->snapshot, g_free);
    g_clear_pointer(&exchange->membership, g_free);
}

/* Where the exchange is. */
typedef enum { WHERE_NOWHERE, WHERE_HUB, WHERE_STORE } Where;

static Where where_of(const Session *session) {
    const char *exchange = session->arguments->exchange;
    if (!exchange)
        return is_joined(session->machine->state_dir) ? WHERE_HUB : WHERE_NOWHERE;
    if (strcmp(exchange, "none") == 0)
        return WHERE_NOWHERE;
    return strcmp(exchange, HUB) == 0 || g_str_has_prefix(exchange, HUB "=") ? WHERE_HUB
                                                                             : WHERE_STORE;
}

static bool check(const Session *session, Where where, GError **error) {
    const Arguments *arguments = session->arguments;
    bool has_others =
        arguments->exchange_host || arguments->may_publish || arguments->exchange_ttl != 0;
    if (where == WHERE_NOWHERE && has_others) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "--host, --may-publish and --exchange-ttl are for --exchange STORE");
        return false;
    }
    if (where == WHERE_HUB && g_strcmp0(arguments->exchange, HUB) == 0 &&
        !is_joined(session->machine->state_dir)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "--exchange hub: this machine has not joined one; see 'stead agent "
                            "join', or name a store");
        return false;
    }
    int ttl = arguments->exchange_ttl;
    if (ttl == 0 || (ttl >= (int)EXCHANGE_MIN_TTL && ttl <= (int)EXCHANGE_MAX_TTL))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "--exchange-ttl is from %u to %u seconds",
                EXCHANGE_MIN_TTL, EXCHANGE_MAX_TTL);
    return false;
}

/* NULL: that of the machine itself. */
static const char *named_membership(const Arguments *arguments) {
    const char *exchange = arguments->exchange;
    return exchange && g_str_has_prefix(exchange, HUB "=") ? exchange + strlen(HUB "=") : NULL;
}

/* A hub lets a host be what its certificate says, and nobody else. */
static Store *open_joined(const Session *session, Loop *loop, ExchangeOf *of, GError **error) {
    const char *wanted = session->arguments->exchange_host;
    const char *named = named_membership(session->arguments);
    of->is_hub = true;
    of->membership = named ? g_strdup(named)
                           : g_build_filename(session->machine->state_dir, JOIN_DIRECTORY, NULL);
    g_autoptr(Store) store = store_open_joined(loop, of->membership, &of->host, error);
    if (store && wanted && strcmp(wanted, of->host) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "--host '%s': this machine joined its hub as '%s'", wanted, of->host);
        return NULL;
    }
    return g_steal_pointer(&store);
}

static Store *open_store(const Session *session, Where where, Loop *loop, ExchangeOf *of,
                         GError **error) {
    const Arguments *arguments = session->arguments;
    if (where == WHERE_HUB)
        return open_joined(session, loop, of, error);
    of->host = g_strdup(arguments->exchange_host ? arguments->exchange_host : g_get_host_name());
    return store_open_named(loop, arguments->exchange, arguments, error);
}

bool exchange_of_session(Session *session, Loop *loop, ExchangeOf *ret) {
    const Arguments *arguments = session->arguments;
    Where where = where_of(session);
    g_autoptr(GError) error = NULL;
    *ret = (ExchangeOf){ .host = NULL };
    if (!check(session, where, &error)) {
        printer_error(session->printer, error);
        return false;
    }
    if (where == WHERE_NOWHERE)
        return true;
    Store *store = open_store(session, where, loop, ret, &error);
    /* What a hub told that is not this machine's is of no use without it. */
    if (!named_membership(arguments))
        ret->snapshot = g_build_filename(session->machine->state_dir, SNAPSHOT, NULL);
    ret->options = (ExchangeOptions){
        .loop = loop,
        .store = store,
        .host = ret->host,
        .grants = (const char *const *)arguments->may_publish,
        .ttl_s = (unsigned)arguments->exchange_ttl,
        .snapshot = ret->snapshot,
        .reads_only = arguments->noop,
    };
    if (store)
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
    if (!asked || exchange_is_read(exchange))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                session->arguments->exchange
                    ? "read the exchange: %s; without --exchange what the agent knew last is used"
                    : "read the exchange: %s",
                value_map_string(status, "error", "the store does not answer"));
    return false;
}

bool exchange_of_file(Session *session, const char *file) {
    const Arguments *arguments = session->arguments;
    g_autoptr(GError) error = NULL;
    if (where_of(session) == WHERE_NOWHERE && !arguments->exchange_host) {
        session->exchange = read_snapshot(session);
        return true;
    }
    g_autoptr(Loop) loop = session_find_kinds(session, file) ? loop_new(&error) : NULL;
    bool ok = loop && read_store(session, file, loop, &error);
    /* Nobody asked for the hub, so something that is known will do; nothing is not enough. */
    g_autoptr(Value) known = error && !arguments->exchange ? read_snapshot(session) : NULL;
    if (known) {
        printer_warning(session->printer, "%s; what the agent knew last is used", error->message);
        value_unref(session->exchange);
        session->exchange = g_steal_pointer(&known);
        return true;
    }
    if (error)
        printer_error(session->printer, error);
    return ok;
}
