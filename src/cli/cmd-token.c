/* stead token: who may ask a hub, and which hosts may join it. */
#include <string.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/hub-verbs.h"
#include "cli/labels.h"
#include "cli/time-text.h"
#include "pki/pki.h"

static Value *wish_of(const Arguments *arguments, const char *name, GError **error) {
    g_autoptr(Value) wish = value_new_map();
    int64_t ttl = 0;
    if (arguments->ttl && !time_span_parse("--ttl", arguments->ttl, &ttl, error))
        return NULL;
    if (ttl > 0)
        value_map_set(wish, "ttl", value_new_int(ttl));
    if ((name != NULL) == (arguments->host != NULL)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "stead token new: say either --host HOST, for one that is to join, or "
                            "the NAME of a person and --role");
        return NULL;
    }
    if (arguments->host)
        value_map_set(wish, "host", value_new_string(arguments->host));
    if (name)
        value_map_set(wish, "name", value_new_string(name));
    if (arguments->labels &&
        !labels_add(wish, (const char *const *)arguments->labels, "--label", error))
        return NULL;
    if (arguments->may_publish)
        value_map_set(wish, "grants", labels_list((const char *const *)arguments->may_publish));
    if (arguments->role)
        value_map_set(wish, "role", value_new_string(arguments->role));
    return g_steal_pointer(&wish);
}

static bool show_token(const HubContext *context, Value *answer, GError **error) {
    if (printer_is_json(context->printer)) {
        printer_json(context->printer, "token", hub_copy(answer));
        return true;
    }
    const char *token = value_map_string(answer, "token", "");
    if (!context->arguments->host) {
        printer_line(context->printer, STYLE_PLAIN, "%s", token);
        return true;
    }
    g_autoptr(PkiCertificate) authority =
        pki_certificate_parse(context->link.ca, strlen(context->link.ca), "ca.pem", error);
    if (!authority)
        return false;
    g_autofree char *print = pki_certificate_fingerprint(authority);
    printer_line(context->printer, STYLE_PLAIN,
                 "stead agent join %s --token %s --ca-fingerprint %s",
                 value_map_string(answer, "url", context->link.url), token, print);
    return true;
}

static bool make(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) wish = wish_of(context->arguments, words[0], error);
    g_autoptr(Value) answer =
        wish ? hub_call(&context->link, "POST", "/v1/tokens", wish, error) : NULL;
    return answer && show_token(context, answer, error);
}

static void list_token(Printer *printer, const Value *token) {
    if (printer_is_json(printer)) {
        printer_json(printer, "token", hub_copy(token));
        return;
    }
    const char *host = value_map_string(token, "host", NULL);
    int64_t expires = value_map_int(token, "expires", 0);
    g_autofree char *until = expires ? time_show(expires * G_USEC_PER_SEC) : g_strdup("for ever");
    printer_line(printer, STYLE_PLAIN, "%s %s %s, %s%s", value_map_string(token, "id", ""),
                 host ? "join" : value_map_string(token, "role", ""),
                 host ? host : value_map_string(token, "name", ""), expires ? "until " : "", until);
}

static bool list(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) all = hub_list(&context->link, "/v1/tokens", "tokens", error);
    for (size_t i = 0; all && i < value_size(all); i++)
        list_token(context->printer, value_list_at(all, i));
    return all != NULL;
}

static bool remove_one(HubContext *context, char **words, GError **error) {
    g_autofree char *id = g_uri_escape_string(words[0], NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/tokens/", id, NULL);
    g_autoptr(Value) answer = hub_call(&context->link, "DELETE", path, NULL, error);
    if (answer && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_PLAIN, "removed %s", words[0]);
    return answer != NULL;
}

static const HubVerb verbs[] = {
    { { "new", "[NAME]", 0, 1 }, make },
    { { "list", "", 0, 0 }, list },
    { { "remove", "ID", 1, 1 }, remove_one },
};

static bool work(HubContext *context, char **words, GError **error) {
    return HUB_VERBS_WORK(context, "token", verbs, words, error);
}

static int run(const Arguments *arguments, char **words) {
    return hub_run(arguments, words, work);
}

#define TO(member) offsetof(Arguments, member)

static const Option option_host = {
    "host", 0, G_OPTION_ARG_STRING, TO(host), "HOST", "new: lets the machine HOST join, once",
};
static const Option option_role = {
    "role", 0, G_OPTION_ARG_STRING, TO(role), "ROLE", "new: reader, operator or admin",
};
static const Option option_ttl = {
    "ttl",
    0,
    G_OPTION_ARG_STRING,
    TO(ttl),
    "TIME",
    "new: how long it is good: 90s, 15m, 1h, 7d (default: 1h for a host, for ever for a person)",
};

static const Option option_label = {
    "label",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    TO(labels),
    "NAME=TEXT",
    "new --host: a label of the host, which selectors look at (repeatable)",
};

static const Option *const options[] = {
    &option_host, &option_label, &option_may_publish, &option_role, &option_ttl,   &option_data,
    &option_hub,  &option_ca,    &option_token_file,  &option_json, &option_quiet, &option_no_color,
    NULL,
};

const Command command_token = {
    .name = "token",
    .arguments = "new [NAME] | list | remove ID",
    .min_arguments = 1,
    .max_arguments = 2,
    .summary = "Let hosts join a hub, and people ask it",
    .help = "new --host HOST prints the call that makes the machine HOST a member, to be run there "
            "once; --label and\n"
            "--may-publish say what it is, and what it may publish besides its own name. new NAME\n"
            "--role ROLE prints a token for a person or a program: reader sees everything, "
            "operator changes the\n"
            "fleet, admin also makes tokens. list shows them without their secrets, which nobody "
            "keeps; remove\n"
            "takes effect at once.",
    .example = "stead token new --host web1 --ttl 15m",
    .options = options,
    .run = run,
};
