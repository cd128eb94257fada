/* Files in /etc: those of a pattern, those of packages that were changed, the rest. */
#include <fnmatch.h>
#include <string.h>

#include "adopt/adopt-private.h"
#include "base/limits.h"

#define DIRECTORY_MAX 5  /* files of one directory that are told by name */
#define ELSEWHERE_MAX 40 /* names outside of /etc that are told */

/* Paths of which something was not taken, for one comment at the end. */
typedef struct {
    GPtrArray *secret, *unfit; /* of const char * */
} Left;

static void left_init(Left *left) {
    left->secret = g_ptr_array_new();
    left->unfit = g_ptr_array_new();
}

static void left_clear(Left *left) {
    g_clear_pointer(&left->secret, g_ptr_array_unref);
    g_clear_pointer(&left->unfit, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Left, left_clear)

static void take(Adopt *adopt, const char *path, const char *notify, Left *left) {
    TakeResult result = adopt_take_file(adopt, path, notify);
    gpointer name = (gpointer)(uintptr_t)path;
    if (result == TAKE_SECRET)
        g_ptr_array_add(left->secret, name);
    else if (result == TAKE_UNFIT)
        g_ptr_array_add(left->unfit, name);
}

static void tell(Adopt *adopt, const GPtrArray *paths, const char *what) {
    if (paths->len == 0)
        return;
    page_blank(adopt->page);
    page_comment(adopt->page, "%s", what);
    page_comment_list(adopt->page, (const char *const *)paths->pdata, paths->len);
}

static void tell_left(Adopt *adopt, const Left *left) {
    tell(adopt, left->secret,
         "Private, so left out (`stead adopt --with-secrets` puts texts among them into "
         "secrets.yaml):");
    tell(adopt, left->unfit, "Not taken: above 1 MB, of an odd type, or not what a file can say:");
    if (left->secret->len > 0)
        adopt_note(adopt, "private and left out: %u", left->secret->len);
}

/* --- by pattern */

static bool matches(const char *const *patterns, const char *path) {
    for (; *patterns != NULL; patterns++)
        if (fnmatch(*patterns, path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

/* Copies that editors and package managers leave behind. */
static bool is_debris(const char *path) {
    static const char *const patterns[] = { "*~",         "*.dpkg-old", "*.dpkg-dist",
                                            "*.dpkg-new", "*.dpkg-bak", "*.ucf-old",
                                            "*.ucf-dist", "*.ucf-new",  "*.distUpgrade",
                                            "*.save",     "*.swp",      "*/.placeholder" };
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
        if (fnmatch(patterns[i], path, 0) == 0)
            return true;
    return false;
}

void section_files_write(Adopt *adopt, const char *const *patterns) {
    g_auto(Left) left;
    left_init(&left);
    for (unsigned i = 0; i < adopt->etc->len; i++) {
        const EtcEntry *entry = adopt->etc->pdata[i];
        if (entry->owner == NULL && entry->info.type != FILE_DIRECTORY &&
            matches(patterns, entry->path) && !is_debris(entry->path) &&
            !adopt_is_claimed(adopt, entry->path))
            take(adopt, entry->path, NULL, &left);
    }
    tell_left(adopt, &left);
}

/* Made by programs, or of this one machine. */
static const char *const generated[] = {
    "/etc/.pwd.lock",
    "/etc/adjtime",
    "/etc/ca-certificates.conf",
    "/etc/environment",
    "/etc/group*",
    "/etc/gshadow*",
    "/etc/ld.so.cache",
    "/etc/machine-id",
    "/etc/mailname",
    "/etc/mtab",
    "/etc/nologin",
    "/etc/os-release",
    "/etc/pam.d/common-*",
    "/etc/passwd*",
    "/etc/resolv.conf*",
    "/etc/shadow*",
    "/etc/ssh/ssh_host_*",
    "/etc/ssl/certs/*",
    "/etc/subgid*",
    "/etc/subuid*",
    "/etc/udev/hwdb.bin",
    "/etc/rmt",
    "/etc/vtrgb",
    "/etc/console-setup/cached*",
    "/etc/dpkg/origins/*",
    "/etc/systemd/*.wants/*",
    "/etc/systemd/*.requires/*",
    "/etc/systemd/system/*.service",
    "/etc/systemd/user/*.service",
    "/etc/ssl/private/ssl-cert-*",
    "/etc/emacs/site-start.d/*",
    "/etc/dictionaries-common/*",
    "/etc/aliases.db",
    "/etc/fonts/conf.d/*",
    "/etc/ssl/private/.rnd",
    "/etc/lvm/*",
    "/etc/initramfs-tools/*",
    "/etc/printcap",
    "/etc/stead/*",
    "/etc/java-*",
    "/etc/selinux/*",
    "/etc/perl/*",
    "/etc/blkid.*",
    "/etc/shells",
    "/etc/runit/*",
    "/etc/rc.local.d/*",
    "/etc/xml/*",
    "/etc/sgml/*",
};

static bool is_generated(const char *path) {
    for (size_t i = 0; i < G_N_ELEMENTS(generated); i++)
        if (fnmatch(generated[i], path, 0) == 0)
            return true;
    return is_debris(path);
}

/* Installed from a model, or turned on, by the scripts of a package. */
static bool is_made_by_package(Adopt *adopt, const EtcEntry *entry) {
    static const char *const models[] = { "/usr/share/libc-bin", "/usr/share/base-files" };
    if (inventory_mentions(adopt->inventory, entry->path))
        return true;
    if (entry->info.type == FILE_SYMLINK) {
        g_autofree char *target = host_read_link(adopt->host, entry->path, NULL);
        return target != NULL && g_str_has_prefix(target, "/usr/");
    }
    g_autofree char *text = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        g_autofree char *name = g_path_get_basename(entry->path);
        g_autofree char *model = g_build_filename(models[i], name, NULL);
        if (!host_exists(adopt->host, model))
            continue;
        text = text != NULL ? text : adopt_read(adopt, entry->path);
        g_autofree char *was = adopt_read(adopt, model);
        if (g_strcmp0(text, was) == 0)
            return true;
    }
    return false;
}

/* --- of packages */

typedef enum { SAME, CHANGED, GONE, UNKNOWN } Standing;

static Standing compare(Adopt *adopt, const Conffile *conffile) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content =
        host_read(adopt->host, conffile->path, LIMIT_FILE_CONTENT, &problem);
    if (content == NULL) {
        adopt_tell_unread(adopt, conffile->path, problem);
        return g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND) ? GONE : UNKNOWN;
    }
    g_autofree char *md5 = g_compute_checksum_for_bytes(G_CHECKSUM_MD5, content);
    return strcmp(md5, conffile->md5) == 0 ? SAME : CHANGED;
}

static void take_gone(Adopt *adopt, const char *path, Left *left) {
    g_autoptr(Form) form = form_new("file", path);
    form_string(form, "state", "absent");
    if (!adopt_take(adopt, form))
        g_ptr_array_add(left->unfit, (gpointer)(uintptr_t)path);
}

/* A file that belongs to a package: changed, gone, or added to one of its directories. */
typedef struct {
    const char *path;
    const Package *package; /* NULL: to a directory that several packages have */
    char *heading;
    bool gone;
} Belonging;

static void belonging_clear(void *data) {
    g_free(((Belonging *)data)->heading);
}

/* Directories of several packages, which begin with a slash, come last. */
static int compare_belongings(gconstpointer a, gconstpointer b) {
    const Belonging *one = a, *other = b;
    int order = (*one->heading == '/') - (*other->heading == '/');
    order = order != 0 ? order : strcmp(one->heading, other->heading);
    return order != 0 ? order : strcmp(one->path, other->path);
}

static void add_belonging(GArray *found, const char *path, const Package *package, bool gone) {
    Belonging belonging = { path, package, NULL, gone };
    belonging.heading = package != NULL ? g_strdup(package->name) : g_path_get_dirname(path);
    g_array_append_val(found, belonging);
}

static unsigned find_changed(Adopt *adopt, GArray *found) {
    unsigned same = 0;
    for (unsigned i = 0; i < adopt->inventory->conffiles->len; i++) {
        const Conffile *conffile = adopt->inventory->conffiles->pdata[i];
        if (!adopt_claim(adopt, conffile->path))
            continue;
        Standing standing = compare(adopt, conffile);
        same += standing == SAME;
        if (standing == CHANGED || standing == GONE)
            add_belonging(found, conffile->path, conffile->package, standing == GONE);
    }
    return same;
}

/* As a2enmod, phpenmod and the scripts of packages turn on what a package brought. */
static bool leads_to_package(const Adopt *adopt, const EtcEntry *entry) {
    g_autofree char *target =
        entry->info.type == FILE_SYMLINK ? host_read_link(adopt->host, entry->path, NULL) : NULL;
    if (target == NULL)
        return false;
    g_autofree char *directory = g_path_get_dirname(entry->path);
    g_autofree char *path = g_canonicalize_filename(target, directory);
    return inventory_owner(adopt->inventory, path) != NULL;
}

/* "/etc/apache2/mods-enabled/ (33)" for each directory of these sorted paths. */
static GPtrArray *count_by_directory(const GPtrArray *paths) {
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0, n; i < paths->len; i += n) {
        g_autofree char *directory = g_path_get_dirname(paths->pdata[i]);
        for (n = 1; i + n < paths->len; n++) {
            g_autofree char *other = g_path_get_dirname(paths->pdata[i + n]);
            if (strcmp(directory, other) != 0)
                break;
        }
        g_ptr_array_add(lines, g_strdup_printf("%s/ (%u)", directory, n));
    }
    return lines;
}

