#include "host/accounts.h"

#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "host/accounts-nss.h"
#include "host/accounts-private.h"
#include "host/fingerprint.h"
#include "host/host-ops.h"

#define LOGIN_DEFS       "/etc/login.defs"
#define LIMIT_LOGIN_DEFS (1024 * 1024)

/* How long an answer counts without another look at the file, as long as this host neither makes
 * nor reports a change. Somebody else's change is then seen that much later, as if the question had
 * been asked before it. */
#define RECENT_US 2000

void user_free(User *user) {
    if (user == NULL)
        return;
    g_free(user->name);
    g_free(user->comment);
    g_free(user->home);
    g_free(user->shell);
    g_free(user->password_hash);
    g_free(user);
}

void group_free(Group *group) {
    if (group == NULL)
        return;
    g_free(group->name);
    g_strfreev(group->members);
    g_free(group->password_hash);
    g_free(group);
}

/* --- files --- */

struct HostAccounts *accounts_of(Host *host) {
    struct HostAccounts *accounts = g_atomic_pointer_get(&host->accounts);
    if (accounts != NULL)
        return accounts;
    accounts = g_new0(struct HostAccounts, 1);
    g_mutex_init(&accounts->lock);
    g_rec_mutex_init(&accounts->change);
    accounts->lock_fd = -1;
    if (g_atomic_pointer_compare_and_exchange(&host->accounts, NULL, accounts))
        return accounts;
    host_accounts_free(accounts); /* another thread was faster */
    return g_atomic_pointer_get(&host->accounts);
}

void host_accounts_free(struct HostAccounts *accounts) {
    if (accounts == NULL)
        return;
    g_assert(accounts->depth == 0);
    for (size_t i = 0; i < N_ACCOUNT_FILES; i++)
        account_file_unref(accounts->files[i].file);
    g_mutex_clear(&accounts->lock);
    g_rec_mutex_clear(&accounts->change);
    g_free(accounts);
}

/* The same rule as for fingerprints: what changed just before it was read may change once more
 * without looking different. What a link leads to is not seen at all. */
static bool may_be_kept(const FileInfo *info) {
    int64_t now_ns = g_get_real_time() * 1000;
    return info->type == FILE_REGULAR &&
           MAX(info->mtime_ns, info->ctime_ns) < now_ns - FINGERPRINT_RACY_WINDOW_NS;
}

static bool is_same_file(const FileInfo *a, const FileInfo *b) {
    return a->type == b->type && a->inode == b->inode && a->device == b->device &&
           a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

typedef struct {
    int64_t time_us;
    int changes;
} Moment;

static Moment moment_now(Host *host) {
    /* Changes first: one that comes in between is then taken for a new one. */
    int changes = g_atomic_int_get(&host->changes);
    return (Moment){ .time_us = g_get_monotonic_time(), .changes = changes };
}

static void note_seen(struct HostAccounts *accounts, AccountFileKind kind, Moment moment) {
    accounts->files[kind].seen_us = moment.time_us;
    accounts->files[kind].seen_changes = moment.changes;
}

static AccountFile *find_kept(struct HostAccounts *accounts, AccountFileKind kind,
                              const FileInfo *info, Moment moment) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&accounts->lock);
    AccountFile *file = accounts->files[kind].file;
    if (file == NULL || !is_same_file(&accounts->files[kind].info, info))
        return NULL;
    note_seen(accounts, kind, moment);
    return account_file_ref(file);
}

static void keep(struct HostAccounts *accounts, AccountFileKind kind, const FileInfo *info,
                 Moment moment, AccountFile *file) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&accounts->lock);
    account_file_unref(accounts->files[kind].file);
    accounts->files[kind].file = account_file_ref(file);
    accounts->files[kind].info = *info;
    note_seen(accounts, kind, moment);
}

