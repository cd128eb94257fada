#pragma once
/* Lua's patterns (manual 6.4.1), matched with every step counted: nested repetitions can take time
 * exponential in the subject's length, and Lua's own matcher cannot be stopped. */
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_CAPTURES = 32 };

typedef struct {
    const char *start;
    ptrdiff_t size; /* CAPTURE_OPEN while it is being matched, CAPTURE_POSITION for "()" */
} PatternCapture;

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

typedef struct {
    lua_State *lua;
    const char *subject, *subject_end;
    const char *pattern_end;
    unsigned level; /* captures, finished or not */
    unsigned depth; /* of the C stack */
    PatternCapture captures[PATTERN_CAPTURES];
} PatternMatch;

void pattern_init(PatternMatch *match, lua_State *lua, const char *subject, size_t subject_size,
                  const char *pattern, size_t pattern_size);
/* Matches at `at`; returns the end of the match or NULL. Raises for malformed patterns. */
const char *pattern_match(PatternMatch *match, const char *at, const char *pattern);
/* Pushes capture number i; the whole match, from start to end, when there are none. */
void pattern_push_capture(PatternMatch *match, unsigned i, const char *start, const char *end);
unsigned pattern_push_captures(PatternMatch *match, const char *start, const char *end);
