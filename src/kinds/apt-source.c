/* apt_source: where apt gets packages from, and whose signature it trusts there. */
#include <string.h>

#include "base/limits.h"
#include "base/text-diff.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/apt-key.h"
#include "kinds/hint.h"
#include "kinds/kinds.h"

enum {
    P_STATE,
    P_URIS,
    P_SUITES,
    P_COMPONENTS,
    P_TYPES,
    P_ARCHITECTURES,
    P_KEY,
    P_ENABLED,
    P_OPTIONS,
    P_TEXT,
    N_PARAMS
};

#define SOURCES  "/etc/apt/sources.list.d"
#define KEYRINGS "/etc/apt/keyrings"
#define KEY_MAX  (4u * 1024 * 1024)

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the source is there or not.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_URIS] = { "uris", PARAM_STRINGS, 0,
                 "Where the packages are, such as "
                 "https://deb.debian.org/debian; several of the same content as a list.",
                 .aliases = "uri url" },
    [P_SUITES] = { "suites", PARAM_STRINGS, 0,
                   "Releases, such as bookworm; or one path that ends in a slash for a source "
                   "without components.",
                   .aliases = "suite release" },
    [P_COMPONENTS] = { "components", PARAM_STRINGS, 0, "Parts of the releases, such as main.",
                       .fallback = "" },
    [P_TYPES] = { "types", PARAM_STRINGS, 0, "deb for packages, deb-src for their sources.",
                  .fallback = "deb" },
    [P_ARCHITECTURES] = { "architectures", PARAM_STRINGS, 0,
                          "Only these, such as amd64. Unset: those of the machine." },
    [P_KEY] = { "key", PARAM_STRING, PARAM_PROPERTY,
                "The public key that signs the source, and that is trusted for it alone: its "
                "armoured text; or a file of it: a path of the machine, or, relative, a file "
                "beside the configuration. Unset: the keys that the machine trusts for "
                "everything." },
    [P_ENABLED] = { "enabled", PARAM_BOOL, 0, "Whether apt uses it.", .fallback = "true" },
    [P_OPTIONS] = { "options", PARAM_MAP, 0,
                    "Further fields of sources.list(5), such as Check-Valid-Until." },
    [P_TEXT] = { "text", PARAM_STRING, PARAM_PROPERTY,
                 "The whole file, as in sources.list(5), instead of what stands above." },
};

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

static char *source_path(const Resource *resource) {
    return g_strdup_printf(SOURCES "/%s.sources", resource->name);
}

/* Of a key that we keep ourselves: both there can be. */
static char *key_path(const Resource *resource, bool armoured) {
    return g_strdup_printf(KEYRINGS "/%s.%s", resource->name, armoured ? "asc" : "gpg");
}

/* --- validation */

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

static size_t n_words(const Resource *resource, unsigned param) {
    const Value *list = resource_get(resource, param);
    return list != NULL ? value_size(list) : 0;
}

static const char *word(const Resource *resource, unsigned param, size_t i) {
    return value_string(value_list_at(resource_get(resource, param), i));
}

/* A space or a line end would make two of one. */
static bool check_words(const Resource *resource, GError **error) {
    static const unsigned lists[] = { P_URIS, P_SUITES, P_COMPONENTS, P_TYPES, P_ARCHITECTURES };
    for (unsigned k = 0; k < G_N_ELEMENTS(lists); k++)
        for (size_t i = 0; i < n_words(resource, lists[k]); i++) {
            const char *text = word(resource, lists[k], i);
            if (*text == '\0' || strpbrk(text, " \t\r\n") != NULL)
                return refuse(error, "%s: refuse '%s': it is a word without spaces",
                              params[lists[k]].name, text);
            if (lists[k] == P_URIS && strchr(text, ':') == NULL)
                return refuse(error, "uris: refuse '%s': it begins with a scheme, such as https://",
                              text);
            if (lists[k] == P_TYPES && strcmp(text, "deb") != 0 && strcmp(text, "deb-src") != 0)
                return refuse(error, "types: refuse '%s': it is deb or deb-src", text);
        }
    return true;
}

