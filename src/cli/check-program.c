#include "cli/check-program.h"

#include <errno.h>
#include <string.h>

#include "host/host-real.h"
#include "kinds/program-kind.h"
#include "kinds/program-talk.h"
#include "lang/lang.h"
#include "lib/machine.h"

#define PADDING   (256 * 1024)          /* bytes of a member that no program knows */
#define ASK_US    (20 * G_USEC_PER_SEC) /* for one answer */
#define GOODBYE_S 1.5                   /* to end when its input does */

/* Members of a description, so that a mistyped one is told. */
static const char *const kind_members[] = {
    "name",  "summary",   "help", "example", "params",   "outputs",   "predicts",
    "watch", "refreshes", "root", "poll",    "parallel", "removable", NULL,
};
static const char *const param_members[] = {
    "name",     "type",  "help",     "default",  "choices", "pattern", "also",
    "required", "named", "property", "identity", "secret",  "file",    NULL,
};
static const char *const output_members[] = { "name", "type", "help", NULL };

typedef struct {
    Printer *printer;
    char *path, *directory, *root, *file; /* of the program; scratch: itself, root, configuration */
    stead_machine *machine;
    const ProgramKind *kind;
    Graph *graph; /* of the example */
    unsigned wrong;
} Check;

static void report(Check *check, bool right, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void report(Check *check, bool right, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    check->wrong += !right;
    printer_line(check->printer, right ? STYLE_GOOD : STYLE_BAD, "%s %s", right ? "ok   " : "wrong",
                 text);
}

/* Right unless error is set; what and the reason in one line. Takes the error. */
static bool report_error(Check *check, const char *what, GError *error) {
    report(check, !error, "%s%s%s", what, error ? ": " : "", error ? error->message : "");
    bool right = !error;
    g_clear_error(&error);
    return right;
}

/* --- what it says about itself */

static void check_members(Check *check, const Value *map, const char *const *known,
                          const char *what) {
    for (size_t i = 0; value_type(map) == VALUE_MAP && i < value_size(map); i++) {
        const char *key;
        (void)value_map_at(map, i, &key); /* only the key */
        if (!g_strv_contains(known, key))
            report(check, false, "%s has a member '%s' that means nothing", what, key);
    }
}

static void check_list(Check *check, const char *member, const char *const *known) {
    const Value *list = value_map_get(check->kind->described, member);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const Value *map = value_list_at(list, i);
        g_autofree char *what =
            g_strdup_printf("%s '%s'", member, value_map_string(map, "name", "?"));
        check_members(check, map, known, what);
    }
}

static bool check_description(Check *check) {
    GError *error = NULL;
    g_autofree char *name = g_path_get_basename(check->path);
    const KindSet *kinds = machine_kinds(check->machine, NULL, &error);
    const Kind *kind = kinds ? kinds->more->find(kinds->more, name, &error) : NULL;
    if (!report_error(check, "describes itself", error))
        return false;
    if (!kind->program || strcmp(kind->program, check->path) != 0) {
        report(check, false, "is not the program for '%s': that is '%s'", name,
               kind->program ? kind->program : "stead itself");
        return false;
    }
    check->kind = (const ProgramKind *)(const void *)kind;
    check_members(check, check->kind->described, kind_members, "the description");
    check_list(check, "params", param_members);
    check_list(check, "outputs", output_members);
    return true;
}

/* --- its manners */

static const Resource *example_of(const Check *check) {
    for (unsigned i = 0; i < graph_size(check->graph); i++)
        if (graph_resource(check->graph, i)->kind == &check->kind->kind)
            return graph_resource(check->graph, i);
    return NULL;
}

static bool load_example(Check *check) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    LangInputs inputs = { .kinds = programs_kinds(check->machine->programs),
                          .host = check->machine->host };
    g_auto(LangResult) result = { 0 };
    GError *error = NULL;
    if (!g_file_set_contents(check->file, check->kind->kind.example, -1, &error))
        return report_error(check, "write its example", error);
    if (!lang_load(check->file, &inputs, &result, problems))
        error = g_error_copy(problems->pdata[0]);
    if (!report_error(check, "its example is valid", error))
        return false;
    check->graph = graph_ref(result.graph);
    report(check, example_of(check) != NULL, "its example declares a %s", check->kind->kind.name);
    return example_of(check) != NULL;
}

static Value *observe(Check *check, GError **error) {
    const Resource *resource = example_of(check);
    g_autoptr(Cancel) cancel = cancel_new(ASK_US);
    KindRun run = { .host = check->machine->host, .resource = resource, .cancel = cancel };
    g_autoptr(State) state = state_new(resource->kind);
    bool ok = resource->kind->observe(&run, state, error);
    value_unref(run.outputs);
    g_free(run.note);
    return ok ? state_to_value(state) : NULL;
}

static void check_observe(Check *check) {
    GError *error = NULL;
    g_autoptr(Value) first = observe(check, &error);
    g_autoptr(Value) second = first ? observe(check, &error) : NULL;
    if (report_error(check, "observes its example", error))
        report(check, value_equal(first, second), "observes the same twice");
}

