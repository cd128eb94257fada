/* Making an archive of files on the host. */
#include <string.h>

#include "host/host-overlay.h"
#include "kinds/hint.h"
#include "kinds/tar.h"

/* Kept after packing: digests of the inputs and of the archive they gave. */
#define KEPT_INPUTS "inputs"
#define KEPT_OUTPUT "output"

static void part_clear(void *data) {
    TarballPart *part = data;
    g_free(part->prefix);
    file_tree_free(part->tree);
}

static FileTree *one_file(KindRun *run, const char *path, const FileInfo *info, GError **error) {
    g_autoptr(FileTree) tree = file_tree_new(TREE_ON_HOST);
    g_autofree char *name = g_path_get_basename(path);
    TreeEntry *entry = file_tree_add(tree, name, info->type, info->mode & 0100 ? 0755 : 0644);
    entry->info = *info;
    entry->from = g_strdup(path);
    bool done = true;
    if (info->type == FILE_SYMLINK)
        done = (entry->target = host_read_link(run->host, path, error)) != NULL;
    else
        done = host_digest(run->host, path, info, entry->digest, error);
    return done ? g_steal_pointer(&tree) : NULL;
}

static bool add_input(KindRun *run, const char *input, GArray *parts, GError **error) {
    size_t size = strlen(input);
    bool slash = size > 1 && input[size - 1] == '/';
    g_autofree char *path = g_strndup(input, size - slash);
    FileInfo info;
    TarballPart part = { .prefix = g_strdup("") };
    if (!host_stat(run->host, path, &info, error)) {
        part_clear(&part);
        return false;
    }
    if (info.type == FILE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                    "'%s' is known only when applied", path);
    } else if (info.type == FILE_DIRECTORY) {
        if (!slash) {
            g_autofree char *name = g_path_get_basename(path);
            g_free(part.prefix);
            part.prefix = g_strconcat(name, "/", NULL);
        }
        part.tree = file_tree_of_host(run, path, NULL, error);
    } else {
        part.tree = one_file(run, path, &info, error);
    }
    if (part.tree == NULL) {
        part_clear(&part);
        return false;
    }
    g_array_append_val(parts, part);
    return true;
}

static GArray *read_inputs(KindRun *run, GError **error) {
    const Value *inputs = resource_get(run->resource, TAR_INPUTS);
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(TarballPart));
    g_array_set_clear_func(parts, part_clear);
    for (size_t i = 0; i < value_size(inputs); i++)
        if (!add_input(run, value_string(value_list_at(inputs, i)), parts, error)) {
            g_prefix_error(error, "input %zu: ", i + 1);
            return NULL;
        }
    return g_steal_pointer(&parts);
}

/* Of everything the archive depends on. */
static void digest_inputs(const TarSpec *spec, const GArray *parts, char ret_hex[DIGEST_HEX_SIZE]) {
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "%d %d %d\n", spec->options.format, spec->options.compression,
                           spec->options.attributes);
    for (unsigned i = 0; i < parts->len; i++) {
        const TarballPart *part = &g_array_index(parts, TarballPart, i);
        for (unsigned j = 0; j < part->tree->entries->len; j++) {
            const TreeEntry *entry = part->tree->entries->pdata[j];
            g_string_append_printf(text, "%s%s%c%d %o %s %s", part->prefix, entry->path, '\0',
                                   entry->type, entry->mode,
                                   entry->target != NULL ? entry->target : "", entry->digest);
            if (spec->options.attributes)
                g_string_append_printf(text, " %o %u %u %" G_GINT64_FORMAT, entry->info.mode,
                                       entry->info.uid, entry->info.gid,
                                       entry->info.mtime_ns / 1000000000);
            g_string_append_c(text, '\n');
        }
    }
    digest_bytes(text->str, text->len, ret_hex);
}

static GBytes *pack(KindRun *run, const TarSpec *spec, const GArray *parts, GError **error) {
    return tarball_write(run, (const TarballPart *)(const void *)parts->data, parts->len,
                         &spec->options, error);
}

