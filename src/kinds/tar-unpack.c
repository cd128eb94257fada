/* Keeping a directory as an archive has it. */
#include <string.h>

#include "base/limits.h"
#include "host/accounts.h"
#include "kinds/account.h"
#include "kinds/hint.h"
#include "kinds/tar.h"

/* Kept after unpacking, besides TAR_KEPT_TREE: the digest of the archive and what it holds. */
#define KEPT_ARCHIVE "archive"
#define KEPT_ENTRIES "entries"

static GBytes *read_source(KindRun *run, const TarSpec *spec, GError **error) {
    return spec->local ? host_read_local(run->host, spec->source, LIMIT_FILE_CONTENT, error)
                       : host_read(run->host, spec->source, LIMIT_FILE_CONTENT, error);
}

static bool source_digest(KindRun *run, const TarSpec *spec, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error) {
    FileInfo info;
    if (spec->source == NULL) {
        digest_bytes("", 0, ret_hex);
        return true;
    }
    if (spec->local) {
        g_autoptr(GBytes) archive = read_source(run, spec, error);
        if (archive != NULL)
            tar_digest(archive, ret_hex);
        return archive != NULL;
    }
    if (!host_stat(run->host, spec->source, &info, error))
        return false;
    if (info.type == FILE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                    "'%s' is known only when applied", spec->source);
        return false;
    }
    return host_digest(run->host, spec->source, info.type == FILE_REGULAR ? &info : NULL, ret_hex,
                       error);
}

/* "f0644 DIGEST", "d0755", "l0777 TARGET" */
static Value *entry_value(const TreeEntry *entry) {
    char type = entry->type == FILE_REGULAR ? 'f' : entry->type == FILE_DIRECTORY ? 'd' : 'l';
    g_autofree char *text = g_strdup_printf("%c%04o %s", type, entry->mode,
                                            entry->type == FILE_REGULAR ? entry->digest
                                            : entry->target != NULL     ? entry->target
                                                                        : "");
    return value_new_string(text);
}

static bool add_kept_entry(FileTree *tree, const char *path, const Value *value) {
    const char *text = value_type(value) == VALUE_STRING ? value_string(value) : "";
    const char *rest = strchr(text, ' ');
    if (rest == NULL)
        return false;
    mode_t mode = (mode_t)strtoul(text + 1, NULL, 8) & 0777;
    if (*text == 'd')
        return file_tree_add(tree, path, FILE_DIRECTORY, mode) != NULL;
    if (*text == 'l')
        return (file_tree_add(tree, path, FILE_SYMLINK, mode)->target = g_strdup(rest + 1)) != NULL;
    if (*text != 'f' || strlen(rest + 1) != DIGEST_HEX_SIZE - 1)
        return false;
    memcpy(file_tree_add(tree, path, FILE_REGULAR, mode)->digest, rest + 1, DIGEST_HEX_SIZE);
    return true;
}

/* What the archive held when it was last read, without contents; NULL: not known, or damaged. */
static FileTree *kept_tree(const KindRun *run, const char *archive_hex) {
    const Value *entries = run->kept != NULL ? value_map_get(run->kept, KEPT_ENTRIES) : NULL;
    if (value_type(entries) != VALUE_MAP ||
        strcmp(value_map_string(run->kept, KEPT_ARCHIVE, ""), archive_hex) != 0)
        return NULL;
    g_autoptr(FileTree) tree = file_tree_new(TREE_IN_MEMORY);
    for (size_t i = 0; i < value_size(entries); i++) {
        const char *path;
        const Value *value = value_map_at(entries, i, &path);
        if (!add_kept_entry(tree, path, value))
            return NULL;
    }
    file_tree_sort(tree);
    return g_steal_pointer(&tree);
}

/* Without a source (undoing) nothing shall be there that came from one. */
static FileTree *read_tree(KindRun *run, const TarSpec *spec, GError **error) {
    if (spec->source == NULL)
        return file_tree_new(TREE_IN_MEMORY);
    g_autoptr(GBytes) archive = read_source(run, spec, error);
    FileTree *tree =
        archive != NULL
            ? tarball_read(archive, (unsigned)resource_int(run->resource, TAR_STRIP, 0), error)
            : NULL;
    if (tree == NULL)
        g_prefix_error(error, "unpack '%s': ", spec->source);
    return tree;
}

