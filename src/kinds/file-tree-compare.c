/* What differs between a tree and a directory of the host, and how people are told. */
#include <string.h>

#include "base/limits.h"
#include "base/text-diff.h"
#include "kinds/file-tree.h"

#define DIFF_LIMIT   (64 * 1024) /* bytes of text compared line by line, of all files together */
#define DIFF_CONTEXT 3

typedef struct {
    KindRun *run;
    const FileTree *tree; /* may be NULL */
    const char *root;
    const TreeRules *rules;
    GPtrArray *removals; /* of TreeStep; what is in a directory before the directory */
    GPtrArray *steps;
    GPtrArray *replaced; /* paths (with a slash at the end) that become directories */
    unsigned n_seen;
} Compare;

static void step_free(void *data) {
    TreeStep *step = data;
    g_free(step->path);
    g_free(step->was);
    g_free(step->becomes);
    g_free(step);
}

static char *path_below(const Compare *compare, const char *path) {
    return g_build_filename(compare->root, path, NULL);
}

static const char *type_word(FileType type) {
    static const char *const words[] = {
        [FILE_REGULAR] = "file",  [FILE_DIRECTORY] = "directory", [FILE_SYMLINK] = "link",
        [FILE_OTHER] = "special", [FILE_UNKNOWN] = "unknown",
    };
    return words[type];
}

static TreeStep *add_step(GPtrArray *steps, TreeAction action, const char *path,
                          const TreeEntry *entry) {
    TreeStep *step = g_new0(TreeStep, 1);
    step->action = action;
    step->path = g_strdup(path);
    step->entry = entry;
    g_ptr_array_add(steps, step);
    return step;
}

/* The attributes an entry is to have: those of the rules, and the tree's mode where they have none.
 */
static FileAttributes wanted_attributes(const TreeRules *rules, const TreeEntry *entry,
                                        FileType type) {
    FileAttributes wanted = rules->attributes;
    if (type == FILE_SYMLINK)
        wanted.set &= ~(unsigned)FILE_SET_MODE;
    else if (wanted.set & FILE_SET_MODE && type == FILE_DIRECTORY)
        wanted.mode = file_tree_directory_mode(wanted.mode);
    else if (!(wanted.set & FILE_SET_MODE) && entry != NULL) {
        wanted.set |= FILE_SET_MODE;
        wanted.mode = entry->mode;
    }
    return wanted;
}

static bool attributes_differ(const FileAttributes *wanted, const FileInfo *info) {
    return (wanted->set & FILE_SET_MODE && wanted->mode != info->mode) ||
           (wanted->set & FILE_SET_UID && wanted->uid != info->uid) ||
           (wanted->set & FILE_SET_GID && wanted->gid != info->gid);
}

static char *attributes_words(const FileAttributes *wanted, const FileInfo *info, bool after) {
    GString *words = g_string_new(NULL);
    if (wanted->set & FILE_SET_MODE && wanted->mode != info->mode)
        g_string_append_printf(words, "mode %04o ", after ? wanted->mode : info->mode);
    if (wanted->set & FILE_SET_UID && wanted->uid != info->uid)
        g_string_append_printf(words, "uid %u ", after ? wanted->uid : info->uid);
    if (wanted->set & FILE_SET_GID && wanted->gid != info->gid)
        g_string_append_printf(words, "gid %u ", after ? wanted->gid : info->gid);
    g_string_truncate(words, words->len - 1);
    return g_string_free(words, FALSE);
}

static char *entry_words(const TreeEntry *entry) {
    if (entry->type == FILE_REGULAR)
        return g_strdup_printf("file sha256:%s", entry->digest);
    if (entry->type == FILE_SYMLINK)
        return g_strdup_printf("link to %s", entry->target);
    return g_strdup("directory");
}

static bool below_replaced(const Compare *compare, const char *path) {
    for (unsigned i = 0; i < compare->replaced->len; i++)
        if (g_str_has_prefix(path, compare->replaced->pdata[i]))
            return true;
    return false;
}

