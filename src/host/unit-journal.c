#include "host/unit-journal.h"

#include <string.h>
#include <systemd/sd-journal.h>

#define LINES_MAX     5
#define LINE_MAX_SIZE 400    /* bytes */
#define WAIT_US       600000 /* for the first line */
#define ERRORS_US     300000 /* for an error, of which there is none as a rule */
#define REST_US       50000  /* for others after it */

static char *message_of(sd_journal *journal) {
    static const char field[] = "MESSAGE=";
    const void *data;
    size_t size;
    if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0 || size <= strlen(field))
        return NULL;
    size -= strlen(field);
    const char *text = (const char *)data + strlen(field);
    const char *end = memchr(text, '\n', size);
    size_t length = end != NULL ? (size_t)(end - text) : size;
    g_autofree char *shown = g_utf8_make_valid(text, (gssize)MIN(length, LINE_MAX_SIZE));
    g_autofree char *valid = g_strconcat(shown, length > LINE_MAX_SIZE ? " ..." : "", NULL);
    for (char *c = valid; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return g_steal_pointer(&valid);
}

/* The last ones, in their order. */
static GPtrArray *read_lines(sd_journal *journal, uint64_t since_us) {
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    if (sd_journal_seek_tail(journal) < 0)
        return lines;
    uint64_t time_us;
    while (lines->len < LINES_MAX && sd_journal_previous(journal) > 0 &&
           sd_journal_get_realtime_usec(journal, &time_us) >= 0 && time_us >= since_us) {
        char *line = message_of(journal);
        if (line != NULL)
            g_ptr_array_insert(lines, 0, line);
    }
    return lines;
}

static char *join_lines(const GPtrArray *lines) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < lines->len; i++)
        g_string_append_printf(text, "\n    %s", (char *)lines->pdata[i]);
    return g_strdup(text->str);
}

/* err and above: "0" to "3" */
static bool only_errors(sd_journal *journal) {
    static const char *const priorities[] = { "PRIORITY=0", "PRIORITY=1", "PRIORITY=2",
                                              "PRIORITY=3" };
    for (size_t i = 0; i < G_N_ELEMENTS(priorities); i++) /* of one field: any of them */
        if (sd_journal_add_match(journal, priorities[i], 0) < 0)
            return false;
    return true;
}

static bool open_journal(const char *unit, bool session, sd_journal **ret_journal) {
    g_autofree char *match =
        g_strdup_printf(session ? "_SYSTEMD_USER_UNIT=%s" : "_SYSTEMD_UNIT=%s", unit);
    int flags = SD_JOURNAL_LOCAL_ONLY | (session ? SD_JOURNAL_CURRENT_USER : SD_JOURNAL_SYSTEM);
    if (sd_journal_open(ret_journal, flags) < 0)
        return false;
    /* Without entries at all nobody writes one: not to be waited for. */
    if (sd_journal_seek_tail(*ret_journal) >= 0 && sd_journal_previous(*ret_journal) > 0 &&
        sd_journal_add_match(*ret_journal, match, 0) >= 0)
        return true;
    sd_journal_close(*ret_journal);
    return false;
}

/* NULL: none came in time. Looks again after the first, for those that follow it. */
static char *await_lines(sd_journal *journal, uint64_t since_us, uint64_t wait_us) {
    int64_t deadline = g_get_monotonic_time() + (int64_t)wait_us;
    g_autoptr(GPtrArray) lines = read_lines(journal, since_us);
    while (lines->len == 0 && g_get_monotonic_time() < deadline) {
        (void)sd_journal_wait(journal, REST_US); /* the deadline ends it in any case */
        g_ptr_array_unref(lines);
        lines = read_lines(journal, since_us);
    }
    if (lines->len == 0)
        return NULL;
    g_usleep(REST_US);
    (void)sd_journal_process(journal);
    g_ptr_array_unref(lines);
    lines = read_lines(journal, since_us);
    return join_lines(lines);
}

char *unit_journal_tail(const char *unit, bool session, uint64_t since_us) {
    sd_journal *journal;
    if (!open_journal(unit, session, &journal))
        return g_strdup("");
    char *text = await_lines(journal, since_us, WAIT_US);
    sd_journal_close(journal);
    return text != NULL ? text : g_strdup("");
}

char *unit_journal_errors(const char *unit, bool session, uint64_t since_us) {
    sd_journal *journal;
    if (!open_journal(unit, session, &journal))
        return NULL;
    char *text = only_errors(journal) ? await_lines(journal, since_us, ERRORS_US) : NULL;
    sd_journal_close(journal);
    return text;
}
