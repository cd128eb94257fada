#include "adopt/adopt.h"

#include <string.h>

#include "adopt/adopt-private.h"
#include "base/limits.h"
#include "base/suggest.h"

/* --- what sections call */

bool adopt_claim(Adopt *adopt, const char *path) {
    return g_hash_table_add(adopt->claimed, g_strdup(path));
}

bool adopt_is_claimed(Adopt *adopt, const char *path) {
    return g_hash_table_contains(adopt->claimed, path);
}

void adopt_tell_unread(Adopt *adopt, const char *path, const GError *error) {
    if (g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return;
    char *text = strstr(error->message, path) != NULL
                     ? g_strdup(error->message)
                     : g_strdup_printf("'%s': %s", path, error->message);
    if (g_ptr_array_find_with_equal_func(adopt->result->unread, text, g_str_equal, NULL))
        g_free(text);
    else
        g_ptr_array_add(adopt->result->unread, text);
}

char *adopt_read(Adopt *adopt, const char *path) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = host_read(adopt->host, path, LIMIT_ADOPTED_FILE, &problem);
    if (bytes == NULL) {
        adopt_tell_unread(adopt, path, problem);
        return NULL;
    }
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data != NULL ? data : "", size);
}

void adopt_note(Adopt *adopt, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *before = adopt->note;
    adopt->note = before != NULL ? g_strconcat(before, "; ", text, NULL) : g_steal_pointer(&text);
}

static int compare_texts(gconstpointer a, gconstpointer b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void adopt_sort(GPtrArray *texts) {
    g_ptr_array_sort(texts, compare_texts);
}

/* --- /etc */

static void etc_entry_free(void *data) {
    EtcEntry *entry = data;
    g_free(entry->path);
    g_free(entry);
}

/* What packages keep there in numbers, and nobody edits. */
static const char *const unvisited[] = {
    "/etc/alternatives", "/etc/ssl/certs", "/etc/rc0.d", "/etc/rc1.d", "/etc/rc2.d",
    "/etc/rc3.d",        "/etc/rc4.d",     "/etc/rc5.d", "/etc/rc6.d", "/etc/rcS.d",
};

static bool is_unvisited(const char *path) {
    static const char *const names[] = { ".git", ".hg", ".svn", ".bzr" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(strrchr(path, '/') + 1, names[i]) == 0)
            return true;
    for (size_t i = 0; i < G_N_ELEMENTS(unvisited); i++)
        if (strcmp(path, unvisited[i]) == 0)
            return true;
    return false;
}

static void walk(Adopt *adopt, const char *directory, unsigned depth) {
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) names = host_list(adopt->host, directory, &problem);
    if (names == NULL)
        adopt_tell_unread(adopt, directory, problem);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        g_autofree char *path = g_build_filename(directory, *name, NULL);
        FileInfo info;
        if (is_unvisited(path) || !host_stat(adopt->host, path, &info, NULL))
            continue;
        EtcEntry *entry = g_new0(EtcEntry, 1);
        entry->path = g_strdup(path);
        entry->info = info;
        entry->owner = inventory_owner(adopt->inventory, path);
        g_ptr_array_add(adopt->etc, entry);
        if (info.type == FILE_DIRECTORY && depth < LIMIT_NESTING)
            walk(adopt, path, depth + 1);
    }
}

/* --- which sections */

static bool is_in(const char *list, const char *name) {
    g_auto(GStrv) words = g_strsplit(list, ",", -1);
    for (char **word = words; *word != NULL; word++)
        if (strcmp(g_strstrip(*word), name) == 0)
            return true;
    return false;
}

static bool check_list(const char *option, const char *list, GError **error) {
    g_auto(GStrv) words = g_strsplit(list != NULL ? list : "", ",", -1);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Section *section = sections; section->name != NULL; section++)
        g_ptr_array_add(names, (gpointer)(uintptr_t)section->name);
    for (char **word = words; *word != NULL; word++) {
        const char *name = g_strstrip(*word);
        if (*name == '\0' || g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
            continue;
        const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len);
        g_ptr_array_add(names, NULL);
        g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "no such section '%s' in --%s%s%s%s; there are: %s", name, option,
                    near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "", all);
        return false;
    }
    return true;
}

