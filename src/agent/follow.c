#include "agent/follow.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "fleet/mirror.h"
#include "loop/worker.h"

#define RETRY_MIN_US (G_USEC_PER_SEC / 2)
#define RETRY_MAX_US (60 * (uint64_t)G_USEC_PER_SEC)
#define KEYLESS_US                                                                                 \
    (10 * (uint64_t)G_USEC_PER_SEC) /* until it is looked whether a key is pinned                  \
                                     */

/* What desired/HOST says. */
typedef struct {
    uint64_t record; /* 0: nothing */
    char digest[DIGEST_HEX_SIZE];
    bool back;
    int64_t revision;
} Wanted;

typedef enum { JOB_LOAD, JOB_KEYS, JOB_ACCEPT, JOB_BACK, JOB_GOOD, JOB_TIDY } JobKind;

/* Blocking work, in the worker until done; it alone touches the deploys then. */
typedef struct {
    Follower *follower;
    JobKind kind;
    DeployOffer offer; /* record alone: JOB_GOOD */
    char *text;        /* of keys */
    int64_t revision;  /* of keys, or of what is wanted */
    char *current, *previous;
    Placed placed;
    GPtrArray *problems;
    bool done;
    GError *error;
} Job;

struct Follower {
    Loop *loop;
    Store *store;
    char *host;
    FollowerListener listener;
    Deploys *deploys;
    WorkerPool *pool;
    Mirror *desired, *keys;
    Job *job;          /* NULL: none */
    Job *ready;        /* what was fetched, until the worker is free; NULL: nothing */
    StoreCall *read;   /* of a record, then of the keys */
    DeployCall *fetch; /* of its bundle */
    DeployOffer offer; /* that is being put together */
    char *offer_keys;  /* the list that counts for it */
    LoopTimer *retry, *hold;
    uint64_t delay; /* us until the next try; 0: nothing has failed */

    bool loaded;         /* what is kept was looked for */
    bool switching;      /* next was handed on */
    bool from_hub;       /* running came from the store, not from the disk */
    bool steady;         /* as told */
    bool untidy, proven; /* to be removed, to be kept as good */
    bool looks_for_keys; /* none are pinned: whether they are now */
    bool closing;
    Placed running, next, previous;
    bool next_from_hub;
    uint64_t last, left; /* of the deploys */
    bool has_keys;
    uint64_t good;         /* record; 0: none since we started */
    uint64_t tried_good;   /* record that was, or could not be, kept as good */
    int64_t keys_revision; /* that was followed, or refused */
    int64_t judged;        /* revision of desired that is done with: it runs, or is refused */
    int64_t judged_keys;   /* with these keys */
    char *error;           /* why what is wanted does not run; NULL: it does, or will */
    char *keys_error;      /* why the fleet's list of keys is not followed; NULL: it is */
    char *noted;           /* the last text of note() about what is wrong */
    char failed_digest[DIGEST_HEX_SIZE]; /* that error is about */
};

static void step(Follower *follower);

/* --- what is told */

