#include "adopt/inventory.h"

#include <string.h>

#include "base/limits.h"

#define STATUS   "/var/lib/dpkg/status"
#define INFO     "/var/lib/dpkg/info"
#define EXTENDED "/var/lib/apt/extended_states"
#define UCF      "/var/lib/ucf"

static void package_free(void *data) {
    Package *package = data;
    g_free(package->name);
    g_free(package->id);
    g_free(package->version);
    g_free(package->priority);
    g_free(package->depends);
    g_free(package);
}

static void conffile_free(void *data) {
    Conffile *conffile = data;
    g_free(conffile->path);
    g_free(conffile->md5);
    g_free(conffile);
}

void inventory_free(Inventory *inventory) {
    if (inventory == NULL)
        return;
    g_ptr_array_unref(inventory->packages);
    g_ptr_array_unref(inventory->conffiles);
    g_hash_table_unref(inventory->by_name);
    g_hash_table_unref(inventory->owners);
    g_hash_table_unref(inventory->shared);
    g_string_free(inventory->scripts, TRUE);
    g_free(inventory);
}

/* NULL without error: there is no such file. */
static char *read_text(Host *host, const char *path, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = host_read(host, path, LIMIT_FILE_CONTENT, &problem);
    if (bytes == NULL) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data != NULL ? data : "", size);
}

/* --- stanzas: deb822(5) */

typedef void (*TakeField)(void *data, const char *name, char *value);

/* Calls take for each field, with the lines that continue it, and with NULL at the end of a
 * stanza. Writes into text. */
static void each_field(char *text, TakeField take, void *data) {
    char *name = NULL, *value = NULL;
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        bool more = next != NULL && (next[1] == ' ' || next[1] == '\t');
        if (*line == '\0' || *line == '\n') {
            take(data, NULL, NULL);
            name = NULL;
        } else if (*line != ' ' && *line != '\t') {
            char *colon = strchr(line, ':');
            name = colon != NULL && (next == NULL || colon < next) ? line : NULL;
            value = colon != NULL ? colon + 1 : NULL;
            if (name != NULL)
                *colon = '\0';
        }
        if (next != NULL && !more)
            *next = '\0';
        if (name != NULL && !more) {
            take(data, name, g_strstrip(value));
            name = NULL;
        }
        next = next != NULL ? next + 1 : NULL;
    }
    take(data, NULL, NULL);
}

/* --- what every Debian has */

static void need(Inventory *inventory, Package *package);

/* All alternatives count that are there: which of them apt chose is not known. */
static void need_names(Inventory *inventory, const char *depends) {
    g_auto(GStrv) words = g_strsplit_set(depends, ",|", -1);
    for (char **word = words; *word != NULL; word++) {
        g_strstrip(*word);
        (*word)[strcspn(*word, " :(")] = '\0';
        Package *package = g_hash_table_lookup(inventory->by_name, *word);
        if (package != NULL && !package->base)
            need(inventory, package);
    }
}

static void need(Inventory *inventory, Package *package) {
    package->base = true;
    need_names(inventory, package->depends);
}

/* An installer marks nothing of its first set as a dependency. */
static void spread_base(Inventory *inventory) {
    g_autoptr(GPtrArray) base = g_ptr_array_new();
    for (unsigned i = 0; i < inventory->packages->len; i++) {
        Package *package = inventory->packages->pdata[i];
        if (package->base && package->installed)
            g_ptr_array_add(base, package);
    }
    for (unsigned i = 0; i < base->len; i++)
        need_names(inventory, ((Package *)base->pdata[i])->depends);
}

/* --- the database of dpkg */

typedef struct {
    Inventory *inventory;
    char *name, *version, *architecture, *priority, *status, *conffiles, *depends, *pre_depends;
    bool essential;
    GHashTable *architectures; /* Package -> architecture; of the text */
    const char *own;
} Status;

static const char *status_word(const char *status, unsigned index) {
    const char *at = status;
    for (; index > 0 && at != NULL; index--) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL ? at : "";
}

static void take_conffiles(Inventory *inventory, const Package *package, char *text) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_strstrip(*line);
        char *md5 = strchr(*line, ' ');
        if (**line != '/' || md5 == NULL || strstr(md5, " obsolete") != NULL ||
            strstr(md5, " remove-on-upgrade") != NULL || strstr(md5, "newconffile") != NULL)
            continue;
        Conffile *conffile = g_new0(Conffile, 1);
        conffile->package = package;
        conffile->path = g_strndup(*line, (size_t)(md5 - *line));
        conffile->md5 = g_strdup(md5 + 1);
        g_ptr_array_add(inventory->conffiles, conffile);
    }
}

static bool is_one_of(const char *word, const char *one, const char *two) {
    return strcmp(word, one) == 0 || strcmp(word, two) == 0;
}

