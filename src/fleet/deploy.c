#include "fleet/deploy.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/layout.h"

#define TRIES_MAX 5u /* of a publication that others come before */

struct DeployCall {
    Store *store;
    StoreCall *call;
    DeployDone done;
    DeployFetched fetched;
    void *data;
    TxnAddition also;
    void *also_data;
    /* publishing, fetching */
    GBytes *statement, *packed;
    char *digest, *to, *strategy, *by;
    char *upload; /* DIGEST/ID */
    Statement read;
    int64_t wall_s;
    int64_t keys_revision, head_revision;
    unsigned tries, chunk, chunks;
    GByteArray *collected;
    uint64_t size;
    /* keys, garbage */
    char *keys;
    GHashTable *needed;
    GPtrArray *unneeded; /* of StoreEntry: heads */
    uint64_t newest;
};

void deploy_cancel(DeployCall *call) {
    if (call->call)
        store_call_cancel(call->call);
    g_clear_pointer(&call->statement, g_bytes_unref);
    g_clear_pointer(&call->packed, g_bytes_unref);
    g_clear_pointer(&call->collected, g_byte_array_unref);
    g_clear_pointer(&call->needed, g_hash_table_unref);
    g_clear_pointer(&call->unneeded, g_ptr_array_unref);
    statement_clear(&call->read);
    g_free(call->digest);
    g_free(call->upload);
    g_free(call->to);
    g_free(call->strategy);
    g_free(call->by);
    g_free(call->keys);
    g_free(call);
}

static void end(DeployCall *call, const GError *error) {
    call->call = NULL;
    if (call->fetched) {
        g_autoptr(GBytes) packed =
            error ? NULL : g_byte_array_free_to_bytes(g_steal_pointer(&call->collected));
        call->fetched(call->data, packed, error);
    } else {
        call->done(call->data, error);
    }
    deploy_cancel(call);
}

