#include "kinds/user-home.h"

#include <string.h>

#include "base/limits.h"

#define HOME_UMASK 077 /* unless /etc/login.defs says HOME_MODE or UMASK */
#define DEPTH_MAX  200 /* directories inside each other */

/* --- defaults of the distribution --- */

/* The value in "KEY=VALUE" or "KEY  VALUE", or NULL. Takes the line apart in place. */
static char *line_value(char *line, const char *key) {
    line = g_strstrip(line);
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0 || !strchr("= \t", line[length]) || !line[length])
        return NULL;
    return g_strstrip(line + length + 1);
}

char *user_default(Host *host, const char *file, const char *key, const char *fallback,
                   GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = host_read(host, file, LIMIT_FILE_CONTENT, &problem);
    if (!content && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    if (!content)
        return g_strdup(fallback);
    gsize size;
    const char *data = g_bytes_get_data(content, &size);
    g_autofree char *text = g_strndup(size > 0 ? data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *value = line_value(*line, key);
        if (value && *value)
            return g_strdup(value);
    }
    return g_strdup(fallback);
}

/* An octal number of /etc/login.defs; fallback when there is none. */
static bool login_mode(Host *host, const char *key, guint64 fallback, guint64 *ret,
                       GError **error) {
    g_autofree char *text = user_default(host, "/etc/login.defs", key, "", error);
    if (text && !g_ascii_string_to_unsigned(text, 8, 0, 07777, ret, NULL))
        *ret = fallback;
    return text != NULL;
}

/* As useradd has it. */
static bool home_mode(Host *host, mode_t *ret_mode, GError **error) {
    guint64 umask, mode;
    if (!login_mode(host, "UMASK", HOME_UMASK, &umask, error) ||
        !login_mode(host, "HOME_MODE", 0777 & ~umask, &mode, error))
        return false;
    *ret_mode = (mode_t)mode;
    return true;
}

/* --- walking a tree --- */

/* An absent thing is no error here. */
static bool look_at(Host *host, const char *path, FileInfo *ret_info, bool *ret_there,
                    GError **error) {
    g_autoptr(GError) problem = NULL;
    *ret_there = host_stat(host, path, ret_info, &problem);
    if (*ret_there || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "cannot look at '%s': ", path);
    return false;
}

typedef struct {
    KindRun *run;
    uid_t uid, from_uid; /* give what from_uid owns to uid */
    gid_t gid, from_gid;
} Walk;

static bool check_depth(unsigned depth, const char *path, GError **error) {
    if (depth <= DEPTH_MAX)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "refuse directory '%s': more than %d are inside each other", path, DEPTH_MAX);
    return false;
}

/* What is inside comes before the directory, so that a killed walk is seen at the top. */
static bool chown_tree(const Walk *walk, const char *path, unsigned depth, GError **error) {
    Host *host = walk->run->host;
    FileInfo info;
    if (!cancel_check(walk->run->cancel, error) || !check_depth(depth, path, error) ||
        !host_stat(host, path, &info, error))
        return false;
    if (info.type == FILE_DIRECTORY) {
        g_auto(GStrv) names = host_list(host, path, error);
        if (!names)
            return false;
        for (char **name = names; *name; name++) {
            g_autofree char *child = g_build_filename(path, *name, NULL);
            if (!chown_tree(walk, child, depth + 1, error))
                return false;
        }
    }
    FileAttributes owner = { FILE_SET_UID | FILE_SET_GID, 0, info.uid, info.gid };
    if (info.uid == walk->from_uid)
        owner.uid = walk->uid;
    if (info.gid == walk->from_gid)
        owner.gid = walk->gid;
    return (owner.uid == info.uid && owner.gid == info.gid) ||
           host_set_attributes(host, path, &owner, error);
}

static bool copy_tree(const Walk *walk, const char *from, const char *to, unsigned depth,
                      GError **error);

static bool copy_directory(const Walk *walk, const char *from, const char *to,
                           const FileAttributes *attributes, unsigned depth, GError **error) {
    Host *host = walk->run->host;
    FileInfo info;
    bool there;
    if (!look_at(host, to, &info, &there, error) ||
        (!there && !host_make_directory(host, to, attributes, error)))
        return false;
    g_auto(GStrv) names = host_list(host, from, error);
    if (!names)
        return false;
    for (char **name = names; *name; name++) {
        g_autofree char *source = g_build_filename(from, *name, NULL);
        g_autofree char *target = g_build_filename(to, *name, NULL);
        if (!copy_tree(walk, source, target, depth + 1, error))
            return false;
    }
    return true;
}

static bool copy_link(Host *host, const char *from, const char *to,
                      const FileAttributes *attributes, GError **error) {
    g_autofree char *target = host_read_link(host, from, error);
    FileAttributes owner = *attributes;
    owner.set &= ~(unsigned)FILE_SET_MODE;
    return target && host_make_link(host, to, target, error) &&
           (!owner.set || host_set_attributes(host, to, &owner, error));
}

