#pragma once
/* "did you mean": the name nearest to a mistyped one. */
#include <stddef.h>

/* Returns the candidate with the smallest Damerau-Levenshtein distance to name (upper and lower
 * case are the same; of several the first that begins most alike), or NULL when none is near:
 * distance above a third of the length of name, at least 1. Borrowed from candidates. */
const char *suggest_nearest(const char *name, const char *const *candidates, size_t n_candidates);
