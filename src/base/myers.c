#include "base/myers.h"

#include <glib.h>
#include <stdint.h>

/* Edits searched from each end of a box before it is cut at the farthest point. */
#define COST_LIMIT 256

/* The rectangle of a[left..right) and b[top..bottom). Diagonal k holds the points x - y = k. */
typedef struct {
    ptrdiff_t left, right, top, bottom;
} Box;

/* How far paths of some number of edits have come from one corner: x by diagonal, for each second
 * diagonal from low to high. */
typedef struct {
    ptrdiff_t *x; /* may be indexed from one below the lowest diagonal to one above the highest */
    ptrdiff_t low, high;
} Front;

typedef struct {
    const unsigned *a, *b;
    bool *a_changed, *b_changed;
    Front forward, backward;
} Myers;

typedef struct {
    ptrdiff_t x, y;
} Point;

/* One edit more opens a diagonal on either side, as far as the box has any; unreached stands for
 * the neighbour beyond. */
static void front_widen(Front *front, const Box *box, ptrdiff_t unreached) {
    if (front->low > box->left - box->bottom)
        front->x[--front->low - 1] = unreached;
    else
        front->low++;
    if (front->high < box->right - box->top)
        front->x[++front->high + 1] = unreached;
    else
        front->high--;
}

/* Extends all forward paths by one edit and the run of equal items after it. Returns whether one
 * met a backward path, there. */
static bool advance_forward(Myers *m, const Box *box, bool may_meet, Point *ret_meeting) {
    Front *front = &m->forward;
    front_widen(front, box, -1);
    for (ptrdiff_t k = front->high; k >= front->low; k -= 2) {
        ptrdiff_t x = MAX(front->x[k - 1] + 1, front->x[k + 1]);
        while (x < box->right && x - k < box->bottom && m->a[x] == m->b[x - k])
            x++;
        front->x[k] = x;
        if (may_meet && k >= m->backward.low && k <= m->backward.high && m->backward.x[k] <= x) {
            *ret_meeting = (Point){ x, x - k };
            return true;
        }
    }
    return false;
}

static bool advance_backward(Myers *m, const Box *box, bool may_meet, Point *ret_meeting) {
    Front *front = &m->backward;
    front_widen(front, box, PTRDIFF_MAX);
    for (ptrdiff_t k = front->high; k >= front->low; k -= 2) {
        ptrdiff_t x = MIN(front->x[k - 1], front->x[k + 1] - 1);
        while (x > box->left && x - k > box->top && m->a[x - 1] == m->b[x - k - 1])
            x--;
        front->x[k] = x;
        if (may_meet && k >= m->forward.low && k <= m->forward.high && x <= m->forward.x[k]) {
            *ret_meeting = (Point){ x, x - k };
            return true;
        }
    }
    return false;
}

/* The point of the front that lies farthest from its corner (sign 1: forward, -1: backward), inside
 * the box. */
static Point farthest(const Front *front, const Box *box, int sign) {
    Point best = { 0, 0 };
    ptrdiff_t best_sum = 0;
    bool first = true;
    for (ptrdiff_t k = front->low; k <= front->high; k += 2) {
        ptrdiff_t x = CLAMP(front->x[k], box->left, box->right);
        x = CLAMP(x, box->top + k, box->bottom + k);
        ptrdiff_t sum = sign * (2 * x - k);
        if (first || sum > best_sum) {
            best = (Point){ x, x - k };
            best_sum = sum;
            first = false;
        }
    }
    return best;
}

/* Where to cut the box in two so that a shortest script goes through that point. */
static Point find_cut(Myers *m, const Box *box) {
    ptrdiff_t first = box->left - box->top, last = box->right - box->bottom;
    bool odd = (first - last) & 1; /* then a meeting follows a forward step */
    m->forward.low = m->forward.high = first;
    m->forward.x[first] = box->left;
    m->backward.low = m->backward.high = last;
    m->backward.x[last] = box->right;
    Point cut;
    for (int cost = 0; cost < COST_LIMIT; cost++)
        if (advance_forward(m, box, odd, &cut) || advance_backward(m, box, !odd, &cut))
            return cut;
    Point from_start = farthest(&m->forward, box, 1), from_end = farthest(&m->backward, box, -1);
    ptrdiff_t way = from_start.x - box->left + from_start.y - box->top;
    ptrdiff_t way_back = box->right - from_end.x + box->bottom - from_end.y;
    return way > way_back ? from_start : from_end;
}

/* Leaves out what is equal at both ends. */
static void box_trim(const Myers *m, Box *box) {
    while (box->left < box->right && box->top < box->bottom && m->a[box->left] == m->b[box->top]) {
        box->left++;
        box->top++;
    }
    while (box->left < box->right && box->top < box->bottom &&
           m->a[box->right - 1] == m->b[box->bottom - 1]) {
        box->right--;
        box->bottom--;
    }
}

static ptrdiff_t box_size(const Box *box) {
    return box->right - box->left + box->bottom - box->top;
}

/* Recursion takes the smaller half, so it is not deeper than the logarithm of the size. */
static void compare_box(Myers *m, Box box) {
    for (;;) {
        box_trim(m, &box);
        if (box.left == box.right || box.top == box.bottom)
            break;
        Point cut = find_cut(m, &box);
        Box start = { box.left, cut.x, box.top, cut.y };
        Box end = { cut.x, box.right, cut.y, box.bottom };
        bool start_is_smaller = box_size(&start) < box_size(&end);
        compare_box(m, start_is_smaller ? start : end);
        box = start_is_smaller ? end : start;
    }
    for (ptrdiff_t x = box.left; x < box.right; x++)
        m->a_changed[x] = true;
    for (ptrdiff_t y = box.top; y < box.bottom; y++)
        m->b_changed[y] = true;
}

void myers_compare(const unsigned *a, size_t a_size, const unsigned *b, size_t b_size,
                   bool *a_changed, bool *b_changed) {
    size_t diagonals = a_size + b_size + 3; /* from -b_size - 1 to a_size + 1 */
    g_autofree ptrdiff_t *forward = g_new(ptrdiff_t, diagonals);
    g_autofree ptrdiff_t *backward = g_new(ptrdiff_t, diagonals);
    Myers m = {
        a, b, a_changed, b_changed, { forward + b_size + 1, 0, 0 }, { backward + b_size + 1, 0, 0 }
    };
    compare_box(&m, (Box){ 0, (ptrdiff_t)a_size, 0, (ptrdiff_t)b_size });
}
