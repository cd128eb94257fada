/* file: files, directories and links: content, attributes, whole trees. The table; the work is in
 * file-*.c. */
#include "kinds/file.h"

#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"

static const char *const states[] = { "exists", "absent", NULL };
static const char *const types[] = { "file", "directory", "link", NULL };

static const Param file_params[] = {
    [FILE_ROW_PATH] = { "path", PARAM_PATH, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                        "Where it is. A slash at the end makes it a directory." },
    [FILE_ROW_STATE] = { "state", PARAM_ENUM, 0,
                         "Whether there is something at the path. What is absent is removed, "
                         "whatever it is; a directory that is not empty only with force.",
                         .fallback = "exists", .choices = states, .aliases = "ensure" },
    [FILE_ROW_TYPE] = { "type", PARAM_ENUM, PARAM_PROPERTY | PARAM_REWATCH,
                        "What it is; follows from the slash at the end of the path and from "
                        "target, so it is rarely written.",
                        .choices = types },
    [FILE_ROW_CONTENT] = { "content", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES | PARAM_ESSENCE,
                           "All the bytes of the file. Without content, source or fragments a "
                           "missing file is made empty and an existing one keeps what it has." },
    [FILE_ROW_SOURCE] = { "source", PARAM_STRING, PARAM_REWATCH | PARAM_ESSENCE,
                          "File to copy: a relative path is beside the configuration file, an "
                          "absolute one on the host. With a slash at the end a directory, copied "
                          "with all it holds." },
    [FILE_ROW_FRAGMENTS] = { "fragments", PARAM_STRINGS, PARAM_REWATCH,
                             "Files on the host that make up the content, one after the other; a "
                             "path with a slash at its end means the files in that directory, by "
                             "name." },
    [FILE_ROW_TARGET] = { "target", PARAM_STRING, PARAM_PROPERTY,
                          "Makes it a symbolic link to this path, absolute or relative; it need "
                          "not exist." },
    [FILE_ROW_SYMLINK] = { "symlink", PARAM_BOOL, 0,
                           "Makes it a symbolic link to source. New configurations write target.",
                           .fallback = "false" },
    [FILE_ROW_OWNER] = { "owner", PARAM_STRING, PARAM_PROPERTY,
                         "User it belongs to, by name or number." },
    [FILE_ROW_GROUP] = { "group", PARAM_STRING, PARAM_PROPERTY,
                         "Group it belongs to, by name or number." },
    [FILE_ROW_MODE] = { "mode", PARAM_MODE, PARAM_PROPERTY,
                        "Permissions, as \"0644\" or \"u=rw,go=r\". With recurse it is the mode of "
                        "files; directories may also be searched by whom they may be read." },
    [FILE_ROW_RECURSE] = { "recurse", PARAM_BOOL, PARAM_REWATCH,
                           "Everything below the directory too: copies the source, applies owner, "
                           "group and mode, and makes missing parents.",
                           .fallback = "false" },
    [FILE_ROW_PURGE] = { "purge", PARAM_BOOL, 0,
                         "Removes whatever is below the directory and is neither in the source "
                         "nor managed by another resource. Needs recurse; and force for "
                         "directories that hold something.",
                         .fallback = "false" },
    [FILE_ROW_IGNORE] = { "ignore", PARAM_STRINGS, 0,
                          "Shell patterns of names below the directory that are neither copied, "
                          "changed nor purged." },
    [FILE_ROW_FORCE] = { "force", PARAM_BOOL, 0,
                         "Allows what loses data: removing or purging a directory with all it "
                         "holds, "
                         "a file giving way to a directory, anything replacing a device. Counts "
                         "also "
                         "when the resource leaves the configuration.",
                         .fallback = "false" },
    [FILE_ROW_REPLACE] = { "replace", PARAM_BOOL, 0,
                           "Whether an existing file gets the content; false writes it only when "
                           "the file is missing.",
                           .fallback = "true" },
    [FILE_ROW_VALIDATE] = { "validate_cmd", PARAM_STRING, 0,
                            "Command that must succeed before new content is put in place; % "
                            "stands "
                            "for the path of the candidate. No shell. A plan does not run it.",
                            .aliases = "validate" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(file_params) == FILE_N_ROWS);

static char *file_beside(const Resource *resource) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, resource);
    return spec.from == FROM_LOCAL && !spec.absent ? g_strdup(spec.source) : NULL;
}

static bool watch_source(Watcher *watcher, const FileSpec *spec, GError **error) {
    HostWatchClass class = spec->type == FILE_DIRECTORY ? HOST_WATCH_TREE : HOST_WATCH_FILE;
    if (spec->from == FROM_LOCAL)
        return watcher_local(watcher, class, spec->source, error);
    return spec->from != FROM_HOST || watcher_host(watcher, class, spec->source, error);
}