AccountFile *accounts_file_recent(Host *host, AccountFileKind kind) {
    struct HostAccounts *accounts = accounts_of(host);
    Moment now = moment_now(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&accounts->lock);
    AccountFile *file = accounts->files[kind].file;
    bool recent = file != NULL && accounts->files[kind].seen_changes == now.changes &&
                  now.time_us - accounts->files[kind].seen_us < RECENT_US;
    return recent ? account_file_ref(file) : NULL;
}

AccountFile *accounts_file_read(Host *host, AccountFileKind kind, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content =
        host_read(host, account_file_path(kind), LIMIT_ACCOUNT_FILE, &problem);
    if (problem == NULL || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return account_file_parse(kind, content);
    g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

AccountFile *accounts_file(Host *host, AccountFileKind kind, GError **error) {
    struct HostAccounts *accounts = accounts_of(host);
    FileInfo info;
    Moment moment = moment_now(host);
    bool exists = host_stat(host, account_file_path(kind), &info, NULL);
    AccountFile *file = exists ? find_kept(accounts, kind, &info, moment) : NULL;
    if (file != NULL)
        return file;
    bool keeps = exists && may_be_kept(&info); /* before it is read */
    file = accounts_file_read(host, kind, error);
    if (file != NULL && keeps)
        keep(accounts, kind, &info, moment, file);
    return file;
}

/* --- users and groups --- */

static bool not_found(const AccountFile *file, const char *what, const char *name, GError **error) {
    g_autofree const char **names = account_file_names(file);
    const char *near = suggest_nearest(name, names, g_strv_length((char **)(uintptr_t)names));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no such %s '%s'%s%s%s", what, name,
                near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                near != NULL ? "'?" : "");
    return false;
}

/* Only root may read the hashes: for others they are unknown, which is no error. */
static bool add_shadow(Host *host, User *user, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(AccountFile) shadow = accounts_file(host, ACCOUNT_SHADOW, &problem);
    if (shadow == NULL && host_is_privileged(host)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_auto(GStrv) fields = shadow != NULL ? account_file_find(shadow, user->name) : NULL;
    if (fields == NULL)
        return true;
    user->password_hash = g_strdup(fields[1]);
    user->expires_day = fields[7][0] != '\0' ? g_ascii_strtoll(fields[7], NULL, 10) : -1;
    for (unsigned age = 0; age < PASSWORD_AGES; age++) {
        const char *days = fields[3 + age];
        user->ages[age] = days[0] != '\0' ? g_ascii_strtoll(days, NULL, 10) : -1;
        user->ages_set[age] = true;
    }
    return true;
}

User *accounts_find_user(Host *host, const char *name, GError **error) {
    g_autoptr(AccountFile) file = accounts_file(host, ACCOUNT_PASSWD, error);
    if (file == NULL)
        return NULL;
    g_auto(GStrv) fields = account_file_find(file, name);
    if (fields == NULL) {
        not_found(file, "user", name, error);
        return NULL;
    }
    g_autoptr(User) user = g_new0(User, 1);
    user->name = g_strdup(name);
    user->uid = (uid_t)g_ascii_strtoull(fields[2], NULL, 10);
    user->gid = (gid_t)g_ascii_strtoull(fields[3], NULL, 10);
    user->comment = g_strdup(fields[4]);
    user->home = g_strdup(fields[5]);
    user->shell = g_strdup(fields[6]);
    user->expires_day = -1;
    if (!add_shadow(host, user, error))
        return NULL;
    if (strcmp(fields[1], "x") != 0 && user->password_hash == NULL)
        user->password_hash = g_strdup(fields[1]);
    return g_steal_pointer(&user);
}

/* "a,,b" has two members. */
static char **split_members(const char *text) {
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    g_autoptr(GStrvBuilder) members = g_strv_builder_new();
    for (char **part = parts; *part != NULL; part++)
        if (**part != '\0')
            g_strv_builder_add(members, *part);
    return g_strv_builder_end(members);
}

Group *accounts_find_group(Host *host, const char *name, GError **error) {
    g_autoptr(AccountFile) file = accounts_file(host, ACCOUNT_GROUP, error);
    if (file == NULL)
        return NULL;
    g_auto(GStrv) fields = account_file_find(file, name);
    if (fields == NULL) {
        not_found(file, "group", name, error);
        return NULL;
    }
    Group *group = g_new0(Group, 1);
    group->name = g_strdup(name);
    group->gid = (gid_t)g_ascii_strtoull(fields[2], NULL, 10);
    group->members = split_members(fields[3]);
    g_autoptr(AccountFile) shadow = accounts_file(host, ACCOUNT_GSHADOW, NULL); /* root's only */
    g_auto(GStrv) secret = shadow != NULL ? account_file_find(shadow, name) : NULL;
    if (secret != NULL)
        group->password_hash = g_strdup(secret[1]);
    else if (shadow != NULL && strcmp(fields[1], "x") != 0)
        group->password_hash = g_strdup(fields[1]);
    return group;
}

typedef struct {
    const char *user;
    GHashTable *groups;
} Membership;

static void note_membership(void *data, char **fields) {
    Membership *membership = data;
    g_auto(GStrv) members = split_members(fields[3]);
    if (g_strv_contains((const char *const *)members, membership->user))
        g_hash_table_add(membership->groups, g_strdup(fields[0]));
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **accounts_groups_of(Host *host, const char *user, GError **error) {
    g_autoptr(AccountFile) file = accounts_file(host, ACCOUNT_GROUP, error);
    if (file == NULL)
        return NULL;
    g_autoptr(GHashTable) groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    account_file_each(file, note_membership, &(Membership){ user, groups });
    unsigned n_names;
    char **names = (char **)g_hash_table_get_keys_as_array(groups, &n_names);
    g_hash_table_steal_all(groups); /* the names are the caller's now */
    qsort(names, n_names, sizeof *names, compare_names);
    return names;
}

/* --- ids --- */

typedef struct {
    const char *what;
    AccountFileKind file;
    const char *range[2];        /* keys in /etc/login.defs: lowest and highest id */
    const char *system_range[2]; /* the same for system accounts */
    bool (*nss_id)(const char *name, uint32_t *ret_id);
    char *(*nss_name)(uint32_t id);
} IdSpace;

static const IdSpace user_ids = {
    .what = "user",
    .file = ACCOUNT_PASSWD,
    .range = { "UID_MIN", "UID_MAX" },
    .system_range = { "SYS_UID_MIN", "SYS_UID_MAX" },
    .nss_id = nss_user_id,
    .nss_name = nss_user_name,
};

static const IdSpace group_ids = {
    .what = "group",
    .file = ACCOUNT_GROUP,
    .range = { "GID_MIN", "GID_MAX" },
    .system_range = { "SYS_GID_MIN", "SYS_GID_MAX" },
    .nss_id = nss_group_id,
    .nss_name = nss_group_name,
};

static bool parse_number(const IdSpace *space, const char *name, uint32_t *ret_id, GError **error) {
    guint64 number;
    if (!g_ascii_string_to_unsigned(name, 10, 0, UINT32_MAX - 1, &number, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse %s '%s': ids are numbers from 0 to %u", space->what, name,
                    UINT32_MAX - 1);
        return false;
    }
    *ret_id = (uint32_t)number;
    return true;
}

static bool id_of(Host *host, const IdSpace *space, const char *name, uint32_t *ret_id,
                  GError **error) {
    if (name[0] != '\0' && name[strspn(name, "0123456789")] == '\0')
        return parse_number(space, name, ret_id, error);
    g_autoptr(AccountFile) recent = accounts_file_recent(host, space->file);
    if (recent != NULL && account_file_id_of(recent, name, ret_id))
        return true;
    g_autoptr(AccountFile) file = accounts_file(host, space->file, error);
    if (file == NULL)
        return false;
    return account_file_id_of(file, name, ret_id) ||
           (host->is_machine && space->nss_id(name, ret_id)) ||
           not_found(file, space->what, name, error);
}

static char *name_of(Host *host, const IdSpace *space, uint32_t id) {
    g_autoptr(AccountFile) recent = accounts_file_recent(host, space->file);
    const char *name = recent != NULL ? account_file_name_of(recent, id) : NULL;
    if (name != NULL)
        return g_strdup(name);
    g_autoptr(AccountFile) file = accounts_file(host, space->file, NULL);
    name = file != NULL ? account_file_name_of(file, id) : NULL;
    if (name != NULL)
        return g_strdup(name);
    char *other = host->is_machine ? space->nss_name(id) : NULL;
    return other != NULL ? other : g_strdup_printf("%u", id);
}

bool accounts_uid(Host *host, const char *name, uid_t *ret_uid, GError **error) {
    return id_of(host, &user_ids, name, ret_uid, error);
}

bool accounts_gid(Host *host, const char *name, gid_t *ret_gid, GError **error) {
    return id_of(host, &group_ids, name, ret_gid, error);
}

char *accounts_user_name(Host *host, uid_t uid) {
    return name_of(host, &user_ids, uid);
}

char *accounts_group_name(Host *host, gid_t gid) {
    return name_of(host, &group_ids, gid);
}

/* --- free ids --- */

/* Lines are "KEY value", the last one counts; numbers may be octal or hexadecimal. */
uint32_t accounts_login_defs(Host *host, const char *key, uint32_t fallback) {
    g_autoptr(GBytes) content = host_read(host, LOGIN_DEFS, LIMIT_LOGIN_DEFS, NULL);
    if (content == NULL)
        return fallback;
    size_t size, length = strlen(key);
    const char *data = g_bytes_get_data(content, &size);
    g_autofree char *text = g_strndup(size > 0 ? data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    uint32_t value = fallback;
    for (char **line = lines; *line != NULL; line++) {
        const char *at = *line + strspn(*line, " \t");
        if (strncmp(at, key, length) != 0 || strchr(" \t", at[length]) == NULL ||
            at[length] == '\0')
            continue;
        at += length + strspn(at + length, " \t\"");
        char *end;
        guint64 number = g_ascii_strtoull(at, &end, 0);
        if (end != at && number < UINT32_MAX)
            value = (uint32_t)number;
    }
    return value;
}

static void id_range(Host *host, const IdSpace *space, bool system, uint32_t *ret_min,
                     uint32_t *ret_max) {
    uint32_t first_user = accounts_login_defs(host, space->range[0], 1000);
    if (system) {
        *ret_min = accounts_login_defs(host, space->system_range[0], 101);
        *ret_max = accounts_login_defs(host, space->system_range[1], MAX(first_user, 1) - 1);
    } else {
        *ret_min = first_user;
        *ret_max = accounts_login_defs(host, space->range[1], 60000);
    }
}

static bool is_taken(Host *host, const IdSpace *space, const AccountFile *file, uint32_t id) {
    if (account_file_has_id(file, id))
        return true;
    g_autofree char *name = host->is_machine ? space->nss_name(id) : NULL;
    return name != NULL;
}

static bool free_id(Host *host, const IdSpace *space, bool system, uint32_t *ret_id,
                    GError **error) {
    g_autoptr(AccountFile) file = accounts_file(host, space->file, error);
    if (file == NULL)
        return false;
    uint32_t min, max;
    id_range(host, space, system, &min, &max);
    for (uint64_t i = 0; min + i <= max; i++) {
        /* As useradd does: packages with fixed numbers have the lower ones. */
        uint32_t id = (uint32_t)(system ? max - i : min + i);
        if (!is_taken(host, space, file, id)) {
            *ret_id = id;
            return true;
        }
    }
    const char *const *keys = system ? space->system_range : space->range;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "choose an id for a %s: all from %u to %u are taken, see %s and %s in " LOGIN_DEFS,
                space->what, min, max, keys[0], keys[1]);
    return false;
}

bool accounts_free_uid(Host *host, bool system, uid_t *ret_uid, GError **error) {
    return free_id(host, &user_ids, system, ret_uid, error);
}

bool accounts_free_gid(Host *host, bool system, gid_t *ret_gid, GError **error) {
    return free_id(host, &group_ids, system, ret_gid, error);
}
