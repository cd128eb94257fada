#pragma once
/* What lets a machine in, where nobody else on the machine sees it. */
#include "cli/command.h"

extern const Option option_join_token, option_join_token_file;

/* From --token-file ('-': standard input), --token or STEAD_JOIN_TOKEN; caller frees. missing: what
 * to say when there is none. */
char *join_token(const Arguments *arguments, const char *missing, GError **error);
/* The one word of text; where it is from is how errors begin. text need not end with a NUL. */
char *join_token_parse(const char *text, size_t size, const char *where, GError **error);
/* Overwrites tokens in the words that this process was called with, which all users of the machine
 * can list. */
void join_token_hide(char **words);
