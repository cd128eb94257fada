#pragma once
/* Private to bundle: signed texts, a word and its value on each line, then who signed and how. */
#include "bundle/sign-key.h"

/* What is left of a text that is read. */
typedef struct {
    const char *next, *end;
    unsigned line;    /* of what was taken last, for errors */
    const char *what; /* "statement" */
} SignText;

/* The line "word VALUE" comes next: its value, to be freed by the caller. */
char *sign_text_take(SignText *text, const char *word, GError **error);
bool sign_text_peek(const SignText *text, const char *word); /* whether such a line comes next */
bool sign_text_take_number(SignText *text, const char *word, uint64_t *ret_number, GError **error);
/* "none" gives "". */
bool sign_text_take_name(SignText *text, const char *word, char ret_hex[DIGEST_HEX_SIZE],
                         GError **error);
bool sign_text_parse_number(const char *digits, uint64_t *ret_number);
bool sign_text_fail(const SignText *text, const char *why, GError **error); /* false */

/* Appends "key KEY\nsignature SIGNATURE\n" over what is in out. */
bool sign_text_sign(GString *out, const SigningKey *key, GError **error);
/* Reads these two lines, which must be the last, and verifies them over all before. start: of the
 * whole text. */
bool sign_text_verify(SignText *text, const char *start, PublicKey *ret_key, GError **error);
/* One line that people may see: UTF-8 without control characters, of up to max bytes. */
bool sign_text_is_line(const char *line, size_t max);