/* Leaves alone what exists already: an earlier, interrupted copy, or the user's own. */
static bool copy_tree(const Walk *walk, const char *from, const char *to, unsigned depth,
                      GError **error) {
    Host *host = walk->run->host;
    FileInfo info, found;
    bool there;
    if (!cancel_check(walk->run->cancel, error) || !check_depth(depth, from, error) ||
        !host_stat(host, from, &info, error) || !look_at(host, to, &found, &there, error))
        return false;
    FileAttributes attributes = { FILE_SET_MODE, info.mode, walk->uid, walk->gid };
    if (host_is_privileged(host))
        attributes.set |= FILE_SET_UID | FILE_SET_GID;
    if (info.type == FILE_DIRECTORY)
        return copy_directory(walk, from, to, &attributes, depth, error);
    if (there)
        return true;
    if (info.type == FILE_SYMLINK)
        return copy_link(host, from, to, &attributes, error);
    if (info.type != FILE_REGULAR)
        return true; /* devices and sockets have no place in a home */
    g_autoptr(GBytes) content = host_read(host, from, LIMIT_FILE_CONTENT, error);
    return content && host_write(host, to, content, &attributes, error);
}

/* --- what may be touched --- */

/* The root, its directories, and those of the system below /usr and /var: never anybody's alone. */
static bool is_system_directory(const char *home) {
    static const char *const shared[] = { "/usr/",  "/var/", "/etc/",  "/dev/",
                                          "/proc/", "/sys/", "/boot/", "/run/" };
    if (!strchr(home + 1, '/'))
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(shared); i++)
        if (g_str_has_prefix(home, shared[i]) && !strchr(home + strlen(shared[i]), '/'))
            return true;
    return false;
}

static bool refuse(GError **error, const char *home, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool refuse(GError **error, const char *home, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse to touch home '%s': %s", home,
                why);
    return false;
}

static bool has_account(Host *host, uid_t uid) {
    g_autofree char *number = g_strdup_printf("%u", uid);
    g_autofree char *name = accounts_user_name(host, uid);
    return !g_str_equal(name, number);
}

/* --- making --- */

bool user_home_ready(Host *host, const User *user, bool *ret_ready, GError **error) {
    FileInfo info;
    bool there;
    if (!look_at(host, user->home, &info, &there, error))
        return false;
    /* a link or a mount point of automount is somebody's decision; so is what a plan cannot know */
    *ret_ready = there && (info.type != FILE_DIRECTORY || !host_is_privileged(host) ||
                           info.uid == user->uid);
    return true;
}

/* An owner without account is what a killed change of uid leaves. */
static bool check_takeover(Host *host, const User *user, const FileInfo *info, GError **error) {
    if (info->uid == user->uid || !host_is_privileged(host))
        return true;
    if (is_system_directory(user->home))
        return refuse(error, user->home, "it is a directory of the system; set managehome = false");
    if (info->uid == 0 || !has_account(host, info->uid))
        return true;
    g_autofree char *owner = accounts_user_name(host, info->uid);
    return refuse(error, user->home,
                  "it belongs to user '%s'; give it to '%s' or set managehome = "
                  "false",
                  owner, user->name);
}

/* The directory belongs to root until all is in it: a killed copy is seen and finished. */
static bool fill_home(const Walk *walk, const User *user, const char *own_skel, bool there,
                      GError **error) {
    Host *host = walk->run->host;
    FileAttributes closed = { FILE_SET_MODE, 0777 & ~HOME_UMASK, 0, 0 };
    if (!there && (!host_make_parents(host, user->home, error) ||
                   !host_make_directory(host, user->home, &closed, error)))
        return false;
    g_autofree char *skel =
        own_skel ? g_strdup(own_skel)
                 : user_default(host, "/etc/default/useradd", "SKEL", "/etc/skel", error);
    FileInfo info;
    if (!skel)
        return false;
    bool has_skel = false;
    if (g_path_is_absolute(skel) && !look_at(host, skel, &info, &has_skel, error))
        return false;
    if (own_skel && !has_skel && !walk->run->planning) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "no such directory '%s' for 'skel'; make it, or leave it unset", own_skel);
        return false;
    }
    if (has_skel && info.type == FILE_DIRECTORY &&
        !copy_directory(walk, skel, user->home, &closed, 0, error)) {
        g_prefix_error(error, "cannot copy '%s': ", skel);
        return false;
    }
    FileAttributes done = { FILE_SET_MODE, 0, user->uid, user->gid };
    if (!home_mode(host, &done.mode, error))
        return false;
    if (host_is_privileged(host))
        done.set |= FILE_SET_UID | FILE_SET_GID;
    return host_set_attributes(host, user->home, &done, error);
}