/* Fills ret_was with what gives way to the entry, and how much goes with it. */
static bool give_way(const Compare *compare, const char *path, const FileInfo *info,
                     const TreeEntry *entry, char **ret_was, GError **error) {
    g_auto(Loss) loss = { 0 };
    if (info->type == FILE_DIRECTORY && !loss_add_inside(&loss, compare->run, path, NULL, error))
        return false;
    g_autofree char *text = loss.n_entries > 0 ? loss_text(&loss) : NULL;
    *ret_was = g_strdup_printf("%s%s%s", type_word(info->type), text != NULL ? " with " : "",
                               text != NULL ? text : "");
    bool loses = loss.n_entries > 0 || info->type == FILE_OTHER ||
                 (info->type == FILE_REGULAR && entry->type == FILE_DIRECTORY);
    if (!loses || compare->rules->force)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "replace %s '%s' by a %s: set force = true if %s may be lost",
                type_word(info->type), path, type_word(entry->type), text != NULL ? text : "it");
    g_clear_pointer(ret_was, g_free);
    return false;
}

static void add_make(Compare *compare, const TreeEntry *entry) {
    TreeStep *step = add_step(compare->steps, TREE_MAKE, entry->path, entry);
    step->attributes = wanted_attributes(compare->rules, entry, entry->type);
    step->becomes = entry_words(entry);
}

static bool add_replace(Compare *compare, const char *path, const TreeEntry *entry,
                        const FileInfo *info, GError **error) {
    g_autofree char *was = NULL;
    if (!give_way(compare, path, info, entry, &was, error))
        return false;
    TreeStep *step = add_step(compare->steps, TREE_REPLACE, entry->path, entry);
    step->before = info->type;
    step->uncertain = info->type == FILE_UNKNOWN;
    step->attributes = wanted_attributes(compare->rules, entry, entry->type);
    step->was = g_steal_pointer(&was);
    step->becomes = entry_words(entry);
    if (entry->type == FILE_DIRECTORY)
        g_ptr_array_add(compare->replaced, g_strconcat(entry->path, "/", NULL));
    return true;
}

/* Fills ret_was with what is there when it is not the entry's content or target. */
static bool compare_content(Compare *compare, const char *path, const TreeEntry *entry,
                            const FileInfo *info, char **ret_was, GError **error) {
    *ret_was = NULL;
    if (entry->type == FILE_DIRECTORY)
        return true;
    if (entry->type == FILE_SYMLINK) {
        g_autofree char *target = host_read_link(compare->run->host, path, error);
        if (target != NULL && strcmp(target, entry->target) != 0)
            *ret_was = g_strdup_printf("link to %s", target);
        return target != NULL;
    }
    char hex[DIGEST_HEX_SIZE];
    if (!host_digest(compare->run->host, path, info, hex, error))
        return false;
    if (strcmp(hex, entry->digest) != 0)
        *ret_was = g_strdup_printf("file sha256:%s", hex);
    return true;
}

static bool compare_existing(Compare *compare, const char *path, const TreeEntry *entry,
                             const FileInfo *info, GError **error) {
    if (info->type != entry->type)
        return add_replace(compare, path, entry, info, error);
    g_autofree char *was = NULL;
    if (!compare_content(compare, path, entry, info, &was, error))
        return false;
    FileAttributes wanted = wanted_attributes(compare->rules, entry, entry->type);
    bool differ = attributes_differ(&wanted, info);
    if (was == NULL && !differ)
        return true;
    TreeStep *step =
        add_step(compare->steps, was != NULL ? TREE_WRITE : TREE_ATTRIBUTES, entry->path, entry);
    step->before = info->type;
    step->attributes = wanted;
    step->becomes = was != NULL ? entry_words(entry) : attributes_words(&wanted, info, true);
    step->was = was != NULL ? g_steal_pointer(&was) : attributes_words(&wanted, info, false);
    return true;
}

static bool compare_entry(Compare *compare, const TreeEntry *entry, GError **error) {
    g_autofree char *path = path_below(compare, entry->path);
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (compare->rules->fresh || below_replaced(compare, entry->path)) {
        add_make(compare, entry);
        return true;
    }
    if (host_stat(compare->run->host, path, &info, &problem))
        return compare_existing(compare, path, entry, &info, error);
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    add_make(compare, entry);
    return true;
}