static void end_package(Status *status) {
    if (status->name == NULL || status->status == NULL)
        return;
    Package *package = g_new0(Package, 1);
    const char *state = status_word(status->status, 2);
    package->name = g_strdup(status->name);
    package->version = g_strdup(status->version);
    package->priority = g_strdup(status->priority != NULL ? status->priority : "");
    package->depends =
        g_strjoin(",", status->depends != NULL ? status->depends : "", status->pre_depends, NULL);
    package->held = g_str_has_prefix(status->status, "hold ");
    package->installed = strcmp(state, "installed") == 0 || g_str_has_prefix(state, "triggers-");
    package->removed = is_one_of(state, "config-files", "not-installed");
    package->essential = status->essential || strcmp(package->priority, "required") == 0;
    package->base = package->essential || is_one_of(package->priority, "important", "standard");
    g_ptr_array_add(status->inventory->packages, package);
    g_hash_table_insert(status->architectures, package, status->architecture);
    if (strcmp(package->name, "dpkg") == 0)
        status->own = status->architecture;
    if (!package->removed)
        g_hash_table_insert(status->inventory->by_name, package->name, package);
    if (!package->removed && status->conffiles != NULL)
        take_conffiles(status->inventory, package, status->conffiles);
}

static void take_status(void *data, const char *name, char *value) {
    Status *status = data;
    if (name == NULL) {
        end_package(status);
        *status = (Status){ .inventory = status->inventory,
                            .architectures = status->architectures,
                            .own = status->own };
        return;
    }
    const struct {
        const char *name;
        char **member;
    } members[] = {
        { "Package", &status->name },      { "Version", &status->version },
        { "Status", &status->status },     { "Architecture", &status->architecture },
        { "Priority", &status->priority }, { "Conffiles", &status->conffiles },
        { "Depends", &status->depends },   { "Pre-Depends", &status->pre_depends },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
        if (strcmp(name, members[i].name) == 0)
            *members[i].member = value;
    if (is_one_of(name, "Essential", "Protected"))
        status->essential |= strcmp(value, "yes") == 0;
}

static int compare_ids(gconstpointer a, gconstpointer b) {
    return strcmp((*(Package *const *)a)->id, (*(Package *const *)b)->id);
}

static bool load_status(Inventory *inventory, Host *host, GError **error) {
    GError *problem = NULL;
    g_autofree char *text = read_text(host, STATUS, &problem);
    if (problem != NULL) {
        g_propagate_error(error, problem);
        return false;
    }
    if (text == NULL)
        return true;
    inventory->has_dpkg = true;
    g_autoptr(GHashTable) architectures = g_hash_table_new(NULL, NULL);
    Status status = { .inventory = inventory, .architectures = architectures };
    each_field(text, take_status, &status);
    for (unsigned i = 0; i < inventory->packages->len; i++) {
        Package *package = inventory->packages->pdata[i];
        const char *architecture = g_hash_table_lookup(architectures, package);
        bool foreign = architecture != NULL && strcmp(architecture, "all") != 0 &&
                       g_strcmp0(architecture, status.own) != 0;
        package->id =
            foreign ? g_strconcat(package->name, ":", architecture, NULL) : g_strdup(package->name);
        if (!foreign && !package->removed)
            g_hash_table_replace(inventory->by_name, package->name, package);
    }
    g_ptr_array_sort(inventory->packages, compare_ids);
    spread_base(inventory);
    return true;
}

/* --- what came as a dependency */

typedef struct {
    GHashTable *by_id;
    char *name;
    bool automatic;
} Extended;

static void take_extended(void *data, const char *name, char *value) {
    Extended *extended = data;
    if (name == NULL) {
        Package *package =
            extended->name != NULL ? g_hash_table_lookup(extended->by_id, extended->name) : NULL;
        if (package != NULL)
            package->automatic = extended->automatic;
        extended->name = NULL;
        extended->automatic = false;
    } else if (strcmp(name, "Package") == 0) {
        extended->name = value;
    } else if (strcmp(name, "Auto-Installed") == 0) {
        extended->automatic = strcmp(value, "1") == 0;
    }
}

static bool load_extended(Inventory *inventory, Host *host, GError **error) {
    GError *problem = NULL;
    g_autofree char *text = read_text(host, EXTENDED, &problem);
    if (problem != NULL) {
        g_propagate_error(error, problem);
        return false;
    }
    Extended extended = { .by_id = inventory->by_name };
    if (text != NULL)
        each_field(text, take_extended, &extended);
    return true;
}

/* --- who has which file */

/* With /usr merged into / the lists may say either. */
static const char *canonical(const char *path) {
    return g_str_has_prefix(path, "/usr/lib/") ? path + strlen("/usr") : path;
}

static void take_list(Inventory *inventory, const char *package, char *text) {
    static const char *const prefixes[] = { "/etc/", "/lib/systemd/", "/usr/lib/systemd/" };
    for (char *line = text, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++)
            if (g_str_has_prefix(line, prefixes[i]) &&
                g_hash_table_contains(inventory->owners, canonical(line)))
                g_hash_table_add(inventory->shared, g_strdup(canonical(line)));
            else if (g_str_has_prefix(line, prefixes[i]))
                g_hash_table_insert(inventory->owners, g_strdup(canonical(line)),
                                    (char *)(uintptr_t)package);
    }
}

