#pragma once
/*
 * Private to state: the watches of a store that has its changes itself, in the loop's thread. A
 * watch is live when it has been told all that was published, and gets what is published next;
 * until then it catches up from the history, a piece at a time. What is published meanwhile is
 * history when its turn comes, so nothing is left out and nothing told twice.
 */
#include "state/store-private.h"

typedef struct Watchers Watchers;

/* catch_up: read the history from watch->next on, and call watchers_caught_up() or watch_fail()
 * later; once for each piece. */
Watchers *watchers_new(Loop *loop, int64_t present, void (*catch_up)(void *data, StoreWatch *watch),
                       void *data);
void watchers_free(Watchers *watchers); /* accepts NULL; all watches are gone */

int64_t watchers_present(const Watchers *watchers); /* the last revision that was published */

void watchers_add(Watchers *watchers, StoreWatch *watch);
void watchers_remove(Watchers *watchers, StoreWatch *watch);

/* All changes after the last ones up to revision, in their order. */
void watchers_publish(Watchers *watchers, int64_t revision, GPtrArray *events);
/* Those of this watch's keys, of the revisions from watch->next up to revision. */
void watchers_caught_up(Watchers *watchers, StoreWatch *watch, int64_t revision, GPtrArray *events);
