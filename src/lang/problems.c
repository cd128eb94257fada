#include "lang/problems.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"

typedef struct {
    GString *message;
    unsigned rank; /* of the file */
    unsigned line;
    unsigned number; /* order of arrival */
} Problem;

struct Problems {
    Sources *sources;
    GPtrArray *list; /* of Problem */
};

static void problem_free(void *data) {
    Problem *problem = data;
    g_string_free(problem->message, TRUE);
    g_free(problem);
}

Problems *problems_new(Sources *sources) {
    Problems *problems = g_new0(Problems, 1);
    problems->sources = sources;
    problems->list = g_ptr_array_new_with_free_func(problem_free);
    return problems;
}

void problems_free(Problems *problems) {
    if (!problems)
        return;
    g_ptr_array_unref(problems->list);
    g_free(problems);
}

static Problem *problem_new(Problems *problems, Origin origin) {
    Problem *problem = g_new0(Problem, 1);
    problem->message = g_string_new(NULL);
    problem->rank = sources_rank(problems->sources, origin.file);
    problem->line = origin.line;
    problem->number = problems->list->len;
    g_ptr_array_add(problems->list, problem);
    return problem;
}

static void append_place(GString *out, Origin origin) {
    if (origin.file)
        g_string_append(out, origin.file);
    if (origin.file && origin.line > 0)
        g_string_append_printf(out, ":%u", origin.line);
    if (origin.file && origin.line > 0 && origin.column > 0)
        g_string_append_printf(out, ":%u", origin.column);
    if (origin.file)
        g_string_append(out, ": ");
}

static void append_source_line(Problems *problems, GString *out, const char *file, unsigned line) {
    g_autofree char *text = sources_line(problems->sources, file, line);
    if (text && *text)
        g_string_append_printf(out, "\n    %s", text);
}

void problems_add(Problems *problems, Origin origin, const char *text) {
    Problem *problem = problem_new(problems, origin);
    append_place(problem->message, origin);
    g_string_append(problem->message, text);
    append_source_line(problems, problem->message, origin.file, origin.line);
}

void problems_add_format(Problems *problems, Origin origin, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    problems_add(problems, origin, text);
}

void problems_note(Problems *problems, Origin origin) {
    g_assert(problems->list->len > 0);
    Problem *problem = g_ptr_array_index(problems->list, problems->list->len - 1);
    g_autofree char *text = sources_line(problems->sources, origin.file, origin.line);
    g_string_append(problem->message, "\n    ");
    append_place(problem->message, (Origin){ .file = origin.file, .line = origin.line });
    g_string_append(problem->message, text ? text : "");
}

/* Finds `file:line` at the start of message for a file that was read; files may have colons. */
static Origin place_of_message(const Problems *problems, const char *message) {
    g_auto(GStrv) files = sources_files(problems->sources);
    for (unsigned i = 0; files[i]; i++) {
        size_t length = strlen(files[i]);
        if (strncmp(message, files[i], length) == 0 && message[length] == ':')
            return (Origin){ .file = g_intern_string(files[i]),
                             .line = (unsigned)g_ascii_strtoull(message + length + 1, NULL, 10) };
    }
    return (Origin){ .file = NULL };
}

void problems_add_error(Problems *problems, GError *error) {
    Origin origin = place_of_message(problems, error->message);
    Problem *problem = problem_new(problems, origin);
    g_string_append(problem->message, error->message);
    if (!strchr(error->message, '\n'))
        append_source_line(problems, problem->message, origin.file, origin.line);
    g_error_free(error);
}

void problems_clear(Problems *problems) {
    g_ptr_array_set_size(problems->list, 0);
}

unsigned problems_count(const Problems *problems) {
    return problems->list->len;
}

static int compare_problems(const void *a, const void *b) {
    const Problem *left = *(Problem *const *)a, *right = *(Problem *const *)b;
    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

void problems_move(Problems *problems, GPtrArray *out) {
    g_ptr_array_sort(problems->list, compare_problems);
    for (unsigned i = 0; i < problems->list->len; i++) {
        const Problem *problem = g_ptr_array_index(problems->list, i);
        g_ptr_array_add(
            out, g_error_new_literal(STEAD_ERROR, STEAD_ERROR_CONFIG, problem->message->str));
    }
    g_ptr_array_set_size(problems->list, 0);
}
