/* Changing users and groups. */
#include <string.h>
#include <unistd.h>

#include "host/accounts-private.h"
#include "host/host-ops.h"

/* Fields of the entries, in their order. */
enum {
    PASSWD_NAME,
    PASSWD_PASSWORD,
    PASSWD_UID,
    PASSWD_GID,
    PASSWD_COMMENT,
    PASSWD_HOME,
    PASSWD_SHELL
};
enum {
    SHADOW_NAME,
    SHADOW_HASH,
    SHADOW_CHANGED,
    SHADOW_MIN,
    SHADOW_MAX,
    SHADOW_WARN,
    SHADOW_INACTIVE,
    SHADOW_EXPIRES
};
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS };
enum { GSHADOW_NAME, GSHADOW_PASSWORD, GSHADOW_ADMINS, GSHADOW_MEMBERS };

#define LOCKED "!" /* no password has this hash */

/* --- the lock --- */

bool accounts_lock(Host *host, GError **error) {
    struct HostAccounts *accounts = accounts_of(host);
    g_rec_mutex_lock(&accounts->change);
    if (accounts->depth == 0 && host->ops->lock_accounts != NULL &&
        !host->ops->lock_accounts(host, &accounts->lock_fd, error)) {
        g_rec_mutex_unlock(&accounts->change);
        return false;
    }
    accounts->depth++;
    return true;
}

void accounts_unlock(Host *host) {
    struct HostAccounts *accounts = accounts_of(host);
    g_assert(accounts->depth > 0);
    accounts->depth--;
    if (accounts->depth == 0 && accounts->lock_fd >= 0) {
        (void)close(accounts->lock_fd); /* nothing was written to it */
        accounts->lock_fd = -1;
    }
    g_rec_mutex_unlock(&accounts->change);
}

/* --- one change: files read under the lock, changed, written where they differ --- */

typedef struct {
    Host *host; /* NULL: the lock is not held */
    AccountFile *files[N_ACCOUNT_FILES];
} Edit;

static void edit_clear(Edit *edit) {
    for (size_t i = 0; i < N_ACCOUNT_FILES; i++)
        account_file_unref(edit->files[i]);
    if (edit->host != NULL)
        accounts_unlock(edit->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Edit, edit_clear)

/* files: a bit for each kind that is to be changed. */
static bool edit_begin(Edit *edit, Host *host, unsigned files, GError **error) {
    if (!accounts_lock(host, error))
        return false;
    edit->host = host;
    for (unsigned kind = 0; kind < N_ACCOUNT_FILES; kind++) {
        if ((files & 1u << kind) == 0)
            continue;
        edit->files[kind] = accounts_file_read(host, kind, error);
        if (edit->files[kind] == NULL)
            return false;
    }
    return true;
}

/* New files: those with secrets are root's and group shadow's, as Debian has them. An ordinary user
 * below --root is all of that alone. */
static FileAttributes new_file_attributes(Host *host, AccountFileKind kind) {
    bool secret = kind == ACCOUNT_SHADOW || kind == ACCOUNT_GSHADOW;
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = secret ? 0640 : 0644 };
    if (!secret || !host_is_privileged(host))
        return attributes;
    g_autoptr(AccountFile) groups = accounts_file(host, ACCOUNT_GROUP, NULL);
    if (groups != NULL && account_file_id_of(groups, "shadow", &attributes.gid))
        attributes.set |= FILE_SET_GID;
    else
        attributes.mode = 0600;
    return attributes;
}

static bool edit_write(Edit *edit, AccountFileKind kind, GError **error) {
    const AccountFile *file = edit->files[kind];
    if (!account_file_is_changed(file))
        return true;
    bool exists = account_file_exists(file);
    FileAttributes attributes =
        exists ? (FileAttributes){ 0 } : new_file_attributes(edit->host, kind);
    g_autoptr(GBytes) content = account_file_print(file);
    return host_write(edit->host, account_file_path(kind), content, &attributes, error);
}

/* In this order, because a kill may come between them. */
static bool edit_save(Edit *edit, AccountFileKind first, AccountFileKind second, GError **error) {
    return edit_write(edit, first, error) && edit_write(edit, second, error);
}

#define FILES_OF_USER  (1u << ACCOUNT_PASSWD | 1u << ACCOUNT_SHADOW)
#define FILES_OF_GROUP (1u << ACCOUNT_GROUP | 1u << ACCOUNT_GSHADOW)

/* --- what may be written --- */

