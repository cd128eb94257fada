#pragma once
/* Where in a configuration something was written. file is interned (g_intern_string) and lives for
 * ever. */
typedef struct {
    const char *file; /* NULL: not from a file */
    unsigned line;    /* 1-based; 0: unknown */
    unsigned column;  /* 1-based; 0: unknown */
} Origin;
