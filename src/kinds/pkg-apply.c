/* What changing packages does besides, and doing it. */
#include <string.h>

#include "kinds/pkg-spec.h"

/* Where a file beside the configuration is put for apt below a root. */
#define COPY_DIRECTORY "/var/cache/apt/archives"

static PackageVerb main_verb(Want want) {
    static const PackageVerb verbs[] = {
        [WANT_INSTALLED] = PACKAGE_INSTALL, [WANT_NEWEST] = PACKAGE_UPGRADE,
        [WANT_VERSION] = PACKAGE_VERSION,   [WANT_REMOVED] = PACKAGE_REMOVE,
        [WANT_PURGED] = PACKAGE_PURGE,
    };
    return verbs[want];
}

/* What the plan said; a pattern is the package manager's to resolve. */
static const char *target_version(const Changes *changes, const char *wanted_version) {
    const Change *change = changes_find(changes, "version");
    return change && value_type(change->after) == VALUE_STRING ? value_string(change->after)
                                                               : wanted_version;
}

static PackageRecommends wanted_recommends(const Resource *resource) {
    if (!resource_get(resource, P_RECOMMENDS))
        return RECOMMENDS_DEFAULT;
    return resource_bool(resource, P_RECOMMENDS) ? RECOMMENDS_YES : RECOMMENDS_NO;
}

static bool is_changed(const Changes *changes) {
    return changes_find(changes, "state") || changes_find(changes, "version");
}

static char *copy_path(const Resource *resource) {
    g_autofree char *name = g_strdelimit(g_strdup(resource->name), ":", '_');
    return g_strdup_printf(COPY_DIRECTORY "/stead-%s.deb", name);
}

/* As the host calls it: below a root, what is beside the configuration is copied there. */
static char *archive_on_host(const KindRun *run, bool *ret_copy) {
    bool local;
    char *path = pkg_archive_path(run->resource, &local);
    *ret_copy = local && strcmp(host_root(run->host), "/") != 0;
    if (!*ret_copy)
        return path;
    g_free(path);
    return copy_path(run->resource);
}

/* The archive, when something comes from it: owned by files. */
static const char *archive_for(const KindRun *run, GPtrArray *files) {
    bool copy;
    if (!resource_get(run->resource, P_SOURCE))
        return NULL;
    g_ptr_array_add(files, archive_on_host(run, &copy));
    return files->pdata[files->len - 1];
}

static bool needs_reinstallation(const KindRun *run) {
    PackageInfo info;
    if (!host_package_query(run->host, run->resource->name, false, &info, NULL))
        return false; /* nobody can be asked: apt says why */
    bool needs = info.reinstall;
    package_info_clear(&info);
    return needs;
}

/* A held package is released, changed, and held again. */
static void add_actions(GArray *actions, GPtrArray *files, const KindRun *run, const State *actual,
                        const Changes *changes) {
    const Resource *resource = run->resource;
    const char *version;
    Want want = pkg_wanted(resource, &version);
    const bool *hold = pkg_wanted_hold(resource);
    PackageAction action = {
        .name = resource->name,
        .version = wants_removal(want) ? NULL : target_version(changes, version),
        .file = wants_removal(want) ? NULL : archive_for(run, files),
        .reinstall = needs_reinstallation(run),
        .release = resource_string(resource, P_RELEASE),
        .recommends = wanted_recommends(resource),
        .replace_config = strcmp(resource_string(resource, P_CONFIGFILES), "replace") == 0,
        .autoremove = resource_bool(resource, P_AUTOREMOVE),
        .force = resource_bool(resource, P_FORCE),
        .lock_timeout = (uint64_t)resource_int(resource, P_LOCK_TIMEOUT, 0),
        .allow_downgrade = resource_bool(resource, P_ALLOWDOWNGRADE),
        .allow_untrusted = resource_bool(resource, P_ALLOWUNTRUSTED),
    };
    bool held = value_bool(state_get(actual, P_HELD));
    bool change = is_changed(changes);
    if (held && (change || (hold && !*hold))) {
        action.verb = PACKAGE_UNHOLD;
        g_array_append_val(actions, action);
        held = false;
    }
    if (change) {
        action.verb = main_verb(want);
        g_array_append_val(actions, action);
    }
    if (changes_find(changes, "manual")) {
        action.verb = resource_bool(resource, P_MANUAL) ? PACKAGE_MARK_MANUAL : PACKAGE_MARK_AUTO;
        g_array_append_val(actions, action);
    }
    if (hold && *hold && !held) {
        action.verb = PACKAGE_HOLD;
        g_array_append_val(actions, action);
    }
}

