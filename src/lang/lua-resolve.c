#include <string.h>

#include "base/suggest.h"
#include "lang/lua-declare.h"

/* Looking for the nearest of many names takes time: only the first problems get suggestions. */
enum { MAX_SUGGESTIONS = 20 };

static Target *target_at(const Eval *eval, unsigned index) {
    return &g_array_index(eval->targets, Target, index);
}

static GPtrArray *declared_names(const Eval *eval, unsigned kind) {
    DeclaredKind *declared = &g_array_index(eval->kinds, DeclaredKind, kind);
    if (declared->declared)
        return declared->declared;
    declared->declared = g_ptr_array_new();
    for (unsigned i = 0; i < eval->targets->len; i++)
        if (target_at(eval, i)->kind == kind && target_at(eval, i)->is_declared)
            g_ptr_array_add(declared->declared, (void *)(uintptr_t)target_at(eval, i)->name);
    return declared->declared;
}

/* ", did you mean ...?": the nearest name of the kind, or the same name of another kind. */
static char *suggestion(const Eval *eval, const Target *absent) {
    GPtrArray *names = declared_names(eval, absent->kind);
    const char *nearest =
        suggest_nearest(absent->name, (const char *const *)names->pdata, names->len);
    if (nearest)
        return g_strdup_printf(", did you mean %s '%s'?",
                               g_array_index(eval->kinds, DeclaredKind, absent->kind).name,
                               nearest);
    for (unsigned i = 0; i < eval->targets->len; i++) {
        const Target *other = target_at(eval, i);
        if (other->is_declared && strcmp(other->name, absent->name) == 0)
            return g_strdup_printf(", did you mean %s '%s'?",
                                   g_array_index(eval->kinds, DeclaredKind, other->kind).name,
                                   other->name);
    }
    return g_strdup("");
}

static void report_absent(Eval *eval, Place place, const char *text, unsigned target,
                          unsigned *n_suggested) {
    const Target *absent = target_at(eval, target);
    g_autofree char *hint =
        (*n_suggested)++ < MAX_SUGGESTIONS ? suggestion(eval, absent) : g_strdup("");
    g_autofree char *full = g_strconcat(text, hint, NULL);
    eval_problem(eval, place, full);
}

static bool notifies(const Link *link) {
    return link->word == WORD_NOTIFY || link->word == WORD_LISTEN;
}

/* All of one end with all of the other. */
static void add_edges(Eval *eval, const Link *link) {
    const Target *mine = target_at(eval, link->target), *other = target_at(eval, link->other);
    bool from_me = link->word == WORD_BEFORE || link->word == WORD_NOTIFY;
    const Target *from = from_me ? mine : other, *to = from_me ? other : mine;
    EdgeFlags flags = (notifies(link) ? EDGE_NOTIFY : 0) | (from_me ? EDGE_AHEAD : 0);
    Origin origin = eval_origin(eval, link->place);
    for (unsigned i = 0; i < from->count; i++)
        for (unsigned j = 0; j < to->count; j++)
            graph_add_edge(eval->graph, from->first + i, to->first + j, flags, origin);
}

/* Of several edges between two resources the last one counts in a graph: those that notify are
 * added last, so that `needs` beside `listen` takes nothing away. */
static void add_all_edges(Eval *eval, bool notifying) {
    for (unsigned i = 0; i < eval->links->len; i++) {
        const Link *link = &g_array_index(eval->links, Link, i);
        if (notifies(link) == notifying && target_at(eval, link->other)->is_declared)
            add_edges(eval, link);
    }
}

static void report_links(Eval *eval, unsigned *n_suggested) {
    for (unsigned i = 0; i < eval->links->len; i++) {
        const Link *link = &g_array_index(eval->links, Link, i);
        if (target_at(eval, link->other)->is_declared)
            continue;
        g_autofree char *mine = declare_show(eval, link->target);
        g_autofree char *other = declare_show(eval, link->other);
        g_autofree char *text = g_strdup_printf("%s: '%s' names %s, which is not declared", mine,
                                                declare_words[link->word], other);
        report_absent(eval, link->place, text, link->other, n_suggested);
        target_at(eval, link->other)->is_reported = true;
    }
}

/* References that nothing used. */
static void report_mentions(Eval *eval) {
    for (unsigned i = 0; i < eval->targets->len; i++) {
        const Target *target = target_at(eval, i);
        if (target->is_declared || target->is_reported)
            continue;
        g_autofree char *shown = declare_show(eval, i);
        g_autofree char *text = g_strdup_printf(
            "%s: not declared: a name alone only refers to a resource, {} after it declares one",
            shown);
        eval_problem(eval, target->place, text);
    }
}

void declare_resolve(Eval *eval) {
    unsigned n_suggested = 0;
    add_all_edges(eval, false);
    add_all_edges(eval, true);
    report_links(eval, &n_suggested);
    report_mentions(eval);
}
