#include "kinds/account.h"

#include <string.h>

#include "base/limits.h"
#include "host/host-real.h"

#define NAME_MAX_LENGTH 32 /* utmp's limit, which shadow-utils enforces */

const char *const account_states[] = { "exists", "absent", "present", NULL };
const char *const membership_rules[] = { "minimum", "inclusive", NULL };

static const char *name_problem(const char *name) {
    size_t length = strlen(name);
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    if (length == 0)
        return "it is empty";
    if (length > NAME_MAX_LENGTH)
        return "it is longer than 32 characters";
    if (name[0] == '-' || name[0] == '.')
        return "it starts with a character that programs take for something else";
    if (strspn(name, "0123456789") == length)
        return "it is a number, and would be taken for an id";
    if (good > 0 && good == length - 1 && name[good] == '$')
        return NULL; /* Samba's machine accounts */
    return good == length ? NULL : "use letters, digits, '_', '-' and '.'";
}

bool account_name_check(const char *what, const char *name, GError **error) {
    const char *problem = name_problem(name);
    if (problem)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s name '%s': %s", what, name,
                    problem);
    return !problem;
}

bool account_field_check(const char *param, const char *text, GError **error) {
    bool good = !strpbrk(text, ":\n\r") && g_utf8_validate(text, -1, NULL);
    for (const char *c = text; good && *c; c++)
        good = !g_ascii_iscntrl(*c);
    if (!good)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse %s: a colon, line break or control character would break the account "
                    "file",
                    param);
    return good;
}

bool account_id_check(const char *param, int64_t id, GError **error) {
    /* (uid_t) -1 means "no change" to chown(2), and 65535 is its 16-bit sibling */
    bool good = id >= 0 && id < UINT32_MAX && id != UINT16_MAX;
    if (!good)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse %s %" G_GINT64_FORMAT ": ids are 0 to 4294967294, without 65535", param,
                    id);
    return good;
}

bool account_wants_absent(const Resource *resource, unsigned state_param) {
    return g_str_equal(resource_string(resource, state_param), "absent");
}

bool account_stays_removed(const Resource *resource, unsigned state_param) {
    return account_wants_absent(resource, state_param) &&
           resource_meta(resource)->on_remove != ON_REMOVE_RESTORE;
}

bool account_owner(KindRun *run, const char *name, bool optional, User **ret_user, GError **error) {
    g_autoptr(GError) problem = NULL;
    *ret_user = accounts_find_user(run->host, name, &problem);
    if (*ret_user)
        return true;
    bool missing = g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    if (missing && (optional || run->brought))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return account_remedy("user", name, error);
}

bool account_remedy(const char *what, const char *name, GError **error) {
    if (!error || !g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return false;
    bool asks = g_str_has_suffix((*error)->message, "?");
    g_autofree char *message = g_steal_pointer(&(*error)->message);
    (*error)->message =
        g_strdup_printf("%s%s declare %s '%s', or let what makes it go first with 'needs'", message,
                        asks ? " If not," : ";", what, name);
    return false;
}

bool account_hash_check(const char *hash, GError **error) {
    const char *problem = NULL;
    if (!*hash)
        problem = "an empty one lets everybody in; use \"!\" for no password";
    else if (strpbrk(hash, ":\n\r") || strpbrk(hash, " \t"))
        problem = "a colon, space or line break cannot be part of it";
    else if (!strchr("$!*_", hash[0]) && strlen(hash) != 13)
        problem = "it is not a crypt(5) hash such as \"$y$...\"; make one with mkpasswd, or with "
                  "the kind password and its output 'hash'";
    if (problem)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse the password: %s", problem);
    return !problem;
}

Value *account_secret(const char *text) {
    g_autoptr(Value) plain = value_new_string(text);
    return value_as_secret(plain, NULL);
}

bool account_find_group(Host *host, const char *name, Group **ret_group, GError **error) {
    g_autoptr(GError) problem = NULL;
    *ret_group = accounts_find_group(host, name, &problem);
    if (*ret_group || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* --- sets of names --- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts, drops repetitions; takes the array and its texts over. */
static char **set_finish(GPtrArray *names) {
    g_ptr_array_sort(names, compare_names);
    for (unsigned i = 1; i < names->len;)
        if (g_str_equal(names->pdata[i], names->pdata[i - 1]))
            g_free(g_ptr_array_steal_index(names, i));
        else
            i++;
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

static void add_strings(GPtrArray *names, const Value *strings) {
    for (size_t i = 0; strings && i < value_size(strings); i++)
        g_ptr_array_add(names, g_strdup(value_string(value_list_at(strings, i))));
}

char **account_set_from(const Value *strings) {
    GPtrArray *names = g_ptr_array_new();
    add_strings(names, strings);
    return set_finish(names);
}

Value *account_set_value(const char *const *names) {
    Value *list = value_new_list();
    for (; names && *names; names++)
        value_list_append(list, value_new_string(*names));
    return list;
}

char **account_set_wanted(const Value *strings, const char *const *actual, const char *membership) {
    GPtrArray *names = g_ptr_array_new();
    add_strings(names, strings);
    if (g_str_equal(membership, "minimum"))
        for (; actual && *actual; actual++)
            g_ptr_array_add(names, g_strdup(*actual));
    return set_finish(names);
}

/* --- who uses a group --- */

char **account_primary_users(Host *host, gid_t gid, GError **error) {
    g_autoptr(GBytes) content = host_read(host, "/etc/passwd", LIMIT_FILE_CONTENT, error);
    if (!content) {
        g_prefix_error(error, "cannot find the users of the group: ");
        return NULL;
    }
    gsize size;
    const char *data = g_bytes_get_data(content, &size);
    g_autofree char *text = g_strndup(data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GPtrArray *names = g_ptr_array_new();
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", -1); /* name:x:uid:gid:comment:home:shell */
        guint64 number;
        if (g_strv_length(fields) == 7 &&
            g_ascii_string_to_unsigned(fields[3], 10, 0, UINT32_MAX, &number, NULL) &&
            number == gid)
            g_ptr_array_add(names, g_strdup(fields[0]));
    }
    return set_finish(names);
}

/* With the lock: a temporary that is being written belongs to somebody. */
bool account_files_clean(KindRun *run, GError **error) {
    static const char *const files[] = { "/etc/passwd", "/etc/shadow", "/etc/group",
                                         "/etc/gshadow" };
    if (!accounts_lock(run->host, error))
        return false;
    bool done = true;
    for (unsigned i = 0; done && i < G_N_ELEMENTS(files); i++)
        done = host_real_clean(run->host, files[i], error);
    accounts_unlock(run->host);
    return done;
}
