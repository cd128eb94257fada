/* tar: an archive made of files, or a directory made of an archive. The table and what both share.
 */
#include "kinds/tar.h"

#include <string.h>

#include "base/limits.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/host-real.h"
#include "kinds/hint.h"

static const char *const states[] = { "exists", "absent", NULL };
static const char *const compressions[] = { "none", "gzip", "bzip2", "xz", "zstd", NULL };

static const Param tar_params[] = {
    [TAR_PATH] = { "path", PARAM_PATH, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                   "The archive that is made of inputs; with a slash at its end the directory that "
                   "source is unpacked into." },
    [TAR_STATE] = { "state", PARAM_ENUM, 0, "Whether it is there or not.", .fallback = "exists",
                    .choices = states, .aliases = "ensure" },
    [TAR_INPUTS] = { "inputs", PARAM_STRINGS, PARAM_REWATCH,
                     "Files and directories on the host to pack. A directory is packed under its "
                     "name; with a slash at its end only what is in it." },
    [TAR_FORMAT] = { "format", PARAM_STRING, 0,
                     "Header format: pax, ustar or gnu (or 4, 2, 8; 0 is pax).",
                     .fallback = "pax" },
    [TAR_COMPRESSION] = { "compression", PARAM_ENUM, 0,
                          "How the archive is compressed; follows from the end of its name.",
                          .choices = compressions },
    [TAR_ATTRIBUTES] = { "attributes", PARAM_BOOL, 0,
                         "Packs modes, owners and times as they are. Otherwise equal contents make "
                         "equal archives, byte for byte.",
                         .fallback = "false" },
    [TAR_SOURCE] = { "source", PARAM_STRING, PARAM_REWATCH,
                     "Archive to unpack (tar or zip, compressed or not): a relative path is beside "
                     "the configuration file, an absolute one on the host.",
                     .aliases = "extract" },
    [TAR_STRIP] = { "strip", PARAM_INT, 0, "Leading parts to drop from each path in the source.",
                    .fallback = "0" },
    [TAR_OWNER] = { "owner", PARAM_STRING, 0,
                    "User that unpacked files belong to, by name or number." },
    [TAR_GROUP] = { "group", PARAM_STRING, 0,
                    "Group that unpacked files belong to, by name or number." },
    [TAR_FORCE] = { "force", PARAM_BOOL, 0,
                    "Allows directories to give way to files and removal of a directory with "
                    "entries that did not come from the source.",
                    .fallback = "false" },
};

const char *tar_text(const Resource *resource, unsigned param) {
    const char *text = resource_string(resource, param);
    return text != NULL && *text != '\0' ? text : NULL;
}

static bool parse_format(const char *text, ArchiveFormat *ret_format) {
    static const struct {
        const char *word;
        ArchiveFormat format;
    } words[] = {
        { "pax", ARCHIVE_PAX },     { "4", ARCHIVE_PAX },   { "0", ARCHIVE_PAX },
        { "ustar", ARCHIVE_USTAR }, { "2", ARCHIVE_USTAR }, { "gnu", ARCHIVE_GNU },
        { "8", ARCHIVE_GNU },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].word, text) == 0) {
            *ret_format = words[i].format;
            return true;
        }
    return false;
}

static void tar_spec_init(TarSpec *spec, const Resource *resource) {
    const char *path = resource_string(resource, TAR_PATH);
    const char *source = tar_text(resource, TAR_SOURCE);
    const char *compression = resource_string(resource, TAR_COMPRESSION);
    size_t size = strlen(path);
    bool slash = size > 1 && path[size - 1] == '/';
    *spec = (TarSpec){
        .resource = resource,
        .path = g_strndup(path, size - slash),
        .absent = strcmp(resource_string(resource, TAR_STATE), "absent") == 0,
        .unpacks = slash,
        .local = source != NULL && *source != '/',
        .options = { .compression = tarball_compression_of(path),
                     .attributes = resource_bool(resource, TAR_ATTRIBUTES) },
    };
    (void)parse_format(resource_string(resource, TAR_FORMAT),
                       &spec->options.format); /* validated */
    for (unsigned i = 0; compression != NULL && compressions[i] != NULL; i++)
        if (strcmp(compressions[i], compression) == 0)
            spec->options.compression = i;
    if (spec->local) {
        /* What comes back from the ledger has lost its place; it is only undone. */
        const char *file = resource->origin.file;
        g_autofree char *directory = g_path_get_dirname(file != NULL ? file : "");
        spec->source = g_build_filename(directory, source, NULL);
    } else {
        spec->source = g_strdup(source);
    }
}

