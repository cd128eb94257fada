#pragma once
/* Lines of an authorized_keys file: sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
#include <glib.h>
#include <stdbool.h>

#include "kinds/edit.h"

/* A line taken apart; all NULL when it is none. */
typedef struct {
    char *options; /* as written; "" for none */
    char *type, *key;
    char *comment; /* "" for none */
} SshKeyLine;

void ssh_key_line_clear(SshKeyLine *line);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SshKeyLine, ssh_key_line_clear)
bool ssh_key_line_parse(const EditLine *text, SshKeyLine *ret_line); /* false: a comment, garbage */

/* The types of keys that sshd knows, and short names for them: NULL-terminated. */
extern const char *const ssh_key_types[];
/* The full name for a short one ("ed25519"). */
const char *ssh_key_full_type(const char *type);
/* The type that the key itself says, NULL with error when it is not a key in base64. Caller frees.
 */
char *ssh_key_check(const char *key, GError **error);
/* What is wrong with one option such as `command="..."`; NULL: nothing. */
const char *ssh_key_option_problem(const char *option);
/* The options of a line, one by one; g_strfreev(). */
char **ssh_key_split_options(const char *options);
