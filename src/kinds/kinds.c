#include "kinds/kinds.h"

/* Every kind there is, in alphabetical order: the order of the reference and of `stead kinds`. */
static const Kind *const kinds[] = {
    &kind_exit,
    &kind_timer,
};

const KindSet builtin_kinds = { kinds, G_N_ELEMENTS(kinds) };