static bool is_wanted(const AdoptOptions *options, const Section *section) {
    return (options->only == NULL || is_in(options->only, section->name)) &&
           (options->except == NULL || !is_in(options->except, section->name));
}

const char *adopt_section_name(unsigned index) {
    for (unsigned i = 0; i < index; i++)
        if (sections[i].name == NULL)
            return NULL;
    return sections[index].name;
}

const char *adopt_section_title(unsigned index) {
    return sections[index].title;
}

/* --- the whole */

static void adopt_clear(Adopt *adopt) {
    inventory_free(adopt->inventory);
    g_clear_pointer(&adopt->etc, g_ptr_array_unref);
    g_clear_pointer(&adopt->claimed, g_hash_table_unref);
    g_clear_pointer(&adopt->declared, g_hash_table_unref);
    g_clear_pointer(&adopt->services, g_hash_table_unref);
    g_clear_pointer(&adopt->service_of, g_hash_table_unref);
    g_clear_pointer(&adopt->units_problem, g_free);
    if (adopt->secrets != NULL)
        g_string_free(adopt->secrets, TRUE);
    adopt_result_free(adopt->result);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Adopt, adopt_clear)

static void adopt_file_free(void *data) {
    AdoptFile *file = data;
    g_free(file->path);
    g_bytes_unref(file->content);
    g_free(file);
}

static void adopt_section_free(void *data) {
    AdoptSection *section = data;
    g_free(section->note);
    g_free(section);
}

void adopt_result_free(AdoptResult *result) {
    if (result == NULL)
        return;
    g_ptr_array_unref(result->files);
    g_ptr_array_unref(result->sections);
    g_ptr_array_unref(result->unread);
    g_free(result);
}

static bool adopt_init(Adopt *adopt, Host *host, const AdoptOptions *options, GError **error) {
    *adopt = (Adopt){ .host = host, .options = options };
    adopt->result = g_new0(AdoptResult, 1);
    adopt->result->files = g_ptr_array_new_with_free_func(adopt_file_free);
    adopt->result->sections = g_ptr_array_new_with_free_func(adopt_section_free);
    adopt->result->unread = g_ptr_array_new_with_free_func(g_free);
    adopt->etc = g_ptr_array_new_with_free_func(etc_entry_free);
    adopt->claimed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    adopt->declared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    adopt->services =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)form_free);
    adopt->service_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    adopt->secrets = g_string_new(NULL);
    if (options->progress != NULL)
        options->progress(options->data, "what dpkg has installed");
    adopt->inventory = inventory_new(host, error);
    if (adopt->inventory == NULL)
        return false;
    walk(adopt, "/etc", 0);
    return true;
}

/* What it does not show must not depend on it either: a section that nobody asked for runs all the
 * same, so that what it deals with is not taken for unknown by the others, but its page and the
 * files it wants are thrown away. */
static void run_section(Adopt *adopt, const Section *section, GString *body) {
    bool wanted = is_wanted(adopt->options, section);
    unsigned files = adopt->result->files->len;
    size_t secrets = adopt->secrets->len;
    unsigned n_secrets = adopt->result->secrets;
    g_autoptr(Page) page = page_new();
    adopt->page = page;
    adopt->taken = 0;
    g_clear_pointer(&adopt->note, g_free);
    if (adopt->options->progress != NULL && wanted)
        adopt->options->progress(adopt->options->data, section->title);
    if (section->patterns != NULL)
        section_files_write(adopt, section->patterns);
    else
        section->write(adopt);
    adopt->page = NULL;
    if (!wanted) {
        g_ptr_array_set_size(adopt->result->files, (int)files);
        g_string_truncate(adopt->secrets, secrets);
        adopt->result->secrets = n_secrets;
        g_clear_pointer(&adopt->note, g_free);
        return;
    }
    AdoptSection *summary = g_new0(AdoptSection, 1);
    *summary = (AdoptSection){ section->name, section->title, adopt->taken,
                               g_steal_pointer(&adopt->note) };
    g_ptr_array_add(adopt->result->sections, summary);
    adopt->result->taken += adopt->taken;
    if (*page_text(page) == '\0')
        return;
    g_autoptr(Page) head = page_new();
    page_heading(head, section->title);
    if (section->help != NULL)
        page_comment(head, "%s", section->help);
    page_blank(head);
    g_autofree char *text = g_strchomp(g_strdup(page_text(page)));
    g_string_append_printf(body, "\n%s%s\n", page_text(head), text);
}