static bool refuse(const char *what, const char *name, const char *problem, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse %s '%s': %s", what, name, problem);
    return false;
}

static bool check_name(const char *what, const char *name, GError **error) {
    if (name == NULL || name[0] == '\0')
        return refuse(what, "", "a name is needed", error);
    if (strchr("+-#", name[0]) != NULL)
        return refuse(what, name, "a name cannot start with '+', '-' or '#'", error);
    for (const char *at = name; *at != '\0'; at++)
        if (strchr(":,/ ", *at) != NULL || (unsigned char)*at < ' ' || *at == 0x7f)
            return refuse(what, name, "a name has no ':', ',', '/', space or control character",
                          error);
    return true;
}

static bool check_field(const char *name, const char *field, const char *text, GError **error) {
    if (text == NULL || text[strcspn(text, ":\n")] == '\0')
        return true;
    g_autofree char *problem = g_strdup_printf("its %s has a ':' or a line break in it", field);
    return refuse("user", name, problem, error);
}

static bool check_user(const User *user, GError **error) {
    if (user->uid == (uid_t)-1 || user->gid == (gid_t)-1)
        return refuse("user", user->name, "its uid or gid means nobody at all", error);
    return check_name("user", user->name, error) &&
           check_field(user->name, "comment", user->comment, error) &&
           check_field(user->name, "home", user->home, error) &&
           check_field(user->name, "shell", user->shell, error) &&
           check_field(user->name, "password hash", user->password_hash, error);
}

static bool check_group(const Group *group, GError **error) {
    if (!check_name("group", group->name, error))
        return false;
    if (group->gid == (gid_t)-1)
        return refuse("group", group->name, "its gid means no group at all", error);
    if (group->password_hash != NULL && strpbrk(group->password_hash, ":\n") != NULL)
        return refuse("group", group->name, "its password hash has a ':' or a line break in it",
                      error);
    for (char **member = group->members; member != NULL && *member != NULL; member++)
        if (!check_name("member", *member, error)) {
            g_prefix_error(error, "group '%s': ", group->name);
            return false;
        }
    return true;
}

/* --- users --- */

static char *day_text(int64_t day) {
    return day >= 0 ? g_strdup_printf("%" G_GINT64_FORMAT, day) : g_strdup("");
}

static char *today(void) {
    return day_text(g_get_real_time() / G_TIME_SPAN_DAY);
}

static char *number_text(uint32_t number) {
    return g_strdup_printf("%u", number);
}

static void set_field(char **fields, unsigned field, char *text) {
    g_free(fields[field]);
    fields[field] = text;
}

/* The passwords of system users do not age. */
static char *age_default(Host *host, const User *user, const char *key, uint32_t fallback) {
    bool is_system = user->uid < accounts_login_defs(host, "UID_MIN", 1000);
    return is_system ? g_strdup("") : number_text(accounts_login_defs(host, key, fallback));
}

static char **new_shadow(Host *host, const User *user) {
    char **fields = g_new0(char *, SHADOW_EXPIRES + 3);
    fields[SHADOW_NAME] = g_strdup(user->name);
    fields[SHADOW_HASH] = g_strdup(LOCKED);
    fields[SHADOW_CHANGED] = today();
    fields[SHADOW_MIN] = age_default(host, user, "PASS_MIN_DAYS", 0);
    fields[SHADOW_MAX] = age_default(host, user, "PASS_MAX_DAYS", 99999);
    fields[SHADOW_WARN] = age_default(host, user, "PASS_WARN_AGE", 7);
    fields[SHADOW_INACTIVE] = g_strdup("");
    fields[SHADOW_EXPIRES] = g_strdup("");
    fields[SHADOW_EXPIRES + 1] = g_strdup("");
    return fields;
}

static int64_t day_of(const char *text) {
    return text[0] != '\0' ? g_ascii_strtoll(text, NULL, 10) : -1;
}

G_STATIC_ASSERT(SHADOW_MAX == SHADOW_MIN + PASSWORD_MAX_AGE);
G_STATIC_ASSERT(SHADOW_WARN == SHADOW_MIN + PASSWORD_WARN_DAYS);
G_STATIC_ASSERT(SHADOW_INACTIVE == SHADOW_MIN + PASSWORD_INACTIVE);

static void put_ages(char **fields, const User *user) {
    for (unsigned age = 0; age < PASSWORD_AGES; age++)
        if (user->ages_set[age] && day_of(fields[SHADOW_MIN + age]) != user->ages[age])
            set_field(fields, SHADOW_MIN + age, day_text(user->ages[age]));
}

