#pragma once
/* kinds: one file each. Uses base, loop, host, graph; never the engine. The list is kinds.c. */
#include "graph/kind.h"

extern const KindSet builtin_kinds;
