#include "base/text-diff.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "base/myers.h"
#include "base/printable.h"

/* Bytes shown of one line. */
#define LINE_SHOWN 2000

typedef struct {
    const char *text;
    size_t size; /* with its newline, which only the last line may lack */
} Line;

typedef struct {
    Line *lines;
    size_t size;
    unsigned *ids; /* equal lines of both texts have equal ids */
    bool *changed; /* with one false more at the end */
} Side;

/* Lines and their ids */

static guint line_hash(gconstpointer key) {
    const Line *line = key;
    guint hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < line->size; i++)
        hash = (hash ^ (unsigned char)line->text[i]) * 16777619u;
    return hash;
}

static gboolean line_equal(gconstpointer a, gconstpointer b) {
    const Line *x = a, *y = b;
    return x->size == y->size && memcmp(x->text, y->text, x->size) == 0;
}

static size_t count_lines(const char *text, size_t size) {
    size_t count = 0;
    for (const char *end = text + size; text < end; count++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        text = newline ? newline + 1 : end;
    }
    return count;
}

static Side side_open(const char *text, size_t size) {
    Side side = { .size = count_lines(text, size) };
    side.lines = g_new(Line, side.size);
    side.ids = g_new(unsigned, side.size);
    side.changed = g_new0(bool, side.size + 1);
    for (size_t i = 0; i < side.size; i++) {
        const char *newline = memchr(text, '\n', size);
        size_t line_size = newline ? (size_t)(newline + 1 - text) : size;
        side.lines[i] = (Line){ text, line_size };
        text += line_size;
        size -= line_size;
    }
    return side;
}

static void side_close(Side *side) {
    g_free(side->lines);
    g_free(side->ids);
    g_free(side->changed);
}

static void number_lines(Side *side, GHashTable *numbers) {
    for (size_t i = 0; i < side->size; i++) {
        gpointer id = g_hash_table_lookup(numbers, &side->lines[i]);
        if (!id) {
            id = GUINT_TO_POINTER(g_hash_table_size(numbers) + 1);
            g_hash_table_insert(numbers, &side->lines[i], id);
        }
        side->ids[i] = GPOINTER_TO_UINT(id);
    }
}

/* Comparing */

static bool *ids_of(const Side *side, unsigned max_id) {
    bool *present = g_new0(bool, max_id + 1);
    for (size_t i = 0; i < side->size; i++)
        present[side->ids[i]] = true;
    return present;
}

/* Marks lines that the other side does not have at all; collects ids and places of the rest. Two
 * texts with nothing in common are then done, which is the worst case of the search. */
static size_t drop_unmatched(Side *side, const bool *in_other, unsigned *ret_ids,
                             size_t *ret_places) {
    size_t kept = 0;
    for (size_t i = 0; i < side->size; i++) {
        if (!in_other[side->ids[i]]) {
            side->changed[i] = true;
            continue;
        }
        ret_ids[kept] = side->ids[i];
        ret_places[kept++] = i;
    }
    return kept;
}

static void spread_changes(Side *side, const bool *changed, const size_t *places, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (changed[i])
            side->changed[places[i]] = true;
}

static void compare_sides(Side *a, Side *b, unsigned max_id) {
    g_autofree bool *in_a = ids_of(a, max_id), *in_b = ids_of(b, max_id);
    g_autofree unsigned *a_ids = g_new(unsigned, a->size), *b_ids = g_new(unsigned, b->size);
    g_autofree size_t *a_places = g_new(size_t, a->size), *b_places = g_new(size_t, b->size);
    size_t a_size = drop_unmatched(a, in_b, a_ids, a_places);
    size_t b_size = drop_unmatched(b, in_a, b_ids, b_places);
    g_autofree bool *a_changed = g_new0(bool, a_size), *b_changed = g_new0(bool, b_size);
    myers_compare(a_ids, a_size, b_ids, b_size, a_changed, b_changed);
    spread_changes(a, a_changed, a_places, a_size);
    spread_changes(b, b_changed, b_places, b_size);
}

/* Moves the group of changed lines [start, *end) of side down while the line it leaves equals the
 * one it takes: an added function then ends with its own brace, not with that of the one above. It
 * takes in groups it reaches. *place is where it stands in the other side; a replacement there is
 * not crossed. */
static void slide_group(Side *side, size_t start, size_t *end, const Side *other, size_t *place) {
    while (*end < side->size && side->ids[start] == side->ids[*end] && !other->changed[*place]) {
        side->changed[start++] = false;
        side->changed[(*end)++] = true;
        (*place)++;
        while (side->changed[*end])
            (*end)++;
    }
}

static size_t group_end(const Side *side, size_t start) {
    while (side->changed[start])
        start++;
    return start;
}

