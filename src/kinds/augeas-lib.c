#include "kinds/augeas-lib.h"

#include <augeas.h>
#include <dlfcn.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define LIBRARY  "libaugeas.so.0"
#define NODE_IN  "/stead/in"
#define NODE_OUT "/stead/out"

/* Every function that is used: name and place in the table. */
#define FUNCTIONS(X)                                                                               \
    X(init)                                                                                        \
    X(close)                                                                                       \
    X(error_message)                                                                               \
    X(error_details)                                                                               \
    X(get)                                                                                         \
    X(set)                                                                                         \
    X(setm)                                                                                        \
    X(rm)                                                                                          \
    X(mv)                                                                                          \
    X(rename)                                                                                      \
    X(insert)                                                                                      \
    X(match)                                                                                       \
    X(defvar)                                                                                      \
    X(defnode)                                                                                     \
    X(text_store)                                                                                  \
    X(text_retrieve)

typedef struct {
#define MEMBER(name) __typeof__(aug_##name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} Library;

typedef struct {
    const Library *lib;
    augeas *tree;
} Augeas;

/* What all resources of the process share: a tree that has compiled lenses, which takes much longer
 * than using them, and which lens takes which path. Who uses them holds the lock. */
static GMutex lock;
static augeas *shared_tree;
static GHashTable *lenses; /* path -> lens */

/* --- the library */

static const Library *library(GError **error) {
    static Library loaded;
    static void *handle;
    if (handle != NULL)
        return &loaded;
    void *opened = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool whole = opened != NULL;
#define LOAD(name) whole = whole && (*(void **)&loaded.name = dlsym(opened, "aug_" #name)) != NULL;
    FUNCTIONS(LOAD)
#undef LOAD
    if (!whole) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "%s; declare it: pkg \"libaugeas0\" {}", dlerror());
        if (opened != NULL)
            dlclose(opened);
        return NULL;
    }
    handle = opened;
    return &loaded;
}

/* What the last call says; every other call makes it forget that. Caller frees. */
static char *last_error(const Augeas *augeas) {
    const char *details = augeas->lib->error_details(augeas->tree);
    return g_strdup_printf("%s%s%s", augeas->lib->error_message(augeas->tree),
                           details != NULL ? ": " : "", details != NULL ? details : "");
}

static bool failed(const Augeas *augeas, const char *what, GError **error) {
    g_autofree char *text = last_error(augeas);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s: %s", what, text);
    return false;
}

/* --- which lens */

static const char *value_at(const Augeas *augeas, const char *node, const char *name) {
    g_autofree char *path = g_strconcat(node, "/", name, NULL);
    const char *value = NULL;
    augeas->lib->get(augeas->tree, path, &value);
    return value;
}

static char **nodes(const Augeas *augeas, const char *path) {
    char **found = NULL;
    int n = augeas->lib->match(augeas->tree, path, &found);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (int i = 0; i < n; i++) {
        g_strv_builder_add(builder, found[i]);
        free(found[i]);
    }
    free(found);
    return g_strv_builder_end(builder);
}

/* A pattern without a slash is about the last part of the path, as for augeas itself. */
static bool any_fits(const Augeas *augeas, const char *load, const char *which, const char *path) {
    g_autofree char *all = g_strconcat(load, "/", which, NULL);
    g_auto(GStrv) patterns = nodes(augeas, all);
    for (char **node = patterns; *node != NULL; node++) {
        const char *pattern = NULL;
        augeas->lib->get(augeas->tree, *node, &pattern);
        const char *text =
            pattern != NULL && strchr(pattern, '/') != NULL ? path : strrchr(path, '/') + 1;
        if (pattern != NULL && fnmatch(pattern, text, FNM_PATHNAME) == 0)
            return true;
    }
    return false;
}

/* All lenses are compiled for that, which takes a second. */
static char *search_lens(const Library *lib, const AugeasJob *job, GError **error) {
    Augeas all = { lib, lib->init("/", job->load_path, AUG_NO_LOAD) };
    if (all.tree == NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, "start libaugeas");
        return NULL;
    }
    char *lens = NULL;
    g_auto(GStrv) loads = nodes(&all, "/augeas/load/*");
    for (char **load = loads; *load != NULL && lens == NULL; load++) {
        if (!any_fits(&all, *load, "incl", job->path) || any_fits(&all, *load, "excl", job->path))
            continue;
        const char *name = value_at(&all, *load, "lens");
        if (name != NULL) /* "@Sshd" is how a module says it of itself */
            lens = *name == '@' ? g_strconcat(name + 1, ".lns", NULL) : g_strdup(name);
    }
    lib->close(all.tree);
    if (lens == NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "find a lens for '%s': libaugeas has none for this path; say which it is like, "
                    "as in lens = \"Shellvars.lns\"",
                    job->path);
    return lens;
}

