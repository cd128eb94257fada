#include "kinds/sysctl-conf.h"

#include <string.h>

#include "base/limits.h"

#define FILE_MAX (1024 * 1024) /* bytes of one file that is looked at for others' settings */

/* --- keys */

static void swap_separators(char *text) {
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
}

char *sysctl_key(const char *name) {
    char *key = g_strdup(name);
    const char *separator = strpbrk(key, "./");
    if (separator != NULL && *separator == '.')
        swap_separators(key);
    return key;
}

char *sysctl_name(const char *key) {
    char *name = g_strdup(key);
    swap_separators(name);
    return name;
}

/* --- lines */

static char *trimmed(const char *text, size_t size) {
    return g_strstrip(g_strndup(text, size));
}

bool sysctl_line_parse(const EditLine *text, char **ret_key, char **ret_value) {
    if (memchr(text->start, '\0', text->size) != NULL)
        return false;
    g_autofree char *line = trimmed(text->start, text->size);
    const char *start = line;
    if (*start == '\0' || *start == '#' || *start == ';')
        return false;
    bool optional = *start == '-';
    start += optional;
    const char *equals = strchr(start, '=');
    if (equals == start || (equals == NULL && !optional))
        return false;
    g_autofree char *name =
        trimmed(start, equals != NULL ? (size_t)(equals - start) : strlen(start));
    if (*name == '\0')
        return false;
    *ret_key = sysctl_key(name);
    *ret_value = equals != NULL ? trimmed(equals + 1, strlen(equals + 1)) : NULL;
    return true;
}

size_t sysctl_line_find(const EditText *text, const char *key, char **ret_value) {
    for (size_t i = text->n_lines; i-- > 0;) {
        g_autofree char *found = NULL, *value = NULL;
        if (!sysctl_line_parse(&text->lines[i], &found, &value) || value == NULL ||
            strcmp(found, key) != 0)
            continue;
        *ret_value = g_steal_pointer(&value);
        return i;
    }
    return text->n_lines;
}

/* --- values */

static char **words_of(const char *text) {
    g_auto(GStrv) all = g_strsplit_set(text, " \t\n", -1);
    GPtrArray *words = g_ptr_array_new();
    for (char **word = all; *word != NULL; word++)
        if (**word != '\0')
            g_ptr_array_add(words, g_strdup(*word));
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

char *sysctl_plain(const char *value) {
    g_auto(GStrv) words = words_of(value);
    return g_strjoinv(" ", words);
}

/* "0x1f" and "037" are numbers to the kernel, which shows them as 31. */
static bool same_number(const char *a, const char *b) {
    char *end_a, *end_b;
    if (!g_ascii_isdigit(*a) || !g_ascii_isdigit(*b))
        return false;
    guint64 one = g_ascii_strtoull(a, &end_a, 0), other = g_ascii_strtoull(b, &end_b, 0);
    return *end_a == '\0' && *end_b == '\0' && one == other;
}

bool sysctl_same(const char *a, const char *b) {
    g_auto(GStrv) one = words_of(a), other = words_of(b);
    if (g_strv_length(one) != g_strv_length(other))
        return false;
    for (unsigned i = 0; one[i] != NULL; i++)
        if (strcmp(one[i], other[i]) != 0 && !same_number(one[i], other[i]))
            return false;
    return true;
}

/* --- who wins at boot */

/* In the order of precedence among files of one name. */
static const char *const directories[] = { "/etc/sysctl.d",           "/run/sysctl.d",
                                           "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d",
                                           "/lib/sysctl.d",           NULL };

static int compare_names(gconstpointer a, gconstpointer b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of files in order of reading: the later ones win. */
static GPtrArray *file_names(Host *host) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (const char *const *directory = directories; *directory != NULL; directory++) {
        g_auto(GStrv) found = host_list(host, *directory, NULL);
        for (char **name = found; name != NULL && *name != NULL; name++)
            if (g_str_has_suffix(*name, ".conf") &&
                !g_ptr_array_find_with_equal_func(names, *name, g_str_equal, NULL))
                g_ptr_array_add(names, g_strdup(*name));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static char *path_of_name(Host *host, const char *name) {
    for (const char *const *directory = directories; *directory != NULL; directory++) {
        char *path = g_build_filename(*directory, name, NULL);
        if (host_exists(host, path))
            return path;
        g_free(path);
    }
    return NULL;
}

/* What one file says last about a key, by its name or by a pattern. */
typedef struct {
    char *value; /* NULL: nothing */
    size_t line;
    bool exact; /* by its name: patterns do not change that */
} Saying;

static void listen(const EditText *text, const char *key, Saying *saying) {
    for (size_t i = 0; i < text->n_lines; i++) {
        g_autofree char *found = NULL, *value = NULL;
        if (!sysctl_line_parse(&text->lines[i], &found, &value) || value == NULL)
            continue;
        bool exact = strcmp(found, key) == 0;
        bool pattern = strpbrk(found, "*?[") != NULL && g_pattern_match_simple(found, key);
        if (!exact && (!pattern || saying->exact))
            continue;
        g_free(saying->value);
        *saying = (Saying){ .value = g_steal_pointer(&value), .line = i + 1, .exact = exact };
    }
}

static bool listen_to(Host *host, const char *path, const char *key, Saying *ret_saying) {
    g_autoptr(GBytes) bytes = host_read(host, path, FILE_MAX, NULL);
    *ret_saying = (Saying){ 0 };
    if (bytes == NULL)
        return false;
    g_auto(EditText) text;
    edit_text_init(&text, bytes);
    listen(&text, key, ret_saying);
    return ret_saying->value != NULL;
}

bool sysctl_find_winner(Host *host, const char *file, const char *key, const char *wanted,
                        char **ret_place, char **ret_value) {
    g_autofree char *directory = g_path_get_dirname(file), *own = g_path_get_basename(file);
    if (!g_strv_contains(directories, directory))
        return false;
    g_autoptr(GPtrArray) names = file_names(host);
    for (guint i = names->len; i-- > 0 && strcmp(names->pdata[i], own) > 0;) {
        g_autofree char *path = path_of_name(host, names->pdata[i]);
        Saying saying;
        if (path == NULL || !listen_to(host, path, key, &saying))
            continue;
        bool counts = saying.exact && !sysctl_same(saying.value, wanted);
        if (counts) {
            *ret_place = g_strdup_printf("%s:%zu", path, saying.line);
            *ret_value = g_steal_pointer(&saying.value);
        }
        g_free(saying.value);
        if (counts || saying.exact)
            return counts;
    }
    return false;
}
