/*
 * Follows the channels, at the hub that leads. A look at one goes: read it and the keys; in a
 * worker, ask the repository and judge the commit; deploy it, or note what came of it, in one
 * transaction that holds only where the channel is as it was read. Nothing else is kept, so any hub
 * may be killed at any point, and another goes on with a mirror of its own.
 */
#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "hub/channel.h"
#include "hub/git.h"
#include "hub/hub-private.h"

#define TICK_US     ((uint64_t)G_USEC_PER_SEC)
#define PATIENCE_US (300 * (uint64_t)G_USEC_PER_SEC) /* of one look at a repository */
#define THREADS     4u
#define MIRRORS     "channels"

struct Channels {
    Hub *hub;
    Mirror *mirror;
    GHashTable *all; /* name to Channel */
    WorkerPool *workers;
    LoopTimer *timer;
    uint64_t looks;
    bool swept, ending;
};

typedef struct Look Look;

typedef struct {
    Channels *channels;
    char *name;
    uint64_t due;  /* loop time */
    int64_t asked; /* seconds since 1970, when its repository answered last; 0: never */
    Look *look;    /* under way, in a worker or waiting for the store */
} Channel;

/* One look at a channel. What is read before the worker starts is not changed until it is done. */
struct Look {
    Channels *channels;
    Channel *channel; /* NULL: it is gone */
    StoreCall *call;
    DeployCall *publishing;
    Cancel *cancel;
    /* read */
    char *name, *mirror, *basis;
    int64_t revision; /* of the channel */
    Value *value;
    GBytes *keys; /* NULL: there are none */
    uint64_t newest;
    char newest_digest[DIGEST_HEX_SIZE];
    bool is_forced;
    /* found */
    GError *problem; /* why the repository cannot be read */
    char commit[GIT_COMMIT_SIZE];
    bool is_settled;
    Verdict verdict;
    char *why;
    Statement read;
    GBytes *statement, *packed;
};

static void look_free(Look *look) {
    if (look->channel)
        look->channel->look = NULL;
    cancel_unref(look->cancel);
    g_free(look->name);
    g_free(look->mirror);
    g_free(look->basis);
    value_unref(look->value);
    g_clear_pointer(&look->keys, g_bytes_unref);
    g_clear_error(&look->problem);
    g_free(look->why);
    statement_clear(&look->read);
    g_clear_pointer(&look->statement, g_bytes_unref);
    g_clear_pointer(&look->packed, g_bytes_unref);
    g_free(look);
}

static bool is_wanted_now(const StoreEntry *entry) {
    g_autoptr(Value) value = entry_value(entry);
    return value && strcmp(value_map_string(value, "check", ""),
                           value_map_string(value, "checked", "")) != 0;
}

/* Ends it, for now: until again_us are over, or soon, where somebody wanted it meanwhile. */
static void look_end(Look *look, uint64_t again_us) {
    Channels *channels = look->channels;
    if (look->channel) {
        g_autofree char *key = g_strconcat(LAYOUT_CHANNEL, look->name, NULL);
        bool is_wanted = is_wanted_now(mirror_get(channels->mirror, key));
        look->channel->due = loop_now(channels->hub->loop) + (is_wanted ? TICK_US : again_us);
    }
    look_free(look);
}

static uint64_t interval_of(const Look *look) {
    int64_t seconds = value_map_int(look->value, "interval", CHANNEL_INTERVAL_S);
    return (uint64_t)CLAMP(seconds, 1, CHANNEL_INTERVAL_MAX) * G_USEC_PER_SEC;
}

/* --- in a worker: the repository -------------------------------------------------------------- */

static KeyList *read_keys(const Look *look, GError **error) {
    size_t size;
    const char *data = look->keys ? g_bytes_get_data(look->keys, &size) : NULL;
    if (!data)
        return NULL;
    g_autofree char *text = g_strndup(data, size);
    return g_str_has_prefix(text, "stead keys ") ? key_list_of_chain(text, size, error)
                                                 : key_list_of_lines(text, error);
}

static void refuse_commit(Look *look, Verdict verdict, const GError *error) {
    g_free(look->why);
    look->verdict = verdict;
    look->why = g_strdup(error->message);
}

static void judge(Look *look, const KeyList *keys, const char *digest) {
    ChannelCommit commit = { .statement = look->statement,
                             .digest = digest,
                             .keys = keys,
                             .newest = look->newest,
                             .newest_digest = look->newest_digest };
    g_clear_pointer(&look->why, g_free);
    statement_clear(&look->read);
    look->verdict = channel_judge(&commit, &look->read, &look->why);
}