/* passwd_hash: the one that is moved over from /etc/passwd, or NULL. */
static void put_shadow(Edit *edit, const User *user, const char *passwd_hash) {
    AccountFile *file = edit->files[ACCOUNT_SHADOW];
    g_auto(GStrv) fields = account_file_find(file, user->name);
    if (fields == NULL)
        fields = new_shadow(edit->host, user);
    const char *hash = user->password_hash != NULL ? user->password_hash : passwd_hash;
    if (hash != NULL && strcmp(hash, fields[SHADOW_HASH]) != 0) {
        set_field(fields, SHADOW_HASH, g_strdup(hash));
        set_field(fields, SHADOW_CHANGED, today());
    }
    if (day_of(fields[SHADOW_EXPIRES]) != user->expires_day)
        set_field(fields, SHADOW_EXPIRES, day_text(user->expires_day));
    put_ages(fields, user);
    account_file_put(file, (const char *const *)fields);
}

static void put_passwd(Edit *edit, const User *user, const char *password) {
    g_autofree char *uid = number_text(user->uid);
    g_autofree char *gid = number_text(user->gid);
    const char *fields[] = {
        [PASSWD_NAME] = user->name,
        [PASSWD_PASSWORD] = password,
        [PASSWD_UID] = uid,
        [PASSWD_GID] = gid,
        [PASSWD_COMMENT] = user->comment != NULL ? user->comment : "",
        [PASSWD_HOME] = user->home != NULL ? user->home : "",
        [PASSWD_SHELL] = user->shell != NULL ? user->shell : "",
        NULL,
    };
    account_file_put(edit->files[ACCOUNT_PASSWD], fields);
}

/* A hash that stands in /etc/passwd itself stays there as long as nothing about it changes. */
static bool stays_in_passwd(Edit *edit, const User *user, const char *hash) {
    g_auto(GStrv) shadow = account_file_find(edit->files[ACCOUNT_SHADOW], user->name);
    for (unsigned age = 0; age < PASSWORD_AGES; age++)
        if (user->ages_set[age] &&
            (shadow == NULL || day_of(shadow[SHADOW_MIN + age]) != user->ages[age]))
            return false;
    return hash != NULL && user->expires_day < 0 &&
           (user->password_hash == NULL || strcmp(user->password_hash, hash) == 0);
}

bool accounts_put_user(Host *host, const User *user, GError **error) {
    g_auto(Edit) edit = { 0 };
    if (!check_user(user, error) || !edit_begin(&edit, host, FILES_OF_USER, error))
        return false;
    g_auto(GStrv) old = account_file_find(edit.files[ACCOUNT_PASSWD], user->name);
    const char *hash =
        old != NULL && strcmp(old[PASSWD_PASSWORD], "x") != 0 ? old[PASSWD_PASSWORD] : NULL;
    bool stays = stays_in_passwd(&edit, user, hash);
    if (!stays)
        put_shadow(&edit, user, hash);
    put_passwd(&edit, user, stays ? hash : "x");
    return edit_save(&edit, ACCOUNT_SHADOW, ACCOUNT_PASSWD, error);
}

/* --- groups --- */

/* Where there is no /etc/gshadow, none is made. */
static void put_gshadow(Edit *edit, const Group *group, const char *members) {
    AccountFile *file = edit->files[ACCOUNT_GSHADOW];
    if (!account_file_exists(file))
        return;
    g_auto(GStrv) old = account_file_find(file, group->name);
    const char *hash = group->password_hash != NULL ? group->password_hash
                       : old != NULL                ? old[GSHADOW_PASSWORD]
                                                    : LOCKED;
    const char *fields[] = { group->name, hash, old != NULL ? old[GSHADOW_ADMINS] : "", members,
                             NULL };
    account_file_put(file, fields);
}

bool accounts_put_group(Host *host, const Group *group, GError **error) {
    g_auto(Edit) edit = { 0 };
    if (!check_group(group, error) || !edit_begin(&edit, host, FILES_OF_GROUP, error))
        return false;
    g_auto(GStrv) old = account_file_find(edit.files[ACCOUNT_GROUP], group->name);
    g_autofree char *gid = number_text(group->gid);
    g_autofree char *members =
        group->members != NULL ? g_strjoinv(",", group->members) : g_strdup("");
    bool shadowed = account_file_exists(edit.files[ACCOUNT_GSHADOW]);
    const char *password = group->password_hash != NULL && !shadowed ? group->password_hash
                           : old != NULL && !(group->password_hash != NULL && shadowed)
                               ? old[GROUP_PASSWORD]
                               : "x";
    const char *fields[] = { group->name, password, gid, members, NULL };
    put_gshadow(&edit, group, members);
    account_file_put(edit.files[ACCOUNT_GROUP], fields);
    return edit_save(&edit, ACCOUNT_GSHADOW, ACCOUNT_GROUP, error);
}

