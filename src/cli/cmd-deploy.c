/* stead deploy: bring a configuration to the hosts of a fleet, and see how that goes. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/printable.h"
#include "bundle/bundle.h"
#include "cli/commands.h"
#include "cli/deploy-diff.h"
#include "cli/deploy-publish.h"
#include "cli/deploy-watch.h"
#include "cli/hub-verbs.h"
#include "cli/time-text.h"

#define HISTORY_SHOWN 20

/* --- orders */

static bool order(HubContext *context, const char *command, GError **error) {
    const char *why = context->arguments->message;
    if (!why && strcmp(command, "resume") != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead deploy %s: say why with -m \"why\"; others read it later", command);
        return false;
    }
    g_autofree char *path = g_strconcat("/v1/rollout/", command, NULL);
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "why", value_new_string(why ? why : "it was mended"));
    g_autoptr(Value) answer = hub_call(&context->link, "POST", path, wish, error);
    if (answer && printer_is_json(context->printer))
        printer_json(context->printer, "ordered", hub_copy(answer));
    else if (answer && !printer_is_quiet(context->printer))
        printer_line(context->printer, STYLE_PLAIN,
                     "the rollout was told to %s; 'stead deploy status' shows how it goes",
                     command);
    return answer != NULL;
}

static bool pause_it(HubContext *context, char **words, GError **error) {
    return order(context, "pause", error);
}

static bool resume(HubContext *context, char **words, GError **error) {
    return order(context, "resume", error);
}

static bool abort_it(HubContext *context, char **words, GError **error) {
    return order(context, "abort", error);
}

static bool revert(HubContext *context, char **words, GError **error) {
    return order(context, "revert", error);
}

static bool forgive(HubContext *context, char **words, GError **error) {
    char hex[DIGEST_HEX_SIZE];
    g_autofree char *digest = deploy_digest(&context->link, words[0], error);
    if (!digest || !bundle_parse_name(digest, hex, error))
        return false;
    g_autofree char *path = g_strconcat("/v1/bundles/", hex, "/forgive", NULL);
    g_autoptr(Value) nothing = value_new_map();
    g_autoptr(Value) answer = hub_call(&context->link, "POST", path, nothing, error);
    if (answer && printer_is_json(context->printer))
        printer_json(context->printer, "forgiven", hub_copy(answer));
    else if (answer && !printer_is_quiet(context->printer))
        printer_line(context->printer, STYLE_PLAIN, "%s%s may be deployed again",
                     BUNDLE_NAME_PREFIX, hex);
    return answer != NULL;
}

/* --- looking */

static bool status(HubContext *context, char **words, GError **error) {
    context->code =
        deploy_show_status(context->printer, &context->link, context->arguments->watch, error);
    return context->code >= 0;
}

static void show_record(Printer *printer, const Value *deploy, bool whole) {
    if (printer_is_json(printer)) {
        printer_json(printer, "deploy", hub_copy_at(deploy, G_USEC_PER_SEC));
        return;
    }
    const Value *outcome = value_map_get(deploy, "outcome");
    const char *over = outcome ? value_map_string(outcome, "outcome", "") : "under way";
    g_autofree char *when = time_show(value_map_int(deploy, "time", 0) * G_USEC_PER_SEC);
    Style style = !outcome                          ? STYLE_CHANGE
                  : strcmp(over, "done") == 0       ? STYLE_PLAIN
                  : strcmp(over, "superseded") == 0 ? STYLE_DIM
                                                    : STYLE_BAD;
    g_autofree char *message =
        printable_text(value_map_string(deploy, "message", ""), PRINTABLE_PLAIN);
    printer_line(printer, style, "%" G_GINT64_FORMAT " %s %.19s %s by %s: %s",
                 value_map_int(deploy, "record", 0), when, value_map_string(deploy, "digest", ""),
                 over, value_map_string(deploy, "by", ""), message);
    if (!whole)
        return;
    printer_line(printer, STYLE_PLAIN, "  bundle %s", value_map_string(deploy, "digest", ""));
    if (value_map_bool(deploy, "bad", false))
        printer_line(printer, STYLE_BAD,
                     "  its bundle was reverted: 'stead deploy forgive %" G_GINT64_FORMAT
                     "' lets it be deployed again",
                     value_map_int(deploy, "record", 0));
    printer_line(printer, STYLE_PLAIN, "  to '%s', %s", value_map_string(deploy, "to", ""),
                 *value_map_string(deploy, "strategy", "")
                     ? value_map_string(deploy, "strategy", "")
                     : "the strategy that is usual");
    if (outcome)
        printer_line(printer, STYLE_PLAIN, "  %s: %s", over, value_map_string(outcome, "why", ""));
    g_auto(GStrv) lines = g_strsplit(value_map_string(deploy, "statement", ""), "\n", -1);
    for (char **line = lines; *line && **line; line++)
        printer_line(printer, STYLE_DIM, "  %s", *line);
}

static bool history(HubContext *context, char **words, GError **error) {
    int limit = context->arguments->limit > 0 ? context->arguments->limit : HISTORY_SHOWN;
    g_autoptr(Value) rollout = hub_call(&context->link, "GET", "/v1/rollout", NULL, error);
    if (!rollout)
        return false;
    g_autofree char *path = g_strdup_printf("/v1/deploys?after=%" G_GINT64_FORMAT,
                                            MAX(value_map_int(rollout, "record", 0) - limit, 0));
    g_autoptr(Value) deploys = hub_list(&context->link, path, "deploys", error);
    /* One that no hub has begun with is behind that of the rollout. */
    for (size_t n = deploys ? value_size(deploys) : 0, i = n; i > n - MIN(n, (size_t)limit); i--)
        show_record(context->printer, value_list_at(deploys, i - 1), false);
    if (deploys && value_size(deploys) == 0 && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_PLAIN, "nothing was ever deployed");
    return deploys != NULL;
}