/* The usual ones, known without a search. */
static const struct {
    const char *path, *lens;
} usual[] = {
    { "/etc/fstab", "Fstab.lns" },
    { "/etc/group", "Group.lns" },
    { "/etc/hosts", "Hosts.lns" },
    { "/etc/passwd", "Passwd.lns" },
    { "/etc/ssh/ssh_config", "Ssh.lns" },
    { "/etc/ssh/sshd_config", "Sshd.lns" },
    { "/etc/sudoers", "Sudoers.lns" },
    { "/etc/sysctl.conf", "Sysctl.lns" },
    { "/etc/security/limits.conf", "Limits.lns" },
};

static char *lens_of(const Library *lib, const AugeasJob *job, GError **error) {
    if (job->lens != NULL)
        return g_strdup(job->lens);
    for (size_t i = 0; job->load_path == NULL && i < G_N_ELEMENTS(usual); i++)
        if (strcmp(usual[i].path, job->path) == 0)
            return g_strdup(usual[i].lens);
    if (lenses == NULL)
        lenses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *key =
        g_strconcat(job->load_path != NULL ? job->load_path : "", "\n", job->path, NULL);
    const char *known = g_hash_table_lookup(lenses, key);
    if (known != NULL)
        return g_strdup(known);
    char *lens = search_lens(lib, job, error);
    if (lens != NULL)
        g_hash_table_insert(lenses, g_steal_pointer(&key), g_strdup(lens));
    return lens;
}

/* --- texts */

/* Why a text could not become a tree, or a tree a text. */
static bool tell_problem(const Augeas *augeas, const char *what, const char *lens,
                         const char *files, GError **error) {
    g_autofree char *last = last_error(augeas);
    g_autofree char *node = g_strconcat("/augeas/text", files, "/error", NULL);
    const char *line = value_at(augeas, node, "line"), *message = value_at(augeas, node, "message");
    const char *place = value_at(augeas, node, "path");
    if (message == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s: %s", what, last);
        return false;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s by lens '%s'%s%s: %.*s%s%s", what, lens,
                line != NULL ? ", line " : "", line != NULL ? line : "",
                (int)strcspn(message, "\n"), message, place != NULL ? " at " : "",
                place != NULL ? place : "");
    return false;
}

static bool store(const Augeas *augeas, const char *lens, const char *files, const char *text,
                  GError **error) {
    if (augeas->lib->set(augeas->tree, NODE_IN, text) < 0)
        return failed(augeas, "take the text", error);
    return augeas->lib->text_store(augeas->tree, lens, NODE_IN, files) == 0 ||
           tell_problem(augeas, "read it", lens, files, error);
}

static char *retrieve(const Augeas *augeas, const char *lens, const char *files, GError **error) {
    const char *text = NULL;
    if (augeas->lib->text_retrieve(augeas->tree, lens, NODE_IN, files, NODE_OUT) != 0 ||
        augeas->lib->get(augeas->tree, NODE_OUT, &text) != 1 || text == NULL) {
        tell_problem(augeas, "write it", lens, files, error);
        return NULL;
    }
    return g_strdup(text);
}

/* --- conditions */

static bool compare(int order, const char *comparison) {
    if (strcmp(comparison, "==") == 0)
        return order == 0;
    if (strcmp(comparison, "!=") == 0)
        return order != 0;
    if (*comparison == '<')
        return order < 0 || (comparison[1] == '=' && order == 0);
    return order > 0 || (comparison[1] == '=' && order == 0);
}

/* What compares as numbers when both are some. */
static bool compare_texts(const char *found, const char *comparison, const char *wanted) {
    gint64 a, b;
    if (strcmp(comparison, "=~") == 0)
        return g_regex_match_simple(wanted, found, 0, 0);
    bool numbers = g_ascii_string_to_signed(found, 10, G_MININT64, G_MAXINT64, &a, NULL) &&
                   g_ascii_string_to_signed(wanted, 10, G_MININT64, G_MAXINT64, &b, NULL);
    return compare(numbers ? (a > b) - (a < b) : strcmp(found, wanted), comparison);
}

static char **values(const Augeas *augeas, char *const *found) {
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (char *const *node = found; *node != NULL; node++) {
        const char *value = NULL;
        augeas->lib->get(augeas->tree, *node, &value);
        g_strv_builder_add(builder, value != NULL ? value : "");
    }
    return g_strv_builder_end(builder);
}

static bool holds(const Augeas *augeas, const AugeasCommand *condition) {
    char *const *args = condition->args;
    const char *value = NULL;
    if (condition->verb == AUGEAS_GET)
        return augeas->lib->get(augeas->tree, args[0], &value) == 1 &&
               compare_texts(value != NULL ? value : "", args[1], args[2]);
    g_auto(GStrv) found = nodes(augeas, args[0]);
    if (strcmp(args[1], "size") == 0) {
        int n = (int)g_strv_length(found), wanted = atoi(args[3]);
        return compare((n > wanted) - (n < wanted), args[2]);
    }
    g_auto(GStrv) texts =
        condition->verb == AUGEAS_VALUES ? values(augeas, found) : g_strdupv(found);
    if (strcmp(args[1], "include") == 0)
        return g_strv_contains((const char *const *)texts, args[2]);
    if (strcmp(args[1], "not_include") == 0)
        return !g_strv_contains((const char *const *)texts, args[2]);
    bool same = g_strv_equal((const char *const *)texts, (const char *const *)condition->list);
    return same == (strcmp(args[1], "==") == 0);
}

