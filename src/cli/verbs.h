#pragma once
/* The verbs of a command: `stead bundle pack DIR`. Each command has a table of its own, the first
 * member of whose rows is a Verb. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define ANY 1000000 /* so many words as somebody likes */

typedef struct {
    const char *name;
    const char *words; /* what follows it, as in a usage line; "" for nothing */
    unsigned min, max; /* of them */
    bool hidden;       /* not for people */
} Verb;

/* Index of the row that words begin with; -1: there is none, or not so many words follow it. rows:
 * of size bytes each. */
int verb_find(const char *command, const Verb *rows, size_t size, unsigned n, char **words,
              GError **error);
#define VERB_FIND(command, table, words, error)                                                    \
    verb_find(command, &(table)[0].verb, sizeof(table)[0], G_N_ELEMENTS(table), words, error)