static void tar_spec_clear(TarSpec *spec) {
    g_clear_pointer(&spec->path, g_free);
    g_clear_pointer(&spec->source, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TarSpec, tar_spec_clear)

static char *tar_beside(const Resource *resource) {
    g_auto(TarSpec) spec = { 0 };
    tar_spec_init(&spec, resource);
    return spec.local && !spec.absent ? g_steal_pointer(&spec.source) : NULL;
}

static const char *find_problem(const Resource *resource) {
    const Value *inputs = resource_get(resource, TAR_INPUTS);
    const char *source = tar_text(resource, TAR_SOURCE);
    const char *path = resource_string(resource, TAR_PATH);
    bool absent = strcmp(resource_string(resource, TAR_STATE), "absent") == 0;
    bool slash = g_str_has_suffix(path, "/");
    bool has_inputs = inputs != NULL && value_size(inputs) > 0;
    int64_t strip = resource_int(resource, TAR_STRIP, 0);
    ArchiveFormat format;
    g_auto(GStrv) parts = g_strsplit(source != NULL ? source : "", "/", -1);
    if (strcmp(path, "/") == 0)
        return "path must not be the root directory";
    if (has_inputs && source != NULL)
        return "inputs (to pack) and source (to unpack) exclude each other";
    if (!absent && !slash && !has_inputs)
        return "inputs must say what to pack; to unpack a source end the path with a slash";
    if (!absent && slash && source == NULL)
        return "source must say what to unpack into the directory; to pack, drop the slash";
    if (source != NULL && *source != '/' && resource->origin.file == NULL)
        return "source must be absolute: there is no configuration file beside which it could be";
    if (source != NULL && *source != '/' && g_strv_contains((const char *const *)parts, ".."))
        return "source must not leave the directory of the configuration with '..'";
    if (strip < 0 || strip > LIMIT_NESTING)
        return "strip must be from 0 to 100";
    if (!parse_format(resource_string(resource, TAR_FORMAT), &format))
        return "format must be pax, ustar or gnu";
    for (size_t i = 0; has_inputs && i < value_size(inputs); i++)
        if (*value_string(value_list_at(inputs, i)) != '/')
            return "inputs must be absolute paths";
    return NULL;
}

static bool tar_validate(const Resource *resource, GError **error) {
    const char *problem = find_problem(resource);
    if (problem == NULL)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

void tar_digest(GBytes *bytes, char ret_hex[DIGEST_HEX_SIZE]) {
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    digest_bytes(data, size, ret_hex);
}

const Value *tar_owned(const KindRun *run) {
    return run->kept != NULL ? value_map_get(run->kept, TAR_KEPT_TREE) : NULL;
}

/* --- both --- */

static bool tar_observe(KindRun *run, State *actual, GError **error) {
    g_auto(TarSpec) spec;
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    tar_spec_init(&spec, run->resource);
    actual->exists = host_stat(run->host, spec.path, &info, &problem);
    if (actual->exists && !spec.absent && spec.unpacks && info.type != FILE_DIRECTORY &&
        info.type != FILE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "unpack into '%s': it is no directory; remove it first", spec.path);
        return false;
    }
    if (actual->exists || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* A directory goes with what came from the archive, and only if nothing else is in it. */
static bool diff_absent(KindRun *run, const TarSpec *spec, const State *actual, Changes *changes,
                        GError **error) {
    FileInfo info;
    bool force = resource_bool(spec->resource, TAR_FORCE);
    g_auto(Loss) loss = { 0 };
    if (!actual->exists)
        return true;
    changes->action = ACTION_REMOVE;
    changes_add(changes, "state", value_new_string("exists"), value_new_string("absent"), NULL);
    if (!host_stat(run->host, spec->path, &info, error))
        return false;
    if (info.type != FILE_DIRECTORY)
        return true;
    TreeRules rules = { .owned = tar_owned(run) };
    g_autofree char *what = g_strdup_printf("remove directory '%s'", spec->path);
    g_autoptr(GPtrArray) steps = file_tree_compare(run, NULL, spec->path, &rules, error);
    return steps != NULL && file_tree_loss(run, spec->path, steps, &loss, error) &&
           loss_allow(&loss, force, what, changes, error);
}

static bool apply_absent(KindRun *run, const TarSpec *spec, GError **error) {
    FileInfo info;
    if (!host_stat(run->host, spec->path, &info, error))
        return false;
    if (info.type == FILE_DIRECTORY && resource_bool(spec->resource, TAR_FORCE))
        return host_remove_tree(run->host, spec->path, run->cancel, error);
    if (info.type == FILE_DIRECTORY) {
        TreeRules rules = { .owned = tar_owned(run) };
        g_autoptr(GPtrArray) steps = file_tree_compare(run, NULL, spec->path, &rules, error);
        if (steps == NULL || !file_tree_apply(run, NULL, spec->path, steps, error))
            return false;
    }
    return host_remove(run->host, spec->path, error);
}

static bool tar_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(TarSpec) spec;
    tar_spec_init(&spec, run->resource);
    if (spec.absent)
        return diff_absent(run, &spec, actual, changes, error);
    return spec.unpacks ? tar_diff_unpacked(run, &spec, actual, changes, error)
                        : tar_diff_packed(run, &spec, actual, changes, error);
}

static bool tar_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(TarSpec) spec;
    tar_spec_init(&spec, run->resource);
    if (spec.absent)
        return apply_absent(run, &spec, error) || hint_io(run, spec.path, error);
    return spec.unpacks ? tar_apply_unpacked(run, &spec, actual, error)
                        : tar_apply_packed(run, &spec, error);
}

static bool tar_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_auto(TarSpec) spec;
    tar_spec_init(&spec, resource);
    const Value *inputs = resource_get(resource, TAR_INPUTS);
    if (!watcher_host(watcher, spec.unpacks && !spec.absent ? HOST_WATCH_TREE : HOST_WATCH_FILE,
                      spec.path, error))
        return false;
    if (spec.source != NULL &&
        !(spec.local ? watcher_local : watcher_host)(watcher, HOST_WATCH_FILE, spec.source, error))
        return false;
    for (size_t i = 0; inputs != NULL && i < value_size(inputs); i++) {
        const char *input = value_string(value_list_at(inputs, i));
        size_t size = strlen(input);
        g_autofree char *path = g_strndup(input, size - (size > 1 && input[size - 1] == '/'));
        if (!watcher_host(watcher, HOST_WATCH_TREE, path, error))
            return false;
    }
    return true;
}