static void end_with(DeployCall *call, SteadError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void end_with(DeployCall *call, SteadError code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autoptr(GError) error = g_error_new_valist(STEAD_ERROR, (int)code, format, arguments);
    va_end(arguments);
    end(call, error);
}

static GBytes *head_key(const char *digest) {
    g_autofree char *key = g_strconcat(LAYOUT_HEAD, digest, NULL);
    return layout_bytes(key);
}

static GBytes *upload_key(const char *upload) {
    g_autofree char *key = g_strconcat(LAYOUT_UPLOAD, upload, NULL);
    return layout_bytes(key);
}

/* What begins the keys of all chunks. */
static char *chunks_of(const char *upload) {
    return g_strconcat(LAYOUT_CHUNK, upload, "/", NULL);
}

static GBytes *chunk_key(const char *upload, unsigned number) {
    g_autofree char *prefix = chunks_of(upload);
    g_autofree char *key = layout_numbered(prefix, number);
    return layout_bytes(key);
}

static GBytes *record_key(uint64_t number) {
    g_autofree char *key = layout_numbered(LAYOUT_RECORD, number);
    return layout_bytes(key);
}

/* A map, empty when there is none. */
static Value *parse(const StoreEntry *entry) {
    gsize size = 0;
    const char *data = entry ? g_bytes_get_data(entry->value, &size) : NULL;
    g_autoptr(Value) value = data ? json_parse(data, size, "store", NULL) : NULL;
    return value && value_type(value) == VALUE_MAP ? g_steal_pointer(&value) : value_new_map();
}

static GBytes *print(const Value *value) {
    g_autofree char *text = json_print(value, JSON_COMPACT);
    return layout_bytes(text);
}

static DeployCall *call_new(Store *store, const char *digest, void *data) {
    DeployCall *call = g_new0(DeployCall, 1);
    call->store = store;
    call->digest = g_strdup(digest);
    call->data = data;
    return call;
}

/* --- publishing */

static void publish_look(DeployCall *call);

static bool only_uploads(const DeployCall *call) {
    return !call->statement;
}

/* Whether it is known what became of a write; if not, or others came first, all is looked at again,
 * a few times. */
static bool went_well(DeployCall *call, const StoreAnswer *answer, const GError *error) {
    call->call = NULL;
    if (answer && answer->succeeded)
        return true;
    bool lost = g_error_matches(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME);
    if ((error && !lost) || (error && call->tries >= TRIES_MAX))
        end(call, error);
    else if (call->tries >= TRIES_MAX && only_uploads(call))
        end_with(call, STEAD_ERROR_FAILED,
                 "upload the bundle: others write at the same time; try again");
    else if (call->tries >= TRIES_MAX)
        end_with(call, STEAD_ERROR_FAILED,
                 "publish record %" G_GUINT64_FORMAT
                 " of the deploys: others write at the same time; try again",
                 call->read.record);
    else
        publish_look(call);
    return false;
}

static void on_recorded(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    if (went_well(call, answer, error))
        end(call, NULL);
}

static GBytes *record_value(const DeployCall *call) {
    gsize size;
    const char *text = g_bytes_get_data(call->statement, &size);
    g_autofree char *statement = g_strndup(text, size);
    g_autoptr(Value) value = value_new_map();
    value_map_set(value, "digest", value_new_string(call->read.digest));
    value_map_set(value, "previous", value_new_string(call->read.previous));
    value_map_set(value, "message", value_new_string(call->read.message));
    value_map_set(value, "time", value_new_int((int64_t)call->read.time));
    value_map_set(value, "to", value_new_string(call->to));
    value_map_set(value, "strategy", value_new_string(call->strategy));
    value_map_set(value, "by", value_new_string(call->by));
    value_map_set(value, "statement", value_new_string(statement));
    return print(value);
}

static void publish_record(DeployCall *call) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) key = record_key(call->read.record);
    g_autoptr(GBytes) keys = layout_bytes(LAYOUT_KEYS);
    g_autoptr(GBytes) head = head_key(call->digest);
    g_autofree char *bad_name = g_strconcat(LAYOUT_BAD, call->digest, NULL);
    g_autoptr(GBytes) bad = layout_bytes(bad_name);
    g_autoptr(GBytes) value = record_value(call);
    store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_compare(txn, keys, STORE_MOD_REVISION, STORE_EQUAL, call->keys_revision);
    store_txn_compare(txn, head, STORE_MOD_REVISION, STORE_EQUAL, call->head_revision);
    store_txn_compare(txn, bad, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, value, 0);
    if (call->also)
        call->also(call->also_data, txn);
    call->call = store_commit(call->store, txn, on_recorded, call);
}

static void on_head(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    if (!went_well(call, answer, error))
        return;
    call->head_revision = answer->revision;
    if (only_uploads(call))
        end(call, NULL);
    else
        publish_record(call);
}

/* All of it is there. If somebody else has brought the same bundle meanwhile, that stays: it may be
 * compressed to other bytes. */
static void publish_head(DeployCall *call) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) head = head_key(call->digest);
    g_autoptr(GBytes) upload = upload_key(call->upload);
    g_autofree char *prefix = chunks_of(call->upload);
    g_autoptr(GBytes) chunks = layout_bytes(prefix);
    g_autoptr(Value) value = value_new_map();
    value_map_set(value, "size", value_new_int((int64_t)g_bytes_get_size(call->packed)));
    value_map_set(value, "upload", value_new_string(call->upload));
    if (only_uploads(call))
        value_map_set(value, "time", value_new_int(call->wall_s));
    g_autoptr(GBytes) text = print(value);
    store_txn_compare(txn, head, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_compare(txn, upload, STORE_VERSION, STORE_GREATER, 0);
    store_txn_put(txn, STORE_THEN, head, text, 0);
    store_txn_delete(txn, STORE_THEN, upload, false);
    store_txn_delete(txn, STORE_ELSE, upload, false);
    store_txn_delete(txn, STORE_ELSE, chunks, true);
    call->call = store_commit(call->store, txn, on_head, call);
}

static void publish_chunk(DeployCall *call);

static void on_chunk(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    if (!went_well(call, answer, error))
        return;
    if (++call->chunk < call->chunks)
        publish_chunk(call);
    else
        publish_head(call);
}

