/* stead host: the members of a fleet. */
#include "cli/commands.h"
#include "cli/hub-call.h"
#include "cli/printer.h"
#include "cli/time-text.h"
#include "cli/verbs.h"

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

static bool list(Printer *printer, const HubLink *link, const char *name, GError **error) {
    g_autoptr(Value) all = hub_list(link, "/v1/hosts", "hosts", error);
    for (size_t i = 0; all && i < value_size(all); i++)
        show_host(printer, value_list_at(all, i));
    return all != NULL;
}

static bool show(Printer *printer, const HubLink *link, const char *name, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/hosts/", escaped, NULL);
    g_autoptr(Value) host = hub_call(link, "GET", path, NULL, error);
    if (host)
        show_host(printer, host);
    return host != NULL;
}

static bool revoke_one(Printer *printer, const HubLink *link, const char *name, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/hosts/", escaped, "/revoke", NULL);
    g_autoptr(Value) nothing = value_new_map();
    g_autoptr(Value) answer = hub_call(link, "POST", path, nothing, error);
    if (answer && printer_is_json(printer))
        printer_json(printer, "revoked", hub_copy(answer));
    else if (answer)
        printer_line(printer, STYLE_PLAIN, "revoked %s; it may join again with a new token", name);
    return answer != NULL;
}

static const struct {
    Verb verb;
    bool (*run)(Printer *printer, const HubLink *link, const char *name, GError **error);
} verbs[] = {
    { { "list", "", 0, 0 }, list },
    { { "show", "HOST", 1, 1 }, show },
    { { "revoke", "HOST", 1, 1 }, revoke_one },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    g_auto(HubLink) link = { 0 };
    int verb = VERB_FIND("host", verbs, words, &error);
    if (verb >= 0 && hub_link_open(&link, arguments, &error) &&
        verbs[verb].run(printer, &link, words[1], &error))
        return EXIT_DONE;
    printer_error(printer, error);
    return hub_exit_code(error);
}

static const Option *const options[] = {
    &option_data, &option_hub,   &option_ca,       &option_token_file,
    &option_json, &option_quiet, &option_no_color, NULL,
};

const Command command_host = {
    .name = "host",
    .arguments = "list | show HOST | revoke HOST",
    .min_arguments = 1,
    .max_arguments = 2,
    .summary = "See the members of a fleet, turn one away",
    .help =
        "A machine becomes a member with `stead agent join`. revoke turns it away at once: none "
        "of its\n"
        "certificates is accepted any more, and its connections end.",
    .example = "stead host revoke web1",
    .options = options,
    .run = run,
};