static void note(Follower *follower, bool bad, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void note(Follower *follower, bool bad, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (bad && g_strcmp0(text, follower->noted) == 0)
        return;
    if (bad) {
        g_free(follower->noted);
        follower->noted = g_strdup(text);
    }
    follower->listener.note(follower->listener.data, bad, text);
}

static void tell_changed(Follower *follower) {
    follower->listener.changed(follower->listener.data);
}

/* --- what is wanted */

static Value *parse(const StoreEntry *entry) {
    gsize size = 0;
    const char *data = entry ? g_bytes_get_data(entry->value, &size) : NULL;
    g_autoptr(Value) value = data ? json_parse(data, size, "store", NULL) : NULL;
    return value && value_type(value) == VALUE_MAP ? g_steal_pointer(&value) : NULL;
}

static const StoreEntry *entry_of(const Mirror *mirror, const char *prefix, const char *name) {
    g_autofree char *key = g_strconcat(prefix, name, NULL);
    return mirror_get(mirror, key);
}

/* What cannot be read counts as nothing. */
static Wanted wanted_of(const Follower *follower) {
    const StoreEntry *entry = entry_of(follower->desired, LAYOUT_DESIRED, follower->host);
    g_autoptr(Value) value = parse(entry);
    if (!value)
        return (Wanted){ .record = 0 };
    int64_t record = value_map_int(value, "record", 0);
    Wanted wanted = { .record = record > 0 ? (uint64_t)record : 0,
                      .back = value_map_bool(value, "back", false),
                      .revision = entry->mod_revision };
    char digest[DIGEST_HEX_SIZE];
    if (bundle_parse_name(value_map_string(value, "digest", ""), digest, NULL))
        g_strlcpy(wanted.digest, digest, sizeof wanted.digest);
    else
        wanted.record = 0;
    return wanted;
}

static bool is_running(const Follower *follower, const Wanted *wanted) {
    return follower->running.record == wanted->record &&
           strcmp(follower->running.digest, wanted->digest) == 0;
}

/* --- what fails */

static void clear_error(Follower *follower) {
    g_clear_pointer(&follower->error, g_free);
    g_clear_pointer(&follower->noted, g_free);
    follower->delay = 0;
}

static void try_again(void *data) {
    Follower *follower = data;
    follower->judged = 0;
    follower->looks_for_keys = !follower->has_keys;
    step(follower);
}

/* May be over by itself; the rest waits for somebody who changes something. */
static bool is_passing(const GError *error) {
    return error->domain == STORE_ERROR || g_error_matches(error, STEAD_ERROR, STEAD_ERROR_IO) ||
           g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

static bool is_out_of_reach(const GError *error) {
    return g_error_matches(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE) ||
           g_error_matches(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME);
}

static void fail(Follower *follower, const char *digest, const GError *error) {
    const Wanted wanted = wanted_of(follower);
    follower->judged = wanted.revision;
    follower->judged_keys = follower->keys_revision;
    if (!follower->has_keys || is_passing(error)) {
        follower->delay = follower->has_keys
                              ? CLAMP(follower->delay * 2, RETRY_MIN_US, RETRY_MAX_US)
                              : KEYLESS_US;
        loop_timer_set(follower->loop, &follower->retry, loop_now(follower->loop) + follower->delay,
                       try_again, follower);
    }
    if (is_out_of_reach(error)) {
        follower->listener.reached(follower->listener.data, error);
        return;
    }
    g_free(follower->error);
    g_free(follower->keys_error);
    follower->error = follower->running.record != 0
                          ? g_strdup_printf("%s; record %" G_GUINT64_FORMAT " goes on running",
                                            error->message, follower->running.record)
                          : g_strdup(error->message);
    g_strlcpy(follower->failed_digest, digest, sizeof follower->failed_digest);
    note(follower, true, "%s", follower->error);
    tell_changed(follower);
}

/* --- jobs */

static void job_free(Job *job) {
    if (!job)
        return;
    g_clear_pointer(&job->offer.statement, g_bytes_unref);
    g_clear_pointer(&job->offer.packed, g_bytes_unref);
    g_clear_pointer(&job->problems, g_ptr_array_unref);
    placed_clear(&job->placed);
    g_clear_error(&job->error);
    g_free(job->text);
    g_free(job->current);
    g_free(job->previous);
    g_free(job);
}

static void work(void *data) {
    Job *job = data;
    Deploys *deploys = job->follower->deploys;
    const DeployOffer *offer = &job->offer;
    switch (job->kind) {
    case JOB_LOAD:
        job->done = deploys_load(deploys, &job->placed, job->problems);
        return;
    case JOB_KEYS:
        job->done = deploys_follow_keys(deploys, job->text, strlen(job->text), &job->error);
        return;
    case JOB_ACCEPT:
        if (job->text) /* a list that is refused is told when the watch brings it */
            (void)deploys_follow_keys(deploys, job->text, strlen(job->text), NULL);
        job->done = deploys_accept(deploys, offer, &job->placed, &job->error);
        return;
    case JOB_BACK:
        job->done =
            deploys_go_back(deploys, offer->record, offer->digest, &job->placed, &job->error);
        return;
    case JOB_GOOD:
        job->done = deploys_set_good(deploys, offer->record, &job->error);
        return;
    case JOB_TIDY:
        deploys_tidy(deploys, job->current, job->previous);
        return;
    }
}

static void take_placed(Follower *follower, Job *job) {
    g_autoptr(GError) error = NULL;
    if (!deploys_point(follower->deploys, job->placed.directory, &error)) {
        fail(follower, job->placed.digest, error);
        return;
    }
    placed_clear(&follower->next);
    follower->next = job->placed;
    job->placed = (Placed){ 0 };
    follower->next_from_hub = job->kind == JOB_ACCEPT;
    follower->switching = true;
    follower->listener.run(follower->listener.data, follower->next.file);
}

static void on_loaded(Follower *follower, Job *job) {
    follower->loaded = true;
    for (unsigned i = 0; i < job->problems->len; i++) {
        const GError *problem = g_ptr_array_index(job->problems, i);
        note(follower, true, "%s", problem->message);
    }
    if (job->done)
        take_placed(follower, job);
    else
        tell_changed(follower);
}

/* What is signed by a key that was there before still counts. */
static void on_keys(Follower *follower, Job *job) {
    follower->keys_revision = job->revision;
    g_clear_pointer(&follower->keys_error, g_free);
    if (!job->error || !follower->has_keys)
        return;
    follower->keys_error = g_strdup_printf(
        "follow the keys of the fleet: %s; the keys of before count here", job->error->message);
    note(follower, true, "%s", follower->keys_error);
    tell_changed(follower);
}

/* Accepted or gone back to. */
static void on_placed(Follower *follower, Job *job) {
    const Wanted wanted = wanted_of(follower);
    bool still = wanted.revision == job->revision;
    if (job->error && still && is_running(follower, &wanted)) {
        follower->judged = wanted.revision;
        follower->judged_keys = follower->keys_revision;
        clear_error(follower);
        note(follower, true, "%s; it runs already", job->error->message);
        tell_changed(follower);
    } else if (job->error && still) {
        fail(follower, job->offer.digest, job->error);
    }
    if (job->done && still)
        take_placed(follower, job);
    follower->untidy = true;
}

static void on_good(Follower *follower, Job *job) {
    if (job->done)
        follower->good = job->offer.record;
    else
        note(follower, true, "keep record %" G_GUINT64_FORMAT " of the deploys as good: %s",
             job->offer.record, job->error->message);
}

static void on_job(void *data) {
    Job *job = data;
    Follower *follower = job->follower;
    follower->job = NULL;
    if (follower->closing) {
        job_free(job);
        return;
    }
    follower->last = deploys_last(follower->deploys);
    follower->left = deploys_left(follower->deploys);
    follower->has_keys = deploys_has_keys(follower->deploys);
    switch (job->kind) {
    case JOB_LOAD:
        on_loaded(follower, job);
        break;
    case JOB_KEYS:
        on_keys(follower, job);
        break;
    case JOB_ACCEPT:
    case JOB_BACK:
        on_placed(follower, job);
        break;
    case JOB_GOOD:
        on_good(follower, job);
        break;
    case JOB_TIDY:
        break;
    }
    job_free(job);
    step(follower);
}

static Job *job_new(Follower *follower, JobKind kind) {
    Job *job = g_new0(Job, 1);
    job->follower = follower;
    job->kind = kind;
    return job;
}

static void push(Job *job) {
    job->follower->job = job;
    worker_pool_push(job->follower->pool, work, on_job, job);
}

/* --- from the store */

static void stop_fetching(Follower *follower) {
    g_clear_pointer(&follower->read, store_call_cancel);
    g_clear_pointer(&follower->fetch, deploy_cancel);
    g_clear_pointer(&follower->ready, job_free);
    g_clear_pointer(&follower->offer.statement, g_bytes_unref);
    g_clear_pointer(&follower->offer_keys, g_free);
    follower->offer = (DeployOffer){ 0 };
}

static void fail_fetching(Follower *follower, const GError *error) {
    char digest[DIGEST_HEX_SIZE];
    g_strlcpy(digest, follower->offer.digest, sizeof digest);
    stop_fetching(follower);
    fail(follower, digest, error);
}

static void on_fetched(void *data, GBytes *packed, const GError *error) {
    Follower *follower = data;
    follower->fetch = NULL;
    if (error) {
        fail_fetching(follower, error);
        return;
    }
    Job *job = job_new(follower, JOB_ACCEPT);
    job->offer = follower->offer;
    job->offer.packed = g_bytes_ref(packed);
    job->text = g_steal_pointer(&follower->offer_keys);
    job->revision = wanted_of(follower).revision;
    follower->offer = (DeployOffer){ 0 };
    follower->ready = job;
    step(follower);
}

/* Read after the record: the list has the key that signed it, whatever the watches told so far. */
static void on_offer_keys(void *data, StoreAnswer *answer, const GError *error) {
    Follower *follower = data;
    follower->read = NULL;
    if (error) {
        fail_fetching(follower, error);
        return;
    }
    const StoreEntry *entry = store_answer_entry(answer);
    gsize size = 0;
    const char *text = entry ? g_bytes_get_data(entry->value, &size) : NULL;
    follower->offer_keys = text ? g_strndup(text, size) : NULL;
    follower->fetch = deploy_fetch(follower->store, follower->offer.digest, on_fetched, follower);
}

static void on_record(void *data, StoreAnswer *answer, const GError *error) {
    Follower *follower = data;
    follower->read = NULL;
    g_autoptr(Value) record = answer ? parse(store_answer_entry(answer)) : NULL;
    const char *statement = record ? value_map_string(record, "statement", NULL) : NULL;
    if (error) {
        fail_fetching(follower, error);
    } else if (!statement) {
        g_autoptr(GError) missing = g_error_new(STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                                                "fetch record %" G_GUINT64_FORMAT
                                                " of the deploys: the hub has no such record",
                                                follower->offer.record);
        fail_fetching(follower, missing);
    } else {
        g_autoptr(GBytes) key = layout_bytes(LAYOUT_KEYS);
        follower->offer.statement = layout_bytes(statement);
        follower->read = store_get(follower->store, key, on_offer_keys, follower);
    }
}

static void fetch(Follower *follower, const Wanted *wanted) {
    g_autofree char *name = layout_numbered(LAYOUT_RECORD, wanted->record);
    g_autoptr(GBytes) key = layout_bytes(name);
    follower->offer.record = wanted->record;
    g_strlcpy(follower->offer.digest, wanted->digest, sizeof follower->offer.digest);
    follower->read = store_get(follower->store, key, on_record, follower);
}

static void refuse_older(Follower *follower, const Wanted *wanted) {
    g_autoptr(GError) error =
        g_error_new(STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT " of the deploys: record %" G_GUINT64_FORMAT
                    " was here already; to go back, deploy the older bundle as a new record",
                    wanted->record, follower->last);
    fail(follower, wanted->digest, error);
}

static void refuse_without_keys(Follower *follower, const Wanted *wanted) {
    g_autoptr(GError) error =
        g_error_new(STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT
                    " of the deploys: no key of who may deploy is pinned on this machine; 'stead "
                    "agent pin KEY' pins one",
                    wanted->record);
    fail(follower, wanted->digest, error);
}

static void go_back(Follower *follower, const Wanted *wanted) {
    Job *job = job_new(follower, JOB_BACK);
    job->offer.record = wanted->record;
    job->revision = wanted->revision;
    g_strlcpy(job->offer.digest, wanted->digest, sizeof job->offer.digest);
    push(job);
}

/* --- what is next */

static bool follow_keys(Follower *follower) {
    const StoreEntry *entry = mirror_get(follower->keys, LAYOUT_KEYS);
    bool news = entry && entry->mod_revision != follower->keys_revision;
    if (!news && !follower->looks_for_keys)
        return false;
    gsize size = 0;
    const char *text = news ? g_bytes_get_data(entry->value, &size) : "";
    Job *job = job_new(follower, JOB_KEYS);
    job->text = g_strndup(text, size);
    job->revision = news ? entry->mod_revision : follower->keys_revision;
    follower->looks_for_keys = false;
    push(job);
    return true;
}

static void tidy(Follower *follower) {
    Job *job = job_new(follower, JOB_TIDY);
    job->current = g_strdup(follower->running.directory);
    job->previous = g_strdup(follower->previous.directory);
    follower->untidy = false;
    push(job);
}

static void set_good(Follower *follower) {
    Job *job = job_new(follower, JOB_GOOD);
    job->offer.record = follower->running.record;
    follower->tried_good = follower->running.record;
    follower->proven = false;
    push(job);
}

/* It runs, or needs no more than to be remembered as gone back to. */
static void follow_wanted(Follower *follower) {
    const Wanted wanted = wanted_of(follower);
    if (!mirror_is_loaded(follower->keys) || wanted.record == 0 ||
        (follower->judged == wanted.revision && follower->judged_keys == follower->keys_revision))
        return;
    bool leaves = wanted.back && wanted.record < follower->last && follower->left == 0;
    if (is_running(follower, &wanted) && !leaves) {
        follower->judged = wanted.revision;
        follower->judged_keys = follower->keys_revision;
        if (follower->error) {
            clear_error(follower);
            tell_changed(follower);
        }
    } else if (!follower->has_keys) {
        refuse_without_keys(follower, &wanted);
    } else if (wanted.record >= follower->last) {
        fetch(follower, &wanted);
    } else if (wanted.back) {
        go_back(follower, &wanted);
    } else {
        refuse_older(follower, &wanted);
    }
}

/* What is steady when a newer one comes is what would be gone back to, however short it ran. */
static bool is_left_steady(const Follower *follower) {
    const Wanted wanted = wanted_of(follower);
    uint64_t record = follower->running.record;
    return follower->steady && record != 0 && wanted.record > record && follower->good != record &&
           follower->tried_good != record;
}

static void step(Follower *follower) {
    if (follower->job || follower->switching || follower->closing)
        return;
    if (!follower->loaded) {
        Job *job = job_new(follower, JOB_LOAD);
        job->problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
        push(job);
    } else if (follower->untidy) {
        tidy(follower);
    } else if (follower->proven || is_left_steady(follower)) {
        set_good(follower);
    } else if (follow_keys(follower)) {
        return; /* on_job() goes on */
    } else if (follower->ready) {
        push(g_steal_pointer(&follower->ready));
    } else if (!follower->read && !follower->fetch) {
        follow_wanted(follower);
    }
}

/* --- events */

static void on_desired(void *data) {
    Follower *follower = data;
    follower->listener.reached(follower->listener.data, NULL);
    stop_fetching(follower); /* of what was wanted before */
    loop_timer_clear(&follower->retry);
    follower->delay = 0;
    follower->judged = 0;
    step(follower);
}

static void on_keys_changed(void *data) {
    Follower *follower = data;
    follower->listener.reached(follower->listener.data, NULL);
    step(follower);
}

static void on_unreadable(void *data, const GError *error) {
    Follower *follower = data;
    if (is_out_of_reach(error))
        follower->listener.reached(follower->listener.data, error);
    else
        note(follower, true, "read what is deployed: %s", error->message);
}

static void on_held(void *data) {
    Follower *follower = data;
    follower->proven = true;
    step(follower);
}

static void watch_hold(Follower *follower) {
    bool waits = follower->steady && !follower->switching && follower->running.record != 0 &&
                 follower->good != follower->running.record;
    if (!waits)
        loop_timer_clear(&follower->hold);
    else if (!follower->hold)
        loop_timer_set(follower->loop, &follower->hold, loop_now(follower->loop) + FOLLOW_HOLD_US,
                       on_held, follower);
}

void follower_steady(Follower *follower, bool steady) {
    follower->steady = steady;
    watch_hold(follower);
}

void follower_taken(Follower *follower, const GError *error) {
    g_assert(follower->switching);
    follower->switching = false;
    follower->steady = false;
    follower->untidy = true;
    const Wanted wanted = wanted_of(follower);
    if (error) {
        g_autoptr(GError) problem = g_error_copy(error), lost = NULL;
        if (!deploys_point(follower->deploys, follower->running.directory, &lost))
            note(follower, true, "%s", lost->message);
        if (problem->domain != STEAD_ERROR || problem->code != STEAD_ERROR_CONFIG)
            problem->code = STEAD_ERROR_REFUSED; /* it is not for the store to mend */
        fail(follower, follower->next.digest, problem);
        placed_clear(&follower->next);
    } else {
        placed_clear(&follower->previous);
        follower->previous = follower->running;
        follower->running = follower->next;
        follower->next = (Placed){ 0 };
        follower->from_hub = follower->next_from_hub;
        if (is_running(follower, &wanted) || wanted.record == 0)
            clear_error(follower);
        note(follower, false, "runs record %" G_GUINT64_FORMAT " of the deploys%s: %s",
             follower->running.record, follower->from_hub ? "" : ", as kept on the disk",
             follower->running.message);
        tell_changed(follower);
    }
    loop_timer_clear(&follower->hold);
    step(follower);
}

void follower_retry(Follower *follower) {
    try_again(follower);
}

/* --- what stands where */

void follower_stand(const Follower *follower, FollowerStand *ret_stand) {
    *ret_stand = (FollowerStand){
        .warning = follower->keys_error,
        .digest = follower->error ? follower->failed_digest : follower->running.digest,
        .error = follower->error,
    };
}

Value *follower_status(const Follower *follower) {
    const Placed *running = &follower->running;
    const Wanted wanted = wanted_of(follower);
    Value *value = value_new_map();
    if (running->record != 0) {
        value_map_set(value, "record", value_new_int((int64_t)running->record));
        value_map_set(value, "digest", value_new_string(running->digest));
        value_map_set(value, "message", value_new_string(running->message));
        value_map_set(value, "from", value_new_string(follower->from_hub ? "hub" : "disk"));
        value_map_set(value, "good",
                      value_new_bool(follower->good == running->record || !follower->from_hub));
    }
    if (wanted.record != 0)
        value_map_set(value, "wanted", value_new_int((int64_t)wanted.record));
    const char *error = follower->error ? follower->error : follower->keys_error;
    if (error)
        value_map_set(value, "error", value_new_string(error));
    return value;
}

/* --- life */

Follower *follower_new(const FollowerOptions *options, GError **error) {
    g_autoptr(Follower) follower = g_new0(Follower, 1);
    follower->loop = options->loop;
    follower->store = options->store;
    follower->host = g_strdup(options->host);
    follower->listener = options->listener;
    follower->deploys = deploys_open(options->directory, options->pinned, error);
    if (!follower->deploys)
        return NULL;
    follower->pool = worker_pool_new(options->loop, 1);
    g_autofree char *key = g_strconcat(LAYOUT_DESIRED, options->host, NULL);
    MirrorListener of_desired = { .changed = on_desired,
                                  .failed = on_unreadable,
                                  .data = follower };
    MirrorListener of_keys = { .changed = on_keys_changed,
                               .failed = on_unreadable,
                               .data = follower };
    follower->desired = mirror_new_key(options->loop, options->store, key, &of_desired);
    follower->keys = mirror_new_key(options->loop, options->store, LAYOUT_KEYS, &of_keys);
    step(follower);
    return g_steal_pointer(&follower);
}

void follower_free(Follower *follower) {
    if (!follower)
        return;
    follower->closing = true;
    worker_pool_free(follower->pool);
    stop_fetching(follower);
    loop_timer_clear(&follower->retry);
    loop_timer_clear(&follower->hold);
    mirror_free(follower->desired);
    mirror_free(follower->keys);
    deploys_free(follower->deploys);
    placed_clear(&follower->running);
    placed_clear(&follower->next);
    placed_clear(&follower->previous);
    g_free(follower->host);
    g_free(follower->error);
    g_free(follower->noted);
    g_free(follower);
}
