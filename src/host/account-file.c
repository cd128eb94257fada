#include "host/account-file.h"

#include <string.h>

#define NO_ID UINT32_MAX /* (uid_t)-1 is nobody's */

typedef struct {
    const char *path;
    unsigned n_fields;
    int id_field; /* -1: has none */
} Format;

static const Format formats[N_ACCOUNT_FILES] = {
    [ACCOUNT_PASSWD] = { "/etc/passwd", 7, 2 },
    [ACCOUNT_SHADOW] = { "/etc/shadow", 9, -1 },
    [ACCOUNT_GROUP] = { "/etc/group", 4, 2 },
    [ACCOUNT_GSHADOW] = { "/etc/gshadow", 4, -1 },
};

typedef struct {
    const char *text; /* without the line break; not terminated */
    size_t size;
    char *owned; /* text, when it is not part of the file's content */
    char *name;  /* of a valid entry, else NULL; owned */
    uint32_t id; /* NO_ID: has none */
} Line;

struct AccountFile {
    gatomicrefcount refs;
    const Format *format;
    GBytes *content;     /* NULL: the file does not exist */
    GPtrArray *lines;    /* of Line */
    GHashTable *by_name; /* name -> first Line */
    GHashTable *by_id;   /* id -> first Line */
    bool changed;
};

const char *account_file_path(AccountFileKind kind) {
    return formats[kind].path;
}

/* --- lines --- */

static void line_free(void *data) {
    Line *line = data;
    g_free(line->owned);
    g_free(line->name);
    g_free(line);
}

static char **line_fields(const Line *line) {
    g_autofree char *text = g_strndup(line->text, line->size);
    return g_strsplit(text, ":", -1);
}

static const char *field_start(const Line *line, unsigned field) {
    const char *at = line->text, *end = line->text + line->size;
    for (; field > 0 && at != NULL; field--) {
        at = memchr(at, ':', end - at);
        at = at != NULL ? at + 1 : NULL;
    }
    return at;
}

/* A number that fills its field. */
static bool parse_id(const char *at, const char *end, uint32_t *ret_id) {
    uint64_t id = 0;
    const char *start = at;
    for (; at < end && *at >= '0' && *at <= '9' && id < NO_ID; at++)
        id = id * 10 + (uint64_t)(*at - '0');
    if (at == start || at >= end || *at != ':' || id >= NO_ID)
        return false;
    *ret_id = (uint32_t)id;
    return true;
}

/* Comments, NIS lines and what has not the right number of fields are no entries. */
static void line_recognize(Line *line, const Format *format) {
    line->id = NO_ID;
    if (line->size == 0 || strchr("+-#:", line->text[0]) != NULL ||
        memchr(line->text, '\0', line->size) != NULL)
        return;
    unsigned colons = 0;
    for (size_t i = 0; i < line->size; i++)
        colons += line->text[i] == ':';
    if (colons != format->n_fields - 1)
        return;
    if (format->id_field >= 0 && !parse_id(field_start(line, (unsigned)format->id_field),
                                           line->text + line->size, &line->id))
        return;
    line->name = g_strndup(line->text, field_start(line, 1) - 1 - line->text);
}

static bool is_nis(const Line *line) {
    return line->size > 0 && (line->text[0] == '+' || line->text[0] == '-');
}

/* --- the file --- */

static void file_index(AccountFile *file, Line *line) {
    if (line->name == NULL)
        return;
    if (!g_hash_table_contains(file->by_name, line->name))
        g_hash_table_insert(file->by_name, line->name, line);
    if (line->id != NO_ID && !g_hash_table_contains(file->by_id, GUINT_TO_POINTER(line->id)))
        g_hash_table_insert(file->by_id, GUINT_TO_POINTER(line->id), line);
}

static void file_index_again(AccountFile *file) {
    g_hash_table_remove_all(file->by_name);
    g_hash_table_remove_all(file->by_id);
    for (guint i = 0; i < file->lines->len; i++)
        file_index(file, file->lines->pdata[i]);
}

AccountFile *account_file_parse(AccountFileKind kind, GBytes *content) {
    AccountFile *file = g_new0(AccountFile, 1);
    g_atomic_ref_count_init(&file->refs);
    file->format = &formats[kind];
    file->lines = g_ptr_array_new_with_free_func(line_free);
    file->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    file->by_id = g_hash_table_new(NULL, NULL);
    if (content == NULL)
        return file;
    file->content = g_bytes_ref(content);
    size_t size;
    const char *at = g_bytes_get_data(content, &size);
    for (const char *end = at + size; at < end;) {
        const char *stop = memchr(at, '\n', end - at);
        Line *line = g_new0(Line, 1);
        line->text = at;
        line->size = (stop != NULL ? stop : end) - at;
        line_recognize(line, file->format);
        g_ptr_array_add(file->lines, line);
        file_index(file, line);
        at += line->size + 1;
    }
    return file;
}

