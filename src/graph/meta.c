#include "graph/meta.h"

#include <math.h>
#include <string.h>

#include "base/suggest.h"

#define RETRY_MAX INT16_MAX

const Meta meta_defaults = { .limit = INFINITY, .autoedge = true, .autogroup = true };

static const char *const on_remove_names[] = {
    [ON_REMOVE_DEFAULT] = "default", [ON_REMOVE_REMOVE] = "remove", [ON_REMOVE_RESTORE] = "restore",
    [ON_REMOVE_FORGET] = "forget",   [ON_REMOVE_REPORT] = "report", NULL,
};

const Param meta_params[] = {
    [META_NOOP] = { "noop", PARAM_BOOL,
                    .help = "Looks and reports what differs, but changes nothing.",
                    .fallback = "false" },
    [META_RETRY] = { "retry", PARAM_INT,
                     .help = "How often to try again after an error; -1: without end.",
                     .fallback = "0" },
    [META_RETRY_RESET] = { "retry_reset", PARAM_BOOL,
                           .help = "A success refills the budget of retries.", .fallback = "false",
                           .aliases = "retryreset" },
    [META_DELAY] = { "delay", PARAM_DURATION,
                     .help = "Time between two tries; a number without unit is in milliseconds.",
                     .fallback = "0", .unit = "ms" },
    [META_TIMEOUT] = { "timeout", PARAM_DURATION,
                       .help = "Longest time one check may take before it counts as failed; 0: no "
                               "limit. A number without unit is in milliseconds.",
                       .fallback = "0", .unit = "ms" },
    [META_POLL] = { "poll", PARAM_DURATION,
                    .help = "Checks that often instead of watching, in whole seconds; -1: checks "
                            "once at the start only; 0: watches.",
                    .fallback = "0", .unit = "s" },
    [META_LIMIT] = { "limit", PARAM_FLOAT,
                     .help = "Highest number of events a second that lead to a check; needs burst. "
                             "Without it there is no limit." },
    [META_BURST] = { "burst", PARAM_INT,
                     .help = "Number of events let through at once below limit.", .fallback = "0" },
    [META_RESET] = { "reset", PARAM_BOOL,
                     .help = "Forgets used retries and events when the definition changes.",
                     .fallback = "false" },
    [META_SEMA] = { "sema", PARAM_STRINGS,
                    .help = "Semaphores held while it runs: \"id\" lets one resource at a time run "
                            "among those that name it, \"id:N\" lets N." },
    [META_REWATCH] = { "rewatch", PARAM_BOOL,
                       .help = "Starts a failed resource anew at the next reload, also if it is "
                               "unchanged.",
                       .fallback = "false" },
    [META_HIDDEN] = { "hidden", PARAM_BOOL,
                      .help = "Stays in the graph, but is never checked, watched or applied.",
                      .fallback = "false" },
    [META_AUTOEDGE] = { "autoedge", PARAM_BOOL,
                        .help = "Takes part in the search for automatic edges.",
                        .fallback = "true" },
    [META_AUTOGROUP] = { "autogroup", PARAM_BOOL,
                         .help = "May be applied together with others of its kind in one step.",
                         .fallback = "true" },
    [META_PROTECT] = { "protect", PARAM_BOOL,
                       .help = "Refuses removal, also after it has left the configuration.",
                       .fallback = "false" },
    [META_ON_REMOVE] = { "on_remove", PARAM_ENUM,
                         .help =
                             "What happens when it leaves the configuration: remove it, restore "
                             "what was there before, forget it, or only report it. The default "
                             "removes what stead created and restores what existed before.",
                         .fallback = "default", .choices = on_remove_names },
    [META_TAGS] = { "tags", PARAM_STRINGS,
                    .help = "Words to find it by, shown with it in JSON; they steer nothing." },
    [META_EXPORT] = { "export", PARAM_STRINGS,
                      .help =
                          "Hosts that may collect it from the exchange: names, or patterns with "
                          "`*` and `?`; `\"*\"` is every host. With `hidden` it is not applied "
                          "here." },
};
const size_t meta_params_count = G_N_ELEMENTS(meta_params);

