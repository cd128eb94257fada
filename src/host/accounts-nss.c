#include "host/accounts-nss.h"

#include <glib.h>
#include <grp.h>
#include <pwd.h>

/* For the strings of one entry. A group may have thousands of members; what is not used of the
 * buffer costs nothing. An entry that does not fit counts as missing. */
#define BUFFER_SIZE (1024 * 1024)

bool nss_user_id(const char *name, uint32_t *ret_id) {
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);
    struct passwd entry, *found = NULL;
    (void)getpwnam_r(name, &entry, buffer, BUFFER_SIZE, &found); /* NULL on failure, too */
    if (found != NULL)
        *ret_id = found->pw_uid;
    return found != NULL;
}

bool nss_group_id(const char *name, uint32_t *ret_id) {
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);
    struct group entry, *found = NULL;
    (void)getgrnam_r(name, &entry, buffer, BUFFER_SIZE, &found);
    if (found != NULL)
        *ret_id = found->gr_gid;
    return found != NULL;
}

char *nss_user_name(uint32_t id) {
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);
    struct passwd entry, *found = NULL;
    (void)getpwuid_r(id, &entry, buffer, BUFFER_SIZE, &found);
    return found != NULL ? g_strdup(found->pw_name) : NULL;
}

char *nss_group_name(uint32_t id) {
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);
    struct group entry, *found = NULL;
    (void)getgrgid_r(id, &entry, buffer, BUFFER_SIZE, &found);
    return found != NULL ? g_strdup(found->gr_name) : NULL;
}