static void publish_chunk(DeployCall *call) {
    size_t from = (size_t)call->chunk * DEPLOY_CHUNK, size = g_bytes_get_size(call->packed) - from;
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) upload = upload_key(call->upload);
    g_autoptr(GBytes) key = chunk_key(call->upload, call->chunk);
    g_autoptr(GBytes) part = g_bytes_new_from_bytes(call->packed, from, MIN(size, DEPLOY_CHUNK));
    store_txn_compare(txn, upload, STORE_VERSION, STORE_GREATER, 0);
    store_txn_put(txn, STORE_THEN, key, part, 0);
    call->call = store_commit(call->store, txn, on_chunk, call);
}

static void on_announced(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    if (went_well(call, answer, error))
        publish_chunk(call);
}

static void publish_upload(DeployCall *call) {
    g_autofree char *id = g_uuid_string_random();
    g_free(call->upload);
    call->upload = g_strconcat(call->digest, "/", id, NULL);
    call->chunk = 0;
    g_autoptr(GBytes) key = upload_key(call->upload);
    g_autoptr(Value) value = value_new_map();
    value_map_set(value, "time", value_new_int(call->wall_s));
    g_autoptr(GBytes) text = print(value);
    call->call = store_put(call->store, key, text, 0, on_announced, call);
}

static bool is_ours(const DeployCall *call, const Value *record) {
    const char *statement = value_map_string(record, "statement", "");
    g_autoptr(GBytes) bytes = layout_bytes(statement);
    return g_bytes_equal(bytes, call->statement);
}

static KeyList *read_keys(const StoreEntry *entry, GError **error) {
    gsize size;
    const char *text = g_bytes_get_data(entry->value, &size);
    g_autofree char *copy = g_strndup(text, size);
    return g_str_has_prefix(copy, "stead keys ") ? key_list_of_chain(text, size, error)
                                                 : key_list_of_lines(copy, error);
}

/* What the store has against it; there is nothing when *error stays NULL. */
static void check(const DeployCall *call, const StoreEntry *keys, const StoreEntry *previous,
                  const StoreEntry *present, const StoreEntry *bad, GError **error) {
    const Statement *read = &call->read;
    g_autoptr(KeyList) list = keys ? read_keys(keys, error) : NULL;
    g_autoptr(Value) before = parse(previous);
    g_autoptr(Value) winner = parse(present);
    const char *digest = value_map_string(before, "digest", "");
    g_autofree char *what =
        g_strdup_printf("publish record %" G_GUINT64_FORMAT " of the deploys", read->record);
    if (!keys)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s: this fleet has no list of keys; give it one first", what);
    else if (!list || !statement_is_signed_by(read, list, error))
        g_prefix_error(error, "%s: ", what);
    else if (present)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "%s: '%s' was faster with bundle 'sha256:%s' (%s); look at it and deploy again "
                    "as a later record",
                    what, value_map_string(winner, "by", "?"),
                    value_map_string(winner, "digest", "?"),
                    value_map_string(winner, "message", "?"));
    else if (read->record > 1 && !previous)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s: there is no record %" G_GUINT64_FORMAT " before it; sign it with the next "
                    "number",
                    what, read->record - 1);
    else if (strcmp(digest, read->previous) != 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s: it was made after bundle '%s', but the record before it has '%s'; sign it "
                    "again",
                    what, *read->previous ? read->previous : "none", *digest ? digest : "none");
    else if (bad)
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "%s: its bundle was reverted before; 'stead deploy forgive sha256:%s' lets it be "
            "deployed again",
            what, read->digest);
}

static void on_looked(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    const StoreEntry *found[5];
    call->call = NULL;
    if (error) {
        end(call, error);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(found); i++) {
        GPtrArray *entries = store_answer_result(answer, i)->entries;
        found[i] = entries->len > 0 ? g_ptr_array_index(entries, 0) : NULL;
    }
    g_autoptr(Value) present = parse(found[2]);
    if (found[2] && is_ours(call, present)) {
        end(call, NULL);
        return;
    }
    g_autoptr(GError) refusal = NULL;
    check(call, found[0], found[1], found[2], found[3], &refusal);
    if (refusal) {
        end(call, refusal);
        return;
    }
    call->keys_revision = found[0]->mod_revision;
    call->head_revision = found[4] ? found[4]->mod_revision : 0;
    if (found[4])
        publish_record(call);
    else if (call->packed)
        publish_upload(call);
    else
        end_with(call, STEAD_ERROR_NOT_FOUND,
                 "publish record %" G_GUINT64_FORMAT
                 " of the deploys: bundle 'sha256:%s' is not there; upload it first",
                 call->read.record, call->digest);
}

