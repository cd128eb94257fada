#include <string.h>

#include "base/error.h"
#include "hub/hub-private.h"

/* Without the hash, which is nobody's business. */
Value *show_token(const StoreEntry *entry, const Value *value) {
    static const char *const members[] = { "role",    "name", "host",   "created",
                                           "expires", "by",   "labels", "grants" };
    g_autofree char *id = entry_name(entry, KEY_TOKENS);
    if (value_map_get(value, "used"))
        return NULL; /* it lets nobody else in */
    Value *shown = value_new_map();
    value_map_set(shown, "id", value_new_string(id));
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        const Value *member = value_map_get(value, members[i]);
        if (member)
            value_map_set(shown, members[i], value_ref(member));
    }
    return shown;
}

static void on_tokens(Ask *ask, StoreAnswer *answer) {
    ask_answer_page(ask, answer, "tokens", KEY_TOKENS, show_token);
}

void get_tokens(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    unsigned limit;
    const char *after;
    if (ask_page(ask, &limit, &after))
        ask_list(ask, KEY_TOKENS, after, limit, on_tokens);
}

/* --- new ones --------------------------------------------------------------------------------- */

static bool refuse(Ask *ask, const char *hint, const char *what) {
    http_answer_error(ask->request, 400, hint, "make a token: %s", what);
    return false;
}

/* What is asked for: a host's way in, or a person's. False when it has been answered. */
static bool check_wish(Ask *ask, const Value *body) {
    const char *host = value_map_string(body, "host", NULL),
               *name = value_map_string(body, "name", NULL),
               *role = value_map_string(body, "role", NULL);
    int64_t ttl = value_map_int(body, "ttl", 1);
    if (ttl < 1 || ttl > TTL_MAX)
        return refuse(ask, NULL, "'ttl' must be in 1 to 31622400 seconds");
    if (host && (name || role))
        return refuse(ask, NULL, "either 'host', or 'name' and 'role'");
    g_autoptr(GError) error = NULL;
    if (!member_check(body, &error))
        return refuse(ask, NULL, error->message);
    if (!host && (value_map_get(body, "labels") || value_map_get(body, "grants")))
        return refuse(ask, NULL, "'labels' and 'grants' are for a 'host'");
    if (host)
        return name_is_good(host) ||
               refuse(ask, NULL, "'host' must be 1 to 64 letters, digits, '.', '-' and '_'");
    if (!name || !name_is_good(name))
        return refuse(ask, "or give 'host', to let one join",
                      "'name' must be 1 to 64 letters, digits, '.', '-' and '_'");
    if (!role || role_parse(role) < ROLE_READER)
        return refuse(ask, NULL, "'role' must be reader, operator or admin");
    if (ask->role >= ROLE_ADMIN)
        return true;
    http_answer_error(ask->request, 403, NULL, "only an admin makes tokens for people");
    return false;
}

static void on_made(Ask *ask, StoreAnswer *answer) {
    value_map_set(ask->body, "token", value_new_string(ask->text));
    http_answer_json(ask->request, 201, ask->body);
}

void post_token(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) body = http_request_json(request);
    if (!body || !check_wish(ask, body))
        return;
    g_autofree char *id = NULL, *hash = NULL;
    ask->text = token_new(&id, &hash);
    ask->body = value_new_map();
    Value *record = value_new_map();
    const char *host = value_map_string(body, "host", NULL);
    int64_t now = wall_seconds(ask->hub);
    int64_t ttl = value_map_int(body, "ttl", host ? TTL_DEFAULT : 0);
    value_map_set(record, "hash", value_new_string(hash));
    value_map_set(record, "created", value_new_int(now));
    value_map_set(record, "expires", value_new_int(ttl ? now + ttl : 0));
    value_map_set(record, "by", value_new_string(ask->who));
    if (host)
        member_copy(record, body, NULL);
    if (host)
        value_map_set(record, "host", value_new_string(host));
    else
        value_map_set(record, "role", value_new_string(value_map_string(body, "role", "")));
    if (!host)
        value_map_set(record, "name", value_new_string(value_map_string(body, "name", "")));
    value_map_set(ask->body, "id", value_new_string(id));
    if (ask->hub->url)
        value_map_set(ask->body, "url", value_new_string(ask->hub->url));
    value_map_set(ask->body, "expires", value_new_int(ttl ? now + ttl : 0));
    Write *write = write_new(ask, "token.new", host ? host : value_map_string(body, "name", ""));
    write_change(write, KEY_TOKENS, id, NULL, record);
    write_commit(write, on_made);
}

/* --- removing --------------------------------------------------------------------------------- */

static void on_removed(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "removed", value_new_string(ask->text));
    http_answer_json(ask->request, 200, map);
}

static void on_found(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    if (!entry) {
        http_answer_error(ask->request, 404, "'stead token list' shows them", "no token '%s'",
                          ask->text);
        return;
    }
    Write *write = write_new(ask, "token.remove", ask->text);
    write_change(write, KEY_TOKENS, ask->text, entry, NULL);
    write_commit(write, on_removed);
}

void delete_token(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    ask->text = g_strdup(http_request_part(request, "id"));
    g_autofree char *key = g_strconcat(KEY_TOKENS, ask->text, NULL);
    ask_get(ask, key, on_found);
}