static void tell_links(Adopt *adopt, const GPtrArray *links) {
    g_autoptr(GPtrArray) lines = count_by_directory(links);
    tell(adopt, lines,
         "Links that turn on what a package brought, left out (`stead adopt --all-files` takes "
         "them):");
}

static void find_added(Adopt *adopt, GArray *found, GPtrArray *links) {
    for (unsigned i = 0; i < adopt->etc->len; i++) {
        const EtcEntry *entry = adopt->etc->pdata[i];
        if (entry->owner != NULL || entry->info.type == FILE_DIRECTORY ||
            adopt_is_claimed(adopt, entry->path) || is_generated(entry->path))
            continue;
        g_autofree char *directory = g_path_get_dirname(entry->path);
        const char *owner = inventory_owner(adopt->inventory, directory);
        bool shared = inventory_is_shared(adopt->inventory, directory);
        if (owner == NULL || strcmp(directory, "/etc") == 0 || is_made_by_package(adopt, entry))
            continue;
        if (!adopt->options->all_files && leads_to_package(adopt, entry)) {
            (void)adopt_claim(adopt, entry->path);
            g_ptr_array_add(links, entry->path);
        } else {
            add_belonging(found, entry->path,
                          shared ? NULL : inventory_package(adopt->inventory, owner), false);
        }
    }
}