/* Of this machine or moment, not of the commit: it is tried again. */
static bool is_trouble(const GError *error) {
    static const SteadError codes[] = { STEAD_ERROR_IO, STEAD_ERROR_TIMEOUT, STEAD_ERROR_CANCELLED,
                                        STEAD_ERROR_DAMAGED };
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++)
        if (g_error_matches(error, STEAD_ERROR, (int)codes[i]))
            return true;
    return false;
}

/* The tree of a commit whose statement is fine, as it is said to be. */
static void judge_tree(Look *look, const GitSource *source, const GitTree *tree,
                       const KeyList *keys) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Bundle) bundle = git_tree_bundle(source, tree, &error);
    if (bundle)
        judge(look, keys, bundle->digest);
    else if (is_trouble(error))
        look->problem = g_steal_pointer(&error);
    else
        refuse_commit(look, VERDICT_REFUSED, error);
    if (bundle && look->verdict == VERDICT_DEPLOY)
        look->packed = bundle_write(bundle, &look->problem);
}

/* The statement first: of what nobody signed nothing else is read. */
static void judge_commit(Look *look, const GitSource *source) {
    g_autoptr(GError) error = NULL;
    g_autoptr(KeyList) keys = read_keys(look, &look->problem);
    g_autoptr(GitTree) tree = look->problem ? NULL : git_tree_read(source, look->commit, &error);
    if (tree)
        look->statement = git_tree_statement(source, tree, &error);
    if (error && !is_trouble(error)) {
        refuse_commit(look, VERDICT_REFUSED, error);
        return;
    }
    if (error)
        look->problem = g_steal_pointer(&error);
    if (look->problem)
        return;
    judge(look, keys, NULL);
    if (look->verdict == VERDICT_DEPLOY || look->verdict == VERDICT_CURRENT)
        judge_tree(look, source, tree, keys);
}

static void work(void *data) {
    Look *look = data;
    GitSource source = { .url = value_map_string(look->value, "repository", ""),
                         .branch = value_map_string(look->value, "branch", ""),
                         .directory = value_map_string(look->value, "directory", ""),
                         .mirror = look->mirror,
                         .cancel = look->cancel };
    char tip[GIT_COMMIT_SIZE];
    if (!git_tip(&source, tip, &look->problem))
        return;
    look->is_settled = channel_is_settled(look->value, tip, look->is_forced ? "" : look->basis);
    if (look->is_settled || !git_fetch(&source, tip, look->commit, &look->problem))
        return;
    judge_commit(look, &source);
}

/* --- what came of it -------------------------------------------------------------------------- */

static GBytes *bytes_of(const Value *value) {
    g_autofree char *text = json_print(value, JSON_COMPACT);
    return layout_bytes(text);
}

static char *who_of(const Look *look) {
    return g_strconcat("channel:", look->name, NULL);
}

/* The channel with a commit that was judged. */
static Value *with_verdict(const Look *look, Verdict verdict, const char *why) {
    Value *value = map_copy(look->value, "problem");
    bool is_new = strcmp(value_map_string(value, "commit", ""), look->commit) != 0 ||
                  strcmp(value_map_string(value, "outcome", ""), verdict_name(verdict)) != 0;
    value_map_set(value, "commit", value_new_string(look->commit));
    value_map_set(value, "outcome", value_new_string(verdict_name(verdict)));
    value_map_set(value, "why", value_new_string(why));
    value_map_set(value, "basis", value_new_string(look->basis));
    if (is_new)
        value_map_set(value, "since", value_new_int(wall_seconds(look->channels->hub)));
    if (verdict == VERDICT_DEPLOYED)
        value_map_set(value, "record", value_new_int((int64_t)look->read.record));
    else if (verdict == VERDICT_CURRENT)
        value_map_set(value, "record", value_new_int((int64_t)look->newest));
    return value;
}

static Value *with_problem(const Look *look, const char *problem) {
    Value *value = map_copy(look->value, "problem");
    if (!value_map_get(look->value, "problem"))
        value_map_set(value, "problem_since", value_new_int(wall_seconds(look->channels->hub)));
    value_map_set(value, "problem", value_new_string(problem));
    return value;
}

static void set_checked(const Look *look, Value *value) {
    if (value_map_get(look->value, "check"))
        value_map_set(value, "checked",
                      value_new_string(value_map_string(look->value, "check", "")));
}

