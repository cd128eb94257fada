#pragma once
/*
 * One of the account files, as lines. Lines that are no valid entry (comments, NIS "+" lines,
 * damaged ones) are kept byte for byte, and so is the order.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    ACCOUNT_PASSWD,
    ACCOUNT_SHADOW,
    ACCOUNT_GROUP,
    ACCOUNT_GSHADOW,
    N_ACCOUNT_FILES,
} AccountFileKind;

typedef struct AccountFile AccountFile;

const char *account_file_path(AccountFileKind kind);

/* content: borrowed bytes, or NULL for a file that does not exist. */
AccountFile *account_file_parse(AccountFileKind kind, GBytes *content);
AccountFile *account_file_ref(AccountFile *file); /* shared files are only read */
void account_file_unref(AccountFile *file);       /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AccountFile, account_file_unref)

bool account_file_exists(const AccountFile *file);

/* The fields of the first entry of that name, NULL-terminated, as many as the kind of file has;
 * NULL when there is none. Caller frees with g_strfreev(). */
char **account_file_find(const AccountFile *file, const char *name);
bool account_file_has_id(const AccountFile *file, uint32_t id);
bool account_file_id_of(const AccountFile *file, const char *name, uint32_t *ret_id);
/* Borrowed from file; NULL: nobody has that id. */
const char *account_file_name_of(const AccountFile *file, uint32_t id);
/* Names of the entries in their order, borrowed from file; free the array with g_free(). */
const char **account_file_names(const AccountFile *file);

/* Calls visit with each entry's fields. */
void account_file_each(const AccountFile *file, void (*visit)(void *data, char **fields),
                       void *data);

/* Replaces the first entry of the name fields[0], or adds it, before NIS lines. */
void account_file_put(AccountFile *file, const char *const *fields);
bool account_file_drop(AccountFile *file, const char *name); /* all of that name; false: none */

bool account_file_is_changed(const AccountFile *file);
GBytes *account_file_print(const AccountFile *file);
