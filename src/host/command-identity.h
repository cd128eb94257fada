#pragma once
/* Who a command runs as. */
#include "host/host-real-private.h"

typedef struct {
    bool set_uid, set_gid, set_groups; /* what is not set stays as the caller's */
    uid_t uid;
    gid_t gid;
    GArray *groups; /* of gid_t; with set_groups */
    char *home;     /* NULL when nobody knows */
} CommandIdentity;

/* user, group: names or numbers as this host knows them, or NULL. */
bool command_identity_find(RealHost *self, const char *user, const char *group,
                           CommandIdentity *ret_identity, GError **error);
void command_identity_clear(CommandIdentity *identity);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CommandIdentity, command_identity_clear)