static bool check_options(const Resource *resource, GError **error) {
    const Value *options = resource_get(resource, P_OPTIONS);
    for (size_t i = 0; options != NULL && i < value_size(options); i++) {
        const char *name, *text = value_string(value_map_at(options, i, &name));
        if (*name == '\0' || !g_ascii_isalpha(*name) || strpbrk(name, ": \t\r\n") != NULL ||
            strpbrk(text, "\r\n") != NULL)
            return refuse(error, "options: refuse '%s': a field is a word, its value one line",
                          name);
    }
    return true;
}

static bool check_suites(const Resource *resource, GError **error) {
    if (n_words(resource, P_URIS) == 0 || n_words(resource, P_SUITES) == 0)
        return refuse(error, "'uris' and 'suites' are required, or 'text'");
    bool flat = g_str_has_suffix(word(resource, P_SUITES, 0), "/");
    if (flat && n_words(resource, P_COMPONENTS) > 0)
        return refuse(error, "suites: '%s' ends in a slash, so it has no components",
                      word(resource, P_SUITES, 0));
    if (!flat && n_words(resource, P_COMPONENTS) == 0)
        return refuse(error, "components: at least one is required, such as main; a source without "
                             "any has a suite that ends in a slash");
    return true;
}

static bool is_armoured(const char *key) {
    return strstr(key, "-----BEGIN") != NULL;
}

static bool check_key(const Resource *resource, GError **error) {
    const char *key = resource_string(resource, P_KEY);
    bool armoured;
    if (key == NULL || (!is_armoured(key) && strpbrk(key, "\r\n") == NULL))
        return true;
    if (apt_key_check(key, strlen(key), &armoured, error))
        return true;
    g_prefix_error(error, "key: ");
    return false;
}

static bool source_validate(const Resource *resource, GError **error) {
    const char *name = resource->name;
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] !=
            '\0' ||
        !g_ascii_isalnum(*name) || strlen(name) > 100)
        return refuse(error,
                      "refuse the name '%s': apt takes files of letters, digits, '_', '.' "
                      "and '-'",
                      name);
    if (wants_absent(resource))
        return true;
    if (resource_get(resource, P_TEXT) != NULL)
        return (n_words(resource, P_URIS) == 0 && n_words(resource, P_SUITES) == 0) ||
               refuse(error, "set either 'text', or 'uris' and 'suites'");
    return check_words(resource, error) && check_options(resource, error) &&
           check_suites(resource, error) && check_key(resource, error);
}

/* --- what is wanted */

typedef struct {
    GBytes *key;    /* to be kept by us, or NULL */
    char *key_path; /* where it is, ours or somebody's; NULL: none */
    char *text;     /* of the file; NULL: none is wanted */
} Wanted;