/* What lies among the files of others (logrotate.d, apparmor.d) is not read by the service. */
static const char *service_of(const Adopt *adopt, const Belonging *belonging) {
    g_autofree char *directory = g_path_get_dirname(belonging->path);
    if (belonging->package == NULL || (inventory_is_shared(adopt->inventory, directory) &&
                                       strcmp(directory, "/etc/default") != 0))
        return NULL;
    return g_hash_table_lookup(adopt->service_of, belonging->package->name);
}

static void take_belonging(Adopt *adopt, const Belonging *belonging, Left *left) {
    if (belonging->gone)
        take_gone(adopt, belonging->path, left);
    else
        take(adopt, belonging->path, service_of(adopt, belonging), left);
}

void section_conffiles_write(Adopt *adopt) {
    g_auto(Left) left;
    left_init(&left);
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(Belonging));
    g_array_set_clear_func(found, belonging_clear);
    unsigned same = find_changed(adopt, found);
    g_autoptr(GPtrArray) links = g_ptr_array_new();
    find_added(adopt, found, links);
    g_array_sort(found, compare_belongings);
    const char *last = "";
    for (unsigned i = 0; i < found->len; i++) {
        const Belonging *belonging = &g_array_index(found, Belonging, i);
        if (strcmp(last, belonging->heading) != 0) {
            page_blank(adopt->page);
            page_comment(adopt->page, "%s%s", belonging->heading,
                         belonging->package == NULL ? ", where several packages have files" : "");
        }
        last = belonging->heading;
        take_belonging(adopt, belonging, &left);
    }
    tell_left(adopt, &left);
    tell_links(adopt, links);
    if (same > 0)
        adopt_note(adopt, "as they were installed: %u", same);
}

