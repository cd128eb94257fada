/*
 * What /v1/events tells: changes of the store, in their order, to any number of streams. An event's
 * id is "REVISION-INDEX", the same on every hub. The last FEED_ITEMS are kept; a client that was
 * away for longer is told to look at everything again. Streams are served a few hundred at a time,
 * so that the loop stays free.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fleet/layout.h"
#include "hub/gateway.h"

#define SLICE 256u /* streams that are served before others get their turn */

typedef struct {
    int64_t revision;
    int64_t index; /* among the changes of its revision */
} Place;

typedef struct {
    Place place;
    GBytes *event;
    char *host; /* whom it is about; hosts see their own */
} Item;

typedef struct {
    Feed *feed;
    HttpStream *stream;
    Place after; /* told up to here */
    char *host;  /* NULL: sees all */
    char *credential;
} Listener;

struct Feed {
    Hub *hub;
    StoreWatch *watch;
    int64_t revision;       /* told up to here */
    Place floor;            /* the last that is not kept any more */
    GQueue items;           /* of Item */
    GPtrArray *listeners;   /* of Listener */
    unsigned cursor, clean; /* the next listener; those since one was behind */
    bool pumping;
};

static Value *show_all(const StoreEntry *entry, const Value *value) {
    return map_copy(value, NULL);
}

static const struct {
    const char *prefix, *type;
    ShowEntry show;
    bool of_host; /* its name is a host's, who may see it */
} kinds[] = {
    { KEY_HOSTS, "host", show_host, true },
    { KEY_TOKENS, "token", show_token, false },
    { LAYOUT_RECORD, "deploy", show_deploy, false },
    { LAYOUT_ROLLOUT, "rollout", show_all, false },
    { LAYOUT_STAGE, "stage", show_all, true },
    { LAYOUT_CHANNEL, "channel", show_channel, false },
};

static int place_compare(Place a, Place b) {
    if (a.revision != b.revision)
        return a.revision < b.revision ? -1 : 1;
    return (a.index > b.index) - (a.index < b.index);
}

static void item_free(void *data) {
    Item *item = data;
    g_bytes_unref(item->event);
    g_free(item->host);
    g_free(item);
}

static void listener_free(void *data) {
    Listener *listener = data;
    g_free(listener->host);
    g_free(listener->credential);
    g_free(listener);
}

/* --- telling ---------------------------------------------------------------------------------- */

static GBytes *reset_event(const Feed *feed) {
    g_autofree char *id = g_strdup_printf("%" G_GINT64_FORMAT, feed->revision);
    return http_event("reset", id, "{\"hint\":\"too much happened meanwhile: read all again\"}");
}

/* Whether there was something to tell. */
static bool catch_up(Feed *feed, Listener *listener) {
    GList *link = feed->items.tail;
    if (!link || place_compare(((Item *)link->data)->place, listener->after) <= 0)
        return false;
    if (place_compare(listener->after, feed->floor) < 0) {
        g_autoptr(GBytes) reset = reset_event(feed);
        listener->after = ((Item *)link->data)->place;
        http_stream_send(listener->stream, reset);
        return true;
    }
    while (link->prev && place_compare(((Item *)link->prev->data)->place, listener->after) > 0)
        link = link->prev;
    for (; link; link = link->next) {
        const Item *item = link->data;
        listener->after = item->place;
        if (!listener->host || g_strcmp0(listener->host, item->host) == 0)
            http_stream_send(listener->stream, item->event);
    }
    return true;
}

static void pump(void *data) {
    Feed *feed = data;
    for (unsigned i = 0; i < SLICE && feed->clean < feed->listeners->len; i++) {
        if (feed->cursor >= feed->listeners->len)
            feed->cursor = 0;
        bool behind = catch_up(feed, feed->listeners->pdata[feed->cursor++]);
        feed->clean = behind ? 0 : feed->clean + 1;
    }
    feed->pumping = feed->clean < feed->listeners->len;
    if (feed->pumping)
        loop_post(feed->hub->loop, pump, feed);
}

static void start_pump(Feed *feed) {
    feed->clean = 0;
    if (feed->pumping || feed->listeners->len == 0)
        return;
    feed->pumping = true;
    loop_post(feed->hub->loop, pump, feed);
}

/* --- hearing ---------------------------------------------------------------------------------- */

static void keep(Feed *feed, Item *item) {
    g_queue_push_tail(&feed->items, item);
    if (feed->items.length <= FEED_ITEMS)
        return;
    Item *old = g_queue_pop_head(&feed->items);
    feed->floor = old->place;
    item_free(old);
}

static Value *event_value(const StoreEntry *entry, unsigned kind, const char *name) {
    Value *map = value_new_map();
    g_autoptr(Value) value = entry_value(entry);
    value_map_set(map, "type", value_new_string(kinds[kind].type));
    value_map_set(map, "name", value_new_string(name));
    Value *shown = value ? kinds[kind].show(entry, value) : NULL;
    bool gone = !entry->value || (value && !shown); /* or is nobody's business any more */
    value_map_set(map, "change", value_new_string(gone ? "delete" : "put"));
    value_map_set(map, "revision", value_new_int(entry->mod_revision));
    if (shown)
        value_map_set(map, "value", shown);
    return map;
}