/* Where a row's value lives in Meta. */
static const size_t offsets[] = {
    [META_NOOP] = offsetof(Meta, noop),
    [META_RETRY] = offsetof(Meta, retry),
    [META_RETRY_RESET] = offsetof(Meta, retry_reset),
    [META_DELAY] = offsetof(Meta, delay),
    [META_TIMEOUT] = offsetof(Meta, timeout),
    [META_POLL] = offsetof(Meta, poll),
    [META_LIMIT] = offsetof(Meta, limit),
    [META_BURST] = offsetof(Meta, burst),
    [META_RESET] = offsetof(Meta, reset),
    [META_SEMA] = offsetof(Meta, sema),
    [META_REWATCH] = offsetof(Meta, rewatch),
    [META_HIDDEN] = offsetof(Meta, hidden),
    [META_AUTOEDGE] = offsetof(Meta, autoedge),
    [META_AUTOGROUP] = offsetof(Meta, autogroup),
    [META_PROTECT] = offsetof(Meta, protect),
    [META_ON_REMOVE] = offsetof(Meta, on_remove),
    [META_TAGS] = offsetof(Meta, tags),
    [META_EXPORT] = offsetof(Meta, export),
};
G_STATIC_ASSERT(G_N_ELEMENTS(offsets) == G_N_ELEMENTS(meta_params));

/* Meta parameters of mgmt that stead does not have, and what to do instead. */
static const struct {
    const char *name, *reason;
} refused[] = {
    { "realize", "a resource that is removed before it converged is not applied first" },
    { "reverse", "write on_remove = \"restore\": the ledger keeps what was there before" },
    { "dollar", "names may start with a dollar sign anyway" },
};

Meta *meta_new(void) {
    return g_memdup2(&meta_defaults, sizeof meta_defaults);
}

Meta *meta_copy(const Meta *meta) {
    Meta *copy = g_memdup2(meta, sizeof *meta);
    copy->sema = g_strdupv(meta->sema);
    copy->tags = g_strdupv(meta->tags);
    copy->export = g_strdupv(meta->export);
    return copy;
}

void meta_free(Meta *meta) {
    if (!meta)
        return;
    g_strfreev(meta->sema);
    g_strfreev(meta->tags);
    g_strfreev(meta->export);
    g_free(meta);
}

static bool texts_equal(char **a, char **b) {
    if (!a || !b)
        return a == b;
    return g_strv_equal((const char *const *)a, (const char *const *)b);
}

bool meta_runs_alike(const Meta *a, const Meta *b) {
    return a->noop == b->noop && a->retry == b->retry && a->retry_reset == b->retry_reset &&
           a->delay == b->delay && a->timeout == b->timeout && a->poll == b->poll &&
           a->limit == b->limit && a->burst == b->burst && a->hidden == b->hidden &&
           texts_equal(a->sema, b->sema);
}

bool meta_equal(const Meta *a, const Meta *b) {
    return a == b || (meta_runs_alike(a, b) && a->reset == b->reset && a->rewatch == b->rewatch &&
                      a->autoedge == b->autoedge && a->autogroup == b->autogroup &&
                      a->protect == b->protect && a->on_remove == b->on_remove &&
                      texts_equal(a->tags, b->tags) && texts_equal(a->export, b->export));
}

const char *on_remove_name(OnRemove on_remove) {
    g_assert(on_remove <= ON_REMOVE_REPORT);
    return on_remove_names[on_remove];
}

/* --- semaphores */

static const char *sema_count(const char *sema) {
    const char *colon = strrchr(sema, ':');
    bool counted = colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    return counted ? colon + 1 : NULL;
}

int meta_sema_size(const char *sema) {
    const char *count = sema_count(sema);
    return count ? (int)CLAMP(g_ascii_strtoull(count, NULL, 10), 1, G_MAXINT) : 1;
}

static bool check_sema(const char *sema, GError **error) {
    size_t length = strlen(sema);
    const char *problem = NULL;
    const char *count = sema_count(sema);
    if (length == 0)
        problem = "a semaphore needs an id";
    else if (strspn(sema, "0123456789") == length)
        problem = "a bare integer is no semaphore: write \"id\" or \"id:N\"";
    else if (sema[length - 1] == ':')
        problem = "nothing follows the colon: write \"id\" or \"id:N\"";
    else if (count && g_ascii_strtoull(count, NULL, 10) < 1)
        problem = "a semaphore of size 0 would block for ever: N must be 1 or more";
    else if (count && g_ascii_strtoull(count, NULL, 10) > G_MAXINT)
        problem = "N is too large";
    if (problem)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'%s': %s", sema, problem);
    return !problem;
}

