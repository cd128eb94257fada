#include "kinds/deb-file.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/error.h"

#define CONTROL_MAX (1024 * 1024) /* bytes of the file "control" */
#define MEMBER_MAX  (64 * 1024 * 1024)

typedef struct archive Archive;

void deb_file_clear(DebFile *deb) {
    g_free(deb->name);
    g_free(deb->version);
    g_free(deb->architecture);
    *deb = (DebFile){ 0 };
}

static bool fail(GError **error, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "it is no Debian package: %s", why);
    return false;
}

/* Looks for the entry that matches, and reads it. */
static GBytes *read_entry(Archive *archive, bool (*matches)(const char *name), size_t limit) {
    struct archive_entry *entry;
    while (archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(entry);
        int64_t size = archive_entry_size(entry);
        if (name == NULL || !matches(name))
            continue;
        if (size <= 0 || (uint64_t)size > limit)
            return NULL;
        g_autofree char *content = g_malloc((size_t)size);
        for (size_t at = 0; at < (size_t)size;) {
            la_ssize_t n = archive_read_data(archive, content + at, (size_t)size - at);
            if (n <= 0)
                return NULL;
            at += (size_t)n;
        }
        return g_bytes_new_take(g_steal_pointer(&content), (size_t)size);
    }
    return NULL;
}

static bool is_control_member(const char *name) {
    return g_str_has_prefix(name, "control.tar");
}

static bool is_control_file(const char *name) {
    return strcmp(name, "./control") == 0 || strcmp(name, "control") == 0;
}

static GBytes *read_from(GBytes *bytes, bool outer, bool (*matches)(const char *name),
                         size_t limit) {
    Archive *archive = archive_read_new();
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    GBytes *found = NULL;
    bool ready = outer ? archive_read_support_format_ar(archive) == ARCHIVE_OK
                       : archive_read_support_format_tar(archive) == ARCHIVE_OK &&
                             archive_read_support_filter_all(archive) >= ARCHIVE_WARN;
    if (ready && archive_read_open_memory(archive, data, size) == ARCHIVE_OK)
        found = read_entry(archive, matches, limit);
    (void)archive_read_free(archive); /* nothing was written */
    return found;
}

static char *field(const char *control, const char *name) {
    g_auto(GStrv) lines = g_strsplit(control, "\n", -1);
    size_t length = strlen(name);
    for (char **line = lines; *line != NULL; line++)
        if (g_ascii_strncasecmp(*line, name, length) == 0 && (*line)[length] == ':')
            return g_strstrip(g_strdup(*line + length + 1));
    return NULL;
}

bool deb_file_parse(GBytes *bytes, DebFile *ret_deb, GError **error) {
    g_autoptr(GBytes) member = read_from(bytes, true, is_control_member, MEMBER_MAX);
    if (member == NULL)
        return fail(error, "it has no part 'control.tar'");
    g_autoptr(GBytes) control = read_from(member, false, is_control_file, CONTROL_MAX);
    if (control == NULL)
        return fail(error, "it has no file 'control'");
    size_t size;
    const char *data = g_bytes_get_data(control, &size);
    g_autofree char *text = g_strndup(data, size);
    g_auto(DebFile)
        deb = { field(text, "Package"), field(text, "Version"), field(text, "Architecture") };
    if (deb.name == NULL || deb.version == NULL || deb.architecture == NULL)
        return fail(error, "its file 'control' names no package, version or architecture");
    *ret_deb = deb;
    deb = (DebFile){ 0 };
    return true;
}
