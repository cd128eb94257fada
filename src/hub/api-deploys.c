/* Bundles, deploys and the keys that sign them. A hub verifies what it is given, and no host trusts
 * it: each verifies all of it again. */
#include <string.h>

#include "base/error.h"
#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "hub/hub-private.h"

/* The digits in the part {digest} of the path; NULL: answered, and ask is gone. */
static char *digest_of(Ask *ask) {
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(GError) error = NULL;
    if (bundle_parse_name(http_request_part(ask->request, "digest"), hex, &error))
        return g_strdup(hex);
    http_answer_error(ask->request, 400, "its name is 'sha256:' and 64 digits", "%s",
                      error->message);
    return NULL;
}

static void set_name(Value *map, const char *key, const char *digest) {
    g_autofree char *name = *digest ? g_strconcat(BUNDLE_NAME_PREFIX, digest, NULL) : g_strdup("");
    value_map_set(map, key, value_new_string(name));
}

static void cancel_deploy(void *call) {
    deploy_cancel(call);
}

/* --- bundles: verified in a worker, which takes its time -------------------------------------- */

typedef struct {
    Hub *hub;
    Ask *ask; /* NULL: the hub is ending */
    GBytes *packed;
    char digest[DIGEST_HEX_SIZE];
    GError *error;
} Check;

static void check_work(void *data) {
    Check *check = data;
    g_autoptr(Bundle) bundle = bundle_read(check->packed, check->digest, &check->error);
    if (bundle)
        (void)bundle_has_main(bundle, &check->error);
}

static void check_cancel(void *data) {
    ((Check *)data)->ask = NULL;
}

static void on_uploaded(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = value_new_map();
    set_name(map, "bundle", ask->text);
    value_map_set(map, "size", value_new_int((int64_t)g_bytes_get_size(ask->bytes)));
    http_answer_json(ask->request, 201, map);
}

static void on_upload(void *data, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        ask_fail(ask, error);
    else
        write_commit(write_new(ask, "bundle.upload", ask->text), on_uploaded);
}

static void on_checked(void *data) {
    Check *check = data;
    Ask *ask = check->ask;
    if (ask) {
        ask_release(ask);
        if (check->error) {
            http_answer_error(ask->request, 400, "nothing of it was kept", "%s",
                              check->error->message);
        } else {
            ask->bytes = g_bytes_ref(check->packed);
            ask_hold(ask,
                     deploy_upload(ask->hub->state, ask->text, ask->bytes, wall_seconds(ask->hub),
                                   on_upload, ask),
                     cancel_deploy);
        }
    }
    g_clear_error(&check->error);
    g_bytes_unref(check->packed);
    g_free(check);
}

void put_bundle(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    char *digest = digest_of(ask);
    if (!digest)
        return; /* answered: ask is gone */
    ask->text = digest;
    Check *check = g_new0(Check, 1);
    check->hub = ask->hub;
    check->ask = ask;
    check->packed = g_bytes_ref(http_request_body(request));
    g_strlcpy(check->digest, ask->text, sizeof check->digest);
    ask_hold(ask, check, check_cancel);
    worker_pool_push(ask->hub->workers, check_work, on_checked, check);
}

static void on_fetched(void *data, GBytes *packed, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        ask_fail(ask, error);
    else
        http_answer(ask->request, 200, "application/octet-stream", packed);
}

void get_bundle(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    char *digest = digest_of(ask);
    if (!digest)
        return; /* answered: ask is gone */
    ask->text = digest;
    ask_hold(ask, deploy_fetch(ask->hub->state, ask->text, on_fetched, ask), cancel_deploy);
}

static void on_forgiven(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = value_new_map();
    if (!answer->succeeded) {
        http_answer_error(ask->request, 404, "only what was reverted needs to be forgiven",
                          "bundle 'sha256:%s' is not bad", ask->text);
        return;
    }
    set_name(map, "forgiven", ask->text);
    http_answer_json(ask->request, 200, map);
}