static void hear(Feed *feed, const StoreEntry *entry, Place place) {
    size_t size;
    const char *key = g_bytes_get_data(entry->key, &size);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        size_t prefix = strlen(kinds[i].prefix);
        if (size < prefix || memcmp(key, kinds[i].prefix, prefix) != 0)
            continue;
        g_autofree char *name = entry_name(entry, kinds[i].prefix);
        g_autoptr(Value) value = event_value(entry, i, name);
        g_autofree char *text = json_print(value, JSON_COMPACT);
        g_autofree char *id =
            g_strdup_printf("%" G_GINT64_FORMAT "-%" G_GINT64_FORMAT, place.revision, place.index);
        Item *item = g_new0(Item, 1);
        item->place = place;
        item->event = http_event(kinds[i].type, id, text);
        item->host = kinds[i].of_host ? g_strdup(name) : NULL;
        keep(feed, item);
    }
}

/* Ends the streams of those who may not ask any more. */
static void check_credentials(Feed *feed, const StoreEntry *entry) {
    g_autofree char *key = entry_name(entry, "");
    if (!g_str_has_prefix(key, KEY_ALL))
        return;
    gateway_hear(feed->hub->gateway, entry);
    if (g_str_has_prefix(key, KEY_LEASES))
        return;
    g_autoptr(Value) value = entry_value(entry);
    if (value && !value_map_bool(value, "revoked", false))
        return;
    for (unsigned i = 0; i < feed->listeners->len; i++) {
        const Listener *listener = feed->listeners->pdata[i];
        if (g_strcmp0(listener->credential, key) == 0)
            http_stream_end(listener->stream);
    }
}

static void watch_from(Feed *feed, int64_t revision);

static void on_change(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Feed *feed = data;
    if (error) {
        /* What was forgotten is lost to us as well: everybody looks again. */
        store_watch_stop(g_steal_pointer(&feed->watch));
        feed->floor = (Place){ MAX(revision, feed->revision), INT64_MAX };
        gateway_reset(feed->hub->gateway);
        usage_reset(feed->hub->usage);
        if (g_error_matches(error, STORE_ERROR, STORE_ERROR_COMPACTED))
            watch_from(feed, revision + 1);
        return;
    }
    Place place = { 0 };
    const GList *last = feed->items.tail;
    for (unsigned i = 0; events && i < events->len; i++) {
        const StoreEntry *entry = events->pdata[i];
        place.index = entry->mod_revision == place.revision ? place.index + 1 : 0;
        place.revision = entry->mod_revision;
        hear(feed, entry, place);
        check_credentials(feed, entry);
        usage_hear(feed->hub->usage, entry);
    }
    usage_heard(feed->hub->usage, revision);
    feed->revision = MAX(feed->revision, revision);
    if (feed->items.tail != last)
        start_pump(feed);
}

/* Of all keys: two watches would tell changes of either out of their order. */
static void watch_from(Feed *feed, int64_t revision) {
    feed->watch = store_watch(feed->hub->state, NULL, false, revision, on_change, feed);
}

/* --- listeners -------------------------------------------------------------------------------- */

static void on_closed(void *data) {
    Listener *listener = data;
    (void)g_ptr_array_remove_fast(listener->feed->listeners, listener);
}

/* "12-3", or "12" for all of that revision. */
static bool parse_place(const char *text, Place *ret) {
    char *end;
    ret->revision = g_ascii_strtoll(text, &end, 10);
    ret->index = INT64_MAX;
    if (end == text || ret->revision < 0)
        return false;
    if (*end == '-') {
        const char *start = end + 1;
        ret->index = g_ascii_strtoll(start, &end, 10);
        if (end == start || ret->index < 0)
            return false;
    }
    return *end == '\0';
}

void feed_attach(Feed *feed, Ask *ask, const char *after) {
    Place place = { feed->revision, INT64_MAX };
    if (after && !parse_place(after, &place)) {
        http_answer_error(ask->request, 400, "it is the id of an event, as '12-0'",
                          "read 'Last-Event-ID': '%.40s' is none", after);
        return;
    }
    Listener *listener = g_new0(Listener, 1);
    listener->feed = feed;
    listener->after = place;
    listener->host = g_strdup(ask->host);
    listener->credential = g_strdup(ask->credential);
    listener->stream = http_answer_stream(ask->request, on_closed, listener);
    if (!listener->stream) {
        listener_free(listener);
        return;
    }
    g_ptr_array_add(feed->listeners, listener);
    g_autoptr(GBytes) hello = http_event("hello", NULL, "{}");
    http_stream_send(listener->stream, hello);
    if (place_compare(place, feed->floor) < 0) {
        g_autoptr(GBytes) reset = reset_event(feed);
        listener->after = (Place){ feed->revision, INT64_MAX };
        http_stream_send(listener->stream, reset);
    }
    start_pump(feed);
}

int64_t feed_revision(const Feed *feed) {
    return feed->revision;
}

/* Looks back a little, for clients that were connected to the hub before this one started. */
Feed *feed_new(Hub *hub, int64_t revision) {
    Feed *feed = g_new0(Feed, 1);
    feed->hub = hub;
    feed->revision = revision;
    int64_t from = MAX(1, revision - (int64_t)FEED_ITEMS);
    feed->floor = (Place){ from - 1, INT64_MAX };
    feed->listeners = g_ptr_array_new_with_free_func(listener_free);
    g_queue_init(&feed->items);
    watch_from(feed, from);
    return feed;
}

void feed_free(Feed *feed) {
    if (!feed)
        return;
    store_watch_stop(feed->watch);
    loop_unpost(feed->hub->loop, pump, feed);
    g_ptr_array_unref(feed->listeners);
    g_queue_clear_full(&feed->items, item_free);
    g_free(feed);
}