/* --- lists */

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool check_tag(const char *tag, GError **error) {
    if (*tag)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "a tag must not be empty");
    return false;
}

static bool check_export(const char *pattern, GError **error) {
    if (*pattern)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "a host must not be empty: write \"*\" for every host");
    return false;
}

/* Sorted and each once: of semaphores because they are always taken in that order, so that there is
 * no deadlock; of tags because their order means nothing. */
static bool set_texts(char ***member, MetaIndex row, const Value *input,
                      bool (*check)(const char *, GError **), GError **error) {
    g_autoptr(Value) list = param_convert(&meta_params[row], input, error);
    if (!list)
        return false;
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        if (value_type(item) != VALUE_STRING) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "its names must be known now");
            return false;
        }
        if (!check(value_string(item), error))
            return false;
        g_ptr_array_add(texts, g_strdup(value_string(item)));
    }
    g_ptr_array_sort(texts, compare_text);
    for (unsigned i = texts->len; i > 1; i--) {
        if (g_str_equal(texts->pdata[i - 1], texts->pdata[i - 2]))
            g_ptr_array_remove_index(texts, i - 1);
    }
    g_clear_pointer(member, g_strfreev);
    if (texts->len > 0) {
        g_ptr_array_add(texts, NULL);
        *member = (char **)g_ptr_array_steal(texts, NULL);
    }
    return true;
}

static bool set_sema(char ***sema, const Value *input, GError **error) {
    if (value_type(input) == VALUE_INT) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "a bare integer is no semaphore: write \"id\" or \"id:%" G_GINT64_FORMAT "\"",
                    value_int(input));
        return false;
    }
    return set_texts(sema, META_SEMA, input, check_sema, error);
}

/* --- the other rows */

static bool set_int(int *member, MetaIndex row, int lowest, const Value *input, GError **error) {
    g_autoptr(Value) value = param_convert(&meta_params[row], input, error);
    if (!value)
        return false;
    int64_t number = value_int(value);
    if (number < lowest || number > RETRY_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected a number from %d to %d, found %" G_GINT64_FORMAT, lowest, RETRY_MAX,
                    number);
        return false;
    }
    *member = (int)number;
    return true;
}

static bool set_poll(int64_t *poll, const Value *input, GError **error) {
    if (value_type(input) == VALUE_INT && value_int(input) < 0) {
        *poll = -1;
        return true;
    }
    g_autoptr(Value) value = param_convert(&meta_params[META_POLL], input, error);
    if (!value)
        return false;
    if (value_int(value) % G_USEC_PER_SEC != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected whole seconds: checking more often is what watching is for");
        return false;
    }
    *poll = value_int(value) / G_USEC_PER_SEC;
    return true;
}

static bool set_limit(double *limit, const Value *input, GError **error) {
    bool endless = (value_type(input) == VALUE_FLOAT && value_float(input) == INFINITY) ||
                   (value_type(input) == VALUE_STRING && g_str_equal(value_string(input), "inf"));
    if (endless) {
        *limit = INFINITY;
        return true;
    }
    g_autoptr(Value) value = param_convert(&meta_params[META_LIMIT], input, error);
    if (!value)
        return false;
    if (value_float(value) < 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected events a second, zero or more, found %g", value_float(value));
        return false;
    }
    *limit = value_float(value);
    return true;
}

static bool set_on_remove(OnRemove *on_remove, const Value *input, GError **error) {
    g_autoptr(Value) value = param_convert(&meta_params[META_ON_REMOVE], input, error);
    if (!value)
        return false;
    for (unsigned i = 0; on_remove_names[i]; i++) {
        if (g_str_equal(on_remove_names[i], value_string(value)))
            *on_remove = i;
    }
    return true;
}

static bool set_plain(Meta *meta, MetaIndex row, const Value *input, GError **error) {
    g_autoptr(Value) value = param_convert(&meta_params[row], input, error);
    if (!value)
        return false;
    void *member = (char *)meta + offsets[row];
    if (meta_params[row].type == PARAM_BOOL)
        *(bool *)member = value_bool(value);
    else
        *(uint64_t *)member = (uint64_t)value_int(value);
    return true;
}

