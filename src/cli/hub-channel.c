#include "cli/hub-channel.h"

#include <string.h>

#include "base/error.h"
#include "cli/hub-verbs.h"
#include "cli/time-text.h"

#define CHECK_PATIENCE_US (330 * (int64_t)G_USEC_PER_SEC) /* a hub gives a repository 300 s */
#define CHECK_LOOK_US     (100 * (uint64_t)G_TIME_SPAN_MILLISECOND)
#define COMMIT_SHOWN      12 /* digits */

static bool is_good(const Value *channel) {
    const char *outcome = value_map_string(channel, "outcome", "");
    return !value_map_get(channel, "problem") &&
           (strcmp(outcome, "deployed") == 0 || strcmp(outcome, "current") == 0);
}

/* What came of the commit seen last. */
static char *outcome_of(const Value *channel) {
    const char *outcome = value_map_string(channel, "outcome", NULL);
    const char *why = value_map_string(channel, "why", "");
    if (!outcome)
        return g_strdup("nothing was looked at yet");
    g_autofree char *since = time_show(value_map_int(channel, "since", 0) * G_USEC_PER_SEC);
    int64_t record = value_map_int(channel, "record", 0);
    g_autofree char *what =
        strcmp(outcome, "deployed") == 0
            ? g_strdup_printf("deployed as %" G_GINT64_FORMAT ": %s", record, why)
        : strcmp(outcome, "current") == 0 ? g_strdup_printf("nothing to do: %s", why)
                                          : g_strdup_printf("not deployed: %s", why);
    return g_strdup_printf("commit %.*s, since %s: %s", COMMIT_SHOWN,
                           value_map_string(channel, "commit", ""), since, what);
}

static void show(Printer *printer, const Value *channel) {
    if (printer_is_json(printer)) {
        printer_json(printer, "channel", hub_copy(channel));
        return;
    }
    const char *directory = value_map_string(channel, "directory", "");
    g_autofree char *outcome = outcome_of(channel);
    bool is_new = !value_map_get(channel, "outcome") && !value_map_get(channel, "problem");
    printer_line(
        printer, STYLE_STRONG, "%s follows %s#%s%s%s every %" G_GINT64_FORMAT " s, to '%s'",
        value_map_string(channel, "name", ""), value_map_string(channel, "repository", ""),
        value_map_string(channel, "branch", ""), *directory ? ", directory " : "", directory,
        value_map_int(channel, "interval", 0), value_map_string(channel, "to", "all"));
    printer_line(printer, is_new || is_good(channel) ? STYLE_PLAIN : STYLE_BAD, "  %s", outcome);
    if (value_map_get(channel, "problem")) {
        g_autofree char *since =
            time_show(value_map_int(channel, "problem_since", 0) * G_USEC_PER_SEC);
        printer_line(printer, STYLE_BAD, "  since %s: %s", since,
                     value_map_string(channel, "problem", ""));
    }
}

static char *path_of(const char *name, const char *after) {
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    return g_strconcat("/v1/channels/", escaped, after, NULL);
}

static bool add(HubContext *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    const char *sign = strrchr(words[1], '#');
    int64_t interval = 60;
    if (!sign || !sign[1]) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead hub channel add: name the branch behind the address, as in URL#main");
        return false;
    }
    if (arguments->interval &&
        !time_span_parse("--interval", arguments->interval, &interval, error))
        return false;
    g_autofree char *repository = g_strndup(words[1], (size_t)(sign - words[1]));
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "name", value_new_string(words[0]));
    value_map_set(wish, "repository", value_new_string(repository));
    value_map_set(wish, "branch", value_new_string(sign + 1));
    value_map_set(wish, "interval", value_new_int(interval));
    if (arguments->directory)
        value_map_set(wish, "directory", value_new_string(arguments->directory));
    if (arguments->to)
        value_map_set(wish, "to", value_new_string(arguments->to));
    if (arguments->strategy)
        value_map_set(wish, "strategy", value_new_string(arguments->strategy));
    g_autoptr(Value) channel = hub_call(&context->link, "POST", "/v1/channels", wish, error);
    if (channel)
        show(context->printer, channel);
    return channel != NULL;
}

static bool list(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) all = hub_list(&context->link, "/v1/channels", "channels", error);
    for (size_t i = 0; all && i < value_size(all); i++)
        show(context->printer, value_list_at(all, i));
    if (all && value_size(all) == 0 && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_PLAIN,
                     "no branch is followed; 'stead hub channel add NAME URL#BRANCH' begins");
    return all != NULL;
}

/* Waits until the hub that leads has looked. */
static Value *await_check(HubContext *context, const char *name, const char *id, GError **error) {
    g_autofree char *path = path_of(name, ""), *wanted = g_strdup(id);
    for (int64_t end = g_get_monotonic_time() + CHECK_PATIENCE_US; g_get_monotonic_time() < end;
         g_usleep(CHECK_LOOK_US)) {
        g_autoptr(Value) channel = hub_call(&context->link, "GET", path, NULL, error);
        if (!channel || strcmp(value_map_string(channel, "checked", ""), wanted) == 0)
            return g_steal_pointer(&channel);
        /* Somebody else wants it looked at too: theirs comes later than ours. */
        g_free(wanted);
        wanted = g_strdup(value_map_string(channel, "check", ""));
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                "check '%s': no hub has looked at it for %d s; does one lead? 'stead deploy "
                "status' and its log tell",
                name, (int)(CHECK_PATIENCE_US / G_USEC_PER_SEC));
    return NULL;
}

static bool check(HubContext *context, char **words, GError **error) {
    g_autofree char *path = path_of(words[0], "/check");
    g_autoptr(Value) nothing = value_new_map();
    g_autoptr(Value) asked = hub_call(&context->link, "POST", path, nothing, error);
    g_autoptr(Value) channel =
        asked ? await_check(context, words[0], value_map_string(asked, "check", ""), error) : NULL;
    if (!channel)
        return false;
    show(context->printer, channel);
    context->code = is_good(channel) ? EXIT_DONE : EXIT_FAILURES;
    return true;
}

static bool remove_one(HubContext *context, char **words, GError **error) {
    g_autofree char *path = path_of(words[0], "");
    g_autoptr(Value) answer = hub_call(&context->link, "DELETE", path, NULL, error);
    if (answer && printer_is_json(context->printer))
        printer_json(context->printer, "removed", hub_copy(answer));
    else if (answer)
        printer_line(context->printer, STYLE_PLAIN,
                     "%s is followed no longer; what it deployed "
                     "stays",
                     words[0]);
    return answer != NULL;
}

static const HubVerb verbs[] = {
    { { "add", "NAME URL#BRANCH", 2, 2 }, add },
    { { "list", "", 0, 0 }, list },
    { { "check", "NAME", 1, 1 }, check },
    { { "remove", "NAME", 1, 1 }, remove_one },
};

static bool work(HubContext *context, char **words, GError **error) {
    return HUB_VERBS_WORK(context, "hub channel", verbs, words, error);
}

int hub_channel(const Arguments *arguments, char **words) {
    return hub_run(arguments, words, work);
}
