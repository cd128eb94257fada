#pragma once
/*
 * For tests: whether what clients saw of a register can have happened one after the other, each
 * operation at some moment between its call and its return (Wing and Gong 1993; with the list and
 * the memory of Lowe 2016, as Porcupine has them).
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LINEAR_NEVER UINT64_MAX

typedef enum {
    LINEAR_READ,  /* saw value; 0: nothing is there */
    LINEAR_WRITE, /* of value */
    LINEAR_SWAP,  /* of expected by value; done says whether it was what was expected */
} LinearKind;

typedef struct {
    LinearKind kind;
    unsigned key;
    int64_t value, expected;
    bool done;
    uint64_t start, end; /* end LINEAR_NEVER: the answer was lost: it may have happened or not */
    int64_t revision;    /* that the answer had; 0: there was none */
} LinearOp;

/* ops: of LinearOp, of one key, in any order. */
bool linear_check_register(const GArray *ops);

/* Of all keys: revisions grow with real time, no two writes share one, and no read is older than
 * what had been answered when it began. Returns NULL, or what is wrong; caller frees. */
char *linear_check_revisions(const GArray *ops);

/* For a report: one operation a line. Caller frees. */
char *linear_show(const GArray *ops);
