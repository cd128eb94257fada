#include "cli/verbs.h"

#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

static const Verb *row_at(const Verb *rows, size_t size, unsigned index) {
    return (const Verb *)(const void *)((const char *)rows + size * index);
}

static void refuse_name(const char *command, const GPtrArray *names, const char *name,
                        GError **error) {
    const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len - 1);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    if (near)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead %s: no such verb '%s', did you mean '%s'?", command, name, near);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead %s: no such verb '%s'; there are %s", command, name, all);
}

int verb_find(const char *command, const Verb *rows, size_t size, unsigned n, char **words,
              GError **error) {
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    unsigned n_words = g_strv_length(words + 1);
    for (unsigned i = 0; i < n; i++) {
        const Verb *verb = row_at(rows, size, i);
        if (!verb->hidden)
            g_ptr_array_add(names, (void *)(uintptr_t)verb->name);
        if (strcmp(verb->name, words[0]) != 0)
            continue;
        if (n_words >= verb->min && n_words <= verb->max)
            return (int)i;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "usage: stead %s %s%s%s", command,
                    verb->name, *verb->words ? " " : "", verb->words);
        return -1;
    }
    g_ptr_array_add(names, NULL);
    refuse_name(command, names, words[0], error);
    return -1;
}