typedef struct {
    GArray *actions;  /* of PackageAction */
    GPtrArray *files; /* char *: what actions borrow */
} Transaction;

static Transaction transaction_new(KindRun *const *runs, const State *const *actuals,
                                   const Changes *const *changes, unsigned n) {
    Transaction transaction = { g_array_new(FALSE, FALSE, sizeof(PackageAction)),
                                g_ptr_array_new_with_free_func(g_free) };
    for (unsigned i = 0; i < n; i++)
        add_actions(transaction.actions, transaction.files, runs[i], actuals[i], changes[i]);
    return transaction;
}

static void transaction_clear(Transaction *transaction) {
    g_array_unref(transaction->actions);
    g_ptr_array_unref(transaction->files);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Transaction, transaction_clear)

static const PackageAction *actions_of(const Transaction *transaction) {
    return (const PackageAction *)(void *)transaction->actions->data;
}

/* --- what comes and goes with it --- */

static bool refuse_removals(const GPtrArray *effects, GError **error) {
    g_autoptr(GString) names = g_string_new(NULL);
    for (unsigned i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        if (effect->what == PACKAGE_GOES && !effect->unneeded)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", effect->name);
    }
    if (names->len > 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "it would remove other packages (%s); set force = true if that is wanted, or "
                    "declare them absent as well",
                    names->str);
    return names->len == 0;
}

static void add_effects(const GPtrArray *effects, Changes *changes) {
    static const char *const properties[] = {
        [PACKAGE_COMES] = CHANGE_ALSO "installs",
        [PACKAGE_CHANGES] = CHANGE_ALSO "changes",
        [PACKAGE_GOES] = CHANGE_ALSO "removes",
    };
    for (unsigned what = 0; what < G_N_ELEMENTS(properties); what++) {
        g_autoptr(Value) list = value_new_list();
        for (unsigned i = 0; i < effects->len; i++) {
            const PackageEffect *effect = effects->pdata[i];
            g_autofree char *text =
                g_strconcat(effect->name, effect->version ? " " : NULL, effect->version, NULL);
            if (effect->what == what)
                value_list_append(list, value_new_string(text));
        }
        if (value_size(list) > 0)
            changes_add(changes, properties[what], NULL, g_steal_pointer(&list), NULL);
    }
}

static bool needs_copy(KindRun *const *runs, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        bool copy;
        g_autofree char *path = archive_on_host(runs[i], &copy);
        if (copy)
            return true;
    }
    return false;
}

/* Lists may be too old to have what is asked for by its version. */
static bool foresee(KindRun *run, const Transaction *transaction, GPtrArray *effects,
                    GError **error) {
    const PackageAction *actions = actions_of(transaction);
    unsigned n = transaction->actions->len;
    GError *problem = NULL;
    bool done = false;
    if (host_package_foresee(run->host, actions, n, effects, run->cancel, &problem))
        return true;
    if (!run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE) &&
        host_package_refresh(run->host, REFRESH_MISSING, NULL, &done, run->cancel, NULL) && done) {
        g_clear_error(&problem);
        if (host_package_foresee(run->host, actions, n, effects, run->cancel, &problem))
            return true;
    }
    g_propagate_error(error, problem);
    return false;
}