static void on_looked_for_head(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    call->call = NULL;
    if (error || store_answer_entry(answer))
        end(call, error);
    else
        publish_upload(call);
}

static void publish_look(DeployCall *call) {
    if (only_uploads(call)) {
        g_autoptr(GBytes) head = head_key(call->digest);
        call->tries++;
        call->call = store_get(call->store, head, on_looked_for_head, call);
        return;
    }
    g_autofree char *bad = g_strconcat(LAYOUT_BAD, call->digest, NULL);
    g_autoptr(StoreTxn) txn = store_txn_new();
    GBytes *keys[] = { layout_bytes(LAYOUT_KEYS), record_key(call->read.record - 1),
                       record_key(call->read.record), layout_bytes(bad), head_key(call->digest) };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        StoreRange range = { .key = keys[i] };
        store_txn_range(txn, STORE_THEN, &range);
        g_bytes_unref(keys[i]);
    }
    call->tries++;
    call->call = store_commit(call->store, txn, on_looked, call);
}

/* What is wrong with the request alone. */
static bool check_request(DeployCall *call, GError **error) {
    gsize size;
    const char *text = g_bytes_get_data(call->statement, &size);
    Strategy strategy;
    g_autoptr(Selector) to = selector_parse(call->to, error);
    if (!to || !strategy_parse(call->strategy, &strategy, error) ||
        !statement_read(text, size, &call->read, error))
        return false;
    if (strcmp(call->read.digest, call->digest) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "publish the deploy: its statement is about bundle 'sha256:%s', and what came with "
                "it is 'sha256:%s'",
                call->read.digest, call->digest);
    return false;
}

/* A refusal comes from the loop like every answer. */
static void on_refused(void *data, StoreAnswer *answer, const GError *unused) {
    DeployCall *call = data;
    g_autoptr(GError) error = NULL;
    statement_clear(&call->read);
    (void)check_request(call, &error);
    end(call, error);
}

static void set_packed(DeployCall *call, GBytes *packed) {
    if (!packed)
        return;
    call->packed = g_bytes_ref(packed);
    call->chunks = (unsigned)((g_bytes_get_size(packed) + DEPLOY_CHUNK - 1) / DEPLOY_CHUNK);
}

DeployCall *deploy_upload(Store *store, const char *digest, GBytes *packed, int64_t wall_s,
                          DeployDone done, void *data) {
    DeployCall *call = call_new(store, digest, data);
    call->done = done;
    call->wall_s = wall_s;
    set_packed(call, packed);
    publish_look(call);
    return call;
}

DeployCall *deploy_publish(Store *store, const DeployRequest *request, DeployDone done,
                           void *data) {
    DeployCall *call = call_new(store, request->digest, data);
    call->done = done;
    call->statement = g_bytes_ref(request->statement);
    set_packed(call, request->packed);
    call->also = request->also;
    call->also_data = request->also_data;
    call->to = g_strdup(request->to);
    call->strategy = g_strdup(request->strategy);
    call->by = g_strdup(request->by);
    call->wall_s = request->wall_s;
    if (check_request(call, NULL)) {
        publish_look(call);
    } else {
        g_autoptr(GBytes) key = layout_bytes(LAYOUT_KEYS);
        call->call = store_get(store, key, on_refused, call);
    }
    return call;
}

/* --- keys */

static void on_keys_written(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    if (answer && !answer->succeeded)
        end_with(call, STEAD_ERROR_EXISTS, "set the keys: somebody else did just now; try again");
    else
        end(call, error);
}

