#include "bundle/sign-statement.h"

#include <string.h>

#include "base/error.h"
#include "bundle/sign-text.h"

#define KIND "stead deploy 1\n"

void statement_clear(Statement *statement) {
    g_free(statement->message);
    *statement = (Statement){ 0 };
}

static char *name_text(const char *digest) {
    return *digest == '\0' ? g_strdup("none") : g_strconcat(BUNDLE_NAME_PREFIX, digest, NULL);
}

/* Read from a file or given by an operator: the same rules. */
static bool check(const Statement *statement, GError **error) {
    const char *why = NULL;
    if (statement->record == 0)
        why = "records are counted from 1";
    else if (*statement->digest == '\0')
        why = "it names no bundle";
    else if ((statement->record == 1) != (*statement->previous == '\0'))
        why = "record 1 has no previous bundle, and every other one has; give both or neither";
    else if (*statement->message == '\0' ||
             !sign_text_is_line(statement->message, STATEMENT_MESSAGE_MAX))
        why = "its message must be one line of 1 to 1000 bytes that says why";
    if (why != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "the statement about the deploy: %s",
                    why);
    return why == NULL;
}

char *statement_sign(const Statement *statement, const SigningKey *key, GError **error) {
    if (!check(statement, error))
        return NULL;
    g_autofree char *digest = name_text(statement->digest);
    g_autofree char *previous = name_text(statement->previous);
    g_autoptr(GString) text = g_string_new(KIND);
    g_string_append_printf(text, "bundle %s\nrecord %" G_GUINT64_FORMAT "\nprevious %s\n", digest,
                           statement->record, previous);
    g_string_append_printf(text, "time %" G_GUINT64_FORMAT "\nmessage %s\n", statement->time,
                           statement->message);
    if (!sign_text_sign(text, key, error))
        return NULL;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

bool statement_read(const char *text, size_t size, Statement *ret_statement, GError **error) {
    g_auto(Statement) read = { 0 };
    SignText rest = { .next = text, .end = text + size, .what = "statement about the deploy" };
    if (size > STATEMENT_MAX || size < strlen(KIND) || memcmp(text, KIND, strlen(KIND)) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "this is no statement about a deploy of a version that this stead knows");
        return false;
    }
    rest.next += strlen(KIND);
    rest.line = 1;
    if (!sign_text_take_name(&rest, "bundle", read.digest, error) ||
        !sign_text_take_number(&rest, "record", &read.record, error) ||
        !sign_text_take_name(&rest, "previous", read.previous, error) ||
        !sign_text_take_number(&rest, "time", &read.time, error) ||
        (read.message = sign_text_take(&rest, "message", error)) == NULL ||
        !sign_text_verify(&rest, text, &read.key, error) || !check(&read, error))
        return false;
    *ret_statement = read;
    read = (Statement){ 0 };
    return true;
}

bool statement_is_signed_by(const Statement *statement, const KeyList *keys, GError **error) {
    g_autofree char *what =
        g_strdup_printf("record %" G_GUINT64_FORMAT " of the deploys", statement->record);
    return key_list_accepts(keys, &statement->key, statement->record, what, error);
}

static bool same_content(const Statement *a, const Statement *b) {
    return strcmp(a->digest, b->digest) == 0 && strcmp(a->previous, b->previous) == 0 &&
           a->time == b->time && strcmp(a->message, b->message) == 0;
}

bool statement_follows(const Statement *next, const Statement *last, GError **error) {
    if (last == NULL)
        return true;
    if (next->record < last->record)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT " of the deploys: record %" G_GUINT64_FORMAT
                    " was here already; to go back, deploy the older bundle as a new record",
                    next->record, last->record);
    else if (next->record == last->record && !same_content(next, last))
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "refuse record %" G_GUINT64_FORMAT
            " of the deploys: another one of this number was here, with bundle 'sha256:%s'; "
            "deploy it again as a later record",
            next->record, last->digest);
    else if (next->record == last->record + 1 && strcmp(next->previous, last->digest) != 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT
                    " of the deploys: it was made after bundle 'sha256:%s', but record "
                    "%" G_GUINT64_FORMAT " here has 'sha256:%s'; deploy it again as a later record",
                    next->record, next->previous, last->record, last->digest);
    else
        return true;
    return false;
}