bool user_home_make(KindRun *run, const User *user, const char *skel, GError **error) {
    FileInfo info = { 0 };
    bool there;
    if (!look_at(run->host, user->home, &info, &there, error))
        return false;
    Walk walk = { run, user->uid, info.uid, user->gid, info.gid };
    if (there && (info.type != FILE_DIRECTORY || !host_is_privileged(run->host)))
        return true;
    if (there && !check_takeover(run->host, user, &info, error))
        return false;
    if (there && info.uid != 0)
        return info.uid == user->uid || chown_tree(&walk, user->home, 0, error);
    return user->uid == 0 && there ? true : fill_home(&walk, user, skel, there, error);
}

bool user_home_follow(KindRun *run, const User *before, const User *after, GError **error) {
    FileInfo info;
    bool there;
    if (!host_is_privileged(run->host))
        return true;
    if (!look_at(run->host, after->home, &info, &there, error))
        return false;
    if (!there || info.type != FILE_DIRECTORY || info.uid != before->uid || before->uid == 0 ||
        is_system_directory(after->home))
        return true;
    Walk walk = { run, after->uid, before->uid, after->gid, before->gid };
    return chown_tree(&walk, after->home, 0, error);
}

/* --- removing --- */

/* Another account whose home is the same directory, above it or below it. */
static bool check_unshared(Host *host, const User *user, GError **error) {
    g_autoptr(GBytes) content = host_read(host, "/etc/passwd", LIMIT_FILE_CONTENT, error);
    if (!content)
        return false;
    gsize size;
    const char *data = g_bytes_get_data(content, &size);
    g_autofree char *text = g_strndup(size > 0 ? data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *mine = g_strconcat(user->home, "/", NULL);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", -1); /* name:x:uid:gid:comment:home:shell */
        if (g_strv_length(fields) != 7 || g_str_equal(fields[0], user->name))
            continue;
        g_autofree char *other = g_strconcat(fields[5], "/", NULL);
        if (g_str_has_prefix(other, mine))
            return refuse(error, user->home, "user '%s' lives in it too; set purge_home = false",
                          fields[0]);
    }
    return true;
}

bool user_home_check_removable(KindRun *run, const User *user, GError **error) {
    Host *host = run->host;
    FileInfo info;
    bool there;
    if (!look_at(host, user->home, &info, &there, error))
        return false;
    if (!there)
        return true;
    if (info.type != FILE_DIRECTORY)
        return refuse(error, user->home, "it is not a directory; set purge_home = false");
    if (is_system_directory(user->home))
        return refuse(error, user->home, "it is a directory of the system; set purge_home = false");
    if (host_is_privileged(host) && info.uid != user->uid)
        return refuse(error, user->home, "it does not belong to user '%s'; set purge_home = false",
                      user->name);
    if (kind_run_claim(run, user->home) != PATH_FREE)
        return refuse(error, user->home,
                      "another resource manages it, or something in it; set "
                      "purge_home = false");
    return check_unshared(host, user, error);
}

/* --- moving --- */

bool user_home_will_move(KindRun *run, const User *user, const char *to, bool *ret_moves,
                         GError **error) {
    Host *host = run->host;
    FileInfo old, new;
    bool has_old, has_new;
    *ret_moves = false;
    if (strcmp(user->home, to) == 0)
        return true;
    if (!look_at(host, user->home, &old, &has_old, error) ||
        !look_at(host, to, &new, &has_new, error))
        return false;
    if (!has_old || has_new || old.type != FILE_DIRECTORY || is_system_directory(user->home) ||
        (host_is_privileged(host) && old.uid != user->uid))
        return true;
    if (kind_run_claim(run, user->home) != PATH_FREE)
        return refuse(error, user->home,
                      "another resource manages it, or something in it, where it is; let those "
                      "name its new place '%s', or set managehome = false",
                      to);
    *ret_moves = true;
    return check_unshared(host, user, error);
}

bool user_home_move(KindRun *run, const User *user, const char *to, GError **error) {
    if (!host_make_parents(run->host, to, error) ||
        !host_move(run->host, user->home, to, run->cancel, error))
        return false;
    kind_run_note(run, "moved home '%s' to '%s'", user->home, to);
    return true;
}

bool user_home_remove(KindRun *run, const User *user, GError **error) {
    Host *host = run->host;
    FileInfo info;
    bool has_mail, has_home;
    g_autofree char *mail = g_build_filename("/var/mail", user->name, NULL);
    if (!user_home_check_removable(run, user, error) ||
        !look_at(host, mail, &info, &has_mail, error) ||
        !look_at(host, user->home, &info, &has_home, error) ||
        (has_mail && !host_remove(host, mail, error)) ||
        (has_home && !host_remove_tree(host, user->home, run->cancel, error)))
        return false;
    if (has_home)
        kind_run_note(run, "removed home '%s'", user->home);
    return true;
}