/* Only where the channel is as it was read: else it is looked at again. */
static void put_channel(const Look *look, StoreTxn *txn, const Value *value) {
    g_autoptr(GBytes) key = key_of(LAYOUT_CHANNEL, look->name), text = bytes_of(value);
    store_txn_compare(txn, key, STORE_MOD_REVISION, STORE_EQUAL, look->revision);
    store_txn_put(txn, STORE_THEN, key, text, 0);
}

static void on_noted(void *data, StoreAnswer *answer, const GError *error) {
    Look *look = data;
    look->call = NULL;
    look_end(look, answer && !answer->succeeded ? 0 : interval_of(look));
}

/* That a commit was refused is a matter of security. */
static void note_refusal(const Look *look, StoreTxn *txn, const Value *value) {
    g_autofree char *who = who_of(look);
    g_autofree char *from = git_mask_url(value_map_string(value, "repository", ""));
    g_autoptr(Value) after = value_new_map();
    value_map_set(after, "commit", value_new_string(value_map_string(value, "commit", "")));
    value_map_set(after, "outcome", value_new_string(value_map_string(value, "outcome", "")));
    value_map_set(after, "why", value_new_string(value_map_string(value, "why", "")));
    write_note_of(look->channels->hub, &(Actor){ who, from }, "channel.refuse", look->name, after,
                  txn);
}

/* Writes wanted (taken over) unless it is what is there. */
static void note(Look *look, Value *wanted) {
    g_autoptr(Value) value = wanted;
    bool is_verdict =
        strcmp(value_map_string(value, "commit", ""),
               value_map_string(look->value, "commit", "")) != 0 ||
        strcmp(value_map_string(value, "why", ""), value_map_string(look->value, "why", "")) != 0;
    set_checked(look, value);
    if (value_equal(value, look->value)) {
        look_end(look, interval_of(look));
        return;
    }
    g_autoptr(StoreTxn) txn = store_txn_new();
    put_channel(look, txn, value);
    if (is_verdict && !look->problem && look->verdict != VERDICT_CURRENT)
        note_refusal(look, txn, value);
    look->call = store_commit(look->channels->hub->state, txn, on_noted, look);
}

/* --- deploying -------------------------------------------------------------------------------- */

static void on_published(void *data, const GError *error) {
    Look *look = data;
    look->publishing = NULL;
    bool is_refusal = error && error->domain == STEAD_ERROR &&
                      !g_error_matches(error, STEAD_ERROR, STEAD_ERROR_FAILED);
    if (is_refusal) {
        refuse_commit(look, VERDICT_REFUSED, error);
        note(look, with_verdict(look, VERDICT_REFUSED, look->why));
    } else {
        look_end(look, interval_of(look));
    }
}

static void add_result(void *data, StoreTxn *txn) {
    Look *look = data;
    g_autofree char *who = who_of(look);
    g_autofree char *from = git_mask_url(value_map_string(look->value, "repository", ""));
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, look->read.record);
    g_autofree char *digest = g_strconcat(BUNDLE_NAME_PREFIX, look->read.digest, NULL);
    g_autoptr(Value) after = value_new_map();
    value_map_set(after, "record", value_new_int((int64_t)look->read.record));
    value_map_set(after, "digest", value_new_string(digest));
    value_map_set(after, "message", value_new_string(look->read.message));
    value_map_set(after, "to", value_new_string(value_map_string(look->value, "to", "all")));
    value_map_set(after, "strategy",
                  value_new_string(value_map_string(look->value, "strategy", "")));
    value_map_set(after, "commit", value_new_string(look->commit));
    write_note_of(look->channels->hub, &(Actor){ who, from }, "deploy.publish", number, after, txn);
    g_autoptr(Value) channel = with_verdict(look, VERDICT_DEPLOYED, look->read.message);
    set_checked(look, channel);
    put_channel(look, txn, channel);
}

static void publish(Look *look) {
    g_autofree char *who = who_of(look);
    DeployRequest request = { .statement = look->statement,
                              .packed = look->packed,
                              .digest = look->read.digest,
                              .to = value_map_string(look->value, "to", "all"),
                              .strategy = value_map_string(look->value, "strategy", ""),
                              .by = who,
                              .wall_s = wall_seconds(look->channels->hub),
                              .also = add_result,
                              .also_data = look };
    look->publishing = deploy_publish(look->channels->hub->state, &request, on_published, look);
}