static bool watch_fragments(Watcher *watcher, const Resource *resource, GError **error) {
    const Value *fragments = resource_get(resource, FILE_ROW_FRAGMENTS);
    for (size_t i = 0; fragments != NULL && i < value_size(fragments); i++) {
        const char *path = value_string(value_list_at(fragments, i));
        bool slash = g_str_has_suffix(path, "/");
        g_autofree char *plain = g_strndup(path, strlen(path) - (slash ? 1 : 0));
        if (!watcher_host(watcher, slash ? HOST_WATCH_TREE : HOST_WATCH_FILE, plain, error))
            return false;
    }
    return true;
}

static bool file_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, resource);
    HostWatchClass class = spec.recurse && !spec.absent ? HOST_WATCH_TREE : HOST_WATCH_FILE;
    return watcher_host(watcher, class, spec.path, error) && watch_source(watcher, &spec, error) &&
           watch_fragments(watcher, resource, error);
}

static void want_path(AutoEdges *edges, const char *path) {
    size_t size = strlen(path);
    g_autofree char *plain = g_strndup(path, size > 1 && path[size - 1] == '/' ? size - 1 : size);
    auto_edges_want(edges, "path", plain, true);
}

static void file_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, resource);
    auto_edges_am(edges, "path", spec.path);
    if (g_str_has_prefix(spec.path, "/etc/apt/"))
        auto_edges_am(edges, "apt", "source");
    auto_edges_want_parent(edges, spec.path);
    if (spec.from == FROM_HOST)
        want_path(edges, spec.source);
    if (!spec.absent && spec.target != NULL && *spec.target == '/')
        want_path(edges, spec.target); /* a link is turned when what it leads to is ready */
    const Value *fragments = resource_get(resource, FILE_ROW_FRAGMENTS);
    for (size_t i = 0; fragments != NULL && i < value_size(fragments); i++)
        want_path(edges, value_string(value_list_at(fragments, i)));
    auto_edges_want_account(edges, resource_string(resource, FILE_ROW_OWNER), "user", "uid");
    auto_edges_want_account(edges, resource_string(resource, FILE_ROW_GROUP), "group", "gid");
}

const Kind kind_file = {
    .name = "file",
    .summary = "Manage a file, directory or symbolic link",
    .help =
        "Keeps what is at a path: that it is there or absent, its content, owner, group and mode. "
        "Files are replaced in one step, so that no reader ever sees half of one, and keep owner "
        "and mode where the resource names none; new ones get 0644.\n\n"
        "A path with a slash at its end is a directory. With `recurse` and a `source` it becomes a "
        "copy of a directory beside the configuration (or on the host, when absolute): copied "
        "files "
        "are 0644, or 0755 where their source may be executed, unless `mode` says otherwise. "
        "What was copied and leaves the source is removed; everything else below the directory is "
        "left alone unless `purge` is set. Without a source, `recurse` applies owner, group and "
        "mode to everything below that no other resource manages.\n\n"
        "The parent directory must exist (a directory with `recurse` makes its parents). Nothing "
        "that holds data is lost without `force`: it takes force to remove a directory that is not "
        "empty, to turn a file into a directory, or to replace a device. Links and files replace "
        "each other freely. Symbolic links in the middle of the path are followed inside the "
        "root; one at its end is what is managed.\n\n"
        "When the resource leaves the configuration, what stead created is removed, and what "
        "existed before gets its content (up to 16 MB), owner, group, mode and type back. A "
        "directory takes along what was copied into it, but goes only if nothing else is left in "
        "it. Entries that were purged or lost with force are not kept.",
    .example = "file \"/etc/motd\" { content = \"Welcome\\n\", mode = \"0644\" }\n"
               "file \"/srv/www/\" { source = \"www/\", recurse = true, purge = true, owner = "
               "\"root\" }\n"
               "file \"/etc/localtime\" { target = \"/usr/share/zoneinfo/Europe/Berlin\" }\n"
               "file \"/etc/sudoers.d/ops\" {\n"
               "  content = \"%ops ALL=(ALL) ALL\\n\", mode = \"0440\", validate_cmd = "
               "\"/usr/sbin/visudo -cf %\",\n"
               "}\n",
    .params = file_params,
    .n_params = G_N_ELEMENTS(file_params),
    .flags = KIND_QUICK,
    .validate = file_validate,
    .beside = file_beside,
    .observe = file_observe,
    .diff = file_diff,
    .settled = file_settled,
    .apply = file_apply,
    .watch = file_watch,
    .auto_edges = file_auto_edges,
    .preimage = file_preimage,
    .reverse = file_reverse,
    .clean = file_clean,
};