static void on_forgive(void *data, StoreAnswer *answer, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        ask_fail(ask, error);
    else
        on_forgiven(ask, answer);
}

static void cancel_call(void *call) {
    store_call_cancel(call);
}

void forgive_bundle(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    char *digest = digest_of(ask);
    if (!digest)
        return; /* answered: ask is gone */
    ask->text = digest;
    ask->action = "bundle.forgive";
    ask_hold(ask, rollout_forgive(ask->hub->state, ask->text, write_note, ask, on_forgive, ask),
             cancel_call);
}

/* --- deploys ---------------------------------------------------------------------------------- */

static Value *shown_record(const Hub *hub, const StoreEntry *entry, bool statement) {
    g_autoptr(Value) value = entry_value(entry);
    g_autofree char *name = entry_name(entry, LAYOUT_RECORD);
    uint64_t number = g_ascii_strtoull(name, NULL, 10);
    if (!value || number == 0)
        return NULL;
    Value *shown = map_copy(value, statement ? NULL : "statement");
    const char *digest = value_map_string(value, "digest", ""),
               *previous = value_map_string(value, "previous", "");
    value_map_set(shown, "record", value_new_int((int64_t)number));
    set_name(shown, "digest", digest);
    set_name(shown, "previous", previous);
    const Roster *roster = rollout_roster(hub->rollout);
    const Value *outcome = roster_outcome(roster, number);
    if (outcome)
        value_map_set(shown, "outcome", map_copy(outcome, NULL));
    value_map_set(shown, "bad", value_new_bool(roster_is_bad(roster, digest)));
    return shown;
}

Value *show_deploy(const StoreEntry *entry, const Value *value) {
    return map_copy(value, "statement");
}

static void on_deploys(Ask *ask, StoreAnswer *answer) {
    const StoreResult *result = store_answer_result(answer, 0);
    g_autoptr(Value) page = value_new_map();
    Value *list = value_new_list();
    for (unsigned i = 0; i < result->entries->len; i++) {
        Value *shown = shown_record(ask->hub, result->entries->pdata[i], false);
        if (shown)
            value_list_append(list, shown);
    }
    value_map_set(page, "deploys", list);
    value_map_set(page, "revision", value_new_int(answer->revision));
    if (result->more) {
        g_autofree char *last =
            entry_name(result->entries->pdata[result->entries->len - 1], LAYOUT_RECORD);
        g_autofree char *next =
            g_strdup_printf("%" G_GUINT64_FORMAT, g_ascii_strtoull(last, NULL, 10));
        value_map_set(page, "next", value_new_string(next));
    }
    http_answer_json(ask->request, 200, page);
}

void get_deploys(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    unsigned limit;
    const char *after;
    guint64 number = 0;
    if (!ask_page(ask, &limit, &after))
        return;
    if (after && !g_ascii_string_to_unsigned(after, 10, 0, INT64_MAX, &number, NULL)) {
        http_answer_error(request, 400, NULL, "read 'after': '%.40s' is no number of a deploy",
                          after);
        return;
    }
    g_autofree char *name = after ? layout_numbered("", number) : NULL;
    ask_list(ask, LAYOUT_RECORD, name, limit, on_deploys);
}

static void on_record(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    g_autoptr(Value) shown = entry ? shown_record(ask->hub, entry, true) : NULL;
    if (shown)
        http_answer_json(ask->request, 200, shown);
    else
        http_answer_error(ask->request, 404, "'stead deploy history' shows them", "no deploy '%s'",
                          http_request_part(ask->request, "number"));
}

void get_deploy(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    guint64 number = 0;
    const char *text = http_request_part(request, "number");
    if (!g_ascii_string_to_unsigned(text, 10, 1, INT64_MAX, &number, NULL)) {
        http_answer_error(request, 400, "they are 1, 2, 3, ...",
                          "read '%.40s': it is no number of a deploy", text);
        return;
    }
    g_autofree char *key = layout_numbered(LAYOUT_RECORD, number);
    ask_get(ask, key, on_record);
}