static void tar_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_auto(TarSpec) spec;
    tar_spec_init(&spec, resource);
    const Value *inputs = resource_get(resource, TAR_INPUTS);
    auto_edges_am(edges, "path", spec.path);
    auto_edges_want_parent(edges, spec.path);
    if (spec.source != NULL && !spec.local)
        auto_edges_want(edges, "path", spec.source, true);
    for (size_t i = 0; inputs != NULL && i < value_size(inputs); i++)
        auto_edges_want(edges, "path", value_string(value_list_at(inputs, i)), true);
    auto_edges_want_account(edges, tar_text(resource, TAR_OWNER), "user", "uid");
    auto_edges_want_account(edges, tar_text(resource, TAR_GROUP), "group", "gid");
}

/* What an archive replaced is not kept; what it was made of is still there. A directory that was
 * there before stays, without what was unpacked. */
static Resource *tar_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    if (existed && !g_str_has_suffix(resource_string(resource, TAR_PATH), "/"))
        return NULL;
    Resource *inverse = resource_new(resource->kind, resource->name, resource->origin);
    resource_put(inverse, TAR_PATH, value_ref(resource_get(resource, TAR_PATH)));
    resource_put(inverse, TAR_FORMAT, value_ref(resource_get(resource, TAR_FORMAT)));
    resource_put(inverse, TAR_STATE, value_new_string(existed ? "exists" : "absent"));
    resource_put(inverse, TAR_FORCE, value_ref(resource_get(resource, TAR_FORCE)));
    return inverse;
}

static bool tar_clean(KindRun *run, GError **error) {
    g_auto(TarSpec) spec;
    tar_spec_init(&spec, run->resource);
    return host_real_clean(run->host, spec.path, error);
}

const Kind kind_tar = {
    .name = "tar",
    .summary = "Pack files into an archive, or unpack one into a directory",
    .help =
        "With `inputs` the path is an archive of them. It is made anew when a name, a content or "
        "whether a file may be executed changes; equal contents make equal archives, byte for "
        "byte, unless `attributes` is set. The end of the name chooses the compression (.gz, .bz2, "
        ".xz, .zst, .tgz, ...).\n\n"
        "With `source` the path, with a slash at its end, is a directory into which an archive is "
        "unpacked and kept so: files that differ, are missing or have another mode are repaired; "
        "what left the archive is removed; everything else in the directory is left alone. "
        "Archives that lead outside the directory or hold devices are refused. All of it is done "
        "in memory, up to 256 MB.\n\n"
        "When the resource leaves the configuration, an archive that stead made is removed; a "
        "directory loses what was unpacked and goes if nothing else is in it and stead made it.",
    .example = "tar \"/var/backups/etc.tar.gz\" { inputs = { \"/etc/\" } }\n"
               "tar \"/opt/app/\" { source = \"app-1.2.tar.gz\", strip = 1, owner = \"root\" }\n",
    .params = tar_params,
    .n_params = G_N_ELEMENTS(tar_params),
    .validate = tar_validate,
    .beside = tar_beside,
    .observe = tar_observe,
    .diff = tar_diff,
    .apply = tar_apply,
    .watch = tar_watch,
    .auto_edges = tar_auto_edges,
    .reverse = tar_reverse,
    .clean = tar_clean,
};