static bool show(HubContext *context, char **words, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(words[0], NULL, FALSE);
    g_autofree char *path = g_strconcat("/v1/deploys/", escaped, NULL);
    g_autoptr(Value) deploy = hub_call(&context->link, "GET", path, NULL, error);
    if (deploy)
        show_record(context->printer, deploy, true);
    return deploy != NULL;
}

static bool diff(HubContext *context, char **words, GError **error) {
    return deploy_diff(context->printer, &context->link, words[0], words[1], context->arguments,
                       error);
}

static const HubVerb verbs[] = {
    { { "status", "", 0, 0 }, status },   { { "pause", "", 0, 0 }, pause_it },
    { { "resume", "", 0, 0 }, resume },   { { "abort", "", 0, 0 }, abort_it },
    { { "revert", "", 0, 0 }, revert },   { { "forgive", "N", 1, 1 }, forgive },
    { { "history", "", 0, 0 }, history }, { { "show", "N", 1, 1 }, show },
    { { "diff", "N M", 2, 2 }, diff },
};

static bool is_verb(const char *word) {
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].verb.name, word) == 0)
            return true;
    return false;
}

/* A directory is no verb; what is neither is told as a verb that there is not. */
static bool run_words(HubContext *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    bool is_directory =
        !is_verb(words[0]) && !words[1] && g_file_test(words[0], G_FILE_TEST_IS_DIR);
    if (is_directory && arguments->sign_only) {
        context->code = deploy_sign_directory(arguments, context->printer, words[0], error);
        return context->code == EXIT_DONE;
    }
    if (is_directory) {
        if (!hub_link_open(&context->link, arguments, error))
            return false;
        context->code =
            deploy_publish_directory(arguments, context->printer, &context->link, words[0], error);
        return context->code == EXIT_DONE;
    }
    bool done = HUB_VERBS_WORK(context, "deploy", verbs, words, error);
    if (!done && !is_verb(words[0]))
        g_prefix_error(error, "'%s' is no directory: ", words[0]);
    return done;
}

static int run(const Arguments *arguments, char **words) {
    return hub_run(arguments, words, run_words);
}

#define TO(member) offsetof(Arguments, member)

static const Option option_message = {
    "message", 'm', G_OPTION_ARG_STRING, TO(message), "TEXT", "Why, in one line",
};
static const Option option_to = {
    "to",
    0,
    G_OPTION_ARG_STRING,
    TO(to),
    "SELECTOR",
    "For which hosts: all, web*, 'role=web and site=ams1' (default: as deploy.yaml says, or all)",
};
static const Option option_strategy = {
    "strategy",
    0,
    G_OPTION_ARG_STRING,
    TO(strategy),
    "STRATEGY",
    "How it goes from host to host: batch=2,soak=60s,max-failures=1 (default: as deploy.yaml says)",
};
static const Option option_deploy_key = {
    "key",
    0,
    G_OPTION_ARG_FILENAME,
    TO(key),
    "FILE",
    "The private key that signs it (also: STEAD_DEPLOY_KEY; default: ~/.config/stead/deploy.key)",
};
static const Option option_yes = {
    "yes", 'y', G_OPTION_ARG_NONE, TO(yes), NULL, "Publish without asking",
};
static const Option option_sign_only = {
    "sign-only",
    0,
    G_OPTION_ARG_NONE,
    TO(sign_only),
    NULL,
    "Sign it into DIR/.stead-deploy, to be committed: a hub that follows the branch deploys it",
};
static const Option option_watch = {
    "watch", 0, G_OPTION_ARG_NONE, TO(watch), NULL, "status: until it is over",
};
static const Option option_diff_host = {
    "host", 0, G_OPTION_ARG_STRING, TO(host), "HOST", "diff: of what HOST would have, instead",
};

static const Option *const options[] = {
    &option_message,
    &option_to,
    &option_strategy,
    &option_deploy_key,
    &option_yes,
    &option_sign_only,
    &option_values,
    &option_secrets,
    &option_watch,
    &option_diff_host,
    &option_limit,
    &option_data,
    &option_hub,
    &option_ca,
    &option_token_file,
    &option_json,
    &option_quiet,
    &option_no_color,
    NULL,
};

const Command command_deploy = {
    .name = "deploy",
    .arguments = "DIR | status | pause | resume | abort | revert | forgive N | history | show N | "
                 "diff N M",
    .min_arguments = 1,
    .max_arguments = 3,
    .summary = "Bring a configuration to the hosts of a fleet",
    .help = "DIR, which begins with main.lua, is packed, tried with the facts of every host it is "
            "meant for, and\n"
            "shown: what is added, changed and removed on which hosts. Then it is signed and "
            "published as the next\n"
            "deploy; the hub brings it to a few hosts at a time and stops when they fail.\n\n"
            "status tells how it goes; it exits with 4 when the rollout has halted or was "
            "reverted, with 3 when\n"
            "the hub gives no answer. pause holds it, resume goes on and tries failed hosts again, "
            "abort leaves all as\n"
            "it is, revert brings back what hosts had, and marks the bundle as bad until forgive. "
            "history, show and\n"
            "diff tell of earlier deploys; N is a number, or the name of a bundle. See "
            "doc/deploys.md.\n\n"
            "--sign-only publishes nothing: the signature comes into DIR, to be committed with "
            "it, and a hub that\n"
            "follows the branch deploys it (stead hub channel). The number is the next one of the "
            "hub, or where none is\n"
            "named the one after the signature that is there.",
    .example = "stead deploy site -m \"a new motd\" --to role=web",
    .options = options,
    .run = run,
};