static void on_worked(void *data) {
    Look *look = data;
    if (!look->channel || look->channels->ending) {
        look_free(look);
        return;
    }
    if (!look->problem)
        look->channel->asked = wall_seconds(look->channels->hub);
    if (look->problem)
        note(look, with_problem(look, look->problem->message));
    else if (look->is_settled)
        note(look, map_copy(look->value, "problem"));
    else if (look->verdict == VERDICT_DEPLOY)
        publish(look);
    else
        note(look, with_verdict(look, look->verdict, look->why));
}

/* --- looking ---------------------------------------------------------------------------------- */

static const StoreEntry *entry_of(const StoreAnswer *answer, unsigned index) {
    GPtrArray *entries = store_answer_result(answer, index)->entries;
    return entries->len > 0 ? entries->pdata[0] : NULL;
}

static bool take_read(Look *look, const StoreAnswer *answer) {
    Hub *hub = look->channels->hub;
    const StoreEntry *entry = entry_of(answer, 0), *keys = entry_of(answer, 1);
    const RosterRecord *newest = roster_newest(rollout_roster(hub->rollout));
    look->value = entry_value(entry);
    if (!look->value)
        return false;
    look->revision = entry->mod_revision;
    look->keys = keys ? g_bytes_ref(keys->value) : NULL;
    look->newest = newest ? newest->number : 0;
    g_strlcpy(look->newest_digest, newest ? newest->digest : "", DIGEST_HEX_SIZE);
    look->basis = g_strdup_printf("%" G_GUINT64_FORMAT "/%" G_GINT64_FORMAT, look->newest,
                                  keys ? keys->mod_revision : 0);
    look->is_forced = strcmp(value_map_string(look->value, "check", ""),
                             value_map_string(look->value, "checked", "")) != 0;
    return true;
}

static void on_read(void *data, StoreAnswer *answer, const GError *error) {
    Look *look = data;
    look->call = NULL;
    if (error || !take_read(look, answer)) {
        look_end(look, TICK_US);
        return;
    }
    look->cancel = cancel_new(PATIENCE_US);
    worker_pool_push(look->channels->workers, work, on_worked, look);
}

static void start(Channel *channel) {
    Channels *channels = channel->channels;
    Look *look = g_new0(Look, 1);
    g_autofree char *file = g_strconcat(channel->name, ".git", NULL);
    g_autoptr(GBytes) key = key_of(LAYOUT_CHANNEL, channel->name);
    g_autoptr(GBytes) keys = layout_bytes(LAYOUT_KEYS);
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autofree char *data = g_canonicalize_filename(channels->hub->data, NULL);
    look->channels = channels;
    look->channel = channel;
    channel->look = look;
    look->name = g_strdup(channel->name);
    look->mirror = g_build_filename(data, MIRRORS, file, NULL);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = key });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = keys });
    channels->looks++;
    look->call = store_commit(channels->hub->state, txn, on_read, look);
}

static void tick(void *data) {
    Channels *channels = data;
    const Rollout *rollout = channels->hub->rollout;
    uint64_t now = loop_now(channels->hub->loop);
    GHashTableIter iter;
    void *value;
    bool may = rollout_leads(rollout) && roster_is_loaded(rollout_roster(rollout));
    g_hash_table_iter_init(&iter, channels->all);
    while (may && g_hash_table_iter_next(&iter, NULL, &value)) {
        Channel *channel = value;
        if (!channel->look && channel->due <= now)
            start(channel);
    }
    if (g_hash_table_size(channels->all) > 0)
        loop_timer_set(channels->hub->loop, &channels->timer, now + TICK_US, tick, channels);
}

/* --- channels --------------------------------------------------------------------------------- */

static void stop_look(Look *look) {
    if (look->call)
        store_call_cancel(g_steal_pointer(&look->call));
    else if (look->publishing)
        deploy_cancel(g_steal_pointer(&look->publishing));
    else {
        look->channel->look = NULL;
        look->channel = NULL;
        cancel_request(look->cancel); /* on_worked() comes */
        return;
    }
    look_free(look);
}

static void channel_free(void *data) {
    Channel *channel = data;
    if (channel->look)
        stop_look(channel->look);
    g_free(channel->name);
    g_free(channel);
}

/* Directories (char *) of mirrors that nobody needs. */
static void remove_mirrors(void *data) {
    GPtrArray *old = data;
    for (unsigned i = 0; i < old->len; i++)
        disk_remove_tree(old->pdata[i]);
}

static void on_removed(void *data) {
    g_ptr_array_unref(data);
}

