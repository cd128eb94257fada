/* stead test: tries configurations out on a machine in memory. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/trial.h"
#include "kinds/kinds.h"

#define LIST_SHOWN 10

typedef struct {
    char *name;
    char *failure; /* NULL: passed */
} Case;

typedef struct {
    char *directory;
    const KindSet *kinds;
    GPtrArray *cases; /* of Case */
    Value *trial;     /* result of the case that runs; or NULL */
    bool junit;
} Suite;

static void case_free(void *data) {
    Case *one = data;
    g_free(one->name);
    g_free(one->failure);
    g_free(one);
}

static Value *run_trial(void *data, const Value *inputs, GError **error) {
    Suite *suite = data;
    Value *result = trial_run(suite->directory, suite->kinds, inputs, error);
    value_unref(suite->trial);
    suite->trial = result ? value_ref(result) : NULL;
    return result;
}

static void print_tap(const Case *one, unsigned number) {
    printf("%sok %u - %s\n", one->failure ? "not " : "", number, one->name);
    g_auto(GStrv) lines = one->failure ? g_strsplit(one->failure, "\n", -1) : NULL;
    for (char **line = lines; line && *line; line++)
        printf("# %s\n", *line);
    fflush(stdout);
}

static void add_list(GString *text, const char *title, const GPtrArray *lines) {
    if (lines->len > 0)
        g_string_append_printf(text, "\n%s:", title);
    for (unsigned i = 0; i < MIN(lines->len, LIST_SHOWN); i++)
        g_string_append_printf(text, "\n    %s", (const char *)lines->pdata[i]);
    if (lines->len > LIST_SHOWN)
        g_string_append_printf(text, "\n    and %u more", lines->len - LIST_SHOWN);
}

/* A case that failed may have failed for what is wrong with its configuration, for what failed in
 * it, or for what a second run would do. */
static void add_outcome(const Suite *suite, GString *text) {
    g_autoptr(GPtrArray) failed = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) second = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) wrong = g_ptr_array_new_with_free_func(g_free);
    const Value *problems = value_map_get(suite->trial, "problems");
    for (size_t i = 0; i < value_size(problems); i++)
        g_ptr_array_add(wrong, g_strdup(value_string(value_list_at(problems, i))));
    add_list(text, "what is wrong with the configuration", wrong);
    if (wrong->len > 0) /* then nothing was planned or applied */
        return;
    const Value *kinds = value_map_get(suite->trial, "failed");
    for (size_t i = 0; i < value_size(kinds); i++) {
        const char *kind, *name;
        const Value *names = value_map_at(kinds, i, &kind);
        for (size_t j = 0; j < value_size(names); j++) {
            const char *why = value_string(value_map_at(names, j, &name));
            g_ptr_array_add(failed, g_strdup_printf("%s '%s': %s", kind, name, why));
        }
    }
    const Value *texts = value_map_get(suite->trial, "second");
    for (size_t i = 0; i < value_size(texts); i++)
        g_ptr_array_add(second, g_strdup(value_string(value_list_at(texts, i))));
    add_list(text, "what failed on the machine in memory", failed);
    add_list(text, "a second run would", second);
}

static void add_case(Suite *suite, const char *name, const GPtrArray *problems) {
    Case *one = g_new0(Case, 1);
    one->name = g_strdup(name);
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++)
        g_string_append_printf(text, "%s%s", i ? "\n" : "",
                               ((GError *)problems->pdata[i])->message);
    if (problems->len > 0 && suite->trial)
        add_outcome(suite, text);
    if (problems->len > 0)
        one->failure = g_strdup(text->str);
    g_ptr_array_add(suite->cases, one);
    if (!suite->junit)
        print_tap(one, suite->cases->len);
}

static void on_report(void *data, const char *name, const GPtrArray *problems) {
    Suite *suite = data;
    add_case(suite, name, problems);
    g_clear_pointer(&suite->trial, value_unref);
}

static unsigned count_failures(const Suite *suite) {
    unsigned n = 0;
    for (unsigned i = 0; i < suite->cases->len; i++)
        n += ((Case *)suite->cases->pdata[i])->failure != NULL;
    return n;
}

static void print_junit(const Suite *suite, const char *file) {
    g_autofree char *title = g_markup_escape_text(file, -1);
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"%s\" tests=\"%u\" "
           "failures=\"%u\">\n",
           title, suite->cases->len, count_failures(suite));
    for (unsigned i = 0; i < suite->cases->len; i++) {
        const Case *one = suite->cases->pdata[i];
        g_autofree char *name = g_markup_escape_text(one->name, -1);
        printf("  <testcase name=\"%s\"", name);
        if (!one->failure) {
            puts("/>");
            continue;
        }
        g_autofree char *failure = g_markup_escape_text(one->failure, -1);
        printf("><failure>%s</failure></testcase>\n", failure);
    }
    puts("</testsuite>");
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session || !session_find_kinds(session, words[0]))
        return EXIT_REFUSED;
    Suite suite = {
        .directory = g_path_get_dirname(words[0]),
        .cases = g_ptr_array_new_with_free_func(case_free),
        .junit = arguments->junit,
        .kinds = programs_kinds(session->machine->programs),
    };
    LangCases cases = { run_trial, on_report, &suite };
    LangInputs inputs = session_inputs(session);
    inputs.cases = &cases;
    g_auto(LangResult) result = { 0 };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (!lang_load(words[0], &inputs, &result, problems))
        add_case(&suite, words[0], problems); /* what is wrong outside of any case */
    if (suite.junit)
        print_junit(&suite, words[0]);
    else
        printf("1..%u\n", suite.cases->len);
    unsigned failures = count_failures(&suite);
    bool none = suite.cases->len == 0;
    if (none)
        printer_warning(session->printer, "'%s' has no case(): nothing was tested", words[0]);
    g_ptr_array_unref(suite.cases);
    g_free(suite.directory);
    value_unref(suite.trial);
    return none ? EXIT_REFUSED : failures ? EXIT_FAILURES : EXIT_DONE;
}

static const Option *const options[] = { &option_junit, &option_kinds, &option_no_color, NULL };

const Command command_test = {
    .name = "test",
    .arguments = "FILE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Try a configuration out on a machine in memory",
    .help = "Runs the cases of FILE, a Lua program such as site.test.lua. Each case(name, inputs, "
            "check) evaluates\n"
            "inputs.file with the given facts, values, secrets and time, plans and applies it on a "
            "machine that\n"
            "exists only in memory (with inputs.files, packages, units, links and commands), and "
            "calls check "
            "with a table:\n"
            "problems, resources, plan, applied, failed, files, again, second. Expectations are "
            "written with expect();\n"
            "a case that fails tells also what failed and what a second run would change.\n"
            "Prints TAP, or JUnit XML with --junit. Exits with 4 when a case failed.",
    .example = "stead test site.test.lua",
    .options = options,
    .run = run,
};