static void load_file(Inventory *inventory, Host *host, const char *file, const char *dot) {
    static const char *const scripts[] = { ".postinst", ".preinst", ".config" };
    g_autofree char *path = g_build_filename(INFO, file, NULL);
    bool is_list = strcmp(dot, ".list") == 0, is_script = false;
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++)
        is_script |= strcmp(dot, scripts[i]) == 0;
    if (!is_list && !is_script)
        return;
    g_autofree char *name = g_strndup(file, strcspn(file, ":"));
    if (strcmp(name, file) == 0)
        name[dot - file] = '\0';
    const Package *package = g_hash_table_lookup(inventory->by_name, name);
    g_autofree char *text = package != NULL ? read_text(host, path, NULL) : NULL;
    if (text == NULL)
        return; /* of a removed package, or unreadable: then it has nothing */
    if (is_list)
        take_list(inventory, package->name, text);
    else
        g_string_append(inventory->scripts, text);
}

static void load_info(Inventory *inventory, Host *host) {
    g_auto(GStrv) files = host_list(host, INFO, NULL);
    for (char **file = files; file != NULL && *file != NULL; file++) {
        const char *dot = strrchr(*file, '.');
        if (dot != NULL)
            load_file(inventory, host, *file, dot);
    }
}

/* Users and groups that packages leave to systemd-sysusers, and those of base-passwd. */
static void load_account_sources(Inventory *inventory, Host *host) {
    static const char directory[] = "/usr/lib/sysusers.d";
    static const char *const masters[] = { "/usr/share/base-passwd/passwd.master",
                                           "/usr/share/base-passwd/group.master" };
    g_auto(GStrv) files = host_list(host, directory, NULL);
    for (char **file = files; file != NULL && *file != NULL; file++) {
        g_autofree char *path = g_build_filename(directory, *file, NULL);
        g_autofree char *text = read_text(host, path, NULL);
        g_string_append(inventory->scripts, text != NULL ? text : "");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(masters); i++) {
        g_autofree char *text = read_text(host, masters[i], NULL);
        g_string_append(inventory->scripts, text != NULL ? text : "");
    }
}

/* --- ucf */

/* "md5  path" and "package path", a line each. */
static GHashTable *ucf_table(Host *host, const char *file) {
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *path = g_build_filename(UCF, file, NULL);
    g_autofree char *text = read_text(host, path, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        size_t first = strcspn(*line, " \t");
        const char *second = *line + first + strspn(*line + first, " \t");
        if (first > 0 && *second == '/')
            g_hash_table_replace(table, g_strdup(second), g_strndup(*line, first));
    }
    return table;
}

static void load_ucf(Inventory *inventory, Host *host) {
    g_autoptr(GHashTable) sums = ucf_table(host, "hashfile");
    g_autoptr(GHashTable) registry = ucf_table(host, "registry");
    GHashTableIter iter;
    gpointer path, name;
    g_hash_table_iter_init(&iter, registry);
    while (g_hash_table_iter_next(&iter, &path, &name)) {
        const Package *package = g_hash_table_lookup(inventory->by_name, name);
        const char *md5 = g_hash_table_lookup(sums, path);
        if (package == NULL || md5 == NULL || !g_str_has_prefix(path, "/etc/"))
            continue;
        Conffile *conffile = g_new0(Conffile, 1);
        *conffile = (Conffile){ package, g_strdup(path), g_strdup(md5), true };
        g_ptr_array_add(inventory->conffiles, conffile);
        g_hash_table_insert(inventory->owners, g_strdup(path), package->name);
    }
}

static int compare_conffiles(gconstpointer a, gconstpointer b) {
    return strcmp((*(Conffile *const *)a)->path, (*(Conffile *const *)b)->path);
}

Inventory *inventory_new(Host *host, GError **error) {
    g_autoptr(Inventory) inventory = g_new0(Inventory, 1);
    inventory->packages = g_ptr_array_new_with_free_func(package_free);
    inventory->conffiles = g_ptr_array_new_with_free_func(conffile_free);
    inventory->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    inventory->owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    inventory->shared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    inventory->scripts = g_string_new(NULL);
    if (!load_status(inventory, host, error) || !load_extended(inventory, host, error))
        return NULL;
    load_info(inventory, host);
    load_account_sources(inventory, host);
    load_ucf(inventory, host);
    g_ptr_array_sort(inventory->conffiles, compare_conffiles);
    return g_steal_pointer(&inventory);
}

const char *inventory_owner(const Inventory *inventory, const char *path) {
    return g_hash_table_lookup(inventory->owners, canonical(path));
}

bool inventory_is_shared(const Inventory *inventory, const char *path) {
    return g_hash_table_contains(inventory->shared, canonical(path));
}

const Package *inventory_package(const Inventory *inventory, const char *name) {
    return name != NULL ? g_hash_table_lookup(inventory->by_name, name) : NULL;
}

static bool is_word_character(char c) {
    return g_ascii_isalnum(c) || c == '_' || c == '-';
}

bool inventory_mentions(const Inventory *inventory, const char *word) {
    const char *text = inventory->scripts->str;
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += size)
        if ((at == text || !is_word_character(at[-1])) && !is_word_character(at[size]))
            return true;
    return false;
}