/* Mirrors of channels that were removed, also while this hub was away. */
static void sweep(Channels *channels) {
    g_autofree char *directory = g_build_filename(channels->hub->data, MIRRORS, NULL);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    GPtrArray *old = g_ptr_array_new_with_free_func(g_free);
    const char *file;
    while (dir && (file = g_dir_read_name(dir)) != NULL) {
        g_autofree char *name = g_str_has_suffix(file, ".git")
                                    ? g_strndup(file, strlen(file) - strlen(".git"))
                                    : g_strdup(file);
        if (!g_hash_table_contains(channels->all, name))
            g_ptr_array_add(old, g_build_filename(directory, file, NULL));
    }
    if (old->len > 0)
        worker_pool_push(channels->workers, remove_mirrors, on_removed, old);
    else
        g_ptr_array_unref(old);
}

static void on_entry(void *data, const char *key, const StoreEntry *before,
                     const StoreEntry *after) {
    Channels *channels = data;
    const char *name = key + strlen(LAYOUT_CHANNEL);
    Channel *channel = g_hash_table_lookup(channels->all, name);
    if (!after) {
        (void)g_hash_table_remove(channels->all, name);
        channels->swept = false;
        return;
    }
    if (!channel) {
        channel = g_new0(Channel, 1);
        channel->channels = channels;
        channel->name = g_strdup(name);
        g_hash_table_insert(channels->all, channel->name, channel);
    }
    if (is_wanted_now(after))
        channel->due = 0;
}

static void on_changed(void *data) {
    Channels *channels = data;
    if (!channels->swept)
        sweep(channels);
    channels->swept = true;
    tick(channels);
}

static void on_failed(void *data, const GError *error) {
    /* The mirror tries again, and the hub tells of its store elsewhere. */
}

Channels *channels_new(Hub *hub) {
    Channels *channels = g_new0(Channels, 1);
    MirrorListener listener = {
        .entry = on_entry, .changed = on_changed, .failed = on_failed, .data = channels
    };
    channels->hub = hub;
    channels->all = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, channel_free);
    channels->workers = worker_pool_new(hub->loop, THREADS);
    channels->mirror = mirror_new(hub->loop, hub->state, LAYOUT_CHANNEL, &listener);
    return channels;
}

void channels_free(Channels *channels) {
    if (!channels)
        return;
    channels->ending = true;
    mirror_free(channels->mirror);
    loop_timer_clear(&channels->timer);
    g_hash_table_unref(channels->all);
    worker_pool_free(channels->workers);
    g_free(channels);
}

/* --- figures ---------------------------------------------------------------------------------- */

/* Of this hub; only the one that leads asks repositories. */
void channels_metrics(const Channels *channels, GString *text) {
    static const char *const help[][2] = {
        { "ok", "Whether its repository can be read and the commit seen last is deployed." },
        { "record", "The deploy that its newest good commit became." },
        { "asked_seconds", "When its repository answered this hub last; 0: never." },
    };
    g_auto(GStrv) keys = mirror_keys(channels->mirror);
    for (unsigned i = 0; i < G_N_ELEMENTS(help) && *keys; i++) {
        g_string_append_printf(text,
                               "# HELP stead_hub_channel_%s %s\n# TYPE stead_hub_channel_%s "
                               "gauge\n",
                               help[i][0], help[i][1], help[i][0]);
        for (char **key = keys; *key; key++) {
            const char *name = *key + strlen(LAYOUT_CHANNEL);
            const Channel *channel = g_hash_table_lookup(channels->all, name);
            g_autoptr(Value) value = entry_value(mirror_get(channels->mirror, *key));
            const char *outcome = value ? value_map_string(value, "outcome", "") : "";
            bool is_good = strcmp(outcome, verdict_name(VERDICT_DEPLOYED)) == 0 ||
                           strcmp(outcome, verdict_name(VERDICT_CURRENT)) == 0;
            int64_t figures[] = { is_good && !value_map_get(value, "problem"),
                                  value ? value_map_int(value, "record", 0) : 0,
                                  channel ? channel->asked : 0 };
            g_string_append_printf(text,
                                   "stead_hub_channel_%s{channel=\"%s\"} %" G_GINT64_FORMAT "\n",
                                   help[i][0], name, figures[i]);
        }
    }
    g_string_append_printf(text,
                           "# HELP stead_hub_channel_looks_total Looks at repositories.\n"
                           "# TYPE stead_hub_channel_looks_total counter\n"
                           "stead_hub_channel_looks_total %" G_GUINT64_FORMAT "\n",
                           channels->looks);
}
