/* Crontabs and /etc/cron.*. */
#include <stdlib.h>
#include <string.h>

#include "adopt/adopt-private.h"

#define TABLES "/var/spool/cron/crontabs"

static const char *const system_paths[] = {
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
    "/etc/cron.weekly/*",
    "/etc/cron.monthly/*",
    "/etc/cron.yearly/*",
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.allow",
    "/etc/cron.deny",
    "/etc/at.allow",
    "/etc/at.deny",
    NULL,
};

/* A comment that names the entry below it, as stead, Puppet and Ansible write it. */
static const char *title_of(const char *line) {
    static const char *const marks[] = { "# stead: ", "# Puppet Name: ", "#Ansible: " };
    for (size_t i = 0; i < G_N_ELEMENTS(marks); i++)
        if (g_str_has_prefix(line, marks[i]))
            return line + strlen(marks[i]);
    return NULL;
}

static const char *next_word(const char *at, char **ret_word) {
    size_t size = strcspn(at, " \t");
    *ret_word = g_strndup(at, size);
    at += size;
    return at + strspn(at, " \t");
}

static Form *entry_form(const char *user, const char *title, const char *line) {
    static const char *const fields[] = { "minute", "hour", "monthday", "month", "weekday" };
    Form *form = form_new("cron", title);
    form_string(form, "user", user);
    const char *at = line + strspn(line, " \t");
    bool special = *at == '@';
    if (special) {
        g_autofree char *word = NULL;
        at = next_word(at + 1, &word);
        form_string(form, "special", word);
    }
    for (unsigned i = 0; !special && i < G_N_ELEMENTS(fields); i++) {
        g_autofree char *word = NULL;
        at = next_word(at, &word);
        if (*word != '\0' && word[strspn(word, "0123456789")] == '\0' && strlen(word) < 3)
            form_int(form, fields[i], atoi(word));
        else if (strcmp(word, "*") != 0 || i == 0)
            form_string(form, fields[i], word);
    }
    g_autofree char *command = g_strchomp(g_strdup(at));
    form_string(form, "command", command);
    return form;
}

/* NULL: some line is not an entry that `cron` finds again under its name. */
static GPtrArray *entries(Adopt *adopt, const char *user, const char *text) {
    g_autoptr(GPtrArray) forms = g_ptr_array_new_with_free_func((GDestroyNotify)form_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *title = NULL;
    for (char **line = lines; *line != NULL; line++) {
        const char *named = title_of(*line);
        if (**line == '\0' || (**line == '#' && named == NULL))
            continue;
        if (named != NULL) {
            title = named;
            continue;
        }
        g_autoptr(Form) form = title != NULL ? entry_form(user, title, *line) : NULL;
        if (form == NULL || adopt_is_declared(adopt, "cron", title) ||
            !form_fits(form, adopt->host, NULL))
            return NULL;
        g_ptr_array_add(forms, g_steal_pointer(&form));
        title = NULL;
    }
    return g_steal_pointer(&forms);
}

void take_crontab(Adopt *adopt, const char *user) {
    g_autofree char *path = g_build_filename(TABLES, user, NULL);
    if (!adopt_claim(adopt, path) || !host_exists(adopt->host, path))
        return;
    g_autofree char *text = adopt_read(adopt, path);
    g_autoptr(GPtrArray) forms = text != NULL ? entries(adopt, user, text) : NULL;
    for (unsigned i = 0; forms != NULL && i < forms->len; i++)
        (void)adopt_take(adopt, forms->pdata[i]);
    if (text != NULL && forms == NULL)
        page_comment(adopt->page, "As a whole: `cron` names each of its entries by a comment above "
                                  "it, and here are some without.");
    if (text != NULL && forms == NULL && adopt_take_file(adopt, path, NULL) != TAKEN)
        page_comment(adopt->page, "%s has a crontab that cannot be said here.", user);
}

void section_cron_write(Adopt *adopt) {
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) users = host_list(adopt->host, TABLES, &problem);
    if (users == NULL)
        adopt_tell_unread(adopt, TABLES, problem);
    for (char **user = users; user != NULL && *user != NULL; user++)
        take_crontab(adopt, *user);
    section_files_write(adopt, system_paths);
}
