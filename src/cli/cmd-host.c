/* stead host: the members of a fleet. */
#include <string.h>

#include "cli/commands.h"
#include "cli/hub-verbs.h"
#include "cli/labels.h"
#include "cli/time-text.h"

static void show_host(Printer *printer, const Value *host) {
    if (printer_is_json(printer)) {
        printer_json(printer, "host", hub_copy(host));
        return;
    }
    g_autofree char *joined = time_show(value_map_int(host, "joined", 0) * G_USEC_PER_SEC);
    g_autofree char *until = time_show(value_map_int(host, "expires", 0) * G_USEC_PER_SEC);
    bool revoked = value_map_bool(host, "revoked", false);
    printer_line(printer, revoked ? STYLE_BAD : STYLE_PLAIN, "%s joined %s, %s%s",
                 value_map_string(host, "name", ""), joined,
                 revoked ? "revoked" : "certificate until ", revoked ? "" : until);
}

/* Its labels and grants. */
static void show_member(Printer *printer, const Value *host) {
    if (printer_is_json(printer)) {
        printer_json(printer, "host", hub_copy(host));
        return;
    }
    const Value *labels = value_map_get(host, "labels"), *grants = value_map_get(host, "grants");
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; labels && i < value_size(labels); i++) {
        const char *name;
        const Value *label = value_map_at(labels, i, &name);
        g_string_append_printf(text, " %s=%s", name, value_string(label));
    }
    g_autoptr(GString) paths = g_string_new(NULL);
    for (size_t i = 0; grants && i < value_size(grants); i++)
        g_string_append_printf(paths, " %s", value_string(value_list_at(grants, i)));
    printer_line(printer, STYLE_PLAIN, "labels:%s", text->len ? text->str : " none");
    printer_line(printer, STYLE_PLAIN, "may publish: its own name%s%s", paths->len ? "," : "",
                 paths->str);
}

static bool list(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) all = hub_list(&context->link, "/v1/hosts", "hosts", error);
    for (size_t i = 0; all && i < value_size(all); i++)
        show_host(context->printer, value_list_at(all, i));
    return all != NULL;
}

static bool show(HubContext *context, char **words, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(words[0], NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/hosts/", escaped, NULL);
    g_autoptr(Value) host = hub_call(&context->link, "GET", path, NULL, error);
    if (host)
        show_host(context->printer, host);
    if (host && !printer_is_json(context->printer))
        show_member(context->printer, host);
    return host != NULL;
}

static bool revoke_one(HubContext *context, char **words, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(words[0], NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/hosts/", escaped, "/revoke", NULL);
    g_autoptr(Value) nothing = value_new_map();
    g_autoptr(Value) answer = hub_call(&context->link, "POST", path, nothing, error);
    if (answer && printer_is_json(context->printer))
        printer_json(context->printer, "revoked", hub_copy(answer));
    else if (answer)
        printer_line(context->printer, STYLE_PLAIN,
                     "revoked %s; it may join again with a new token", words[0]);
    return answer != NULL;
}

/* --- labels and grants */

static bool change(HubContext *context, const char *name, const Value *wish, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/hosts/", escaped, "/change", NULL);
    g_autoptr(Value) host = hub_call(&context->link, "POST", path, wish, error);
    if (host)
        show_member(context->printer, host);
    return host != NULL;
}

/* "role=db" sets it, "site-" takes it away. */
static bool label(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) wish = value_new_map();
    g_autoptr(GPtrArray) added = g_ptr_array_new(), removed = g_ptr_array_new();
    g_autoptr(GPtrArray) owned = g_ptr_array_new_with_free_func(g_free);
    for (char **word = words + 1; *word; word++) {
        if (strchr(*word, '=') || !g_str_has_suffix(*word, "-")) {
            g_ptr_array_add(added, *word);
            continue;
        }
        g_ptr_array_add(owned, g_strndup(*word, strlen(*word) - 1));
        g_ptr_array_add(removed, owned->pdata[owned->len - 1]);
    }
    g_ptr_array_add(added, NULL);
    g_ptr_array_add(removed, NULL);
    if (!labels_add(wish, (const char *const *)added->pdata, "stead host label", error))
        return false;
    value_map_set(wish, "remove_labels", labels_list((const char *const *)removed->pdata));
    return change(context, words[0], wish, error);
}

/* "lb/" grants it, "lb/-" takes it back. */
static bool grant(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) wish = value_new_map();
    Value *added = value_new_list(), *removed = value_new_list();
    for (char **word = words + 1; *word; word++) {
        g_autofree char *path = g_strdup(*word);
        bool is_removed = g_str_has_suffix(path, "-");
        if (is_removed)
            path[strlen(path) - 1] = '\0';
        value_list_append(is_removed ? removed : added, value_new_string(path));
    }
    value_map_set(wish, "grants", added);
    value_map_set(wish, "remove_grants", removed);
    return change(context, words[0], wish, error);
}

static const HubVerb verbs[] = {
    { { "list", "", 0, 0 }, list },
    { { "show", "HOST", 1, 1 }, show },
    { { "label", "HOST NAME=TEXT... NAME-...", 2, ANY }, label },
    { { "grant", "HOST PATH... PATH-...", 2, ANY }, grant },
    { { "revoke", "HOST", 1, 1 }, revoke_one },
};

static bool work(HubContext *context, char **words, GError **error) {
    return HUB_VERBS_WORK(context, "host", verbs, words, error);
}

static int run(const Arguments *arguments, char **words) {
    return hub_run(arguments, words, work);
}

static const Option *const options[] = {
    &option_data, &option_hub,   &option_ca,       &option_token_file,
    &option_json, &option_quiet, &option_no_color, NULL,
};

const Command command_host = {
    .name = "host",
    .arguments = "list | show HOST | label HOST NAME=TEXT... | grant HOST PATH... | revoke HOST",
    .min_arguments = 1,
    .max_arguments = ANY,
    .summary = "See the members of a fleet, turn one away",
    .help =
        "A machine becomes a member with `stead agent join`. label says what it is, for "
        "selectors: role=db sets a\n"
        "label, role- takes it away. grant lets it publish below PATH in the exchange besides its "
        "own name; PATH-\n"
        "takes that back. revoke turns it away at once: none of its certificates is accepted any "
        "more, its\n"
        "connections end, and the fleet forgets what it said.",
    .example = "stead host revoke web1",
    .options = options,
    .run = run,
};