static void keep_packed(KindRun *run, const char *inputs, const char *output) {
    Value *kept = value_new_map();
    value_map_set(kept, KEPT_INPUTS, value_new_string(inputs));
    value_map_set(kept, KEPT_OUTPUT, value_new_string(output));
    kind_run_keep(run, kept);
}

/* Digest of the archive the inputs make. Unchanged inputs are not packed again to know. */
static bool wanted_digest(KindRun *run, const TarSpec *spec, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error) {
    g_autoptr(GArray) parts = read_inputs(run, error);
    char inputs[DIGEST_HEX_SIZE];
    if (parts == NULL)
        return false;
    digest_inputs(spec, parts, inputs);
    const char *output = run->kept != NULL ? value_map_string(run->kept, KEPT_OUTPUT, NULL) : NULL;
    if (output != NULL && strlen(output) == DIGEST_HEX_SIZE - 1 &&
        strcmp(value_map_string(run->kept, KEPT_INPUTS, ""), inputs) == 0) {
        memcpy(ret_hex, output, DIGEST_HEX_SIZE);
        return true;
    }
    g_autoptr(GBytes) archive = pack(run, spec, parts, error);
    if (archive == NULL)
        return false;
    tar_digest(archive, ret_hex);
    keep_packed(run, inputs, ret_hex);
    return true;
}

static bool found_digest(KindRun *run, const char *path, Value **ret_value, GError **error) {
    FileInfo info;
    char hex[DIGEST_HEX_SIZE];
    if (!host_stat(run->host, path, &info, error))
        return false;
    if (info.type == FILE_UNKNOWN) {
        *ret_value = value_new_unknown();
        return true;
    }
    if (info.type != FILE_REGULAR) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "pack into '%s': it is no file; remove it first", path);
        return false;
    }
    if (!host_digest(run->host, path, &info, hex, error))
        return false;
    g_autofree char *text = g_strconcat("sha256:", hex, NULL);
    *ret_value = value_new_string(text);
    return true;
}

bool tar_diff_packed(KindRun *run, const TarSpec *spec, const State *actual, Changes *changes,
                     GError **error) {
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(Value) found = NULL;
    g_autoptr(Value) wanted = NULL;
    g_autoptr(GError) problem = NULL;
    if (actual->exists && !found_digest(run, spec->path, &found, error))
        return false;
    if (wanted_digest(run, spec, hex, &problem)) {
        g_autofree char *text = g_strconcat("sha256:", hex, NULL);
        wanted = value_new_string(text);
    } else if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        wanted = value_new_unknown();
    } else {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (value_equal(found, wanted))
        return true;
    changes->action = actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    changes->uncertain = actual->exists && (value_type(found) == VALUE_UNKNOWN ||
                                            value_type(wanted) == VALUE_UNKNOWN);
    const char *packed = run->kept != NULL ? value_map_string(run->kept, KEPT_OUTPUT, NULL) : NULL;
    changes->intended = packed != NULL && value_type(wanted) == VALUE_STRING &&
                        strcmp(packed, hex) != 0; /* an input was edited */
    changes_add(changes, "content", g_steal_pointer(&found), g_steal_pointer(&wanted), NULL);
    return true;
}

bool tar_apply_packed(KindRun *run, const TarSpec *spec, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GArray) parts = read_inputs(run, &problem);
    if (parts == NULL && run->planning &&
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        host_overlay_mark_unknown(run->host, spec->path);
        return true;
    }
    if (parts == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autoptr(GBytes) archive = pack(run, spec, parts, error);
    if (archive == NULL)
        return false;
    char inputs[DIGEST_HEX_SIZE], output[DIGEST_HEX_SIZE];
    FileAttributes keep = { 0 };
    if (!host_write(run->host, spec->path, archive, &keep, error))
        return hint_io(run, spec->path, error);
    digest_inputs(spec, parts, inputs);
    tar_digest(archive, output);
    keep_packed(run, inputs, output);
    return true;
}
