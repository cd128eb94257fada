/* Messages for the journal and for syslog(3). */
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "host/host-real-private.h"

/* What journald takes as the name of a field. */
static bool is_field(const char *field) {
    size_t length = strspn(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return length > 0 && field[length] == '=' && field[0] != '_' && !g_ascii_isdigit(field[0]);
}

static bool log_to_journal(int priority, const char *text, const char *const *fields,
                           GError **error) {
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(entries, g_strconcat("MESSAGE=", text, NULL));
    g_ptr_array_add(entries, g_strdup_printf("PRIORITY=%d", priority));
    g_ptr_array_add(entries, g_strdup("SYSLOG_IDENTIFIER=stead"));
    for (; fields != NULL && *fields != NULL; fields++) {
        if (!is_field(*fields)) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "log: field '%s' must be NAME=value with a name of capital letters, digits "
                        "and '_'",
                        *fields);
            return false;
        }
        g_ptr_array_add(entries, g_strdup(*fields));
    }
    g_autofree struct iovec *vectors = g_new(struct iovec, entries->len);
    for (guint i = 0; i < entries->len; i++)
        vectors[i] = (struct iovec){ entries->pdata[i], strlen(entries->pdata[i]) };
    int r = sd_journal_sendv(vectors, (int)entries->len);
    return r >= 0 || set_io_error(error, -r, "log to the journal");
}

bool real_log(Host *host, int priority, const char *text, const char *const *fields, bool journal,
              bool syslog_too, GError **error) {
    priority = CLAMP(priority, LOG_EMERG, LOG_DEBUG);
    if (journal && !log_to_journal(priority, text, fields, error))
        return false;
    if (syslog_too)
        syslog(LOG_USER | priority, "%s", text);
    return true;
}