/* --- what is there and not in the tree */

static void add_removal(Compare *compare, const char *path, const FileInfo *info) {
    TreeStep *step = add_step(compare->removals, TREE_REMOVE, path, NULL);
    step->before = info->type;
    step->uncertain = info->type == FILE_UNKNOWN;
    step->was = g_strdup(type_word(info->type));
}

static void add_foreign_attributes(Compare *compare, const char *path, const FileInfo *info) {
    FileAttributes wanted = wanted_attributes(compare->rules, NULL, info->type);
    if (info->type == FILE_UNKNOWN || !attributes_differ(&wanted, info))
        return;
    TreeStep *step = add_step(compare->steps, TREE_ATTRIBUTES, path, NULL);
    step->before = info->type;
    step->attributes = wanted;
    step->was = attributes_words(&wanted, info, false);
    step->becomes = attributes_words(&wanted, info, true);
}

static bool walk_directory(Compare *compare, const char *path, unsigned depth, bool *ret_stays,
                           GError **error);

/* *ret_stays: something is left at path afterwards. */
static bool walk_entry(Compare *compare, const char *path, unsigned depth, bool *ret_stays,
                       GError **error) {
    g_autofree char *full = path_below(compare, path);
    bool in_tree = compare->tree != NULL && g_hash_table_contains(compare->tree->by_path, path);
    PathClaim claim = kind_run_claim(compare->run, full);
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    *ret_stays = true;
    if (!host_stat(compare->run->host, full, &info, &problem)) {
        *ret_stays = false; /* it went away since its directory was listed */
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    bool held = false;
    if (info.type == FILE_DIRECTORY && !walk_directory(compare, path, depth + 1, &held, error))
        return false;
    if (compare->rules->purge && !in_tree && !held && claim == PATH_FREE) {
        add_removal(compare, path, &info); /* after those of what it held */
        *ret_stays = false;
    } else if (compare->rules->everything && !in_tree && claim != PATH_MANAGED) {
        add_foreign_attributes(compare, path, &info);
    }
    return true;
}

static bool walk_directory(Compare *compare, const char *path, unsigned depth, bool *ret_stays,
                           GError **error) {
    *ret_stays = false;
    g_autofree char *full = path_below(compare, path);
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) names = host_list(compare->run->host, full, &problem);
    if (names == NULL) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return true; /* not there yet, or gone */
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    compare->n_seen += g_strv_length(names);
    if (depth > LIMIT_NESTING || compare->n_seen > TREE_ENTRIES_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "look through '%s': it holds more than %u entries or %u levels", compare->root,
                    TREE_ENTRIES_MAX, LIMIT_NESTING);
        return false;
    }
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *below =
            *path != '\0' ? g_build_filename(path, *name, NULL) : g_strdup(*name);
        bool stays = true;
        if (!file_tree_ignores(compare->rules->ignore, below) &&
            (!cancel_check(compare->run->cancel, error) ||
             !walk_entry(compare, below, depth, &stays, error)))
            return false;
        *ret_stays |= stays;
    }
    return true;
}

/* Whether all that a directory holds is in removed. */
static bool will_be_empty(Compare *compare, const char *path, GHashTable *removed) {
    g_autofree char *full = path_below(compare, path);
    g_auto(GStrv) names = host_list(compare->run->host, full, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        g_autofree char *below = g_build_filename(path, *name, NULL);
        if (!g_hash_table_contains(removed, below))
            return false;
    }
    return names != NULL;
}

/* What an earlier round made and the source has no longer; directories only when nothing else is in
 * them. Backwards, because what is in a directory comes after it. */
static bool compare_owned(Compare *compare, GError **error) {
    const Value *owned = compare->rules->owned;
    g_autoptr(GHashTable) removed = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = owned != NULL ? value_size(owned) : 0; i > 0; i--) {
        const char *path;
        (void)value_map_at(owned, i - 1, &path); /* only keys count */
        g_autofree char *full = path_below(compare, path);
        FileInfo info;
        g_autoptr(GError) problem = NULL;
        if ((compare->tree != NULL && g_hash_table_contains(compare->tree->by_path, path)) ||
            kind_run_claim(compare->run, full) != PATH_FREE)
            continue;
        if (!host_stat(compare->run->host, full, &info, &problem)) {
            if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
                continue;
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        if (info.type != FILE_DIRECTORY || will_be_empty(compare, path, removed)) {
            add_removal(compare, path, &info);
            g_hash_table_add(removed, (char *)(uintptr_t)path);
        }
    }
    return true;
}

