/* Hosts: joining, renewing, revoking. */
#include <string.h>

#include "base/digest.h"
#include "base/error.h"
#include "hub/hub-private.h"

#define SERIALS_MAX 8 /* certificates of a host that are kept track of; older ones are revoked */

Value *show_host(const StoreEntry *entry, const Value *value) {
    static const char *const members[] = { "joined",      "renewed", "expires", "revoked",
                                           "fingerprint", "labels",  "grants" };
    g_autofree char *name = entry_name(entry, KEY_HOSTS);
    Value *shown = value_new_map();
    value_map_set(shown, "name", value_new_string(name));
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        const Value *member = value_map_get(value, members[i]);
        if (member)
            value_map_set(shown, members[i], value_ref(member));
    }
    return shown;
}

static void on_hosts(Ask *ask, StoreAnswer *answer) {
    ask_answer_page(ask, answer, "hosts", KEY_HOSTS, show_host);
}

void get_hosts(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    unsigned limit;
    const char *after;
    if (ask_page(ask, &limit, &after))
        ask_list(ask, KEY_HOSTS, after, limit, on_hosts);
}

/* The host's entry, and its value; NULL: 404 was answered. */
static const StoreEntry *host_entry(Ask *ask, StoreAnswer *answer, Value **ret_value) {
    const StoreEntry *entry = store_answer_entry(answer);
    *ret_value = entry_value(entry);
    if (*ret_value)
        return entry;
    http_answer_error(ask->request, 404, "'stead host list' shows them", "no host '%s'", ask->text);
    return NULL;
}

static void on_host(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) value = NULL;
    const StoreEntry *entry = host_entry(ask, answer, &value);
    if (!entry)
        return;
    g_autoptr(Value) shown = show_host(entry, value);
    http_answer_json(ask->request, 200, shown);
}

void get_host(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    ask->text = g_strdup(http_request_part(request, "name"));
    g_autofree char *key = g_strconcat(KEY_HOSTS, ask->text, NULL);
    ask_get(ask, key, on_host);
}

/* --- certificates ----------------------------------------------------------------------------- */

static Value *certificate_record(const char *host, bool revoked) {
    Value *record = value_new_map();
    value_map_set(record, "role", value_new_string("host"));
    value_map_set(record, "name", value_new_string(host));
    value_map_set(record, "revoked", value_new_bool(revoked));
    return record;
}

/* Signs ask's request for host. False: answered, and ask is gone. */
static bool sign(Ask *ask, const char *host) {
    g_autoptr(GError) error = NULL;
    const char *pem = value_map_string(ask->body, "request", "");
    g_autoptr(PkiRequest) request = pki_request_parse(pem, strlen(pem), "request", &error);
    if (request)
        ask->certificate =
            pki_sign_client(ask->hub->authority, ask->hub->authority_key, request, PKI_HOST, host,
                            wall_seconds(ask->hub), PKI_HOST_TTL, &error);
    if (ask->certificate)
        return true;
    http_answer_error(ask->request, 400, NULL, "%s", error->message);
    return false;
}

/* wish: what a token says of labels and grants, or NULL. */
static Value *host_record(Ask *ask, const Value *old, const Value *wish, Value *serials) {
    g_autofree char *print = pki_certificate_fingerprint(ask->certificate);
    int64_t now = wall_seconds(ask->hub);
    Value *record = value_new_map();
    value_map_set(record, "joined", value_new_int(old ? value_map_int(old, "joined", now) : now));
    value_map_set(record, "renewed", value_new_int(now));
    value_map_set(record, "expires", value_new_int(pki_certificate_not_after(ask->certificate)));
    value_map_set(record, "revoked", value_new_bool(false));
    value_map_set(record, "fingerprint", value_new_string(print));
    value_map_set(record, "serials", serials);
    member_copy(record, wish, old);
    return record;
}

/* Without compare: what was revoked stays so, and nobody takes it back. */
static void revoke_serial(Write *write, const char *host, const char *serial) {
    write_put(write, KEY_CERTIFICATES, serial, certificate_record(host, true));
}

static void on_certified(Ask *ask, StoreAnswer *answer) {
    g_autofree char *pem = pki_certificate_pem(ask->certificate);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "host", value_new_string(ask->other));
    value_map_set(map, "certificate", value_new_string(pem));
    value_map_set(map, "authority", value_new_string(ask->hub->authority_pem));
    value_map_set(map, "expires", value_new_int(pki_certificate_not_after(ask->certificate)));
    http_answer_json(ask->request, 201, map);
}