/* --- the top of the page */

static char *machine_name(Adopt *adopt) {
    g_autofree char *text = adopt_read(adopt, "/etc/hostname");
    g_autofree char *running = text == NULL ? host_running_name(adopt->host, NULL) : NULL;
    g_autofree char *name = g_strstrip(g_strdup(text != NULL      ? text
                                                : running != NULL ? running
                                                                  : "this machine"));
    return g_strndup(name, strcspn(name, "\n"));
}

static char *system_name(Adopt *adopt) {
    g_autofree char *text = adopt_read(adopt, "/etc/os-release");
    const char *start = text != NULL ? strstr(text, "PRETTY_NAME=\"") : NULL;
    if (start == NULL)
        return g_strdup("an unknown system");
    start += strlen("PRETTY_NAME=\"");
    return g_strndup(start, strcspn(start, "\"\n"));
}

static void write_left_out(Adopt *adopt, Page *page) {
    GPtrArray *unread = adopt->result->unread;
    if (unread->len == 0)
        return;
    adopt_sort(unread);
    page_comment(page, "\nCould not be read, so nothing of it is here (root can read it all):");
    page_comment_list(page, (const char *const *)unread->pdata, unread->len);
}

static void write_head(Adopt *adopt, Page *page) {
    g_autofree char *name = machine_name(adopt);
    g_autofree char *system = system_name(adopt);
    bool secrets = adopt->result->secrets > 0;
    page_comment(page, "%s, %s, as `stead adopt` found it.", name, system);
    page_comment(page,
                 "\nEverything here is so already: applying it changes nothing. What is not said "
                 "here is left alone.");
    page_line(page, "--");
    page_line(page, secrets ? "--   stead plan site.lua --secrets secrets.yaml"
                            : "--   stead plan site.lua");
    page_comment(page,
                 "\nChange a line, look at the plan, apply. What you take out of this file "
                 "stays on the machine as it is now, since it was there before stead: to have it "
                 "gone, say state = \"absent\".");
    if (adopt->result->files->len > 0)
        page_comment(page, "\nThe content of larger files is in files/, below the path it has on "
                           "the machine.");
    if (secrets)
        page_comment(page, "\nsecrets.yaml holds password hashes and private files: keep it out "
                           "of version control, or encrypt it.");
    write_left_out(adopt, page);
}

static void add_result_file(AdoptResult *result, int index, const char *path, const char *text) {
    AdoptFile *file = g_new0(AdoptFile, 1);
    file->path = g_strdup(path);
    file->content = g_bytes_new(text, strlen(text));
    g_ptr_array_insert(result->files, index, file);
}

AdoptResult *adopt_collect(Host *host, const AdoptOptions *options, GError **error) {
    g_auto(Adopt) adopt = { 0 };
    if (!check_list("only", options->only, error) ||
        !check_list("except", options->except, error) || !adopt_init(&adopt, host, options, error))
        return NULL;
    for (const Section *section = sections; section->name != NULL; section++)
        if (section->collect != NULL)
            section->collect(&adopt, is_wanted(options, section));
    g_autoptr(GString) body = g_string_new(NULL);
    for (const Section *section = sections; section->name != NULL; section++)
        run_section(&adopt, section, body);
    g_autoptr(Page) head = page_new();
    write_head(&adopt, head);
    g_string_prepend(body, page_text(head));
    add_result_file(adopt.result, 0, "site.lua", body->str);
    if (adopt.result->secrets > 0)
        add_result_file(adopt.result, 1, "secrets.yaml", adopt.secrets->str);
    return g_steal_pointer(&adopt.result);
}