static KeyList *advance_keys(const DeployCall *call, const StoreEntry *entry, GError **error) {
    size_t size = strlen(call->keys);
    bool is_chain = g_str_has_prefix(call->keys, "stead keys ");
    if (!entry)
        return is_chain ? key_list_of_chain(call->keys, size, error)
                        : key_list_of_lines(call->keys, error);
    if (!is_chain) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                            "set the keys: there are some already; only a list that goes on from "
                            "them takes their place, as 'stead key add' and 'stead key retire' "
                            "write it");
        return NULL;
    }
    g_autoptr(KeyList) list = read_keys(entry, error);
    return list ? key_list_advance(list, call->keys, size, error) : NULL;
}

static void on_keys_read(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    call->call = NULL;
    const StoreEntry *entry = answer ? store_answer_entry(answer) : NULL;
    g_autoptr(GError) refusal = NULL;
    g_autoptr(KeyList) list = error ? NULL : advance_keys(call, entry, &refusal);
    if (!list) {
        end(call, error ? error : refusal);
        return;
    }
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) key = layout_bytes(LAYOUT_KEYS);
    g_autoptr(GBytes) text = layout_bytes(call->keys);
    store_txn_compare(txn, key, STORE_MOD_REVISION, STORE_EQUAL, entry ? entry->mod_revision : 0);
    store_txn_put(txn, STORE_THEN, key, text, 0);
    if (call->also)
        call->also(call->also_data, txn);
    call->call = store_commit(call->store, txn, on_keys_written, call);
}

DeployCall *deploy_set_keys(Store *store, const char *text, TxnAddition also, void *also_data,
                            DeployDone done, void *data) {
    DeployCall *call = call_new(store, NULL, data);
    g_autoptr(GBytes) key = layout_bytes(LAYOUT_KEYS);
    call->done = done;
    call->keys = g_strdup(text);
    call->also = also;
    call->also_data = also_data;
    call->call = store_get(store, key, on_keys_read, call);
    return call;
}

/* --- fetching */

static void fetch_chunk(DeployCall *call);

static void on_fetched(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    const StoreEntry *entry = answer ? store_answer_entry(answer) : NULL;
    call->call = NULL;
    if (error) {
        end(call, error);
        return;
    }
    if (entry) {
        gsize size;
        const void *part = g_bytes_get_data(entry->value, &size);
        g_byte_array_append(call->collected, part, (unsigned)size);
    }
    if (!entry || call->collected->len > call->size)
        end_with(call, STEAD_ERROR_DAMAGED,
                 "fetch bundle 'sha256:%s': part %u of it is missing or too long", call->digest,
                 call->chunk);
    else if (++call->chunk < call->chunks)
        fetch_chunk(call);
    else
        end(call, NULL);
}

static void fetch_chunk(DeployCall *call) {
    g_autoptr(GBytes) key = chunk_key(call->upload, call->chunk);
    call->call = store_get(call->store, key, on_fetched, call);
}

static void on_fetched_head(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    call->call = NULL;
    if (error) {
        end(call, error);
        return;
    }
    g_autoptr(Value) head = parse(store_answer_entry(answer));
    int64_t size = value_map_int(head, "size", 0);
    call->upload = g_strdup(value_map_string(head, "upload", ""));
    if (size < 1 || size > BUNDLE_TOTAL_MAX) {
        end_with(call, STEAD_ERROR_NOT_FOUND,
                 "fetch bundle 'sha256:%s': the store does not have it (any more); deploy it again",
                 call->digest);
        return;
    }
    call->size = (uint64_t)size;
    call->chunks = (unsigned)((size + DEPLOY_CHUNK - 1) / DEPLOY_CHUNK);
    fetch_chunk(call);
}

DeployCall *deploy_fetch(Store *store, const char *digest, DeployFetched done, void *data) {
    DeployCall *call = call_new(store, digest, data);
    g_autoptr(GBytes) key = head_key(digest);
    call->fetched = done;
    call->collected = g_byte_array_new();
    call->call = store_get(store, key, on_fetched_head, call);
    return call;
}

/* --- garbage */

static void need(GHashTable *needed, const Roster *roster, uint64_t number) {
    const RosterRecord *record = roster_record(roster, number);
    if (record)
        g_hash_table_add(needed, g_strdup(record->digest));
}

