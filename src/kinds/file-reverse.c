/* What a file was before stead, and going back to it. */
#include <string.h>

#include "base/limits.h"
#include "host/accounts.h"
#include "kinds/file.h"

static void keep_text(State *before, unsigned param, const char *text) {
    state_set(before, param, value_new_string(text));
}

/* Everything a later restore needs, managed by the resource or not. */
static void keep_attributes(KindRun *run, const FileInfo *info, State *before) {
    g_autofree char *owner = accounts_user_name(run->host, info->uid);
    g_autofree char *group = accounts_group_name(run->host, info->gid);
    char mode[8];
    g_snprintf(mode, sizeof mode, "%04o", info->mode);
    keep_text(before, FILE_ROW_TYPE, file_type_word(info->type));
    keep_text(before, FILE_ROW_OWNER, owner);
    keep_text(before, FILE_ROW_GROUP, group);
    if (info->type != FILE_SYMLINK)
        keep_text(before, FILE_ROW_MODE, mode);
}

static bool keep_content(KindRun *run, const FileSpec *spec, const FileInfo *info, State *before,
                         GError **error) {
    if (info->size > LIMIT_PREIMAGE)
        return true;
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = host_read(run->host, spec->path, LIMIT_PREIMAGE, &problem);
    if (content == NULL) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_LIMIT))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    char hex[DIGEST_HEX_SIZE];
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, hex);
    g_autofree char *text = g_strconcat("sha256:", hex, NULL);
    keep_text(before, FILE_ROW_CONTENT, text);
    before->content = g_steal_pointer(&content);
    return true;
}

bool file_preimage(KindRun *run, State *before, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (!host_stat(run->host, spec.path, &info, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
            before->exists = false;
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    before->exists = true;
    keep_attributes(run, &info, before);
    if (info.type == FILE_SYMLINK) {
        g_autofree char *target = host_read_link(run->host, spec.path, error);
        if (target != NULL)
            keep_text(before, FILE_ROW_TARGET, target);
        return target != NULL;
    }
    return info.type != FILE_REGULAR || keep_content(run, &spec, &info, before, error);
}

/* --- reverse */

static void put_text(Resource *inverse, unsigned param, const char *text) {
    resource_put(inverse, param, value_new_string(text));
}

static void copy_property(Resource *inverse, const State *before, unsigned param) {
    if (state_get(before, param) != NULL)
        resource_put(inverse, param, value_ref(state_get(before, param)));
}

/* What an existing file held was no matter of the resource, which left it alone. */
static bool left_content_alone(const FileSpec *spec, const State *before) {
    return before->content == NULL && state_get(before, FILE_ROW_CONTENT) == NULL &&
           spec->from == FROM_NOTHING && !spec->absent && spec->type == FILE_REGULAR;
}

static bool restore_content(Resource *inverse, const Resource *resource, const State *before,
                            GError **error) {
    if (before->content == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "restore '%s': what it held before was not kept, because it had more than %u "
                    "bytes; restore it by hand, then 'stead ledger forget file %s'",
                    resource_string(resource, FILE_ROW_PATH), LIMIT_PREIMAGE, resource->name);
        return false;
    }
    size_t size;
    const void *data = g_bytes_get_data(before->content, &size);
    g_autoptr(Value) content = value_new_bytes(data, size);
    const Value *ours = resource_get(resource, FILE_ROW_CONTENT);
    resource_put(inverse, FILE_ROW_CONTENT,
                 ours != NULL && value_is_secret(ours) ? value_as_secret(content, NULL)
                                                       : value_ref(content));
    return true;
}

static bool restore(Resource *inverse, const FileSpec *spec, const State *before, GError **error) {
    const Resource *resource = spec->resource;
    const Value *type = state_get(before, FILE_ROW_TYPE);
    const char *word = type != NULL ? value_string(type) : "other";
    if (strcmp(word, "other") == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "restore '%s': it was a device, pipe or socket; make it by hand, then 'stead "
                    "ledger forget file %s'",
                    resource_string(resource, FILE_ROW_PATH), resource->name);
        return false;
    }
    put_text(inverse, FILE_ROW_STATE, "exists");
    copy_property(inverse, before, FILE_ROW_TYPE);
    copy_property(inverse, before, FILE_ROW_OWNER);
    copy_property(inverse, before, FILE_ROW_GROUP);
    copy_property(inverse, before, FILE_ROW_MODE);
    copy_property(inverse, before, FILE_ROW_TARGET);
    return strcmp(word, "file") != 0 || left_content_alone(spec, before) ||
           restore_content(inverse, resource, before, error);
}

Resource *file_reverse(const Resource *resource, const State *before, OnRemove how,
                       GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, resource);
    g_autoptr(Resource) inverse = resource_new(resource->kind, resource->name, resource->origin);
    /* Without its slash: what was there before may be of another type. */
    put_text(inverse, FILE_ROW_PATH, spec.path);
    resource_put(inverse, FILE_ROW_REPLACE, value_new_bool(true));
    /* Only a file or link of ours gives way to what was there: nothing else can be lost. What a
     * directory may lose was said while it was declared. */
    if (spec.force || (!spec.absent && spec.type != FILE_DIRECTORY))
        resource_put(inverse, FILE_ROW_FORCE, value_new_bool(true));
    if (before == NULL || !before->exists || how == ON_REMOVE_REMOVE)
        put_text(inverse, FILE_ROW_STATE, "absent");
    else if (!restore(inverse, &spec, before, error))
        return NULL;
    return g_steal_pointer(&inverse);
}