AccountFile *account_file_ref(AccountFile *file) {
    g_atomic_ref_count_inc(&file->refs);
    return file;
}

void account_file_unref(AccountFile *file) {
    if (file == NULL || !g_atomic_ref_count_dec(&file->refs))
        return;
    g_hash_table_unref(file->by_name);
    g_hash_table_unref(file->by_id);
    g_ptr_array_unref(file->lines);
    if (file->content != NULL)
        g_bytes_unref(file->content);
    g_free(file);
}

bool account_file_exists(const AccountFile *file) {
    return file->content != NULL;
}

/* --- finding --- */

static const Line *find_id(const AccountFile *file, uint32_t id) {
    return g_hash_table_lookup(file->by_id, GUINT_TO_POINTER(id));
}

char **account_file_find(const AccountFile *file, const char *name) {
    const Line *line = g_hash_table_lookup(file->by_name, name);
    return line != NULL ? line_fields(line) : NULL;
}

bool account_file_has_id(const AccountFile *file, uint32_t id) {
    return find_id(file, id) != NULL;
}

bool account_file_id_of(const AccountFile *file, const char *name, uint32_t *ret_id) {
    const Line *line = g_hash_table_lookup(file->by_name, name);
    if (line == NULL || line->id == NO_ID)
        return false;
    *ret_id = line->id;
    return true;
}

const char *account_file_name_of(const AccountFile *file, uint32_t id) {
    const Line *line = find_id(file, id);
    return line != NULL ? line->name : NULL;
}

void account_file_each(const AccountFile *file, void (*visit)(void *data, char **fields),
                       void *data) {
    for (guint i = 0; i < file->lines->len; i++) {
        const Line *line = file->lines->pdata[i];
        if (line->name == NULL)
            continue;
        g_auto(GStrv) fields = line_fields(line);
        visit(data, fields);
    }
}

const char **account_file_names(const AccountFile *file) {
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < file->lines->len; i++) {
        const Line *line = file->lines->pdata[i];
        if (line->name != NULL)
            g_ptr_array_add(names, line->name);
    }
    g_ptr_array_add(names, NULL);
    return (const char **)(void *)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

/* --- changing --- */

static Line *line_new(const AccountFile *file, char *text) {
    Line *line = g_new0(Line, 1);
    line->text = line->owned = text;
    line->size = strlen(text);
    line_recognize(line, file->format);
    return line;
}

static guint place_of(const AccountFile *file, const char *name, bool *ret_exists) {
    guint place = file->lines->len;
    const Line *old = g_hash_table_lookup(file->by_name, name);
    *ret_exists = old != NULL;
    for (guint i = file->lines->len; i > 0; i--) {
        const Line *line = file->lines->pdata[i - 1];
        if (old != NULL ? line == old : is_nis(line))
            place = i - 1;
    }
    return place;
}

void account_file_put(AccountFile *file, const char *const *fields) {
    bool exists;
    guint place = place_of(file, fields[0], &exists);
    char *text = g_strjoinv(":", (char **)(uintptr_t)fields);
    Line *line = line_new(file, text);
    g_assert(line->name != NULL); /* whoever calls has checked the fields */
    if (exists) {
        const Line *old = file->lines->pdata[place];
        file->changed |= old->size != line->size || memcmp(old->text, line->text, old->size) != 0;
        g_hash_table_remove_all(file->by_name);
        line_free(file->lines->pdata[place]);
        file->lines->pdata[place] = line;
        file_index_again(file);
    } else {
        file->changed = true;
        g_ptr_array_insert(file->lines, (int)place, line);
        file_index(file, line);
    }
}

bool account_file_drop(AccountFile *file, const char *name) {
    bool found = false;
    for (guint i = file->lines->len; i > 0; i--) {
        const Line *line = file->lines->pdata[i - 1];
        if (g_strcmp0(line->name, name) != 0)
            continue;
        g_ptr_array_remove_index(file->lines, i - 1);
        found = true;
    }
    if (found)
        file_index_again(file);
    file->changed |= found;
    return found;
}

bool account_file_is_changed(const AccountFile *file) {
    return file->changed;
}

GBytes *account_file_print(const AccountFile *file) {
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < file->lines->len; i++) {
        const Line *line = file->lines->pdata[i];
        g_string_append_len(out, line->text, (gssize)line->size);
        g_string_append_c(out, '\n');
    }
    return g_string_free_to_bytes(out);
}