/* Only pure additions and removals move; a replacement belongs to its counterpart. */
static void slide_changes(Side *a, Side *b) {
    size_t i = 0, j = 0;
    while (i < a->size || j < b->size) {
        size_t i_end = group_end(a, i), j_end = group_end(b, j);
        if (i_end == i && j_end == j) {
            i++;
            j++;
            continue;
        }
        if (j_end == j)
            slide_group(a, i, &i_end, b, &j_end);
        else if (i_end == i)
            slide_group(b, j, &j_end, a, &i_end);
        i = i_end;
        j = j_end;
    }
}

/* Writing */

static void write_line(GString *out, char mark, const Line *line) {
    bool ends = line->text[line->size - 1] == '\n';
    size_t size = line->size - ends;
    g_string_append_c(out, mark);
    printable_append(out, line->text, MIN(size, LINE_SHOWN), PRINTABLE_TABS);
    if (size > LINE_SHOWN)
        g_string_append_printf(out, "… (%zu bytes)", size);
    g_string_append_c(out, '\n');
    if (!ends)
        g_string_append(out, "\\ No newline at end of file\n");
}

/* Lines to remove and to add at one place. */
typedef struct {
    size_t a_start, a_end, b_start, b_end;
} Change;

static GArray *list_changes(const Side *a, const Side *b) {
    GArray *changes = g_array_new(FALSE, FALSE, sizeof(Change));
    for (size_t i = 0, j = 0; i < a->size || j < b->size; i++, j++) {
        Change change = { i, group_end(a, i), j, group_end(b, j) };
        if (change.a_end > i || change.b_end > j)
            g_array_append_val(changes, change);
        i = change.a_end;
        j = change.b_end;
    }
    return changes;
}

/* "-12,3": the count is left out when it is 1; a range of no line names the line before it. */
static void write_range(GString *out, char mark, size_t start, size_t end) {
    size_t count = end - start;
    g_string_append_printf(out, "%c%zu", mark, count > 0 ? start + 1 : start);
    if (count != 1)
        g_string_append_printf(out, ",%zu", count);
}

static void write_lines(GString *out, char mark, const Side *side, size_t start, size_t end) {
    for (size_t i = start; i < end; i++)
        write_line(out, mark, &side->lines[i]);
}

/* Writes the changes [first, last] with their context as one hunk. */
static void write_hunk(GString *out, const Side *a, const Side *b, const Change *first,
                       const Change *last, size_t context) {
    size_t before = MIN(context, first->a_start), after = MIN(context, a->size - last->a_end);
    g_string_append(out, "@@ ");
    write_range(out, '-', first->a_start - before, last->a_end + after);
    g_string_append_c(out, ' ');
    write_range(out, '+', first->b_start - before, last->b_end + after);
    g_string_append(out, " @@\n");
    size_t written = first->a_start - before;
    for (const Change *change = first; change <= last; change++) {
        write_lines(out, ' ', a, written, change->a_start);
        write_lines(out, '-', a, change->a_start, change->a_end);
        write_lines(out, '+', b, change->b_start, change->b_end);
        written = change->a_end;
    }
    write_lines(out, ' ', a, written, last->a_end + after);
}

/* Changes whose contexts touch share a hunk. */
static void write_hunks(GString *out, const Side *a, const Side *b, size_t context) {
    g_autoptr(GArray) changes = list_changes(a, b);
    const Change *change = (const Change *)(void *)changes->data;
    for (size_t first = 0, last; first < changes->len; first = last + 1) {
        last = first;
        while (last + 1 < changes->len &&
               change[last + 1].a_start - change[last].a_end <= 2 * context)
            last++;
        write_hunk(out, a, b, &change[first], &change[last], context);
    }
}

static char *diff_lines(const char *before, size_t before_size, const char *after,
                        size_t after_size, unsigned context) {
    Side a = side_open(before, before_size), b = side_open(after, after_size);
    g_autoptr(GHashTable) numbers = g_hash_table_new(line_hash, line_equal);
    number_lines(&a, numbers);
    number_lines(&b, numbers);
    compare_sides(&a, &b, g_hash_table_size(numbers));
    slide_changes(&a, &b);
    GString *out = g_string_new(NULL);
    write_hunks(out, &a, &b, context);
    side_close(&a);
    side_close(&b);
    return g_string_free(out, FALSE);
}

static bool is_binary(const char *data, size_t size) {
    return size > 0 && memchr(data, '\0', size);
}

char *text_diff(const char *before, size_t before_size, const char *after, size_t after_size,
                unsigned context) {
    if (before_size == after_size && (before_size == 0 || memcmp(before, after, before_size) == 0))
        return g_strdup("");
    if (before_size > TEXT_DIFF_LIMIT || after_size > TEXT_DIFF_LIMIT)
        return g_strdup_printf(
            "content differs, too large to compare by lines (%zu -> %zu bytes)\n", before_size,
            after_size);
    if (is_binary(before, before_size) || is_binary(after, after_size))
        return g_strdup_printf("binary content differs (%zu -> %zu bytes)\n", before_size,
                               after_size);
    return diff_lines(before, before_size, after, after_size, context);
}
