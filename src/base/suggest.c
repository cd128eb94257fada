#include "base/suggest.h"

#include <glib.h>
#include <string.h>

/* Names are short; whoever types more than this did not mistype one. */
#define NAME_MAX_SIZE 64

/* One row of the distance table more than the longest name, in bytes. */
typedef unsigned Row[NAME_MAX_SIZE + 1];

/*
 * Damerau-Levenshtein distance in the form of optimal string alignment: insertions, deletions,
 * replacements and swaps of neighbours cost 1 each, upper and lower case are the same. Only the
 * last three rows of the table are kept.
 */
static unsigned distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    Row rows[3];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
            unsigned best = MIN(above[j], row[j - 1]) + 1;
            best = MIN(best, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && y == g_ascii_tolower(a[i - 2]))
                best = MIN(best, before[j - 2] + 1);
            row[j] = best;
        }
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_size];
}

static size_t common_start(const char *a, const char *b) {
    size_t n = 0;
    while (a[n] != '\0' && a[n] == b[n])
        n++;
    return n;
}

const char *suggest_nearest(const char *name, const char *const *candidates, size_t n_candidates) {
    size_t size = strlen(name);
    if (size == 0 || size > NAME_MAX_SIZE)
        return NULL;
    unsigned best_distance = MAX((unsigned)size / 3, 1) + 1;
    const char *best = NULL;
    for (size_t i = 0; i < n_candidates; i++) {
        size_t candidate_size = strlen(candidates[i]);
        if (candidate_size == 0 || candidate_size > NAME_MAX_SIZE)
            continue;
        unsigned d = distance(name, size, candidates[i], candidate_size);
        /* of equally near ones that which begins alike: 'shel' is 'shell', not 'skel' */
        if (d < best_distance || (best && d == best_distance &&
                                  common_start(name, candidates[i]) > common_start(name, best))) {
            best_distance = d;
            best = candidates[i];
        }
    }
    /* A one-letter name is one replacement away from every other. */
    return best && best_distance < MAX(size, strlen(best)) ? best : NULL;
}
