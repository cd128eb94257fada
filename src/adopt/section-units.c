/* Unit files and drop-ins made here; what is enabled, disabled or masked against the package's
 * word; the services of packages that not every Debian has. */
#include <fnmatch.h>
#include <string.h>

#include "adopt/adopt-private.h"
#include "base/plural.h"
#include "kinds/unit-name.h"

#define UNITS "/etc/systemd/system"
/* Where packages note what they have enabled: deb-systemd-helper(1p). */
#define HELPER "/var/lib/systemd/deb-systemd-helper-enabled"

/* --- names */

static char *service_name(const char *unit) {
    return g_str_has_suffix(unit, ".service") ? g_strndup(unit, strlen(unit) - strlen(".service"))
                                              : g_strdup(unit);
}

static bool is_unit(const char *name) {
    static const char *const suffixes[] = { ".service", ".socket",    ".timer", ".path", ".target",
                                            ".mount",   ".automount", ".swap",  ".slice" };
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(name, suffixes[i]) && *name != '.')
            return true;
    return false;
}

/* The package that has the unit's file, or its template's; NULL: none. */
static const Package *package_of(const Adopt *adopt, const char *unit) {
    g_autofree char *template = unit_template(unit);
    const char *names[] = { unit, template };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path =
            names[i] != NULL ? g_build_filename("/lib/systemd/system", names[i], NULL) : NULL;
        const char *owner = path != NULL ? inventory_owner(adopt->inventory, path) : NULL;
        if (owner != NULL)
            return inventory_package(adopt->inventory, owner);
    }
    return NULL;
}

static char *unit_path(const char *name) {
    return g_build_filename(UNITS, name, NULL);
}

static bool is_own_file(const Adopt *adopt, const char *name) {
    g_autofree char *path = unit_path(name);
    FileInfo info;
    return is_unit(name) && host_stat(adopt->host, path, &info, NULL) &&
           info.type == FILE_REGULAR && inventory_owner(adopt->inventory, path) == NULL;
}

/* "" when the thing there is no link; caller frees. */
static char *link_target(const Adopt *adopt, const char *name) {
    g_autofree char *path = unit_path(name);
    char *target = host_read_link(adopt->host, path, NULL);
    return target != NULL ? target : g_strdup("");
}

/* --- what a unit is by default */

/* Lines "enable PATTERN" of the presets; that nothing is said means nothing on Debian. */
static bool is_preset(Adopt *adopt, const char *unit) {
    static const char directory[] = "/usr/lib/systemd/system-preset";
    g_auto(GStrv) files = host_list(adopt->host, directory, NULL);
    g_autofree char *template = unit_template(unit);
    for (char **file = files; file != NULL && *file != NULL; file++) {
        g_autofree char *path = g_build_filename(directory, *file, NULL);
        g_autofree char *text = adopt_read(adopt, path);
        g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
        for (char **line = lines; *line != NULL; line++) {
            if (!g_str_has_prefix(*line, "enable "))
                continue;
            (*line)[strcspn(*line, "\r")] = '\0';
            g_auto(GStrv) words = g_strsplit(*line, " ", 3);
            if (words[1] != NULL && (fnmatch(words[1], unit, 0) == 0 ||
                                     (template != NULL && fnmatch(words[1], template, 0) == 0)))
                return true;
        }
    }
    return false;
}

/* The units that packages have enabled; their links are noted below HELPER. */
static GHashTable *enabled_by_packages(Adopt *adopt) {
    GHashTable *units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) directories = host_list(adopt->host, HELPER, NULL);
    for (char **directory = directories; directory != NULL && *directory != NULL; directory++) {
        if (!g_str_has_suffix(*directory, ".wants") && !g_str_has_suffix(*directory, ".requires"))
            continue;
        g_autofree char *path = g_build_filename(HELPER, *directory, NULL);
        g_auto(GStrv) names = host_list(adopt->host, path, NULL);
        for (char **name = names; name != NULL && *name != NULL; name++)
            g_hash_table_add(units, g_strdup(*name));
    }
    return units;
}

/* --- which services are said */

typedef struct {
    Adopt *adopt;
    GHashTable *seen;     /* units */
    GHashTable *packages; /* units that packages have enabled */
    unsigned usual;       /* enabled on every Debian */
    char *problem;        /* why systemd does not answer; NULL: it does */
} Search;