/* Adds to write what a new certificate changes. keep: how many of the old ones stay valid. */
static void write_certificate(Write *write, Ask *ask, const StoreEntry *entry, const Value *old,
                              const Value *wish, unsigned keep) {
    g_autofree char *serial = pki_certificate_serial(ask->certificate);
    const Value *before = old ? value_map_get(old, "serials") : NULL;
    size_t n = before && value_type(before) == VALUE_LIST ? value_size(before) : 0;
    Value *serials = value_new_list();
    for (size_t i = 0; i < n; i++) {
        const Value *one = value_list_at(before, i);
        if (value_type(one) != VALUE_STRING)
            continue;
        if (i + keep >= n)
            value_list_append(serials, value_ref(one));
        else
            revoke_serial(write, ask->other, value_string(one));
    }
    value_list_append(serials, value_new_string(serial));
    Value *record = host_record(ask, old, wish, serials);
    member_write(write, ask->other, record);
    write_change(write, KEY_HOSTS, ask->other, entry, record);
    write_change(write, KEY_CERTIFICATES, serial, NULL, certificate_record(ask->other, false));
}

/* --- joining ---------------------------------------------------------------------------------- */

/* A token lets in one machine: the one whose request it was used with, and that again for as long
 * as it lives, because the answer may have been lost. The request is signed with the machine's key,
 * so nobody else has another of it. */
static char *request_digest(const Ask *ask) {
    const char *request = value_map_string(ask->body, "request", "");
    char digest[DIGEST_HEX_SIZE];
    digest_bytes(request, strlen(request), digest);
    return g_strdup(digest);
}

static bool used_by_another(const Ask *ask, const Value *token) {
    const char *used = value_map_string(token, "used", NULL);
    g_autofree char *digest = request_digest(ask);
    return used && strcmp(used, digest) != 0;
}

static Value *used_token(const Ask *ask, const Value *token) {
    Value *used = value_new_map();
    for (size_t i = 0; i < value_size(token); i++) {
        const char *name;
        const Value *member = value_map_at(token, i, &name);
        value_map_set(used, name, value_ref(member));
    }
    g_autofree char *digest = request_digest(ask);
    value_map_set(used, "used", value_new_string(digest));
    return used;
}

static void on_join_host(Ask *ask, StoreAnswer *answer) {
    const StoreResult *tokens = store_answer_result(answer, 0),
                      *hosts = store_answer_result(answer, 1);
    const StoreEntry *token = tokens->entries->len ? tokens->entries->pdata[0] : NULL;
    const StoreEntry *host = hosts->entries->len ? hosts->entries->pdata[0] : NULL;
    g_autoptr(Value) old = entry_value(host), wish = entry_value(token);
    bool returns = wish && value_map_get(wish, "used") && old;
    if (!wish || used_by_another(ask, wish) || (returns && value_map_bool(old, "revoked", false))) {
        guess_failed(ask, "the token was used by somebody else just now");
        return;
    }
    if (!sign(ask, ask->other))
        return;
    g_autofree char *id = entry_name(token, KEY_TOKENS);
    ask->who = (g_free(ask->who), g_strconcat("host:", ask->other, NULL));
    Write *write = write_new(ask, "host.join", ask->other);
    write_change(write, KEY_TOKENS, id, token, used_token(ask, wish));
    write_certificate(write, ask, host, old, wish, 0);
    write_commit(write, on_certified);
}

static void on_join_token(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) record = entry_value(store_answer_entry(answer));
    const char *why, *host = record ? value_map_string(record, "host", NULL) : NULL;
    if (!token_fits(record, ask->text, wall_seconds(ask->hub), &why)) {
        guess_failed(ask, why);
    } else if (used_by_another(ask, record)) {
        guess_failed(ask, "the token is not known: it was used or removed, or is mistyped");
    } else if (!host) {
        http_answer_error(ask->request, 403, "'stead token new --host NAME' makes one that is",
                          "this token is not for joining");
    } else {
        ask->other = g_strdup(host);
        g_autofree char *token = entry_name(store_answer_entry(answer), "");
        g_autofree char *key = g_strconcat(KEY_HOSTS, host, NULL);
        ask_get_two(ask, token, key, on_join_host);
    }
}

void join(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autofree char *id = NULL;
    Value *body = http_request_json(request);
    if (!body)
        return; /* answered: ask is gone */
    ask->body = body;
    if (!guess_allowed(ask))
        return;
    if (!token_parse(value_map_string(ask->body, "token", ""), &id, &ask->text)) {
        guess_failed(ask, "this is no token of stead");
        return;
    }
    g_autofree char *key = g_strconcat(KEY_TOKENS, id, NULL);
    ask_get(ask, key, on_join_token);
}

/* --- renewing, revoking ----------------------------------------------------------------------- */

static void on_renew(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) old = NULL;
    const StoreEntry *entry = host_entry(ask, answer, &old);
    if (!entry)
        return;
    if (!sign(ask, ask->other))
        return;
    Write *write = write_new(ask, "host.renew", ask->other);
    write_certificate(write, ask, entry, old, NULL, SERIALS_MAX - 1);
    write_commit(write, on_certified);
}

/* For the host that asks, whatever name its request has. */
void renew(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    Value *body = http_request_json(request);
    if (!body)
        return; /* answered: ask is gone */
    ask->body = body;
    ask->text = g_strdup(ask->host);
    ask->other = g_strdup(ask->host);
    g_autofree char *key = g_strconcat(KEY_HOSTS, ask->host, NULL);
    ask_get(ask, key, on_renew);
}