/* A later stead may ask for more, and tell more. */
static void check_tolerance(Check *check) {
    g_autoptr(Cancel) cancel = cancel_new(ASK_US);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) answer = talk_ask(check->kind->talk, "a_later_request", value_new_map(),
                                       TALK_ASKS, cancel, NULL, &error);
    bool alive = answer || !strstr(error->message, check->path);
    report(check, alive && error, "answers a request it does not know with an error%s%s",
           alive ? "" : ": ", alive ? "" : error->message);
    g_autofree char *padding = g_strnfill(PADDING, 'x');
    Value *members = program_members(example_of(check));
    value_map_set(members, "a_later_member", value_new_string(padding));
    g_clear_error(&error);
    g_autoptr(Value) other =
        talk_ask(check->kind->talk, "observe", members, TALK_ASKS, cancel, NULL, &error);
    alive = other || !strstr(error->message, check->path);
    report(check, alive, "lives through a long line and members it does not know%s%s",
           alive ? "" : ": ", alive ? "" : error->message);
}

static void check_goodbye(Check *check) {
    gint64 start = g_get_monotonic_time();
    talk_stop(check->kind->talk);
    report(check, (double)(g_get_monotonic_time() - start) / 1e6 < GOODBYE_S,
           "ends when its input ends");
}

/* --- its example, as anybody would run it */

static void run_stead(Check *check, const char *command, int expected, const char *what) {
    g_autofree char *kinds = g_path_get_dirname(check->path);
    const char *const argv[] = {
        "/proc/self/exe",      command,   check->file, "--root",
        check->root,           "--kinds", kinds,       "--no-color",
        "--detailed-exitcode", NULL,
    };
    g_autofree char *out = NULL, *err = NULL;
    int status = 0;
    GError *error = NULL;
    if (!g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, 0, NULL, NULL, &out, &err, &status,
                      &error)) {
        report_error(check, what, error);
        return;
    }
    int code = g_spawn_check_wait_status(status, &error) ? 0
               : error->domain == G_SPAWN_EXIT_ERROR     ? error->code
                                                         : -1;
    g_clear_error(&error);
    report(check, code == expected, "%s", what);
    if (code != expected)
        printer_line(check->printer, STYLE_PLAIN, "stead %s, exit code %d:\n%s%s", command, code,
                     out, err);
}

static void check_example(Check *check) {
    if (!check->kind->below_root) {
        printer_line(check->printer, STYLE_DIM,
                     "      its example is not applied: it does not work below a root");
        return;
    }
    run_stead(check, "plan", 2, "its example is planned");
    run_stead(check, "apply", 2, "its example is applied");
    run_stead(check, "plan", 0, "it is right after that");
    if (!check->kind->removable)
        return;
    (void)g_file_set_contents(check->file, "", -1, NULL); /* the next run says so */
    run_stead(check, "apply", 2, "it is removed when it leaves the configuration");
    run_stead(check, "apply", 0, "and nothing is left of it");
}

/* --- all of it */

static bool make_scratch(Check *check, GError **error) {
    static const char *const usual[] = { "etc", "var", "usr", "run", "tmp", "home", "opt", "srv" };
    check->directory = g_dir_make_tmp("stead-check-XXXXXX", error);
    if (!check->directory)
        return false;
    check->root = g_build_filename(check->directory, "root", NULL);
    check->file = g_build_filename(check->directory, "site.lua", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(usual); i++) {
        g_autofree char *path = g_build_filename(check->root, usual[i], NULL);
        if (g_mkdir_with_parents(path, 0755) != 0)
            return set_io_error(error, errno, "make '%s'", path);
    }
    return true;
}

static bool open_machine(Check *check, GError **error) {
    g_autofree char *directory = g_path_get_dirname(check->path);
    const char *const kinds[] = { directory, NULL };
    stead_machine_options options = { .root = check->root, .kinds = kinds };
    check->machine = machine_new(&options, error);
    return check->machine != NULL;
}

static void check_all(Check *check) {
    if (!check_description(check) || !load_example(check))
        return;
    if (check->kind->below_root)
        check_observe(check);
    check_tolerance(check);
    check_goodbye(check);
    check_example(check);
}

static void clear(Check *check) {
    graph_unref(check->graph);
    stead_machine_close(check->machine);
    g_autoptr(Host) local = host_real_new(NULL, NULL, NULL);
    if (check->directory && local)
        (void)host_remove_tree(local, check->directory, NULL, NULL); /* in the directory for such */
    g_free(check->directory);
    g_free(check->root);
    g_free(check->file);
    g_free(check->path);
}

int check_program(Printer *printer, const char *path) {
    g_autoptr(GError) error = NULL;
    if (!path) {
        printer_warning(printer, "--check needs the path of a program");
        return EXIT_REFUSED;
    }
    Check check = { .printer = printer, .path = g_canonicalize_filename(path, NULL) };
    if (programs_trust(check.path, &error) && make_scratch(&check, &error) &&
        open_machine(&check, &error))
        check_all(&check);
    unsigned wrong = check.wrong;
    clear(&check);
    if (error)
        printer_error(printer, error);
    return error ? EXIT_REFUSED : wrong > 0 ? EXIT_FAILURES : EXIT_DONE;
}