bool pkg_foresee(KindRun *const *runs, const State *const *actuals, Changes *const *changes,
                 unsigned n, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) effects = package_effects_new();
    g_auto(Transaction) transaction =
        transaction_new(runs, actuals, (const Changes *const *)changes, n);
    if (needs_copy(runs, n))
        return true; /* what apt would see is not there yet */
    if (!foresee(runs[0], &transaction, effects, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE) ||
            g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED)) {
            for (unsigned i = 0; i < n; i++)
                changes[i]->uncertain |= runs[i]->planning;
            return true; /* who applies it is told what is wrong with it */
        }
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (!resource_bool(runs[0]->resource, P_FORCE) && !refuse_removals(effects, error))
        return false;
    add_effects(effects, changes[0]);
    return true;
}

/* --- apply --- */

static bool answer_questions(KindRun *run, GError **error) {
    static const char *const argv[] = { "debconf-set-selections", NULL };
    const Value *answers = resource_get(run->resource, P_DEBCONF);
    if (!answers || value_size(answers) == 0 || run->planning)
        return true;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *name = g_strndup(run->resource->name, strcspn(run->resource->name, ":"));
    for (size_t i = 0; i < value_size(answers); i++)
        g_string_append_printf(text, "%s %s\n", name, value_string(value_list_at(answers, i)));
    HostCommand command = {
        .argv = argv, .input = text->str, .input_size = text->len, .cancel = run->cancel
    };
    g_auto(HostCommandResult) result = { 0 };
    if (!host_run(run->host, &command, &result, error))
        return false;
    if (result.exit_status == 0)
        return true;
    size_t size;
    const char *said = g_bytes_get_data(result.output, &size);
    g_autofree char *line = g_strndup(said ? said : "", size);
    line[strcspn(line, "\n")] = '\0';
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "give the answers in debconf (debconf-set-selections): %s", line);
    return false;
}

static bool put_copy(KindRun *run, GError **error) {
    bool copy;
    g_autofree char *path = archive_on_host(run, &copy);
    if (!copy || run->planning)
        return true;
    g_autoptr(GBytes) bytes = pkg_archive_read(run, error);
    return bytes && host_make_parents(run->host, path, error) &&
           host_write(run->host, path, bytes, NULL, error);
}

bool pkg_clean(KindRun *run, GError **error) {
    bool copy;
    g_autofree char *path = archive_on_host(run, &copy);
    return !copy || !host_exists(run->host, path) || host_remove(run->host, path, error);
}

static bool is_right(const KindRun *run) {
    KindRun again = *run;
    again.reason = REASON_VERIFY;
    again.outputs = again.keep = NULL;
    again.note = NULL;
    g_autoptr(State) actual = state_new(run->resource->kind);
    g_autoptr(Changes) changes = changes_new();
    bool right = pkg_observe(&again, actual, NULL) && pkg_diff(&again, actual, changes, NULL) &&
                 changes_empty(changes);
    value_unref(again.outputs);
    return right;
}

/* Of several, those that came before the one that failed are what they should be. */
static void set_apart(KindRun *const *runs, unsigned n) {
    for (unsigned i = 0; i < n && n > 1; i++)
        runs[i]->apart = !runs[i]->planning && is_right(runs[i]);
}

static bool prepare(KindRun *const *runs, const Changes *const *changes, unsigned n,
                    GError **error) {
    for (unsigned i = 0; i < n; i++)
        if (is_changed(changes[i]) &&
            (!answer_questions(runs[i], error) || !put_copy(runs[i], error)))
            return false;
    return true;
}

bool pkg_apply_group(KindRun *const *runs, const State *const *actuals,
                     const Changes *const *changes, unsigned n, GError **error) {
    g_auto(Transaction) transaction = transaction_new(runs, actuals, changes, n);
    if (!prepare(runs, changes, n, error))
        return false;
    bool ok = host_package_apply(runs[0]->host, actions_of(&transaction), transaction.actions->len,
                                 runs[0]->cancel, error);
    if (!ok)
        set_apart(runs, n);
    for (unsigned i = 0; i < n; i++)
        if (!pkg_clean(runs[i], ok ? error : NULL))
            ok = false;
    return ok;
}

bool pkg_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    return pkg_apply_group(&run, &actual, &changes, 1, error);
}
