#include "kinds/line-undo.h"

#include <string.h>

#include "base/myers.h"

typedef struct {
    char **lines; /* each with its end */
    unsigned *ids;
    size_t n;
} Lines;

static void lines_clear(Lines *lines) {
    g_strfreev(lines->lines);
    g_free(lines->ids);
}

/* ids has a number for each text of a line. */
static void lines_init(Lines *lines, const char *text, GHashTable *ids) {
    GPtrArray *found = g_ptr_array_new();
    for (const char *at = text; *at != '\0';) {
        const char *end = strchr(at, '\n');
        size_t size = end != NULL ? (size_t)(end - at) + 1 : strlen(at);
        g_ptr_array_add(found, g_strndup(at, size));
        at += size;
    }
    lines->n = found->len;
    lines->ids = g_new(unsigned, found->len + 1);
    for (unsigned i = 0; i < found->len; i++) {
        char *line = g_ptr_array_index(found, i);
        unsigned id = GPOINTER_TO_UINT(g_hash_table_lookup(ids, line));
        if (id == 0)
            g_hash_table_insert(ids, g_strdup(line),
                                GUINT_TO_POINTER(id = g_hash_table_size(ids) + 1));
        lines->ids[i] = id;
    }
    g_ptr_array_add(found, NULL);
    lines->lines = (char **)g_ptr_array_free(found, FALSE);
}

typedef struct {
    Lines before, was, now;
    bool *old_gone, *ours; /* of before: replaced; of was: what they became */
    size_t *place;         /* of was: its line in now; G_MAXSIZE: gone */
    bool *added;           /* of now: not of was */
} Merge;

/* Which lines of now are those of was. */
static void match_now(Merge *merge) {
    g_autofree bool *gone = g_new0(bool, merge->was.n + 1);
    myers_compare(merge->was.ids, merge->was.n, merge->now.ids, merge->now.n, gone, merge->added);
    size_t at = 0;
    for (size_t i = 0; i < merge->was.n; i++) {
        merge->place[i] = G_MAXSIZE;
        if (gone[i])
            continue;
        while (merge->added[at])
            at++;
        merge->place[i] = at++;
    }
}

/* Where a group of `was`, first..end-1, stands in now as a whole: G_MAXSIZE when it does not. An
 * empty group is behind the line before it, before the one behind it, or at the end. */
static size_t place_of(const Merge *merge, size_t first, size_t end) {
    for (size_t i = first; i < end; i++)
        if (merge->place[i] == G_MAXSIZE ||
            (i > first && merge->place[i] != merge->place[i - 1] + 1))
            return G_MAXSIZE;
    if (end > first)
        return merge->place[first];
    if (first > 0 && merge->place[first - 1] != G_MAXSIZE)
        return merge->place[first - 1] + 1;
    if (first < merge->was.n && merge->place[first] != G_MAXSIZE)
        return merge->place[first];
    return first == merge->was.n ? merge->now.n : G_MAXSIZE;
}

static bool stands_at(const Merge *merge, size_t old, size_t n, size_t at) {
    for (size_t i = 0; i < n; i++)
        if (at + i >= merge->now.n || !merge->added[at + i] ||
            merge->now.ids[at + i] != merge->before.ids[old + i])
            return false;
    return true;
}

/* Where what stood before our group, first..end-1 of was, stands again, n lines from old on: it was
 * taken back already. Behind the line before it, before the one behind it, or at the end.
 * G_MAXSIZE: it does not. */
static size_t back_at(const Merge *merge, size_t old, size_t n, size_t first, size_t end) {
    size_t behind = first == 0 ? 0 : merge->place[first - 1];
    size_t next = end < merge->was.n ? merge->place[end] : merge->now.n;
    behind += behind != G_MAXSIZE && first > 0;
    if (behind != G_MAXSIZE && stands_at(merge, old, n, behind))
        return behind;
    if (next != G_MAXSIZE && next >= n && stands_at(merge, old, n, next - n))
        return next - n;
    return G_MAXSIZE;
}

static char *put_back(Merge *merge) {
    g_autoptr(GString) text = g_string_new(NULL);
    size_t at = 0, i = 0, j = 0;
    while (i < merge->before.n || j < merge->was.n) {
        size_t old = i, ours = j;
        while (merge->old_gone[i])
            i++;
        while (merge->ours[j])
            j++;
        if (i == old && j == ours) { /* the same in both */
            i++, j++;
            continue;
        }
        size_t place = place_of(merge, ours, j);
        bool is_back = back_at(merge, old, i - old, ours, j) != G_MAXSIZE;
        if (place == G_MAXSIZE || place < at || (old < i && is_back))
            continue; /* somebody else has changed it, or it is done */
        for (; at < place; at++)
            g_string_append(text, merge->now.lines[at]);
        for (; old < i; old++)
            g_string_append(text, merge->before.lines[old]);
        at += j - ours;
    }
    for (; at < merge->now.n; at++)
        g_string_append(text, merge->now.lines[at]);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

char *line_undo(const char *before, const char *was, const char *now) {
    g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Merge merge = { 0 };
    lines_init(&merge.before, before, ids);
    lines_init(&merge.was, was, ids);
    lines_init(&merge.now, now, ids);
    merge.old_gone = g_new0(bool, merge.before.n + 1);
    merge.ours = g_new0(bool, merge.was.n + 1);
    merge.place = g_new0(size_t, merge.was.n + 1);
    merge.added = g_new0(bool, merge.now.n + 1);
    myers_compare(merge.before.ids, merge.before.n, merge.was.ids, merge.was.n, merge.old_gone,
                  merge.ours);
    match_now(&merge);
    char *text = put_back(&merge);
    lines_clear(&merge.before);
    lines_clear(&merge.was);
    lines_clear(&merge.now);
    g_free(merge.old_gone);
    g_free(merge.ours);
    g_free(merge.place);
    g_free(merge.added);
    return text;
}