static bool tree_rules(KindRun *run, const TarSpec *spec, bool fresh, TreeRules *ret_rules,
                       GError **error) {
    const char *owner = tar_text(spec->resource, TAR_OWNER);
    const char *group = tar_text(spec->resource, TAR_GROUP);
    *ret_rules = (TreeRules){
        .fresh = fresh,
        .force = resource_bool(spec->resource, TAR_FORCE),
        .owned = tar_owned(run),
    };
    FileAttributes *attributes = &ret_rules->attributes;
    attributes->set = (owner != NULL ? FILE_SET_UID : 0) | (group != NULL ? FILE_SET_GID : 0);
    return (owner == NULL || accounts_uid(run->host, owner, &attributes->uid, error) ||
            account_remedy("user", owner, error)) &&
           (group == NULL || accounts_gid(run->host, group, &attributes->gid, error) ||
            account_remedy("group", group, error));
}

static void keep_unpacked(KindRun *run, const FileTree *tree, const char *archive_hex,
                          const GPtrArray *steps) {
    Value *kept = value_new_map(), *entries = value_new_map();
    for (unsigned i = 0; i < tree->entries->len; i++) {
        const TreeEntry *entry = tree->entries->pdata[i];
        value_map_set(entries, entry->path, entry_value(entry));
    }
    value_map_set(kept, KEPT_ARCHIVE, value_new_string(archive_hex));
    value_map_set(kept, KEPT_ENTRIES, entries);
    value_map_set(kept, TAR_KEPT_TREE, file_tree_owned(tree, tar_owned(run), steps));
    kind_run_keep(run, kept);
}

bool tar_diff_unpacked(KindRun *run, const TarSpec *spec, const State *actual, Changes *changes,
                       GError **error) {
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(GError) problem = NULL;
    TreeRules rules;
    changes->action = actual->exists ? ACTION_NONE : ACTION_CREATE;
    if (!tree_rules(run, spec, !actual->exists, &rules, error))
        return false;
    if (!source_digest(run, spec, hex, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
            changes->action = actual->exists ? ACTION_CHANGE : ACTION_CREATE;
            changes->uncertain = actual->exists;
            changes_add(changes, "tree", NULL, value_new_unknown(), NULL);
            return true;
        }
        g_propagate_prefixed_error(error, g_steal_pointer(&problem), "source: ");
        return false;
    }
    g_autoptr(FileTree) tree = kept_tree(run, hex);
    bool known = tree != NULL;
    if (!known && (tree = read_tree(run, spec, error)) == NULL)
        return false;
    g_autoptr(GPtrArray) steps = file_tree_compare(run, tree, spec->path, &rules, error);
    if (steps == NULL)
        return false;
    const char *unpacked =
        run->kept != NULL ? value_map_string(run->kept, KEPT_ARCHIVE, NULL) : NULL;
    changes->intended = unpacked != NULL && strcmp(unpacked, hex) != 0;
    file_tree_describe(run, tree, spec->path, steps, changes);
    if (steps->len > 0 && actual->exists)
        changes->action = ACTION_CHANGE;
    /* So that it need not be read again; after an apply that has kept it already. */
    if (steps->len == 0 && run->reason != REASON_VERIFY && !known)
        keep_unpacked(run, tree, hex, steps);
    return true;
}

bool tar_apply_unpacked(KindRun *run, const TarSpec *spec, const State *actual, GError **error) {
    char hex[DIGEST_HEX_SIZE];
    TreeRules rules;
    g_autoptr(GError) problem = NULL;
    if (!tree_rules(run, spec, !actual->exists, &rules, error) ||
        (!actual->exists && !host_make_directory(run->host, spec->path, &rules.attributes, error)))
        return hint_io(run, spec->path, error);
    if (!source_digest(run, spec, hex, &problem)) {
        if (run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE))
            return true;
        g_propagate_prefixed_error(error, g_steal_pointer(&problem), "source: ");
        return false;
    }
    g_autoptr(FileTree) tree = read_tree(run, spec, error);
    g_autoptr(GPtrArray) steps =
        tree != NULL ? file_tree_compare(run, tree, spec->path, &rules, error) : NULL;
    if (steps == NULL)
        return false;
    /* Before the first effect: what a failed round has made belongs to us as well. */
    keep_unpacked(run, tree, hex, steps);
    return file_tree_apply(run, tree, spec->path, steps, error) || hint_io(run, spec->path, error);
}
