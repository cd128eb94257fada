/* Files as they are, by the kind file. */
#include <fnmatch.h>
#include <string.h>

#include "adopt/adopt-private.h"
#include "host/accounts.h"

/* Not for everybody to read, and yet configuration. */
static const char *const not_secret[] = {
    "/etc/sudoers",    "/etc/sudoers.d/*",       "/etc/cron*",      "/etc/at.*",
    "/etc/fstab",      "/etc/nftables.conf",     "/etc/polkit-1/*", "/var/spool/cron/crontabs/*",
    "/etc/security/*", "*/.ssh/authorized_keys",
};
/* Secret whoever may read them. */
static const char *const secret_names[] = {
    "/etc/ssl/private/*",
    "*.key",
    "*/ssh_host_*_key",
    "*passwd.client",
    "*/.netrc",
    "*.p12",
    "*.pfx",
    "*.keytab",
    "*/auth.conf",
    "*/auth.conf.d/*",
    "*htpasswd*",
    "*-secrets",
    "*/.pgpass",
    "*/.my.cnf",
    "*/shadow*",
    "*/gshadow*",
    "*/system-connections/*",
};

static bool matches(const char *const *patterns, size_t n, const char *path) {
    for (size_t i = 0; i < n; i++)
        if (fnmatch(patterns[i], path, 0) == 0)
            return true;
    return false;
}

static bool has_private_key(GBytes *content) {
    static const char *const marks[] = { "PRIVATE KEY-----", "PGP PRIVATE KEY BLOCK",
                                         "\nPrivateKey=", "\nPrivateKey =" };
    size_t size;
    const char *data = content != NULL ? g_bytes_get_data(content, &size) : NULL;
    for (size_t i = 0; data != NULL && i < G_N_ELEMENTS(marks); i++)
        if (memmem(data, size, marks[i], strlen(marks[i])) != NULL)
            return true;
    return false;
}

/* As in "https://user:password@host/". */
static bool has_credentials(GBytes *content) {
    size_t size;
    const char *data = content != NULL ? g_bytes_get_data(content, &size) : NULL;
    const char *at = data, *end = data != NULL ? data + size : NULL;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), "://", 3)) != NULL) {
        bool colon = false;
        for (at += 3; at < end && *at != '@' && *at != '/' && !g_ascii_isspace(*at); at++)
            colon |= *at == ':';
        if (colon && at < end && *at == '@')
            return true;
    }
    return false;
}

bool adopt_is_private(Adopt *adopt, const char *path, const FileInfo *info, GBytes *content) {
    if (matches(secret_names, G_N_ELEMENTS(secret_names), path) || has_private_key(content) ||
        has_credentials(content))
        return true;
    return !(info->mode & 0004) && !matches(not_secret, G_N_ELEMENTS(not_secret), path);
}

void adopt_keep_secret(Adopt *adopt, const char *name, const char *text, size_t size) {
    g_autoptr(GString) line = g_string_new("\"");
    const char *parts[] = { name, text };
    size_t sizes[] = { strlen(name), size };
    for (unsigned part = 0; part < 2; part++) {
        for (size_t i = 0; i < sizes[part]; i++) {
            unsigned char c = (unsigned char)parts[part][i];
            if (c == '\n')
                g_string_append(line, "\\n");
            else if (c == '"' || c == '\\')
                g_string_append_printf(line, "\\%c", c);
            else if (c < 0x20 || c == 0x7f)
                g_string_append_printf(line, "\\x%02x", c);
            else
                g_string_append_c(line, (char)c);
        }
        g_string_append(line, part == 0 ? "\": \"" : "\"\n");
    }
    g_string_append(adopt->secrets, line->str);
    adopt->result->secrets++;
}

/* --- attributes: what differs from root's, 0644 or 0755 */

static void add_attributes(Adopt *adopt, Form *form, const FileInfo *info, mode_t usual) {
    if (info->uid != 0) {
        g_autofree char *owner = accounts_user_name(adopt->host, info->uid);
        form_string(form, "owner", owner);
    }
    if (info->gid != 0) {
        g_autofree char *group = accounts_group_name(adopt->host, info->gid);
        form_string(form, "group", group);
    }
    if (info->type != FILE_SYMLINK && info->mode != usual) {
        g_autofree char *mode = g_strdup_printf("%04o", info->mode);
        form_string(form, "mode", mode);
    }
}

/* --- directories that no package brings, from the top */

static void take_parents(Adopt *adopt, const char *path) {
    g_autofree char *parent = g_path_get_dirname(path);
    FileInfo info;
    if (!g_str_has_prefix(parent, "/etc/") || inventory_owner(adopt->inventory, parent) != NULL ||
        inventory_mentions(adopt->inventory, parent) || !adopt_claim(adopt, parent) ||
        !host_stat(adopt->host, parent, &info, NULL) || info.type != FILE_DIRECTORY)
        return;
    take_parents(adopt, parent);
    g_autofree char *name = g_strconcat(parent, "/", NULL);
    g_autoptr(Form) form = form_new("file", name);
    add_attributes(adopt, form, &info, 0755);
    (void)adopt_take(adopt, form); /* what is in it may be taken without it */
}