GHashTable *deploy_needed(const Roster *roster) {
    GHashTable *needed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const RosterRecord *newest = roster_newest(roster);
    for (uint64_t i = 0; newest && i < DEPLOY_KEEP && i < newest->number; i++)
        need(needed, roster, newest->number - i);
    for (unsigned i = 0; i < roster_hosts(roster)->len; i++) {
        const RosterHost *host = g_ptr_array_index(roster_hosts(roster), i);
        const RosterRecord *base = roster_base(roster, host, UINT64_MAX);
        need(needed, roster, host->before);
        need(needed, roster, base ? base->number : 0);
        g_hash_table_add(needed, g_strdup(host->desired_digest));
        g_hash_table_add(needed, g_strdup(host->report.digest));
    }
    return needed;
}

static void collect_next(DeployCall *call);

static void on_collected(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    call->call = NULL;
    if (error)
        end(call, error);
    else
        collect_next(call); /* what did not hold is needed now, or left to the next time */
}

/* Of an entry of LAYOUT_HEAD or LAYOUT_UPLOAD. */
static char *upload_of(const StoreEntry *entry) {
    g_autofree char *key = layout_text(entry->key);
    if (key && g_str_has_prefix(key, LAYOUT_UPLOAD))
        return g_strdup(key + strlen(LAYOUT_UPLOAD));
    g_autoptr(Value) head = parse(entry);
    const char *upload = value_map_string(head, "upload", NULL);
    return upload && *upload ? g_strdup(upload) : NULL;
}

/* Only while nobody has published or touched it since. */
static void collect_next(DeployCall *call) {
    if (call->unneeded->len == 0) {
        end(call, NULL);
        return;
    }
    StoreEntry *entry = g_ptr_array_steal_index(call->unneeded, call->unneeded->len - 1);
    g_autofree char *upload = upload_of(entry);
    g_autofree char *chunks = chunks_of(upload ? upload : "none");
    g_autoptr(GBytes) prefix = layout_bytes(chunks);
    g_autoptr(GBytes) next = record_key(call->newest + 1);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, entry->key, STORE_MOD_REVISION, STORE_EQUAL, entry->mod_revision);
    store_txn_compare(txn, next, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_delete(txn, STORE_THEN, entry->key, false);
    store_txn_delete(txn, STORE_THEN, prefix, true);
    call->call = store_commit(call->store, txn, on_collected, call);
    store_entry_unref(entry);
}

static bool is_garbage(const DeployCall *call, const StoreEntry *entry) {
    g_autofree char *key = layout_text(entry->key);
    if (!key)
        return false;
    g_autoptr(Value) upload = parse(entry);
    bool is_old = value_map_int(upload, "time", INT64_MIN / 2) + DEPLOY_ABANDONED_S < call->wall_s;
    return is_old && !(g_str_has_prefix(key, LAYOUT_HEAD) &&
                       g_hash_table_contains(call->needed, key + strlen(LAYOUT_HEAD)));
}

static void on_heads(void *data, StoreAnswer *answer, const GError *error) {
    DeployCall *call = data;
    call->call = NULL;
    if (error) {
        end(call, error);
        return;
    }
    for (unsigned part = 0; part < 2; part++) {
        GPtrArray *entries = store_answer_result(answer, part)->entries;
        for (unsigned i = 0; i < entries->len; i++)
            if (is_garbage(call, g_ptr_array_index(entries, i)))
                g_ptr_array_add(call->unneeded, store_entry_ref(g_ptr_array_index(entries, i)));
    }
    collect_next(call);
}

DeployCall *deploy_collect(Store *store, const Roster *roster, int64_t wall_s, DeployDone done,
                           void *data) {
    DeployCall *call = call_new(store, NULL, data);
    const RosterRecord *newest = roster_newest(roster);
    g_autoptr(GBytes) heads = layout_bytes(LAYOUT_HEAD);
    g_autoptr(GBytes) uploads = layout_bytes(LAYOUT_UPLOAD);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = heads, .prefix = true });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = uploads, .prefix = true });
    call->done = done;
    call->wall_s = wall_s;
    call->needed = deploy_needed(roster);
    call->unneeded = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    call->newest = newest ? newest->number : 0;
    call->call = store_commit(store, txn, on_heads, call);
    return call;
}