/* Remembers a svc that fits. */
static void offer(Search *search, const char *unit, const char *param, bool value, bool active) {
    Adopt *adopt = search->adopt;
    g_autofree char *name = service_name(unit);
    g_autoptr(Form) form = form_new("svc", name);
    if (active)
        form_string(form, "state", "running");
    form_bool(form, param, value);
    if (form == NULL || !form_fits(form, adopt->host, NULL))
        return;
    const Package *package = package_of(adopt, unit);
    if (package != NULL && !g_hash_table_contains(adopt->service_of, package->name) && value &&
        strcmp(param, "enabled") == 0 && g_str_has_suffix(unit, ".service"))
        g_hash_table_insert(adopt->service_of, g_strdup(package->name), g_strdup(name));
    g_hash_table_insert(adopt->services, g_strdup(name), g_steal_pointer(&form));
}

static bool query(Search *search, const char *unit, UnitInfo *ret_info) {
    g_autoptr(GError) problem = NULL;
    *ret_info = (UnitInfo){ 0 };
    if (host_unit_query(search->adopt->host, unit, false, ret_info, &problem))
        return true;
    if (search->problem == NULL)
        search->problem = g_strdup(problem->message);
    return false;
}

static void look_at_enabled(Search *search, const char *unit) {
    Adopt *adopt = search->adopt;
    UnitInfo info;
    if (!is_unit(unit) || !g_hash_table_add(search->seen, g_strdup(unit)) ||
        !query(search, unit, &info) || !info.exists || !info.enabled)
        return;
    const Package *package = package_of(adopt, unit);
    bool own = is_own_file(adopt, unit);
    bool by_package =
        !own && (g_hash_table_contains(search->packages, unit) || is_preset(adopt, unit));
    if (by_package && (package == NULL || package->base))
        search->usual++;
    else
        offer(search, unit, "enabled", true, info.active);
}

static void look_at_links(Search *search, const char *directory) {
    g_autofree char *path = unit_path(directory);
    g_auto(GStrv) names = host_list(search->adopt->host, path, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++)
        look_at_enabled(search, *name);
}

/* What a package enabled, and somebody disabled. */
static void look_at_disabled(Search *search) {
    g_autoptr(GList) names = g_hash_table_get_keys(search->packages);
    for (GList *name = names; name != NULL; name = name->next) {
        const char *unit = name->data;
        UnitInfo info;
        if (is_unit(unit) && !unit_is_template(unit) &&
            g_hash_table_add(search->seen, g_strdup(unit)) && query(search, unit, &info) &&
            info.exists && !info.enabled && !info.masked && !info.is_static)
            offer(search, unit, "enabled", false, false);
    }
}

static void look_at_mask(Search *search, const char *name) {
    g_autofree char *target = link_target(search->adopt, name);
    if (strcmp(target, "/dev/null") == 0 && g_hash_table_add(search->seen, g_strdup(name)))
        offer(search, name, "masked", true, false);
}

static void look_at_unit(Search *search, const char *name) {
    UnitInfo info;
    if (is_own_file(search->adopt, name) && !unit_is_template(name) &&
        !g_hash_table_contains(search->seen, name) && query(search, name, &info) && info.active &&
        info.enabled)
        look_at_enabled(search, name);
}

void section_units_collect(Adopt *adopt, bool wanted) {
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) packages = enabled_by_packages(adopt);
    Search search = { .adopt = adopt, .seen = seen, .packages = packages };
    g_auto(GStrv) names = host_list(adopt->host, UNITS, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++)
        if (is_unit(*name))
            look_at_mask(&search, *name);
    for (char **name = names; name != NULL && *name != NULL; name++)
        if (g_str_has_suffix(*name, ".wants") || g_str_has_suffix(*name, ".requires"))
            look_at_links(&search, *name);
    for (char **name = names; name != NULL && *name != NULL; name++)
        if (is_unit(*name))
            look_at_unit(&search, *name);
    look_at_disabled(&search);
    adopt->usual_units = search.usual;
    if (search.problem != NULL)
        adopt->units_problem = search.problem;
    if (wanted)
        return;
    g_hash_table_remove_all(adopt->services); /* nobody may refer to them */
    g_hash_table_remove_all(adopt->service_of);
}

/* --- writing */

static void take_service(Adopt *adopt, const char *unit) {
    g_autofree char *name = service_name(unit);
    Form *form = g_hash_table_lookup(adopt->services, name);
    if (form != NULL)
        (void)adopt_take(adopt, form); /* it fitted a moment ago, or is taken */
}

static const char *notified(Adopt *adopt, const char *name) {
    return g_hash_table_contains(adopt->services, name) ? name : NULL;
}