/* --- content */

static bool is_short(const char *text, size_t size) {
    unsigned lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return size <= INLINE_SIZE && lines <= INLINE_LINES;
}

static void add_file(Adopt *adopt, char *path, GBytes *content) {
    AdoptFile *file = g_new0(AdoptFile, 1);
    file->path = path;
    file->content = g_bytes_ref(content);
    g_ptr_array_add(adopt->result->files, file);
}

/* *ret_source: where the content is to be written, when it is not on the page. */
static void add_content(Form *form, const char *path, GBytes *content, char **ret_source) {
    size_t size;
    const char *text = g_bytes_get_data(content, &size);
    text = text != NULL ? text : "";
    if (is_short(text, size) && page_is_readable(text, size)) {
        form_text(form, "content", text, size);
        return;
    }
    *ret_source = g_strconcat("files", path, NULL);
    form_source(form, *ret_source, content);
}

static TakeResult take_content(Adopt *adopt, Form *form, const char *path, const FileInfo *info,
                               char **ret_source, GBytes **ret_content) {
    g_autoptr(GError) problem = NULL;
    GBytes *content = *ret_content = host_read(adopt->host, path, LIMIT_ADOPTED_FILE, &problem);
    if (content == NULL) {
        if (problem->code != STEAD_ERROR_LIMIT)
            adopt_tell_unread(adopt, path, problem);
        return problem->code == STEAD_ERROR_LIMIT ? TAKE_UNFIT : TAKE_UNREADABLE;
    }
    if (!adopt_is_private(adopt, path, info, content)) {
        add_content(form, path, content, ret_source);
        return TAKEN;
    }
    size_t size;
    const char *text = g_bytes_get_data(content, &size);
    if (!adopt->options->with_secrets || !g_utf8_validate_len(text, size, NULL))
        return TAKE_SECRET;
    form_secret(form, "content", path, text != NULL ? text : "", size);
    return TAKEN;
}

static TakeResult take_regular(Adopt *adopt, const char *path, const FileInfo *info,
                               const char *notify) {
    g_autoptr(Form) form = form_new("file", path);
    g_autofree char *source = NULL;
    g_autoptr(GBytes) content = NULL;
    if (form == NULL)
        return TAKE_UNFIT;
    TakeResult result = take_content(adopt, form, path, info, &source, &content);
    if (result != TAKEN)
        return result;
    add_attributes(adopt, form, info, 0644);
    if (notify != NULL)
        form_notify(form, "svc", notify);
    take_parents(adopt, path);
    if (!adopt_take(adopt, form))
        return TAKE_UNFIT;
    if (source != NULL)
        add_file(adopt, g_steal_pointer(&source), content);
    else if (adopt_is_private(adopt, path, info, content)) {
        size_t size;
        const char *text = g_bytes_get_data(content, &size);
        adopt_keep_secret(adopt, path, text, size);
    }
    return TAKEN;
}

static TakeResult take_link(Adopt *adopt, const char *path, const FileInfo *info,
                            const char *notify) {
    g_autofree char *target = host_read_link(adopt->host, path, NULL);
    g_autoptr(Form) form = target != NULL ? form_new("file", path) : NULL;
    if (form == NULL)
        return TAKE_UNFIT;
    form_string(form, "target", target);
    add_attributes(adopt, form, info, 0777);
    if (notify != NULL)
        form_notify(form, "svc", notify);
    take_parents(adopt, path);
    return adopt_take(adopt, form) ? TAKEN : TAKE_UNFIT;
}

static TakeResult take_directory(Adopt *adopt, const char *path, const FileInfo *info) {
    g_autofree char *name = g_strconcat(path, "/", NULL);
    g_autoptr(Form) form = form_new("file", name);
    if (form == NULL)
        return TAKE_UNFIT;
    add_attributes(adopt, form, info, 0755);
    take_parents(adopt, path);
    return adopt_take(adopt, form) ? TAKEN : TAKE_UNFIT;
}

TakeResult adopt_take_file(Adopt *adopt, const char *path, const char *notify) {
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    (void)adopt_claim(adopt, path);
    if (!host_stat(adopt->host, path, &info, &problem)) {
        adopt_tell_unread(adopt, path, problem);
        return TAKE_UNREADABLE;
    }
    if (info.type == FILE_REGULAR)
        return take_regular(adopt, path, &info, notify);
    if (info.type == FILE_SYMLINK)
        return take_link(adopt, path, &info, notify);
    return info.type == FILE_DIRECTORY ? take_directory(adopt, path, &info) : TAKE_UNFIT;
}
