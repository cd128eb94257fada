/* Branches that are followed: what there is, adding and removing them. channels.c does the work. */
#include <string.h>

#include "base/error.h"
#include "fleet/layout.h"
#include "hub/channel.h"
#include "hub/hub-private.h"

Value *show_channel(const StoreEntry *entry, const Value *value) {
    g_autofree char *name = entry_name(entry, LAYOUT_CHANNEL);
    return channel_show(name, value);
}

static void on_channels(Ask *ask, StoreAnswer *answer) {
    ask_answer_page(ask, answer, "channels", LAYOUT_CHANNEL, show_channel);
}

void get_channels(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    unsigned limit;
    const char *after;
    if (ask_page(ask, &limit, &after))
        ask_list(ask, LAYOUT_CHANNEL, after, limit, on_channels);
}

/* Looks up the channel that the path names. */
static void find(HttpRequest *request, AskNext next) {
    Ask *ask = ask_of(request);
    g_free(ask->text);
    ask->text = g_strdup(http_request_part(request, "name"));
    g_autofree char *key = g_strconcat(LAYOUT_CHANNEL, ask->text, NULL);
    ask_get(ask, key, next);
}

/* NULL: answered. */
static Value *found(Ask *ask, const StoreEntry *entry) {
    Value *value = entry_value(entry);
    if (!value)
        http_answer_error(ask->request, 404, "'stead hub channel list' shows them",
                          "no channel '%s'", ask->text);
    return value;
}

static void on_channel(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) value = found(ask, store_answer_entry(answer));
    g_autoptr(Value) shown = value ? channel_show(ask->text, value) : NULL;
    if (shown)
        http_answer_json(ask->request, 200, shown);
}

void get_channel(void *data, HttpRequest *request) {
    find(request, on_channel);
}

/* --- adding ----------------------------------------------------------------------------------- */

static void on_changed(Ask *ask, StoreAnswer *answer) {
    http_answer_json(ask->request, (unsigned)ask->number, ask->body);
}

static void on_free_name(Ask *ask, StoreAnswer *answer) {
    if (store_answer_entry(answer)) {
        http_answer_error(ask->request, 409, "remove it first, or choose another name",
                          "there is a channel '%s' already", ask->text);
        return;
    }
    Write *write = write_new(ask, "channel.add", ask->text);
    Value *settings = g_steal_pointer(&ask->body);
    ask->body = channel_show(ask->text, settings);
    ask->number = 201;
    write_change_shown(write, LAYOUT_CHANNEL, ask->text, NULL, settings, channel_show);
    write_commit(write, on_changed);
}

void post_channel(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) wish = http_request_json(request);
    if (!wish)
        return; /* answered: ask is gone */
    g_autoptr(GError) error = NULL;
    Value *settings = channel_settings(wish, &error);
    if (!settings) {
        http_answer_error(request, 400, NULL, "%s", error->message);
        return;
    }
    value_map_set(settings, "by", value_new_string(ask->who));
    value_map_set(settings, "created", value_new_int(wall_seconds(ask->hub)));
    ask->body = settings;
    ask->text = g_strdup(value_map_string(wish, "name", ""));
    g_autofree char *key = g_strconcat(LAYOUT_CHANNEL, ask->text, NULL);
    ask_get(ask, key, on_free_name);
}

/* --- removing, and looking now ---------------------------------------------------------------- */

static void again_delete(Ask *ask) {
    delete_channel(ask->hub, ask->request);
}

static void on_delete(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    g_autoptr(Value) value = found(ask, entry);
    if (!value)
        return;
    Write *write = write_new(ask, "channel.remove", ask->text);
    value_unref(ask->body);
    ask->body = value_new_map();
    value_map_set(ask->body, "removed", value_new_string(ask->text));
    ask->number = 200;
    ask->again = again_delete; /* the hub notes what came of commits in the same key */
    write_change_shown(write, LAYOUT_CHANNEL, ask->text, entry, NULL, channel_show);
    write_commit(write, on_changed);
}

void delete_channel(void *data, HttpRequest *request) {
    find(request, on_delete);
}

static void again_check(Ask *ask) {
    check_channel(ask->hub, ask->request);
}

static void on_check(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    g_autoptr(Value) value = found(ask, entry);
    if (!value)
        return;
    g_autofree char *id = g_uuid_string_random();
    Value *wanted = map_copy(value, NULL);
    value_map_set(wanted, "check", value_new_string(id));
    Write *write = write_new(ask, "channel.check", ask->text);
    value_unref(ask->body);
    ask->body = channel_show(ask->text, wanted);
    ask->number = 200;
    ask->again = again_check;
    write_change_shown(write, LAYOUT_CHANNEL, ask->text, entry, wanted, channel_show);
    write_commit(write, on_changed);
}

void check_channel(void *data, HttpRequest *request) {
    find(request, on_check);
}
