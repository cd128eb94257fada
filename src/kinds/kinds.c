#include "kinds/kinds.h"

/* Every kind there is, in alphabetical order: the order of the reference and of `stead kinds`. */
static const Kind *const kinds[] = {
    &kind_apt_source, &kind_augeas,   &kind_cron,          &kind_exec,     &kind_exit,
    &kind_file,       &kind_group,    &kind_host,          &kind_hostname, &kind_ini,
    &kind_kv,         &kind_line,     &kind_mount,         &kind_msg,      &kind_net,
    &kind_noop,       &kind_password, &kind_pkg,           &kind_print,    &kind_ssh_authorized_key,
    &kind_svc,        &kind_sysctl,   &kind_systemd_timer, &kind_tar,      &kind_test,
    &kind_timer,      &kind_unit,     &kind_user,          &kind_value,
};

const KindSet builtin_kinds = { kinds, G_N_ELEMENTS(kinds) };