static void on_published(void *data, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        ask_fail(ask, error);
    else
        http_answer_json(ask->request, 201, ask->body);
}

/* ask->body becomes what is answered, and noted as after. */
static void publish(Ask *ask, const Statement *read, GBytes *statement, const Value *wish) {
    Value *map = value_new_map();
    value_map_set(map, "record", value_new_int((int64_t)read->record));
    set_name(map, "digest", read->digest);
    value_map_set(map, "message", value_new_string(read->message));
    value_map_set(map, "to", value_new_string(value_map_string(wish, "to", "all")));
    value_map_set(map, "strategy", value_new_string(value_map_string(wish, "strategy", "")));
    ask->body = map;
    ask->action = "deploy.publish";
    ask->text = g_strdup_printf("%" G_GUINT64_FORMAT, read->record);
    DeployRequest request = { .statement = statement,
                              .digest = read->digest,
                              .to = value_map_string(map, "to", ""),
                              .strategy = value_map_string(map, "strategy", ""),
                              .by = ask->who,
                              .wall_s = wall_seconds(ask->hub),
                              .also = write_note,
                              .also_data = ask };
    ask_hold(ask, deploy_publish(ask->hub->state, &request, on_published, ask), cancel_deploy);
}

void post_deploy(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) wish = http_request_json(request);
    if (!wish)
        return; /* answered: ask is gone */
    const char *text = value_map_string(wish, "statement", "");
    g_autoptr(GError) error = NULL;
    g_auto(Statement) read = { 0 };
    g_autoptr(Selector) to = selector_parse(value_map_string(wish, "to", "all"), &error);
    Strategy strategy;
    if (!to || !strategy_parse(value_map_string(wish, "strategy", ""), &strategy, &error) ||
        !statement_read(text, strlen(text), &read, &error)) {
        http_answer_error(request, 400, NULL, "%s", error->message);
        return;
    }
    g_autoptr(GBytes) statement = layout_bytes(text);
    publish(ask, &read, statement, wish);
}

/* --- keys ------------------------------------------------------------------------------------- */

static void on_keys(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    g_autoptr(Value) map = value_new_map();
    if (!entry) {
        http_answer_error(ask->request, 404, "an admin gives it one: 'stead key publish LIST'",
                          "this fleet has no list of keys yet");
        return;
    }
    size_t size;
    const char *text = g_bytes_get_data(entry->value, &size);
    value_map_set(map, "keys", value_new_bytes(text, size));
    value_map_set(map, "revision", value_new_int(entry->mod_revision));
    http_answer_json(ask->request, 200, map);
}

void get_keys(void *data, HttpRequest *request) {
    ask_get(ask_of(request), LAYOUT_KEYS, on_keys);
}

static void on_keys_set(void *data, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (g_error_matches(error, STEAD_ERROR, STEAD_ERROR_DAMAGED))
        http_answer_error(ask->request, 400, "'stead key add' writes a list", "%s", error->message);
    else if (error)
        ask_fail(ask, error);
    else
        http_answer_json(ask->request, 200, ask->body);
}

void put_keys(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) body = http_request_json(request);
    if (!body)
        return; /* answered: ask is gone */
    const char *keys = value_map_string(body, "keys", "");
    if (strlen(keys) > KEY_CHAIN_MAX || !*keys) {
        http_answer_error(request, 400, "'stead key add' writes one",
                          "read 'keys': it is no list of keys");
        return;
    }
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(keys, strlen(keys), hex);
    ask->body = value_new_map();
    value_map_set(ask->body, "sha256", value_new_string(hex));
    ask->action = "keys.set";
    ask->text = g_strdup("keys");
    ask_hold(ask, deploy_set_keys(ask->hub->state, keys, write_note, ask, on_keys_set, ask),
             cancel_deploy);
}
