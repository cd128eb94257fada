#pragma once
/*
 * Selectors: which hosts are meant, as people write it. Pure.
 *
 *     all                           every host
 *     web* , db1                    by name; * stands for any characters, ? for one
 *     role=web and site=ams1        by label or fact; values may have * and ?
 *     os.name!=debian               the fact 'name' in the fact 'os'; != holds where there is none
 *     not (role=db or "all")        what is between quotes is taken as it is
 *
 * not binds closer than and, and closer than or. Of a list one item has to match.
 */
#include "base/value.h"

#define SELECTOR_MAX     4096u /* bytes */
#define SELECTOR_NESTING 64u   /* parentheses and nots inside each other */

typedef struct Selector Selector; /* immutable */

Selector *selector_parse(const char *text, GError **error);
void selector_free(Selector *selector); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Selector, selector_free)
/* The same selector in its one form: parsing it gives it again. Caller frees. */
char *selector_print(const Selector *selector);

typedef struct {
    const char *name; /* of a label or fact; NULL: the host itself is named */
    const char *text; /* what it shall be */
    bool is_pattern;  /* text has * or ? that stand for others */
    bool differs;     /* != */
} SelectorTerm;

/* All its terms, from left to right, whatever stands between them. */
void selector_visit(const Selector *selector, void (*visit)(void *data, const SelectorTerm *term),
                    void *data);
/* "os.name" is the member of that name, or 'name' in the map 'os'; NULL: neither is there. map may
 * be NULL. */
const Value *selector_look_up(const Value *map, const char *name);

/* labels come before facts of the same name; both are maps, or NULL. */
bool selector_matches(const Selector *selector, const char *host, const Value *labels,
                      const Value *facts);