static void on_revoked(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "revoked", value_new_string(ask->text));
    http_answer_json(ask->request, 200, map);
}

static void on_revoke(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) old = NULL;
    const StoreEntry *entry = host_entry(ask, answer, &old);
    if (!entry)
        return;
    Write *write = write_new(ask, "host.revoke", ask->text);
    Value *record = map_copy(old, NULL);
    value_map_set(record, "revoked", value_new_bool(true));
    value_map_set(record, "serials", value_new_list());
    const Value *serials = value_map_get(old, "serials");
    for (size_t i = 0; serials && i < value_size(serials); i++)
        revoke_serial(write, ask->text, value_string(value_list_at(serials, i)));
    write_change(write, KEY_HOSTS, ask->text, entry, record);
    member_forget(write, ask->text);
    write_commit(write, on_revoked);
}

static void read_to_revoke(Ask *ask) {
    g_autofree char *key = g_strconcat(KEY_HOSTS, ask->text, NULL);
    ask_get(ask, key, on_revoke);
}

/* A renewal at the same moment must not let the host stay. */
void revoke_host(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    ask->text = g_strdup(http_request_part(request, "name"));
    ask->again = read_to_revoke;
    read_to_revoke(ask);
}

/* --- labels and grants ------------------------------------------------------------------------ */

static bool has_text(const Value *list, const char *text) {
    for (size_t i = 0; list && i < value_size(list); i++)
        if (value_type(value_list_at(list, i)) == VALUE_STRING &&
            strcmp(value_string(value_list_at(list, i)), text) == 0)
            return true;
    return false;
}

static const Value *list_in(const Value *map, const char *key) {
    const Value *list = value_map_get(map, key);
    return list && value_type(list) == VALUE_LIST ? list : NULL;
}

/* old with those of wish, without what it wants removed. */
static Value *changed_labels(const Value *old, const Value *wish) {
    const Value *labels = value_map_get(old, "labels"), *more = value_map_get(wish, "labels");
    Value *map = value_new_map();
    for (size_t i = 0; labels && i < value_size(labels); i++) {
        const char *name;
        const Value *text = value_map_at(labels, i, &name);
        if (!has_text(list_in(wish, "remove_labels"), name))
            value_map_set(map, name, value_ref(text));
    }
    for (size_t i = 0; more && i < value_size(more); i++) {
        const char *name;
        const Value *text = value_map_at(more, i, &name);
        value_map_set(map, name, value_ref(text));
    }
    return map;
}

static Value *changed_grants(const Value *old, const Value *wish) {
    const Value *grants = list_in(old, "grants"), *more = list_in(wish, "grants");
    Value *list = value_new_list();
    for (size_t i = 0; grants && i < value_size(grants); i++) {
        const Value *path = value_list_at(grants, i);
        if (!has_text(list_in(wish, "remove_grants"), value_string(path)) &&
            !has_text(more, value_string(path)))
            value_list_append(list, value_ref(path));
    }
    for (size_t i = 0; more && i < value_size(more); i++)
        value_list_append(list, value_ref(value_list_at(more, i)));
    return list;
}

static void on_changed(Ask *ask, StoreAnswer *answer) {
    http_answer_json(ask->request, 200, ask->body);
}

static void on_to_change(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) old = NULL;
    g_autoptr(GError) error = NULL;
    const StoreEntry *entry = host_entry(ask, answer, &old);
    if (!entry)
        return;
    if (value_map_bool(old, "revoked", false)) {
        http_answer_error(ask->request, 409, "let it join again: 'stead token new --host'",
                          "'%s' was revoked", ask->text);
        return;
    }
    g_autoptr(Value) wish = http_request_json(ask->request);
    Value *record = map_copy(old, NULL);
    value_map_set(record, "labels", changed_labels(old, wish));
    value_map_set(record, "grants", changed_grants(old, wish));
    if (!member_check(record, &error)) {
        value_unref(record);
        http_answer_error(ask->request, 400, NULL, "%s", error->message);
        return;
    }
    value_unref(ask->body);
    ask->body = value_new_map();
    value_map_set(ask->body, "name", value_new_string(ask->text));
    member_copy(ask->body, record, NULL);
    Write *write = write_new(ask, "host.change", ask->text);
    member_write(write, ask->text, record);
    write_change(write, KEY_HOSTS, ask->text, entry, record);
    write_commit(write, on_changed);
}

static void read_to_change(Ask *ask) {
    g_autofree char *key = g_strconcat(KEY_HOSTS, ask->text, NULL);
    ask_get(ask, key, on_to_change);
}

void change_member(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) wish = http_request_json(request);
    g_autoptr(GError) error = NULL;
    if (!wish)
        return; /* answered: ask is gone */
    if (!member_check(wish, &error)) {
        http_answer_error(request, 400, NULL, "%s", error->message);
        return;
    }
    ask->text = g_strdup(http_request_part(request, "name"));
    ask->again = read_to_change;
    read_to_change(ask);
}