static void wanted_clear(Wanted *wanted) {
    g_clear_pointer(&wanted->key, g_bytes_unref);
    g_free(wanted->key_path);
    g_free(wanted->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

/* A file that apt is told of as it is: those of packages and of apt itself follow their owners.
 * Others are copied, since apt reads keys as a user without rights who may not see them. */
static bool is_named_in_place(const char *key) {
    return key != NULL && (g_str_has_prefix(key, "/usr/") || g_str_has_prefix(key, "/etc/apt/"));
}

/* A file beside the configuration. */
static char *local_key(const Resource *resource) {
    const char *key = resource_string(resource, P_KEY);
    if (key == NULL || is_armoured(key) || *key == '/')
        return NULL;
    const char *file = resource->origin.file;
    g_autofree char *directory = g_path_get_dirname(file != NULL ? file : "");
    return g_build_filename(directory, key, NULL);
}

/* local: NULL means that key is a path of the machine. */
static GBytes *read_key_file(KindRun *run, const char *key, const char *local, bool *ret_armoured,
                             GError **error) {
    g_autoptr(GBytes) bytes = local != NULL ? host_read_local(run->host, local, KEY_MAX, error)
                                            : host_read(run->host, key, KEY_MAX, error);
    size_t size;
    const char *data = bytes != NULL ? g_bytes_get_data(bytes, &size) : NULL;
    if (data != NULL && apt_key_check(data, size, ret_armoured, error))
        return g_steal_pointer(&bytes);
    g_prefix_error(error, "read key '%s': ", local != NULL ? local : key);
    return NULL;
}

static GBytes *key_of_text(const char *key) {
    g_autofree char *text = g_strstrip(g_strdup(key));
    char *whole = g_strconcat(text, "\n", NULL);
    return g_bytes_new_take(whole, strlen(whole));
}

static bool read_key(KindRun *run, Wanted *wanted, GError **error) {
    const char *key = resource_string(run->resource, P_KEY);
    g_autofree char *local = local_key(run->resource);
    bool armoured = true;
    if (key == NULL || is_named_in_place(key)) {
        wanted->key_path = g_strdup(key);
        return true;
    }
    wanted->key =
        is_armoured(key) ? key_of_text(key) : read_key_file(run, key, local, &armoured, error);
    if (wanted->key != NULL)
        wanted->key_path = key_path(run->resource, armoured);
    return wanted->key != NULL;
}

static void add_field(GString *text, const Resource *resource, const char *name, unsigned param) {
    if (n_words(resource, param) == 0)
        return;
    g_string_append_printf(text, "%s:", name);
    for (size_t i = 0; i < n_words(resource, param); i++)
        g_string_append_printf(text, " %s", word(resource, param, i));
    g_string_append_c(text, '\n');
}

static char *make_text(const Resource *resource, const char *key) {
    const Value *options = resource_get(resource, P_OPTIONS);
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "# Kept by stead: apt_source '%s'\n", resource->name);
    if (!resource_bool(resource, P_ENABLED))
        g_string_append(text, "Enabled: no\n");
    add_field(text, resource, "Types", P_TYPES);
    add_field(text, resource, "URIs", P_URIS);
    add_field(text, resource, "Suites", P_SUITES);
    add_field(text, resource, "Components", P_COMPONENTS);
    add_field(text, resource, "Architectures", P_ARCHITECTURES);
    if (key != NULL)
        g_string_append_printf(text, "Signed-By: %s\n", key);
    for (size_t i = 0; options != NULL && i < value_size(options); i++) {
        const char *name, *value = value_string(value_map_at(options, i, &name));
        g_string_append_printf(text, "%s: %s\n", name, value);
    }
    return g_string_free(text, FALSE);
}

static bool make_wanted(KindRun *run, Wanted *wanted, GError **error) {
    const char *text = resource_string(run->resource, P_TEXT);
    if (wants_absent(run->resource))
        return true;
    if (!read_key(run, wanted, error))
        return false;
    wanted->text = text != NULL ? g_strdup(text) : make_text(run->resource, wanted->key_path);
    return true;
}

/* --- observe, diff */

/* NULL without error: there is none. */
static bool read_file(KindRun *run, const char *path, GBytes **ret_bytes, GError **error) {
    g_autoptr(GError) problem = NULL;
    *ret_bytes = host_read(run->host, path, KEY_MAX, &problem);
    if (*ret_bytes != NULL || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static char *text_of(GBytes *bytes) {
    size_t size = 0;
    const char *data = bytes != NULL ? g_bytes_get_data(bytes, &size) : NULL;
    return g_utf8_make_valid(data != NULL ? data : "", (gssize)size);
}

/* The file as it is, and the key of ours that it names. */
typedef struct {
    GBytes *text, *key;
    char *key_path; /* NULL: it names none of ours */
} Found;

static void found_clear(Found *found) {
    g_clear_pointer(&found->text, g_bytes_unref);
    g_clear_pointer(&found->key, g_bytes_unref);
    g_free(found->key_path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Found, found_clear)

static char *own_key_in(const Resource *resource, const char *text) {
    for (int armoured = 0; armoured < 2; armoured++) {
        g_autofree char *path = key_path(resource, armoured);
        if (strstr(text, path) != NULL)
            return g_steal_pointer(&path);
    }
    return NULL;
}

static bool find(KindRun *run, Found *found, GError **error) {
    g_autofree char *path = source_path(run->resource);
    if (!read_file(run, path, &found->text, error))
        return false;
    g_autofree char *text = text_of(found->text);
    found->key_path = own_key_in(run->resource, text);
    return found->key_path == NULL || read_file(run, found->key_path, &found->key, error);
}

static Value *key_value(GBytes *key) {
    size_t size;
    const void *data = g_bytes_get_data(key, &size);
    return value_new_bytes(data, size);
}

static bool source_observe(KindRun *run, State *actual, GError **error) {
    g_auto(Found) found = { 0 };
    if (!find(run, &found, error))
        return false;
    g_autofree char *text = text_of(found.text);
    actual->exists = found.text != NULL;
    if (actual->exists)
        state_set(actual, P_TEXT, value_new_string(text));
    if (found.key != NULL)
        state_set(actual, P_KEY, key_value(found.key));
    return true;
}

static bool same_bytes(GBytes *a, GBytes *b) {
    return a == b || (a != NULL && b != NULL && g_bytes_equal(a, b));
}

static void change_text(Changes *changes, const char *before, const char *after) {
    const char *from = before != NULL ? before : "", *to = after != NULL ? after : "";
    changes_add(changes, "text", before != NULL ? value_new_string(before) : NULL,
                after != NULL ? value_new_string(after) : NULL,
                text_diff(from, strlen(from), to, strlen(to), 3));
}

static bool source_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(Wanted) wanted = { 0 };
    g_auto(Found) found = { 0 };
    if (!make_wanted(run, &wanted, error) || !find(run, &found, error))
        return false;
    const Value *now = state_get(actual, P_TEXT);
    const char *text = now != NULL ? value_string(now) : NULL;
    if (g_strcmp0(text, wanted.text) != 0)
        change_text(changes, text, wanted.text);
    if (wanted.key != NULL && !same_bytes(wanted.key, found.key))
        changes_add(changes, "key", found.key != NULL ? key_value(found.key) : NULL,
                    key_value(wanted.key), NULL);
    if (changes->changes->len > 0)
        changes->action = wants_absent(run->resource) ? ACTION_REMOVE
                          : actual->exists            ? ACTION_CHANGE
                                                      : ACTION_CREATE;
    return true;
}

/* --- apply */

static bool write_file(KindRun *run, const char *path, GBytes *bytes, GError **error) {
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 0644 };
    return (host_make_parents(run->host, path, error) &&
            host_write(run->host, path, bytes, &attributes, error)) ||
           hint_io(run, path, error);
}

/* bytes: NULL removes it. */
static bool put_file(KindRun *run, const char *path, GBytes *bytes, GError **error) {
    if (bytes != NULL)
        return write_file(run, path, bytes, error);
    return !host_exists(run->host, path) || host_remove(run->host, path, error) ||
           hint_io(run, path, error);
}

/* The key first: a source whose key is missing breaks every apt-get update. */
static bool put(KindRun *run, const Wanted *wanted, const Found *found, GError **error) {
    g_autofree char *path = source_path(run->resource);
    g_autoptr(GBytes) text =
        wanted->text != NULL ? g_bytes_new(wanted->text, strlen(wanted->text)) : NULL;
    if ((wanted->key != NULL && !write_file(run, wanted->key_path, wanted->key, error)) ||
        !put_file(run, path, text, error))
        return false;
    bool kept = found->key_path == NULL ||
                (wanted->text != NULL && strstr(wanted->text, found->key_path) != NULL);
    return kept || put_file(run, found->key_path, NULL, error);
}

/* A source that cannot be fetched is taken back: it would be in the way of every other one. */
static void take_back(KindRun *run, const Wanted *wanted, const Found *found) {
    g_autofree char *path = source_path(run->resource);
    bool same_key = g_strcmp0(wanted->key_path, found->key_path) == 0;
    (void)put_file(run, path, found->text, NULL); /* the error that led here is told */
    if (wanted->key != NULL && !same_key)
        (void)put_file(run, wanted->key_path, NULL, NULL);
    if (found->key_path != NULL)
        (void)put_file(run, found->key_path, found->key, NULL);
}

static bool fetch(KindRun *run, GError **error) {
    g_autofree char *path = source_path(run->resource);
    g_autoptr(GError) problem = NULL;
    if (host_package_refresh(run->host, REFRESH_ALWAYS, path, NULL, run->cancel, &problem) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true; /* where no apt runs, it fetches when it does */
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool source_apply(KindRun *run, const State *actual, const Changes *changes,
                         GError **error) {
    g_auto(Wanted) wanted = { 0 };
    g_auto(Found) found = { 0 };
    if (!make_wanted(run, &wanted, error) || !find(run, &found, error) ||
        !put(run, &wanted, &found, error))
        return false;
    bool used = wanted.text != NULL && (resource_get(run->resource, P_TEXT) != NULL ||
                                        resource_bool(run->resource, P_ENABLED));
    if (!used || resource_get(run->resource, P_TEXT) != NULL || fetch(run, error))
        return true;
    take_back(run, &wanted, &found);
    g_prefix_error(error, "the source is not added: ");
    return false;
}

/* --- the rest */

static bool source_watch(Watcher *watcher, const Resource *resource, GError **error) {
    const char *key = resource_string(resource, P_KEY);
    g_autofree char *path = source_path(resource), *armoured = key_path(resource, true);
    g_autofree char *binary = key_path(resource, false), *local = local_key(resource);
    return watcher_host(watcher, HOST_WATCH_FILE, path, error) &&
           (key == NULL || (watcher_host(watcher, HOST_WATCH_FILE, armoured, error) &&
                            watcher_host(watcher, HOST_WATCH_FILE, binary, error))) &&
           (key == NULL || *key != '/' || watcher_host(watcher, HOST_WATCH_FILE, key, error)) &&
           (local == NULL || watcher_local(watcher, HOST_WATCH_FILE, local, error));
}

static void source_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *key = resource_string(resource, P_KEY);
    g_autofree char *path = source_path(resource);
    auto_edges_am(edges, "path", path);
    auto_edges_am(edges, "apt", "source");
    auto_edges_want_parent(edges, path);
    if (key != NULL && *key == '/')
        auto_edges_want(edges, "path", key, true);
    for (size_t i = 0; i < n_words(resource, P_URIS); i++) {
        const char *uri = word(resource, P_URIS, i);
        if (g_str_has_prefix(uri, "https:"))
            auto_edges_want(edges, "package", "ca-certificates", true);
        if (g_str_has_prefix(uri, "file:/"))
            auto_edges_want(edges, "path", uri + strlen("file:"), true);
    }
}

static Resource *source_reverse(const Resource *resource, const State *before, OnRemove how,
                                GError **error) {
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    Resource *inverse = resource_copy(resource);
    for (unsigned i = P_URIS; i < N_PARAMS; i++)
        if (i != P_ENABLED && i != P_COMPONENTS && i != P_TYPES)
            resource_put(inverse, i, NULL);
    resource_put(inverse, P_STATE, value_new_string(existed ? "exists" : "absent"));
    if (!existed)
        return inverse;
    const Value *key = state_get(before, P_KEY);
    resource_put(inverse, P_TEXT, value_ref(state_get(before, P_TEXT)));
    if (key != NULL && is_armoured(value_string(key)))
        resource_put(inverse, P_KEY, value_ref(key));
    return inverse;
}

const Kind kind_apt_source = {
    .name = "apt_source",
    .summary = "Keep a source of packages for apt, with its key",
    .help =
        "Keeps /etc/apt/sources.list.d/NAME.sources, and the key that is trusted for this source "
        "alone in /etc/apt/keyrings/NAME.asc (or .gpg). The lists of this source are fetched as "
        "soon as it has changed, and of no other. Every `pkg` comes after every source, except "
        "those that the source itself needs, such as ca-certificates: one apply adds the source "
        "and "
        "installs from it.\n\n"
        "A key is checked before anything is touched, and copied unless it is a file below /usr "
        "or /etc/apt, which apt is told of where it is. A source whose mirror does not answer, or "
        "that is signed by another key, is not added, since it would be in the way of all others: "
        "the error names the host, and the next apply tries again.\n\n"
        "Priorities of sources are files in /etc/apt/preferences.d; see apt_preferences(5). They "
        "are there before any `pkg`, too.\n\n"
        "When the resource leaves the configuration, the file becomes what it was, or goes with "
        "its "
        "key. Packages that came from there stay.",
    .example = "apt_source \"backports\" {\n"
               "  uris = \"https://deb.debian.org/debian\",\n"
               "  suites = \"bookworm-backports\",\n"
               "  components = { \"main\", \"contrib\" },\n"
               "  key = \"/usr/share/keyrings/debian-archive-keyring.gpg\",\n"
               "}\n"
               "pkg \"curl\" { release = \"bookworm-backports\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .validate = source_validate,
    .beside = local_key,
    .observe = source_observe,
    .diff = source_diff,
    .apply = source_apply,
    .watch = source_watch,
    .auto_edges = source_auto_edges,
    .reverse = source_reverse,
};