/* False: what is there is not what the kind unit would write. */
static bool take_unit(Adopt *adopt, const char *path, const char *unit, const char *drop_in) {
    g_autofree char *service = service_name(unit);
    g_autofree char *title =
        drop_in != NULL ? g_strdup_printf("%s: %s", service, drop_in) : g_strdup(unit);
    g_autofree char *text = adopt_read(adopt, path);
    FileInfo info;
    if (text == NULL || !host_stat(adopt->host, path, &info, NULL))
        return false;
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    if (adopt_is_private(adopt, path, &info, content))
        return false;
    g_autoptr(Form) form = form_new("unit", title);
    if (drop_in != NULL) {
        form_string(form, "unit", unit);
        form_string(form, "dropin", drop_in);
    }
    form_text(form, "content", text, strlen(text));
    g_autofree char *mode = g_strdup_printf("%04o", info.mode);
    if (info.mode != 0644)
        form_string(form, "mode", mode);
    if (notified(adopt, service) != NULL)
        form_notify(form, "svc", service);
    return adopt_take(adopt, form);
}

static void take_unit_file(Adopt *adopt, const char *path, const char *unit, const char *drop_in) {
    g_autofree char *service = service_name(unit);
    if (!adopt_claim(adopt, path) || take_unit(adopt, path, unit, drop_in))
        return;
    TakeResult result = adopt_take_file(adopt, path, notified(adopt, service));
    if (result == TAKE_SECRET)
        page_comment(adopt->page, "'%s' is private, so left out.", path);
    else if (result == TAKE_UNFIT)
        page_comment(adopt->page, "'%s' cannot be said here.", path);
}

static void take_drop_ins(Adopt *adopt, const char *directory) {
    g_autofree char *unit = g_strndup(directory, strlen(directory) - strlen(".d"));
    g_autofree char *path = unit_path(directory);
    g_auto(GStrv) names = host_list(adopt->host, path, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        g_autofree char *file = g_build_filename(path, *name, NULL);
        if (!g_str_has_suffix(*name, ".conf") || inventory_owner(adopt->inventory, file) != NULL)
            continue;
        page_blank(adopt->page);
        g_autofree char *drop_in = g_strndup(*name, strlen(*name) - strlen(".conf"));
        take_unit_file(adopt, file, unit, drop_in);
    }
}

static bool is_system_path(const char *target) {
    return g_str_has_prefix(target, "/lib/systemd/") ||
           g_str_has_prefix(target, "/usr/lib/systemd/") || g_str_has_prefix(target, "/run/");
}

/* Links that enabling makes belong to svc; others are somebody's. */
static void take_unit_entry(Adopt *adopt, const char *name) {
    g_autofree char *path = unit_path(name);
    g_autofree char *target = link_target(adopt, name);
    if (is_own_file(adopt, name)) {
        page_blank(adopt->page);
        take_unit_file(adopt, path, name, NULL);
        take_service(adopt, name);
    } else if (is_unit(name) && *target != '\0' && *target == '/' && !is_system_path(target) &&
               strcmp(target, "/dev/null") != 0 && adopt_claim(adopt, path)) {
        page_blank(adopt->page);
        (void)adopt_take_file(adopt, path, NULL); /* what it cannot say is no unit either */
        take_service(adopt, name);
    } else if (is_unit(name)) {
        (void)adopt_claim(adopt, path);
    }
}

static void write_services(Adopt *adopt) {
    g_autoptr(GList) names = g_hash_table_get_keys(adopt->services);
    names = g_list_sort(names, (GCompareFunc)strcmp);
    page_blank(adopt->page);
    for (GList *name = names; name != NULL; name = name->next)
        take_service(adopt, name->data);
}

void section_units_write(Adopt *adopt) {
    g_auto(GStrv) names = host_list(adopt->host, UNITS, NULL);
    if (adopt->units_problem != NULL) {
        adopt_note(adopt, "systemd does not answer");
        page_comment(adopt->page, "systemd does not answer, so what is enabled is not said: %s",
                     adopt->units_problem);
    }
    for (char **name = names; name != NULL && *name != NULL; name++)
        if (g_str_has_suffix(*name, ".d"))
            take_drop_ins(adopt, *name);
        else
            take_unit_entry(adopt, *name);
    write_services(adopt);
    if (adopt->usual_units == 0)
        return;
    page_blank(adopt->page);
    page_comment(adopt->page, "Left out: %u %s enabled on every Debian.", adopt->usual_units,
                 plural(adopt->usual_units, "unit that is", "units that are"));
    adopt_note(adopt, "left out, of every Debian: %u", adopt->usual_units);
}
