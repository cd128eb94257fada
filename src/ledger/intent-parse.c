#include "ledger/intent-parse.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "ledger/record.h"

#define HEADER_FIRST  "stead intent log "
#define CHECKSUM_SIZE 17 /* 16 digits and a space */

size_t intent_record_start(GString *out, bool is_begin, uint64_t id) {
    size_t start = out->len;
    g_string_append(out, "0000000000000000 ");
    g_string_append(out, is_begin ? "[\"begin\"," : "[\"end\",");
    g_string_append_printf(out, "%" G_GUINT64_FORMAT ",", id);
    return start;
}

void intent_record_end(GString *out, size_t start) {
    g_string_append_c(out, ']');
    const char *json = out->str + start + CHECKSUM_SIZE;
    uint64_t hash = text_hash(json, out->len - start - CHECKSUM_SIZE);
    for (unsigned digit = 0; digit < CHECKSUM_SIZE - 1; digit++)
        out->str[start + digit] = "0123456789abcdef"[hash >> (60 - 4 * digit) & 15];
    g_string_append_c(out, '\n');
}

static bool is_text(const Value *value) {
    return value_type(value) == VALUE_STRING;
}

static bool fill_record(const Value *list, IntentRecord *ret_record) {
    if (value_type(list) != VALUE_LIST || value_size(list) < 4 ||
        !is_text(value_list_at(list, 0)) || value_type(value_list_at(list, 1)) != VALUE_INT ||
        !is_text(value_list_at(list, 2)) || !is_text(value_list_at(list, 3)))
        return false;
    const char *verb = value_string(value_list_at(list, 0));
    int64_t id = value_int(value_list_at(list, 1));
    bool is_begin = strcmp(verb, "begin") == 0;
    if (id <= 0 || (!is_begin && strcmp(verb, "end") != 0))
        return false;
    const Value *preimage = is_begin && value_size(list) > 4 ? value_list_at(list, 4) : NULL;
    *ret_record = (IntentRecord){
        .is_begin = is_begin,
        .id = (uint64_t)id,
        .kind = value_string(value_list_at(list, 2)),
        .name = value_string(value_list_at(list, 3)),
        .preimage = value_type(preimage) == VALUE_MAP ? preimage : NULL,
    };
    return true;
}

/* line: without its newline. Returns what the record's texts live in, or NULL when it is damaged.
 */
static Value *parse_line(const char *line, size_t size, IntentRecord *ret_record) {
    if (size <= CHECKSUM_SIZE || line[CHECKSUM_SIZE - 1] != ' ')
        return NULL;
    char digits[CHECKSUM_SIZE];
    memcpy(digits, line, CHECKSUM_SIZE - 1);
    digits[CHECKSUM_SIZE - 1] = '\0';
    char *end;
    uint64_t checksum = g_ascii_strtoull(digits, &end, 16);
    const char *json = line + CHECKSUM_SIZE;
    size_t json_size = size - CHECKSUM_SIZE;
    if (end != digits + CHECKSUM_SIZE - 1 || checksum != text_hash(json, json_size))
        return NULL;
    g_autoptr(Value) list = json_parse(json, json_size, "intent.log", NULL);
    if (!list || !fill_record(list, ret_record))
        return NULL;
    return g_steal_pointer(&list);
}

static bool set_damaged(GError **error, const char *where, unsigned line) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                "read '%s': line %u is damaged; 'stead ledger repair' keeps what is whole", where,
                line);
    return false;
}

/* A first line that is not ours: torn, of a newer version, or no intent log at all. */
static bool check_header(const char *text, size_t size, const char *where, IntentRule rule,
                         size_t *ret_size, GError **error) {
    size_t header_size = strlen(INTENT_LOG_HEADER);
    *ret_size = 0;
    if (size >= header_size && memcmp(text, INTENT_LOG_HEADER, header_size) == 0) {
        *ret_size = header_size;
        return true;
    }
    bool torn = size < header_size && memcmp(text, INTENT_LOG_HEADER, size) == 0;
    if (torn || rule == INTENT_LENIENT || memchr(text, '\0', size))
        return true;
    const char *newline = memchr(text, '\n', size);
    if (newline && size > strlen(HEADER_FIRST) &&
        memcmp(text, HEADER_FIRST, strlen(HEADER_FIRST)) == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "read '%s': it was written by a newer stead ('%.*s'); use that one, or save "
                    "what this one understands with 'stead ledger repair'",
                    where, (int)MIN(newline - text, 60), text);
        return false;
    }
    return set_damaged(error, where, 1);
}

/* What a killed writer or a loss of power leaves at the end: half a line, or zero bytes. */
static bool is_torn(const char *line, size_t size) {
    return !memchr(line, '\n', size) || memchr(line, '\0', size);
}

bool intent_parse(const char *text, size_t size, const char *where, IntentRule rule,
                  void (*visit)(void *data, const IntentRecord *record), void *data,
                  IntentParsed *ret_parsed, GError **error) {
    size_t offset;
    if (!check_header(text, size, where, rule, &offset, error))
        return false;
    *ret_parsed = (IntentParsed){ .valid_size = offset };
    size_t bad = 0;        /* offset of the first damaged line since the last whole one */
    unsigned bad_line = 0; /* its number; 0: there is none */
    for (unsigned line = 2; offset < size; line++) {
        const char *newline = memchr(text + offset, '\n', size - offset);
        if (!newline)
            break;
        size_t line_size = (size_t)(newline - text) - offset;
        IntentRecord record = { 0 };
        g_autoptr(Value) holder = parse_line(text + offset, line_size, &record);
        if (holder) {
            if (bad_line > 0 && rule == INTENT_STRICT)
                return set_damaged(error, where, bad_line);
            record.offset = offset;
            record.size = line_size + 1;
            visit(data, &record);
            ret_parsed->valid_size = offset + record.size;
            bad_line = 0;
        } else {
            ret_parsed->skipped++;
            if (bad_line == 0) {
                bad_line = line;
                bad = offset;
            }
        }
        offset += line_size + 1;
    }
    if (bad_line > 0 && rule == INTENT_STRICT && !is_torn(text + bad, size - bad))
        return set_damaged(error, where, bad_line);
    return true;
}
