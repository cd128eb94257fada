#include "hub/channel.h"

#include <string.h>

#include "base/error.h"
#include "fleet/selector.h"
#include "fleet/strategy.h"
#include "hub/git.h"
#include "hub/hub-private.h"

#define SIGN_AGAIN "'stead deploy DIR --sign-only', then commit '" BUNDLE_STATEMENT "'"

static const char *const names[] = {
    [VERDICT_DEPLOY] = "deploy",     [VERDICT_DEPLOYED] = "deployed", [VERDICT_CURRENT] = "current",
    [VERDICT_UNSIGNED] = "unsigned", [VERDICT_REFUSED] = "refused",   [VERDICT_STALE] = "stale",
};

const char *verdict_name(Verdict verdict) {
    return names[verdict];
}

/* --- commits */

static Verdict say(Verdict verdict, char **ret_why, const char *format, ...) G_GNUC_PRINTF(3, 4);

static Verdict say(Verdict verdict, char **ret_why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    *ret_why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return verdict;
}

static Verdict judge_order(const ChannelCommit *commit, const Statement *read, char **ret_why) {
    const char *newest = commit->newest ? commit->newest_digest : "";
    if (commit->newest && strcmp(read->digest, newest) == 0)
        return say(VERDICT_CURRENT, ret_why, "deploy %" G_GUINT64_FORMAT " has the same bundle",
                   commit->newest);
    if (read->record <= commit->newest)
        return say(VERDICT_STALE, ret_why,
                   "it was signed as deploy %" G_GUINT64_FORMAT
                   ", and the newest is %" G_GUINT64_FORMAT
                   " already; sign it again, on top of that: " SIGN_AGAIN,
                   read->record, commit->newest);
    if (read->record > commit->newest + 1)
        return say(VERDICT_STALE, ret_why,
                   "it was signed as deploy %" G_GUINT64_FORMAT
                   ", and the newest is only %" G_GUINT64_FORMAT
                   "; sign it again, as the next: " SIGN_AGAIN,
                   read->record, commit->newest);
    if (strcmp(read->previous, newest) != 0)
        return say(VERDICT_STALE, ret_why,
                   "it was signed to come after bundle '%s%s', and deploy %" G_GUINT64_FORMAT
                   " has '%s%s'; sign it again, on top of that: " SIGN_AGAIN,
                   *read->previous ? BUNDLE_NAME_PREFIX : "none", read->previous, commit->newest,
                   BUNDLE_NAME_PREFIX, newest);
    *ret_why = NULL;
    return VERDICT_DEPLOY;
}

static Verdict judge(const ChannelCommit *commit, Statement *read, char **ret_why) {
    g_autoptr(GError) error = NULL;
    if (!commit->statement)
        return say(VERDICT_UNSIGNED, ret_why,
                   "it has no '" BUNDLE_STATEMENT
                   "' that says who signed it; sign it: " SIGN_AGAIN);
    if (!commit->keys)
        return say(VERDICT_REFUSED, ret_why,
                   "this fleet has no list of keys; give it one: 'stead key publish LIST'");
    size_t size;
    const char *text = g_bytes_get_data(commit->statement, &size);
    if (!statement_read(text ? text : "", size, read, &error) ||
        !statement_is_signed_by(read, commit->keys, &error))
        return say(VERDICT_REFUSED, ret_why, "%s; sign it with a key of the fleet: " SIGN_AGAIN,
                   error->message);
    if (commit->digest && strcmp(commit->digest, read->digest) != 0)
        return say(VERDICT_REFUSED, ret_why,
                   "its statement is about bundle '" BUNDLE_NAME_PREFIX
                   "%s', and its tree is '" BUNDLE_NAME_PREFIX
                   "%s': something was changed after it was signed, or is not committed; sign it "
                   "again, and commit all of it: " SIGN_AGAIN,
                   read->digest, commit->digest);
    return judge_order(commit, read, ret_why);
}

Verdict channel_judge(const ChannelCommit *commit, Statement *ret_read, char **ret_why) {
    g_auto(Statement) read = { 0 };
    Verdict verdict = judge(commit, &read, ret_why);
    *ret_read = (Statement){ 0 };
    if (verdict == VERDICT_DEPLOY || verdict == VERDICT_CURRENT) {
        *ret_read = read;
        read = (Statement){ 0 };
    }
    return verdict;
}

bool channel_is_settled(const Value *channel, const char *commit, const char *basis) {
    const char *outcome = value_map_string(channel, "outcome", "");
    if (strcmp(value_map_string(channel, "commit", ""), commit) != 0)
        return false;
    return strcmp(outcome, names[VERDICT_DEPLOYED]) == 0 ||
           strcmp(outcome, names[VERDICT_CURRENT]) == 0 ||
           strcmp(value_map_string(channel, "basis", ""), basis) == 0;
}

/* --- settings */

static bool check_texts(const Value *wish, GError **error) {
    static const char *const texts[] = { "name",      "repository", "branch",
                                         "directory", "to",         "strategy" };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        const Value *value = value_map_get(wish, texts[i]);
        if (!value || (value_type(value) == VALUE_STRING &&
                       strlen(value_string(value)) == value_string_size(value)))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "read '%s': it is no text", texts[i]);
        return false;
    }
    return true;
}

static bool check_rest(const Value *wish, GError **error) {
    int64_t interval = value_map_int(wish, "interval", CHANNEL_INTERVAL_S);
    Strategy strategy;
    g_autoptr(Selector) to = selector_parse(value_map_string(wish, "to", "all"), error);
    if (!to || !strategy_parse(value_map_string(wish, "strategy", ""), &strategy, error))
        return false;
    const Value *given = value_map_get(wish, "interval");
    if (name_is_good(value_map_string(wish, "name", "")) && interval >= 1 &&
        interval <= CHANNEL_INTERVAL_MAX && (!given || value_type(given) == VALUE_INT))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "'name' must be 1 to 64 letters, digits, '.', '-' and '_', and 'interval' 1 to %d "
                "seconds",
                CHANNEL_INTERVAL_MAX);
    return false;
}

Value *channel_settings(const Value *wish, GError **error) {
    if (!check_texts(wish, error))
        return NULL;
    const char *repository = value_map_string(wish, "repository", ""),
               *branch = value_map_string(wish, "branch", ""),
               *directory = value_map_string(wish, "directory", "");
    if (!check_rest(wish, error) || !git_check_url(repository, error) ||
        !git_check_branch(branch, error) || !git_check_directory(directory, error))
        return NULL;
    Value *settings = value_new_map();
    value_map_set(settings, "repository", value_new_string(repository));
    value_map_set(settings, "branch", value_new_string(branch));
    value_map_set(settings, "directory", value_new_string(directory));
    value_map_set(settings, "interval",
                  value_new_int(value_map_int(wish, "interval", CHANNEL_INTERVAL_S)));
    value_map_set(settings, "to", value_new_string(value_map_string(wish, "to", "all")));
    value_map_set(settings, "strategy", value_new_string(value_map_string(wish, "strategy", "")));
    return settings;
}

Value *channel_show(const char *name, const Value *channel) {
    Value *shown = map_copy(channel, "basis");
    g_autofree char *masked = git_mask_url(value_map_string(channel, "repository", ""));
    value_map_set(shown, "name", value_new_string(name));
    value_map_set(shown, "repository", value_new_string(masked));
    return shown;
}
