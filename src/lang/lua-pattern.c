#include "lang/lua-pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "lang/eval.h"

/* STEP_COST: a step takes about as long as that many instructions. */
enum { MAX_DEPTH = 200, STEPS_AT_ONCE = 64, STEP_COST = 4 };

void pattern_init(PatternMatch *match, lua_State *lua, const char *subject, size_t subject_size,
                  const char *pattern, size_t pattern_size) {
    match->lua = lua;
    match->subject = subject;
    match->subject_end = subject + subject_size;
    match->pattern_end = pattern + pattern_size;
    match->level = match->depth = 0;
}

static const char *run(PatternMatch *match, const char *s, const char *p);

/* Single characters and classes */

/* The end of the single-character item at p. */
static const char *item_end(PatternMatch *match, const char *p) {
    char c = *p++;
    if (c == '%') {
        if (p == match->pattern_end)
            eval_raise(match->lua, "malformed pattern: ends with '%%'");
        return p + 1;
    }
    if (c != '[')
        return p;
    if (p < match->pattern_end && *p == '^')
        p++;
    do {
        if (p == match->pattern_end)
            eval_raise(match->lua, "malformed pattern: missing ']'");
        c = *p++;
        if (c == '%' && p < match->pattern_end)
            p++;
    } while (p == match->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int class) {
    bool found;
    switch (tolower(class)) {
    case 'a':
        found = isalpha(c);
        break;
    case 'c':
        found = iscntrl(c);
        break;
    case 'd':
        found = isdigit(c);
        break;
    case 'g':
        found = isgraph(c);
        break;
    case 'l':
        found = islower(c);
        break;
    case 'p':
        found = ispunct(c);
        break;
    case 's':
        found = isspace(c);
        break;
    case 'u':
        found = isupper(c);
        break;
    case 'w':
        found = isalnum(c);
        break;
    case 'x':
        found = isxdigit(c);
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !found : found;
}

/* p at '[', last at the ']' that closes it. */
static bool in_set(int c, const char *p, const char *last) {
    bool positive = true;
    if (p[1] == '^') {
        positive = false;
        p++;
    }
    while (++p < last) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return positive;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return positive;
        } else if ((unsigned char)*p == c) {
            return positive;
        }
    }
    return !positive;
}