/* --- the rest */

/* The topmost directory around path that no package has; NULL: none. */
static char *foreign_directory(const Adopt *adopt, const char *path) {
    g_autofree char *best = NULL;
    g_autofree char *directory = g_path_get_dirname(path);
    while (strcmp(directory, "/etc") != 0 && inventory_owner(adopt->inventory, directory) == NULL) {
        g_free(best);
        best = g_steal_pointer(&directory);
        directory = g_path_get_dirname(best);
    }
    return g_steal_pointer(&best);
}

/* Each path, but a directory that is full of them once: "/etc/letsencrypt/ (34 files)". */
static GPtrArray *summarize(const Adopt *adopt, const GPtrArray *paths) {
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < paths->len;) {
        g_autofree char *directory = foreign_directory(adopt, paths->pdata[i]);
        g_autofree char *prefix = directory != NULL ? g_strconcat(directory, "/", NULL) : NULL;
        unsigned n = 1;
        while (prefix != NULL && i + n < paths->len &&
               g_str_has_prefix(paths->pdata[i + n], prefix))
            n++;
        if (n > DIRECTORY_MAX)
            g_ptr_array_add(lines, g_strdup_printf("%s (%u files)", prefix, n));
        else
            for (unsigned j = 0; j < n; j++)
                g_ptr_array_add(lines, g_strdup(paths->pdata[i + j]));
        i += n;
    }
    return lines;
}

static void tell_unknown(Adopt *adopt, const GPtrArray *paths) {
    if (paths->len == 0)
        return;
    g_autoptr(GPtrArray) lines = summarize(adopt, paths);
    page_comment(adopt->page,
                 "No package has these, and nothing above speaks of them: somebody, or some "
                 "program, made them. `stead adopt --all-files` takes them.");
    page_comment_list(adopt->page, (const char *const *)lines->pdata, lines->len);
    adopt_note(adopt, "only listed: %u", paths->len);
}

/* Not looked into, but good to know of. */
static void tell_elsewhere(Adopt *adopt) {
    static const char *const directories[] = { "/opt", "/usr/local/bin", "/usr/local/sbin" };
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
        g_auto(GStrv) names = host_list(adopt->host, directories[i], NULL);
        for (char **name = names; name != NULL && *name != NULL; name++)
            g_ptr_array_add(found, g_build_filename(directories[i], *name, NULL));
    }
    if (found->len == 0)
        return;
    unsigned shown = MIN(found->len, ELSEWHERE_MAX);
    page_blank(adopt->page);
    g_autofree char *some = shown < found->len
                                ? g_strdup_printf(" The first %u of %u:", shown, found->len)
                                : g_strdup("");
    page_comment(adopt->page,
                 "Outside of /etc, and not taken (put it into a package, or see the "
                 "kinds tar and file).%s",
                 some);
    page_comment_list(adopt->page, (const char *const *)found->pdata, shown);
    adopt_note(adopt, "in /opt and /usr/local: %u", found->len);
}

void section_rest_write(Adopt *adopt) {
    g_auto(Left) left;
    left_init(&left);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new();
    unsigned made = 0;
    for (unsigned i = 0; i < adopt->etc->len; i++) {
        const EtcEntry *entry = adopt->etc->pdata[i];
        if (entry->owner != NULL || entry->info.type == FILE_DIRECTORY ||
            adopt_is_claimed(adopt, entry->path))
            continue;
        if (is_generated(entry->path) || is_made_by_package(adopt, entry))
            made++;
        else if (adopt->options->all_files)
            take(adopt, entry->path, NULL, &left);
        else
            g_ptr_array_add(unknown, entry->path);
    }
    tell_unknown(adopt, unknown);
    tell_left(adopt, &left);
    tell_elsewhere(adopt);
    if (made > 0)
        adopt_note(adopt, "made by programs and left out: %u", made);
}
