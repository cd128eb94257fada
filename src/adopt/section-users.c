/* People's users and groups, with the keys and crontabs of each beside it. */
#include <stdlib.h>
#include <string.h>

#include "adopt/adopt-private.h"
#include "host/account-file.h"
#include "host/accounts.h"
#include "kinds/ssh-key.h"

#define DEFAULT_ID_MIN 1000
#define DEFAULT_ID_MAX 60000

/* What the section knows while it runs. */
typedef struct {
    Adopt *adopt;
    GPtrArray *users;  /* of User: made by people, by uid */
    GPtrArray *groups; /* of Group: likewise, by gid */
    GHashTable *names; /* of users */
    uint64_t uid_min, uid_max, gid_min, gid_max;
    char *shell;                 /* of new users */
    int64_t ages[PASSWORD_AGES]; /* likewise */
    unsigned others;             /* users that came with packages */
    unsigned passwords;          /* left out */
} People;

static void people_clear(People *people) {
    g_clear_pointer(&people->users, g_ptr_array_unref);
    g_clear_pointer(&people->groups, g_ptr_array_unref);
    g_clear_pointer(&people->names, g_hash_table_unref);
    g_clear_pointer(&people->shell, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(People, people_clear)

/* --- defaults */

/* "KEY value" or "KEY=value". NULL: not said. */
static char *setting(const char *text, const char *key) {
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    size_t size = strlen(key);
    for (char **line = lines; *line != NULL; line++) {
        const char *at = g_strstrip(*line);
        if (strncmp(at, key, size) == 0 && at[size] != '\0' && strchr("= \t", at[size]) != NULL)
            return g_strstrip(g_strdup(at + size + 1));
    }
    return NULL;
}

static int64_t number(const char *text, const char *key, int64_t fallback) {
    g_autofree char *value = setting(text, key);
    return value != NULL ? strtoll(value, NULL, 0) : fallback;
}

static void read_defaults(People *people) {
    g_autofree char *defs = adopt_read(people->adopt, "/etc/login.defs");
    g_autofree char *useradd = adopt_read(people->adopt, "/etc/default/useradd");
    people->uid_min = (uint64_t)number(defs, "UID_MIN", DEFAULT_ID_MIN);
    people->uid_max = (uint64_t)number(defs, "UID_MAX", DEFAULT_ID_MAX);
    people->gid_min = (uint64_t)number(defs, "GID_MIN", DEFAULT_ID_MIN);
    people->gid_max = (uint64_t)number(defs, "GID_MAX", DEFAULT_ID_MAX);
    people->ages[PASSWORD_MIN_AGE] = number(defs, "PASS_MIN_DAYS", -1);
    people->ages[PASSWORD_MAX_AGE] = number(defs, "PASS_MAX_DAYS", -1);
    people->ages[PASSWORD_WARN_DAYS] = number(defs, "PASS_WARN_AGE", -1);
    people->ages[PASSWORD_INACTIVE] = number(useradd, "INACTIVE", -1);
    people->shell = setting(useradd, "SHELL");
    if (people->shell == NULL)
        people->shell = g_strdup("/bin/sh");
}

/* --- who was made by people: in their range, or named by no package's scripts */

static bool is_peoples(const People *people, const char *name, uint64_t id, uint64_t min,
                       uint64_t max) {
    const Inventory *inventory = people->adopt->inventory;
    if (id >= min && id <= max)
        return true;
    return id > 0 && id < min && inventory->has_dpkg && !inventory_mentions(inventory, name);
}

static void visit_user(void *data, char **fields) {
    People *people = data;
    uint64_t uid = strtoull(fields[2], NULL, 10);
    if (!is_peoples(people, fields[0], uid, people->uid_min, people->uid_max)) {
        people->others += uid != 0;
        return;
    }
    User *user = accounts_find_user(people->adopt->host, fields[0], NULL);
    if (user == NULL || !g_hash_table_add(people->names, g_strdup(fields[0]))) {
        user_free(user);
        return;
    }
    g_ptr_array_add(people->users, user);
}

static void visit_group(void *data, char **fields) {
    People *people = data;
    uint64_t gid = strtoull(fields[2], NULL, 10);
    if (!is_peoples(people, fields[0], gid, people->gid_min, people->gid_max))
        return;
    Group *group = accounts_find_group(people->adopt->host, fields[0], NULL);
    if (group != NULL)
        g_ptr_array_add(people->groups, group);
}

static void visit(People *people, AccountFileKind kind,
                  void (*visitor)(void *data, char **fields)) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content =
        host_read(people->adopt->host, account_file_path(kind), LIMIT_ACCOUNT_FILE, &problem);
    if (content == NULL)
        adopt_tell_unread(people->adopt, account_file_path(kind), problem);
    g_autoptr(AccountFile) file = account_file_parse(kind, content);
    account_file_each(file, visitor, people);
}

/* Without it neither passwords nor their ages are known, and users look as if they had none. */
static void visit_shadow(const People *people) {
    const char *path = account_file_path(ACCOUNT_SHADOW);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = host_read(people->adopt->host, path, LIMIT_ACCOUNT_FILE, &problem);
    if (content == NULL)
        adopt_tell_unread(people->adopt, path, problem);
}

static int compare_users(gconstpointer a, gconstpointer b) {
    const User *one = *(User *const *)a, *other = *(User *const *)b;
    return one->uid != other->uid ? (one->uid > other->uid) - (one->uid < other->uid)
                                  : strcmp(one->name, other->name);
}

static int compare_groups(gconstpointer a, gconstpointer b) {
    const Group *one = *(Group *const *)a, *other = *(Group *const *)b;
    return one->gid != other->gid ? (one->gid > other->gid) - (one->gid < other->gid)
                                  : strcmp(one->name, other->name);
}

static void people_init(People *people, Adopt *adopt) {
    *people = (People){ .adopt = adopt };
    people->users = g_ptr_array_new_with_free_func((GDestroyNotify)user_free);
    people->groups = g_ptr_array_new_with_free_func((GDestroyNotify)group_free);
    people->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    read_defaults(people);
    visit(people, ACCOUNT_PASSWD, visit_user);
    visit(people, ACCOUNT_GROUP, visit_group);
    visit_shadow(people);
    g_ptr_array_sort(people->users, compare_users);
    g_ptr_array_sort(people->groups, compare_groups);
}

/* --- groups */

/* A group of a user's own name and number comes with the user. */
static bool is_own_group(const People *people, const Group *group) {
    for (unsigned i = 0; i < people->users->len; i++) {
        const User *user = people->users->pdata[i];
        if (strcmp(user->name, group->name) == 0 && user->gid == group->gid)
            return user->uid == group->gid;
    }
    return false;
}

/* Who is in it and has no block of its own to say so. */
static char **other_members(const People *people, const Group *group) {
    GPtrArray *members = g_ptr_array_new();
    for (char **member = group->members; *member != NULL; member++)
        if (!g_hash_table_contains(people->names, *member))
            g_ptr_array_add(members, g_strdup(*member));
    adopt_sort(members);
    g_ptr_array_add(members, NULL);
    return (char **)g_ptr_array_free(members, FALSE);
}

static void take_groups(People *people) {
    for (unsigned i = 0; i < people->groups->len; i++) {
        const Group *group = people->groups->pdata[i];
        g_auto(GStrv) members = other_members(people, group);
        if (is_own_group(people, group) && *members == NULL)
            continue;
        g_autoptr(Form) form = form_new("group", group->name);
        form_int(form, "gid", group->gid);
        if (*members != NULL)
            form_list(form, "members", (const char *const *)members);
        if (!adopt_take(people->adopt, form))
            page_comment(people->adopt->page, "group '%s' (%u) cannot be said here", group->name,
                         group->gid);
    }
}

/* --- users */

static void add_groups(const People *people, const User *user, Form *form) {
    Host *host = people->adopt->host;
    g_autofree char *primary = accounts_group_name(host, user->gid);
    g_auto(GStrv) groups = accounts_groups_of(host, user->name, NULL);
    if (g_ascii_isdigit(*primary))
        form_int(form, "gid", user->gid);
    else if (strcmp(primary, user->name) != 0)
        form_string(form, "group", primary);
    if (groups != NULL && *groups != NULL)
        form_list(form, "groups", (const char *const *)groups);
}

static void add_ages(const People *people, const User *user, Form *form) {
    static const struct {
        PasswordAge age;
        const char *param;
    } rows[] = {
        { PASSWORD_MIN_AGE, "password_min_age" },
        { PASSWORD_MAX_AGE, "password_max_age" },
        { PASSWORD_WARN_DAYS, "password_warn_days" },
        { PASSWORD_INACTIVE, "inactive_days" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int64_t days = user->ages[rows[i].age];
        bool usual = days == people->ages[rows[i].age] ||
                     (user->uid < people->uid_min && days < 0); /* as useradd --system has it */
        if (user->ages_set[rows[i].age] && !usual)
            form_int(form, rows[i].param, days);
    }
    if (user->expires_day <= 0)
        return;
    GDate date;
    g_date_set_dmy(&date, 1, G_DATE_JANUARY, 1970);
    g_date_add_days(&date, (guint)MIN(user->expires_day, 200000));
    g_autofree char *day = g_strdup_printf("%04u-%02u-%02u", g_date_get_year(&date),
                                           g_date_get_month(&date), g_date_get_day(&date));
    form_string(form, "expiry", day);
}

static bool has_password(const User *user) {
    const char *hash = user->password_hash;
    return hash != NULL && hash[strspn(hash, "!*")] != '\0';
}

static char *secret_name(const User *user) {
    return g_strconcat("password of ", user->name, NULL);
}

static Form *user_form(const People *people, const User *user, bool managehome) {
    Form *form = form_new("user", user->name);
    g_autofree char *usual_home = g_strconcat("/home/", user->name, NULL);
    form_int(form, "uid", user->uid);
    if (*user->comment != '\0')
        form_string(form, "comment", user->comment);
    add_groups(people, user, form);
    if (strcmp(user->home, usual_home) != 0)
        form_string(form, "homedir", user->home);
    if (*user->shell != '\0' && strcmp(user->shell, people->shell) != 0)
        form_string(form, "shell", user->shell);
    if (managehome)
        form_bool(form, "managehome", true);
    if (has_password(user) && *user->password_hash == '!')
        form_bool(form, "locked", true);
    else if (has_password(user) && people->adopt->options->with_secrets) {
        g_autofree char *name = secret_name(user);
        form_secret(form, "password", name, user->password_hash, strlen(user->password_hash));
    }
    add_ages(people, user, form);
    g_autofree char *linger = g_build_filename("/var/lib/systemd/linger", user->name, NULL);
    if (host_exists(people->adopt->host, linger))
        form_bool(form, "linger", true);
    return form;
}

static void tell_password(People *people, const User *user) {
    Page *page = people->adopt->page;
    if (user->password_hash != NULL && *user->password_hash == '\0')
        page_comment(page, "BEWARE: %s has an empty password and can log in without one.",
                     user->name);
    else if (has_password(user))
        page_comment(page, "%s has a password.", user->name);
}

static void take_user(People *people, const User *user) {
    Adopt *adopt = people->adopt;
    FileInfo info;
    bool home = host_stat(adopt->host, user->home, &info, NULL) && info.type == FILE_DIRECTORY &&
                info.uid == user->uid;
    tell_password(people, user);
    g_autoptr(Form) form = user_form(people, user, home);
    g_autoptr(Form) plain = user_form(people, user, false);
    if (!adopt_take(adopt, form) && !adopt_take(adopt, plain)) {
        page_comment(adopt->page, "user '%s' (%u) cannot be said here", user->name, user->uid);
        return;
    }
    if (!has_password(user))
        return;
    g_autofree char *name = secret_name(user);
    if (*user->password_hash == '!')
        return;
    if (adopt->options->with_secrets)
        adopt_keep_secret(adopt, name, user->password_hash, strlen(user->password_hash));
    else
        people->passwords++;
}

/* --- keys */

static Form *key_form(Adopt *adopt, const User *user, const SshKeyLine *line) {
    bool again = adopt_is_declared(adopt, "ssh_authorized_key", line->comment);
    g_autofree char *title =
        again ? g_strdup_printf("%s for %s", line->comment, user->name) : g_strdup(line->comment);
    Form *form = form_new("ssh_authorized_key", title);
    if (again)
        form_string(form, "comment", line->comment);
    form_string(form, "user", user->name);
    form_string(form, "key", line->key);
    g_auto(GStrv) options = ssh_key_split_options(line->options);
    if (*options != NULL)
        form_list(form, "options", (const char *const *)options);
    return form;
}

/* NULL: some line is a key that the kind would rewrite. */
static GPtrArray *key_forms(Adopt *adopt, const User *user, GBytes *bytes) {
    g_autoptr(GPtrArray) forms = g_ptr_array_new_with_free_func((GDestroyNotify)form_free);
    g_auto(EditText) text;
    edit_text_init(&text, bytes);
    for (size_t i = 0; i < text.n_lines; i++) {
        g_auto(SshKeyLine) line = { 0 };
        if (!ssh_key_line_parse(&text.lines[i], &line))
            continue;
        g_autoptr(Form) form = key_form(adopt, user, &line);
        if (form == NULL || !form_fits(form, adopt->host, NULL))
            return NULL;
        g_ptr_array_add(forms, g_steal_pointer(&form));
    }
    return g_steal_pointer(&forms);
}

/* As it is, with the directory: .ssh of mode 0755, keys without comment, ... */
static void take_key_file(Adopt *adopt, const User *user, const char *path) {
    g_autofree char *directory = g_path_get_dirname(path);
    page_comment(adopt->page,
                 "As files: `ssh_authorized_key` would change them. It closes .ssh and "
                 "the file to others, and finds a key by the comment behind it.");
    if (adopt_take_file(adopt, directory, NULL) == TAKEN &&
        adopt_take_file(adopt, path, NULL) == TAKEN)
        return;
    page_comment(adopt->page, "%s has keys in '%s' that cannot be said here.", user->name, path);
}

static void take_keys(Adopt *adopt, const User *user) {
    g_autofree char *path = g_build_filename(user->home, ".ssh/authorized_keys", NULL);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = host_read(adopt->host, path, LIMIT_ADOPTED_FILE, &problem);
    if (bytes == NULL) {
        adopt_tell_unread(adopt, path, problem);
        return;
    }
    g_autoptr(GPtrArray) forms = key_forms(adopt, user, bytes);
    bool all = forms != NULL;
    for (unsigned i = 0; all && i < forms->len; i++)
        all = adopt_take(adopt, forms->pdata[i]);
    if (!all)
        take_key_file(adopt, user, path);
}

/* --- the section */

static void take_person(People *people, const User *user) {
    page_blank(people->adopt->page);
    take_user(people, user);
    take_keys(people->adopt, user);
    take_crontab(people->adopt, user->name);
}

/* The account itself comes with every Debian. */
static void take_root(People *people) {
    g_autoptr(User) root = accounts_find_user(people->adopt->host, "root", NULL);
    if (root == NULL)
        return;
    page_blank(people->adopt->page);
    take_keys(people->adopt, root);
    take_crontab(people->adopt, "root");
}

void section_users_write(Adopt *adopt) {
    g_auto(People) people;
    people_init(&people, adopt);
    take_groups(&people);
    take_root(&people);
    for (unsigned i = 0; i < people.users->len; i++)
        take_person(&people, people.users->pdata[i]);
    if (people.passwords > 0) {
        page_blank(adopt->page);
        page_comment(adopt->page, "Passwords are left as they are (`stead adopt --with-secrets` "
                                  "puts their hashes into secrets.yaml, which only you may read).");
        adopt_note(adopt, "passwords left out: %u", people.passwords);
    }
    if (people.others > 0)
        adopt_note(adopt, "users of packages left out: %u", people.others);
}