static bool matches_one(const PatternMatch *match, const char *s, const char *p, const char *end) {
    if (s >= match->subject_end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* Repetitions */

static const char *repeat_greedy(PatternMatch *match, const char *s, const char *p,
                                 const char *end) {
    ptrdiff_t count = 0;
    while (matches_one(match, s + count, p, end))
        count++;
    eval_charge(match->lua, (uint64_t)count / STEPS_AT_ONCE * STEP_COST);
    for (; count >= 0; count--) {
        const char *result = run(match, s + count, end + 1);
        if (result)
            return result;
    }
    return NULL;
}

static const char *repeat_lazy(PatternMatch *match, const char *s, const char *p, const char *end) {
    for (;;) {
        const char *result = run(match, s, end + 1);
        if (result)
            return result;
        if (!matches_one(match, s, p, end))
            return NULL;
        s++;
    }
}

/* Captures and the special items */

static const char *open_capture(PatternMatch *match, const char *s, const char *p, ptrdiff_t size) {
    if (match->level == PATTERN_CAPTURES)
        eval_raise(match->lua, "malformed pattern: more than %d captures", PATTERN_CAPTURES);
    match->captures[match->level++] = (PatternCapture){ s, size };
    const char *result = run(match, s, p);
    if (!result)
        match->level--;
    return result;
}

static const char *close_capture(PatternMatch *match, const char *s, const char *p) {
    unsigned level = match->level;
    while (level > 0 && match->captures[level - 1].size != CAPTURE_OPEN)
        level--;
    if (level == 0)
        eval_raise(match->lua, "malformed pattern: ')' without '('");
    PatternCapture *capture = &match->captures[level - 1];
    capture->size = s - capture->start;
    const char *result = run(match, s, p);
    if (!result)
        capture->size = CAPTURE_OPEN;
    return result;
}

/* "%bxy" at p + 2. */
static const char *match_balance(PatternMatch *match, const char *s, const char *p) {
    if (match->pattern_end - p < 2)
        eval_raise(match->lua, "malformed pattern: '%%b' needs two characters");
    if (s >= match->subject_end || *s != *p)
        return NULL;
    const char *start = s;
    int depth = 1;
    while (depth > 0 && ++s < match->subject_end) {
        if (*s == p[1])
            depth--;
        else if (*s == *p)
            depth++;
    }
    eval_charge(match->lua, (uint64_t)(s - start) / STEPS_AT_ONCE * STEP_COST);
    return depth == 0 ? s + 1 : NULL;
}

static const char *match_back_reference(PatternMatch *match, const char *s, char digit) {
    unsigned index = (unsigned)(digit - '1');
    if (index >= match->level || match->captures[index].size == CAPTURE_OPEN)
        eval_raise(match->lua, "malformed pattern: '%%%c' has no finished capture", digit);
    const PatternCapture *capture = &match->captures[index];
    ptrdiff_t size = MAX(capture->size, 0);
    return match->subject_end - s >= size && memcmp(capture->start, s, (size_t)size) == 0 ? s + size
                                                                                          : NULL;
}

/* "%f[set]": the border into set. */
static bool at_frontier(PatternMatch *match, const char *s, const char *p, const char **ret_end) {
    if (p >= match->pattern_end || *p != '[')
        eval_raise(match->lua, "malformed pattern: '%%f' needs a set in brackets");
    const char *end = item_end(match, p);
    int before = s == match->subject ? 0 : (unsigned char)s[-1];
    int here = s < match->subject_end ? (unsigned char)*s : 0;
    *ret_end = end;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1);
}

/* A single-character item with what may follow it. True: go on at *s and *p; else *result. */
static bool step_item(PatternMatch *match, const char **s, const char **p, const char **result) {
    const char *end = item_end(match, *p);
    char suffix = end < match->pattern_end ? *end : '\0';
    *result = NULL;
    if (suffix == '*') {
        *result = repeat_greedy(match, *s, *p, end);
        return false;
    }
    if (suffix == '-') {
        *result = repeat_lazy(match, *s, *p, end);
        return false;
    }
    bool fits = matches_one(match, *s, *p, end);
    if (suffix == '+') {
        *result = fits ? repeat_greedy(match, *s + 1, *p, end) : NULL;
        return false;
    }
    if (suffix == '?') {
        if (fits && (*result = run(match, *s + 1, end + 1)))
            return false;
        *p = end + 1;
        return true;
    }
    if (!fits)
        return false;
    (*s)++;
    *p = end;
    return true;
}

/* "%b", "%f", "%1". Same result as step_item(). */
static bool step_special(PatternMatch *match, const char **s, const char **p, const char **result) {
    char c = (*p)[1];
    *result = NULL;
    if (c == 'f') {
        const char *end;
        if (!at_frontier(match, *s, *p + 2, &end))
            return false;
        *p = end;
        return true;
    }
    const char *next =
        c == 'b' ? match_balance(match, *s, *p + 2) : match_back_reference(match, *s, c);
    if (!next)
        return false;
    *s = next;
    *p += c == 'b' ? 4 : 2;
    return true;
}

static const char *run_steps(PatternMatch *match, const char *s, const char *p) {
    const char *result;
    while (p < match->pattern_end) {
        char next = p + 1 < match->pattern_end ? p[1] : '\0';
        eval_charge(match->lua, STEP_COST);
        if (*p == '(')
            return next == ')' ? open_capture(match, s, p + 2, CAPTURE_POSITION)
                               : open_capture(match, s, p + 1, CAPTURE_OPEN);
        if (*p == ')')
            return close_capture(match, s, p + 1);
        if (*p == '$' && p + 1 == match->pattern_end)
            return s == match->subject_end ? s : NULL;
        bool special = *p == '%' && (next == 'b' || next == 'f' || isdigit((unsigned char)next));
        if (special ? !step_special(match, &s, &p, &result) : !step_item(match, &s, &p, &result))
            return result;
    }
    return s;
}

static const char *run(PatternMatch *match, const char *s, const char *p) {
    if (++match->depth > MAX_DEPTH)
        eval_raise(match->lua, "pattern too complex");
    const char *result = run_steps(match, s, p);
    match->depth--;
    return result;
}

const char *pattern_match(PatternMatch *match, const char *at, const char *pattern) {
    match->level = match->depth = 0;
    return run(match, at, pattern);
}

void pattern_push_capture(PatternMatch *match, unsigned i, const char *start, const char *end) {
    if (i >= match->level) {
        if (i > 0)
            eval_raise(match->lua, "no capture number %u in the pattern", i + 1);
        lua_pushlstring(match->lua, start, (size_t)(end - start));
        return;
    }
    const PatternCapture *capture = &match->captures[i];
    if (capture->size == CAPTURE_OPEN)
        eval_raise(match->lua, "malformed pattern: '(' without ')'");
    if (capture->size == CAPTURE_POSITION)
        lua_pushinteger(match->lua, capture->start - match->subject + 1);
    else
        lua_pushlstring(match->lua, capture->start, (size_t)capture->size);
}

unsigned pattern_push_captures(PatternMatch *match, const char *start, const char *end) {
    unsigned count = match->level == 0 && start ? 1 : match->level;
    luaL_checkstack(match->lua, (int)count, "captures");
    for (unsigned i = 0; i < count; i++)
        pattern_push_capture(match, i, start, end);
    return count;
}
