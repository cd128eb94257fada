#pragma once
/* For tests: a store in memory (STEAD_TEST_STORE=sqlite: in a file) and virtual time, seen through
 * lines that can be cut. */
#include "state/store.h"

typedef struct {
    Loop *loop;
    Store *store;
    char *directory; /* of a file of SQLite; NULL: in memory */
} Fleet;

void fleet_open(Fleet *fleet);
void fleet_close(Fleet *fleet);
void fleet_run_for(Fleet *fleet, uint64_t us);
/* Runs until holds() says so; the test fails after 300 s of virtual time. */
void fleet_run_until(Fleet *fleet, bool (*holds)(void *data), void *data);

/* A client's own way to the store. Free it with store_free(). */
Store *line_new(Fleet *fleet);
/* While cut, calls fail with STORE_ERROR_UNAVAILABLE and watches are silent. */
void line_cut(Store *line, bool cut);
typedef enum {
    LINE_DIES_BEFORE,  /* the call is not done, and the line is cut */
    LINE_DIES_AFTER,   /* the call is done without an answer, and the line is cut */
    LINE_LOSES_ANSWER, /* the call is done, its answer lost (STORE_ERROR_UNKNOWN_OUTCOME) */
} LineBreak;
/* At the so-manieth call from now on, 1 being the next. */
void line_break(Store *line, unsigned calls, LineBreak breaks);
bool line_is_cut(const Store *line);

/* Puts text there with nobody's lease; NULL: deletes. */
void fleet_put(Fleet *fleet, const char *key, const char *text);
/* What is there; NULL: nothing. Caller frees. */
char *fleet_get(Fleet *fleet, const char *key);
