#pragma once
/* How commands are told which store to use. */
#include "cli/command.h"
#include "state/store.h"

extern const Option option_store, option_store_ca, option_store_cert, option_store_key,
    option_store_user, option_store_password_file;

/* Opens where ("sqlite=FILE", "etcd=URL[,URL...]") with the files that arguments name. */
Store *store_open_named(Loop *loop, const char *where, const Arguments *arguments, GError **error);
