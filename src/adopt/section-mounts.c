/* Lines of /etc/fstab. */
#include <stdlib.h>
#include <string.h>

#include "adopt/adopt-private.h"

#define FSTAB "/etc/fstab"

enum { F_DEVICE, F_POINT, F_TYPE, F_OPTIONS, F_DUMP, F_PASS, N_FIELDS };

/* Blanks and the like inside a field: getmntent(3). */
static char *unescape(const char *field) {
    static const struct {
        const char *code;
        char c;
    } rows[] = { { "\\040", ' ' }, { "\\011", '\t' }, { "\\012", '\n' }, { "\\134", '\\' } };
    GString *out = g_string_new(NULL);
    for (const char *at = field; *at != '\0';) {
        size_t row = 0;
        while (row < G_N_ELEMENTS(rows) && strncmp(at, rows[row].code, 4) != 0)
            row++;
        bool known = row < G_N_ELEMENTS(rows);
        g_string_append_c(out, known ? rows[row].c : *at);
        at += known ? 4 : 1;
    }
    return g_string_free(out, FALSE);
}

/* NULL: the line is blank or a comment. */
static char **fields_of(const char *line) {
    GPtrArray *fields = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = g_strsplit_set(line, " \t\r", -1);
    for (char **word = words; *word != NULL && fields->len < N_FIELDS; word++)
        if (**word != '\0' && (fields->len > 0 || **word != '#'))
            g_ptr_array_add(fields, unescape(*word));
        else if (**word == '#')
            break;
    if (fields->len == 0) {
        g_ptr_array_unref(fields);
        return NULL;
    }
    g_ptr_array_set_free_func(fields, NULL);
    g_ptr_array_add(fields, NULL);
    return (char **)g_ptr_array_free(fields, FALSE);
}

static Form *mount_form(char **fields, const char *state) {
    unsigned n = g_strv_length(fields);
    Form *form = n >= F_TYPE ? form_new("mount", fields[F_POINT]) : NULL;
    if (state != NULL)
        form_string(form, "state", state);
    form_string(form, "device", fields[F_DEVICE]);
    if (n > F_TYPE)
        form_string(form, "fstype", fields[F_TYPE]);
    if (n > F_OPTIONS && strcmp(fields[F_OPTIONS], "defaults") != 0)
        form_string(form, "options", fields[F_OPTIONS]);
    if (n > F_DUMP && strcmp(fields[F_DUMP], "0") != 0)
        form_int(form, "dump", atoi(fields[F_DUMP]));
    if (n > F_PASS && strcmp(fields[F_PASS], "0") != 0)
        form_int(form, "pass", atoi(fields[F_PASS]));
    return form;
}

/* Mounted as the line says; not mounted; else only in fstab. NULL: none of them. */
static Form *fitting_form(Adopt *adopt, char **fields) {
    static const char *const states[] = { NULL, "unmounted", "defined" };
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(Form) form = mount_form(fields, states[i]);
        if (form != NULL && form_fits(form, adopt->host, NULL))
            return g_steal_pointer(&form);
    }
    return NULL;
}

static bool is_swap(char **fields) {
    return g_strv_length(fields) > F_TYPE && strcmp(fields[F_TYPE], "swap") == 0;
}

/* Of all lines; swap gets none, for it is no mount. NULL: some line cannot be said. */
static GPtrArray *forms_of(Adopt *adopt, char **lines, GPtrArray *swap) {
    g_autoptr(GPtrArray) forms = g_ptr_array_new_with_free_func((GDestroyNotify)form_free);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) fields = fields_of(*line);
        if (fields == NULL)
            continue;
        if (is_swap(fields)) {
            g_ptr_array_add(swap, *line);
            continue;
        }
        Form *form = fitting_form(adopt, fields);
        if (form == NULL)
            return NULL;
        g_ptr_array_add(forms, form);
    }
    return g_steal_pointer(&forms);
}

static bool take_all(Adopt *adopt, const GPtrArray *forms) {
    for (unsigned i = 0; i < forms->len; i++)
        if (!adopt_take(adopt, forms->pdata[i]))
            return false;
    return true;
}

void section_mounts_write(Adopt *adopt) {
    static const char *const others[] = { "/etc/crypttab", NULL };
    g_autofree char *text = adopt_read(adopt, FSTAB);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    g_autoptr(GPtrArray) swap = g_ptr_array_new();
    g_autoptr(GPtrArray) forms = forms_of(adopt, lines, swap);
    (void)adopt_claim(adopt, FSTAB);
    if (text != NULL && (forms == NULL || !take_all(adopt, forms)) &&
        adopt_take_file(adopt, FSTAB, NULL) != TAKEN)
        page_comment(adopt->page, FSTAB " cannot be said here.");
    else if (forms != NULL && swap->len > 0) {
        page_comment(adopt->page, "Also in " FSTAB ", and no mount:");
        page_comment_list(adopt->page, (const char *const *)swap->pdata, swap->len);
    }
    section_files_write(adopt, others);
}