static bool absent(const char *what, const char *name, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "remove %s '%s': there is none", what,
                name);
    return false;
}

bool accounts_remove_group(Host *host, const char *name, GError **error) {
    g_auto(Edit) edit = { 0 };
    if (!edit_begin(&edit, host, FILES_OF_GROUP, error))
        return false;
    (void)account_file_drop(edit.files[ACCOUNT_GSHADOW], name); /* it may have none */
    if (!account_file_drop(edit.files[ACCOUNT_GROUP], name))
        return absent("group", name, error);
    return edit_save(&edit, ACCOUNT_GSHADOW, ACCOUNT_GROUP, error);
}

/* --- membership --- */

/* Makes user a member of the comma-separated list in the field, or not. Others stay in order. */
static void set_member(char **fields, unsigned field, const char *user, bool member) {
    g_auto(GStrv) names = g_strsplit(fields[field], ",", -1);
    if (g_strv_contains((const char *const *)names, user) == member)
        return;
    g_autoptr(GString) text = g_string_new(NULL);
    for (char **name = names; *name != NULL; name++)
        if (**name != '\0' && strcmp(*name, user) != 0)
            g_string_append_printf(text, "%s%s", text->len > 0 ? "," : "", *name);
    if (member)
        g_string_append_printf(text, "%s%s", text->len > 0 ? "," : "", user);
    set_field(fields, field, g_strdup(text->str));
}

/* groups: where user is to be a member. */
static void set_groups_in(AccountFile *file, const char *user, const char *const *groups,
                          bool keep_others, bool keep_admin) {
    g_autofree const char **borrowed = account_file_names(file);
    g_auto(GStrv) names = g_strdupv((char **)(uintptr_t)borrowed);
    for (char **name = names; *name != NULL; name++) {
        bool wanted = g_strv_contains(groups, *name);
        if (!wanted && keep_others)
            continue;
        g_auto(GStrv) fields = account_file_find(file, *name);
        set_member(fields, GROUP_MEMBERS, user, wanted);
        if (!keep_admin)
            set_member(fields, GSHADOW_ADMINS, user, false);
        account_file_put(file, (const char *const *)fields);
    }
}

static bool groups_exist(const AccountFile *file, const char *user, const char *const *groups,
                         GError **error) {
    for (const char *const *group = groups; *group != NULL; group++) {
        uint32_t gid;
        if (account_file_id_of(file, *group, &gid))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "put user '%s' into group '%s': no such group", user, *group);
        return false;
    }
    return true;
}

bool accounts_set_groups_of(Host *host, const char *user, const char *const *groups,
                            bool keep_others, GError **error) {
    g_auto(Edit) edit = { 0 };
    if (!check_name("user", user, error) || !edit_begin(&edit, host, FILES_OF_GROUP, error) ||
        !groups_exist(edit.files[ACCOUNT_GROUP], user, groups, error))
        return false;
    set_groups_in(edit.files[ACCOUNT_GSHADOW], user, groups, keep_others, true);
    set_groups_in(edit.files[ACCOUNT_GROUP], user, groups, keep_others, true);
    return edit_save(&edit, ACCOUNT_GSHADOW, ACCOUNT_GROUP, error);
}

bool accounts_remove_user(Host *host, const char *name, GError **error) {
    static const char *const none[] = { NULL };
    g_auto(Edit) edit = { 0 };
    if (!edit_begin(&edit, host, FILES_OF_USER | FILES_OF_GROUP, error))
        return false;
    if (!account_file_drop(edit.files[ACCOUNT_PASSWD], name))
        return absent("user", name, error);
    (void)account_file_drop(edit.files[ACCOUNT_SHADOW], name); /* it may have none */
    set_groups_in(edit.files[ACCOUNT_GSHADOW], name, none, false, false);
    set_groups_in(edit.files[ACCOUNT_GROUP], name, none, false, true);
    return edit_save(&edit, ACCOUNT_GSHADOW, ACCOUNT_GROUP, error) &&
           edit_save(&edit, ACCOUNT_SHADOW, ACCOUNT_PASSWD, error);
}