static bool set_row(Meta *meta, MetaIndex row, const Value *input, GError **error) {
    if (value_type(input) == VALUE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "its value must be known now");
        return false;
    }
    switch (row) {
    case META_RETRY:
        return set_int(&meta->retry, row, -1, input, error);
    case META_BURST:
        return set_int(&meta->burst, row, 0, input, error);
    case META_POLL:
        return set_poll(&meta->poll, input, error);
    case META_LIMIT:
        return set_limit(&meta->limit, input, error);
    case META_SEMA:
        return set_sema(&meta->sema, input, error);
    case META_ON_REMOVE:
        return set_on_remove(&meta->on_remove, input, error);
    case META_TAGS:
        return set_texts(&meta->tags, row, input, check_tag, error);
    case META_EXPORT:
        return set_texts(&meta->export, row, input, check_export, error);
    case META_NOOP:
    case META_RETRY_RESET:
    case META_DELAY:
    case META_TIMEOUT:
    case META_RESET:
    case META_REWATCH:
    case META_HIDDEN:
    case META_AUTOEDGE:
    case META_AUTOGROUP:
    case META_PROTECT:
        break;
    }
    return set_plain(meta, row, input, error);
}

static const char *why_refused(const char *name) {
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (g_str_equal(refused[i].name, name))
            return refused[i].reason;
    }
    return NULL;
}

bool meta_knows(const char *name) {
    return param_find(meta_params, meta_params_count, name) >= 0 || why_refused(name);
}

static void set_unknown_error(const char *name, GError **error) {
    const char *reason = why_refused(name);
    if (reason) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'%s' is not supported: %s", name,
                    reason);
        return;
    }
    const char *names[G_N_ELEMENTS(meta_params)];
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        names[i] = meta_params[i].name;
    const char *nearest = suggest_nearest(name, names, G_N_ELEMENTS(names));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "no such meta parameter '%s'%s%s%s", name,
                nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

bool meta_set(Meta *meta, const char *name, const Value *input, GError **error) {
    int row = param_find(meta_params, meta_params_count, name);
    if (row < 0) {
        set_unknown_error(name, error);
        return false;
    }
    if (set_row(meta, row, input, error))
        return true;
    g_prefix_error(error, "parameter '%s': ", name);
    return false;
}

bool meta_validate(const Meta *meta, GError **error) {
    if (isinf(meta->limit) || meta->burst > 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "parameter 'limit': without burst no event would ever get through: set burst to 1 "
                "or more");
    return false;
}

/* --- printing */

static Value *duration_value(uint64_t us) {
    if (us % 1000 == 0)
        return value_new_int((int64_t)(us / 1000));
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "us", us);
    return value_new_string(text);
}

static Value *texts_value(char **texts) {
    Value *list = value_new_list();
    for (unsigned i = 0; texts && texts[i]; i++)
        value_list_append(list, value_new_string(texts[i]));
    return list;
}

static bool row_differs(const Meta *a, const Meta *b, MetaIndex row) {
    static const size_t sizes[] = {
        [PARAM_BOOL] = sizeof(bool),         [PARAM_INT] = sizeof(int),
        [PARAM_FLOAT] = sizeof(double),      [PARAM_ENUM] = sizeof(OnRemove),
        [PARAM_DURATION] = sizeof(uint64_t), [PARAM_STRINGS] = sizeof(char **)
    };
    return memcmp((const char *)a + offsets[row], (const char *)b + offsets[row],
                  sizes[meta_params[row].type]) != 0;
}

static Value *row_value(const Meta *meta, MetaIndex row) {
    const void *member = (const char *)meta + offsets[row];
    if (row == META_POLL)
        return value_new_int(meta->poll);
    if (row == META_LIMIT)
        return value_new_float(meta->limit);
    if (meta_params[row].type == PARAM_STRINGS)
        return texts_value(*(char **const *)member);
    if (row == META_ON_REMOVE)
        return value_new_string(on_remove_name(meta->on_remove));
    if (meta_params[row].type == PARAM_DURATION)
        return duration_value(*(const uint64_t *)member);
    if (meta_params[row].type == PARAM_INT)
        return value_new_int(*(const int *)member);
    return value_new_bool(*(const bool *)member);
}

Value *meta_to_value(const Meta *meta) {
    Value *map = value_new_map();
    for (MetaIndex row = 0; row < meta_params_count; row++) {
        if (row_differs(meta, &meta_defaults, row))
            value_map_set(map, meta_params[row].name, row_value(meta, row));
    }
    return map;
}
