/* Parameters of the kernel, its modules and their rules. */
#include <string.h>

#include "adopt/adopt-private.h"

#define DIRECTORY "/etc/sysctl.d"
#define USUAL     DIRECTORY "/90-stead.conf" /* where the kind sysctl puts what names no file */

/* False: the line is neither a setting nor nothing. Cuts line up. */
static bool read_setting(char *line, const char **ret_key, const char **ret_value) {
    char *start = g_strstrip(line);
    *ret_key = NULL;
    if (*start == '\0' || *start == '#' || *start == ';')
        return true;
    char *equals = strchr(start, '=');
    if (equals == NULL || *start == '-' || strchr(start, '*') != NULL)
        return false;
    *equals = '\0';
    *ret_key = g_strstrip(start);
    *ret_value = g_strstrip(equals + 1);
    return **ret_key != '\0';
}

/* As the kernel has it now as well, or only in the file. */
static Form *setting_form(Adopt *adopt, const char *key, const char *value, const char *path) {
    for (unsigned live = 2; live-- > 0;) {
        g_autoptr(Form) form = form_new("sysctl", key);
        bool number = *value != '\0' && value[strspn(value, "0123456789")] == '\0' &&
                      strlen(value) < 16 && (*value != '0' || value[1] == '\0');
        if (number)
            form_int(form, "value", g_ascii_strtoll(value, NULL, 10));
        else
            form_string(form, "value", value);
        if (strcmp(path, USUAL) != 0)
            form_string(form, "file", path);
        if (!live)
            form_bool(form, "live", false);
        if (form != NULL && !adopt_is_declared(adopt, "sysctl", key) &&
            form_fits(form, adopt->host, NULL))
            return g_steal_pointer(&form);
    }
    return NULL;
}

/* NULL: a file says it better. */
static GPtrArray *settings_of(Adopt *adopt, const char *path) {
    g_autoptr(GPtrArray) forms = g_ptr_array_new_with_free_func((GDestroyNotify)form_free);
    g_autofree char *text = adopt_read(adopt, path);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        const char *key, *value;
        if (!read_setting(*line, &key, &value))
            return NULL;
        Form *form = key != NULL ? setting_form(adopt, key, value, path) : NULL;
        if (key != NULL && form == NULL)
            return NULL;
        if (form != NULL)
            g_ptr_array_add(forms, form);
    }
    return forms->len > 0 ? g_steal_pointer(&forms) : NULL;
}

static void take_settings(Adopt *adopt, const char *path) {
    g_autoptr(GPtrArray) forms = settings_of(adopt, path);
    for (unsigned i = 0; forms != NULL && i < forms->len; i++)
        if (!adopt_take(adopt, forms->pdata[i]))
            return; /* said twice in the file: the whole of it is taken */
    if (forms != NULL)
        (void)adopt_claim(adopt, path);
}

void section_sysctl_write(Adopt *adopt) {
    static const char *const paths[] = {
        DIRECTORY "/*",          "/etc/sysctl.conf",         "/etc/modules",
        "/etc/modules-load.d/*", "/etc/modprobe.d/*",        "/etc/udev/rules.d/*",
        "/etc/tmpfiles.d/*",     "/etc/security/limits.d/*", NULL,
    };
    for (unsigned i = 0; i < adopt->etc->len; i++) {
        const EtcEntry *entry = adopt->etc->pdata[i];
        if (entry->owner == NULL && entry->info.type == FILE_REGULAR &&
            g_str_has_prefix(entry->path, DIRECTORY "/") && g_str_has_suffix(entry->path, ".conf"))
            take_settings(adopt, entry->path);
    }
    section_files_write(adopt, paths);
}