static bool compare_all(Compare *compare, GError **error) {
    for (unsigned i = 0; compare->tree != NULL && i < compare->tree->entries->len; i++)
        if (!cancel_check(compare->run->cancel, error) ||
            !compare_entry(compare, compare->tree->entries->pdata[i], error))
            return false;
    bool stays;
    if (compare->rules->fresh)
        return true;
    if (compare->rules->purge || compare->rules->everything)
        return walk_directory(compare, "", 0, &stays, error);
    return compare_owned(compare, error);
}

GPtrArray *file_tree_compare(KindRun *run, const FileTree *tree, const char *root,
                             const TreeRules *rules, GError **error) {
    g_autoptr(GPtrArray) removals = g_ptr_array_new_with_free_func(step_free);
    g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(step_free);
    g_autoptr(GPtrArray) replaced = g_ptr_array_new_with_free_func(g_free);
    Compare compare = { run, tree, root, rules, removals, steps, replaced, 0 };
    if (!compare_all(&compare, error))
        return NULL;
    g_ptr_array_extend_and_steal(removals, g_steal_pointer(&steps));
    return g_steal_pointer(&removals);
}

/* --- for people */

static bool text_of(GBytes *bytes, size_t *budget, const char **ret_text, size_t *ret_size) {
    *ret_text = g_bytes_get_data(bytes, ret_size);
    if (*ret_size > *budget || (*ret_size > 0 && memchr(*ret_text, '\0', *ret_size) != NULL))
        return false;
    *budget -= *ret_size;
    return true;
}

/* Best effort: what cannot be read or is not text is described by the digests alone. */
static void append_diff(KindRun *run, const FileTree *tree, const char *root, const TreeStep *step,
                        size_t *budget, GString *diff) {
    if (step->action != TREE_WRITE || step->before != FILE_REGULAR)
        return;
    g_autofree char *path = g_build_filename(root, step->path, NULL);
    g_autoptr(GBytes) before = host_read(run->host, path, *budget, NULL);
    g_autoptr(GBytes) after = file_tree_content(run, tree, step->entry, NULL);
    const char *old, *new;
    size_t old_size, new_size;
    if (before == NULL || after == NULL || !text_of(before, budget, &old, &old_size) ||
        !text_of(after, budget, &new, &new_size))
        return;
    g_autofree char *text = text_diff(old, old_size, new, new_size, DIFF_CONTEXT);
    g_string_append_printf(diff, "%s:\n%s", step->path, text);
}

void file_tree_describe(KindRun *run, const FileTree *tree, const char *root,
                        const GPtrArray *steps, Changes *changes) {
    if (steps->len == 0)
        return;
    Value *before = value_new_map(), *after = value_new_map();
    GString *diff = g_string_new(NULL);
    size_t budget = DIFF_LIMIT;
    for (unsigned i = 0; i < steps->len; i++) {
        const TreeStep *step = steps->pdata[i];
        if (step->was != NULL)
            value_map_set(before, step->path, value_new_string(step->was));
        if (step->becomes != NULL)
            value_map_set(after, step->path, value_new_string(step->becomes));
        changes->uncertain |= step->uncertain;
        append_diff(run, tree, root, step, &budget, diff);
    }
    bool has_diff = diff->len > 0;
    char *text = g_string_free(diff, !has_diff);
    changes_add(changes, "tree", before, after, text);
}

bool file_tree_loss(KindRun *run, const char *root, const GPtrArray *steps, Loss *loss,
                    GError **error) {
    g_autoptr(GHashTable) removed = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned i = 0; i < steps->len; i++) {
        const TreeStep *step = steps->pdata[i];
        if (step->action == TREE_REMOVE)
            g_hash_table_add(removed, step->path);
    }
    return loss_add_inside(loss, run, root, removed, error);
}