/* --- changes */

static int touch(const Augeas *augeas, const char *path) {
    int n = augeas->lib->match(augeas->tree, path, NULL);
    return n == 0 ? augeas->lib->set(augeas->tree, path, NULL) : n;
}

static int run(const Augeas *augeas, const AugeasCommand *command) {
    const Library *lib = augeas->lib;
    char *const *args = command->args;
    switch (command->verb) {
    case AUGEAS_SET:
        return lib->set(augeas->tree, args[0], args[1]);
    case AUGEAS_SETM:
        return lib->setm(augeas->tree, args[0], args[1], args[2]);
    case AUGEAS_RM:
        return lib->rm(augeas->tree, args[0]);
    case AUGEAS_CLEAR:
        return lib->set(augeas->tree, args[0], NULL);
    case AUGEAS_CLEARM:
        return lib->setm(augeas->tree, args[0], args[1], NULL);
    case AUGEAS_TOUCH:
        return touch(augeas, args[0]);
    case AUGEAS_MV:
        return lib->mv(augeas->tree, args[0], args[1]);
    case AUGEAS_RENAME:
        return lib->rename(augeas->tree, args[0], args[1]);
    case AUGEAS_INS:
        return lib->insert(augeas->tree, args[2], args[0], strcmp(args[1], "before") == 0);
    case AUGEAS_DEFVAR:
        return lib->defvar(augeas->tree, args[0], args[1]);
    case AUGEAS_DEFNODE:
        return lib->defnode(augeas->tree, args[0], args[1], args[2], NULL);
    case AUGEAS_GET:
    case AUGEAS_VALUES:
    case AUGEAS_MATCH:
        break;
    }
    g_assert_not_reached();
}

static bool run_changes(const Augeas *augeas, const AugeasJob *job, GError **error) {
    for (unsigned i = 0; i < job->changes->len; i++) {
        if (run(augeas, g_ptr_array_index(job->changes, i)) >= 0)
            continue;
        g_autofree char *what = g_strdup_printf("make change %u", i + 1);
        return failed(augeas, what, error);
    }
    return true;
}

static char *transform(const Augeas *augeas, const AugeasJob *job, const char *text,
                       GError **error) {
    g_autofree char *lens = lens_of(augeas->lib, job, error);
    g_autofree char *files = g_strconcat("/files", job->path, NULL);
    /* As augeas itself reads files. */
    bool open_end = *text != '\0' && !g_str_has_suffix(text, "\n");
    g_autofree char *whole = g_strconcat(text, open_end ? "\n" : "", NULL);
    if (lens == NULL || !store(augeas, lens, files, whole, error))
        return NULL;
    if (job->only_if != NULL && !holds(augeas, job->only_if))
        return g_strdup(text);
    if (!run_changes(augeas, job, error))
        return NULL;
    g_autofree char *after = retrieve(augeas, lens, files, error);
    return after != NULL && strcmp(after, whole) == 0 ? g_strdup(text) : g_steal_pointer(&after);
}

/* Variables stay with a tree for ever, and after an error it need not be whole. */
static bool is_reusable(const AugeasJob *job, bool done) {
    for (unsigned i = 0; i < job->changes->len; i++) {
        const AugeasCommand *command = g_ptr_array_index(job->changes, i);
        done = done && command->verb != AUGEAS_DEFVAR && command->verb != AUGEAS_DEFNODE;
    }
    return done;
}

static char *with_lock(const AugeasJob *job, const char *text, GError **error) {
    const unsigned flags = AUG_NO_LOAD | AUG_NO_MODL_AUTOLOAD;
    const Library *lib = library(error);
    if (lib == NULL)
        return NULL;
    bool shared = job->load_path == NULL;
    Augeas augeas = { lib, shared ? g_steal_pointer(&shared_tree) : NULL };
    if (augeas.tree == NULL)
        augeas.tree = lib->init("/", job->load_path, flags);
    if (augeas.tree == NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, "start libaugeas");
        return NULL;
    }
    char *after = transform(&augeas, job, text, error);
    if (shared && is_reusable(job, after != NULL) && lib->rm(augeas.tree, "/files") >= 0 &&
        lib->rm(augeas.tree, "/stead") >= 0)
        shared_tree = augeas.tree;
    else
        lib->close(augeas.tree);
    return after;
}

char *augeas_transform(const AugeasJob *job, const char *text, GError **error) {
    g_mutex_lock(&lock);
    char *after = with_lock(job, text, error);
    g_mutex_unlock(&lock);
    return after;
}
