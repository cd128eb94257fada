#include "kinds/kinds.h"

/* Every kind there is, in alphabetical order: the order of the reference and of `stead kinds`. */
static const Kind *const kinds[] = {
    &kind_exit,  &kind_group, &kind_msg,  &kind_noop,  &kind_password, &kind_pkg,
    &kind_print, &kind_svc,   &kind_test, &kind_timer, &kind_user,     &kind_value,
};

const KindSet builtin_kinds = { kinds, G_N_ELEMENTS(kinds) };
