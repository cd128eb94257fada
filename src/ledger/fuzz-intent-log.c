/*
 * The first byte chooses: the rest is a log as it is, or JSON texts, one a line, to which the
 * header and the checksums are put. Lenient reading takes every whole record; what strict reading
 * takes is the same, and so is what comes out of the log cut where it ceases to be valid.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "ledger/intent-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    size_t size; /* of the log */
    size_t end;  /* of the last record */
    GString *text;
} Seen;

static void see(void *data, const IntentRecord *record) {
    Seen *seen = data;
    g_assert_cmpuint(record->offset, >=, seen->end);
    g_assert_cmpuint(record->size, >, 0);
    seen->end = record->offset + record->size;
    g_assert_cmpuint(seen->end, <=, seen->size);
    g_assert_cmpuint(record->id, >, 0);
    g_assert_true(record->kind && record->name);
    g_assert_true(!record->preimage || value_type(record->preimage) == VALUE_MAP);
    g_string_append_printf(seen->text, "%d %" G_GUINT64_FORMAT " %s %s\n", record->is_begin,
                           record->id, record->kind, record->name);
}

/* The records as text; NULL: refused. */
static char *parse(const char *text, size_t size, IntentRule rule, size_t *ret_valid) {
    Seen seen = { .size = size, .text = g_string_new(NULL) };
    IntentParsed parsed;
    g_autoptr(GError) error = NULL;
    if (!intent_parse(text, size, "fuzz.log", rule, see, &seen, &parsed, &error)) {
        g_assert_true(rule == INTENT_STRICT && error->domain == STEAD_ERROR);
        g_assert_nonnull(strstr(error->message, "'fuzz.log'"));
        g_string_free(seen.text, TRUE);
        return NULL;
    }
    g_assert_cmpuint(parsed.valid_size, <=, size);
    g_assert_cmpuint(parsed.valid_size, >=, seen.end);
    *ret_valid = parsed.valid_size;
    return g_string_free(seen.text, FALSE);
}

static void check(const char *text, size_t size) {
    size_t valid, cut_valid;
    g_autofree char *lenient = parse(text, size, INTENT_LENIENT, &valid);
    g_autofree char *strict = parse(text, size, INTENT_STRICT, &valid);
    if (!strict)
        return;
    g_assert_cmpstr(strict, ==, lenient);
    g_autofree char *cut = parse(text, valid, INTENT_STRICT, &cut_valid);
    g_assert_cmpstr(cut, ==, strict);
    g_assert_cmpuint(cut_valid, ==, valid);
}

/* line: the members after the ID. */
static void append_record(GString *log, bool is_begin, const char *line, size_t size) {
    size_t start = intent_record_start(log, is_begin, size + 1);
    g_string_append_len(log, line, (gssize)size);
    intent_record_end(log, start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1, *end = text + size - 1;
    if (data[0] == 'r') {
        check(text, size - 1);
        return 0;
    }
    g_autoptr(GString) log = g_string_new(INTENT_LOG_HEADER);
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((newline ? newline : end) - text);
        bool is_begin = line > 0 && *text == 'b';
        append_record(log, is_begin, text + is_begin, line - is_begin);
        text += line + 1;
    }
    check(log->str, log->len);
    return 0;
}
