/* libstead as another program sees it: linked with the shared library, through stead.h alone. */
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/stead.h"

#define PATIENCE_US (60 * G_USEC_PER_SEC)

typedef struct {
    char *root;
    stead_machine *machine;
    stead_error *error;
    GString *log; /* "changed file '/x' create corrective=0\n" ... */
    unsigned counts[32];
    GThread *thread; /* that must be told */
} Fixture;

static char *in_root(const Fixture *fixture, const char *path) {
    return g_build_filename(fixture->root, path, NULL);
}

static void expect_content(const Fixture *fixture, const char *path, const char *content) {
    g_autofree char *whole = in_root(fixture, path);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(whole, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, content);
}

static void write_file(const Fixture *fixture, const char *path, const char *content) {
    g_autofree char *whole = in_root(fixture, path);
    g_assert_true(g_file_set_contents(whole, content, -1, NULL));
}

static void expect_error(Fixture *fixture, stead_code code, const char *part) {
    g_assert_nonnull(fixture->error);
    g_assert_cmpstr(stead_error_domain(fixture->error), ==, "stead");
    g_test_message("%s", stead_error_message(fixture->error));
    g_assert_cmpint(stead_error_code(fixture->error), ==, code);
    g_assert_nonnull(strstr(stead_error_message(fixture->error), part));
    stead_error_free(g_steal_pointer(&fixture->error));
}

static void expect_no_error(const Fixture *fixture) {
    if (fixture->error)
        g_error("%s", stead_error_message(fixture->error));
}

static void open_machine(Fixture *fixture, uint64_t flags) {
    stead_machine_options options = {
        .size = sizeof options,
        .root = fixture->root,
        .name = "test",
        .flags = flags,
    };
    fixture->machine = stead_machine_open(&options, &fixture->error);
    expect_no_error(fixture);
    g_assert_nonnull(fixture->machine);
}

static void set_up(Fixture *fixture, gconstpointer unused) {
    fixture->root = g_dir_make_tmp("stead-lib-XXXXXX", NULL);
    fixture->log = g_string_new(NULL);
    fixture->thread = g_thread_self();
    open_machine(fixture, 0);
}

static void remove_tree(const char *path) {
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
    stead_machine_close(fixture->machine);
    remove_tree(fixture->root);
    g_free(fixture->root);
    g_string_free(fixture->log, TRUE);
    g_assert_null(fixture->error);
}

/* --- graphs ----------------------------------------------------------------------------------- */

static stead_resource *add(Fixture *fixture, stead_graph *graph, const char *kind,
                           const char *name) {
    stead_resource *resource = stead_graph_add(graph, kind, name, &fixture->error);
    expect_no_error(fixture);
    g_assert_nonnull(resource);
    return resource;
}

static stead_resource *add_file(Fixture *fixture, stead_graph *graph, const char *name,
                                const char *content) {
    stead_resource *resource = add(fixture, graph, "file", name);
    g_assert_true(stead_resource_set_string(resource, "content", content, &fixture->error));
    return resource;
}

static stead_graph *valid(Fixture *fixture, stead_graph *graph) {
    bool ok = stead_graph_validate(graph, &fixture->error);
    expect_no_error(fixture);
    g_assert_true(ok);
    return graph;
}

/* A directory and a file in it, declared the wrong way round. */
static stead_graph *sample(Fixture *fixture, const char *content) {
    stead_graph *graph = stead_graph_new();
    add_file(fixture, graph, "/srv/hello.txt", content);
    add(fixture, graph, "file", "/srv/");
    return valid(fixture, graph);
}

/* --- runs ------------------------------------------------------------------------------------- */

static const char *const event_names[] = {
    "ok",       "changed",  "pending",    "failed",    "retrying", "note",
    "reported", "flapping", "watch-lost", "converged", "diverged", "swapped",
};

static void on_event(void *data, stead_event *event) {
    Fixture *fixture = data;
    stead_event_type type = stead_event_get_type(event);
    g_assert_true(g_thread_self() == fixture->thread);
    fixture->counts[type]++;
    g_string_append(fixture->log, event_names[type]);
    if (stead_event_kind(event))
        g_string_append_printf(fixture->log, " %s '%s'", stead_event_kind(event),
                               stead_event_name(event));
    if (type == STEAD_EVENT_CHANGED) {
        const stead_value *changes = stead_event_changes(event);
        g_assert_cmpuint(stead_value_size(changes), >, 0);
        g_string_append_printf(fixture->log, " %s%s", stead_event_action(event),
                               stead_event_corrective(event) ? " corrective" : "");
    }
    if (stead_event_error(event))
        g_string_append_printf(fixture->log, ": %s", stead_event_error(event));
    if (stead_event_note(event))
        g_string_append_printf(fixture->log, ": %s", stead_event_note(event));
    g_string_append_c(fixture->log, '\n');
}

static stead_run *start(Fixture *fixture, stead_graph *graph, uint64_t flags) {
    stead_run_options options = {
        .size = sizeof options,
        .flags = flags,
        .on_event = on_event,
        .data = fixture,
    };
    stead_run *run = stead_run_new(fixture->machine, graph, &options, &fixture->error);
    expect_no_error(fixture);
    g_assert_nonnull(run);
    return run;
}

/* The loop of a host program, until the run is over (NULL) or *counter has reached n. Whether it is
 * over. */
static bool own_loop(Fixture *fixture, stead_run *run, const unsigned *counter, unsigned n) {
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    struct pollfd ready = { .fd = stead_run_get_fd(run), .events = POLLIN };
    unsigned turns = 0;
    while (!counter || *counter < n) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        int timeout = stead_run_prepare(run);
        int r = poll(&ready, 1, timeout < 0 ? 1000 : timeout);
        g_assert_cmpint(r, >=, 0);
        r = stead_run_dispatch(run, &fixture->error);
        expect_no_error(fixture);
        if (r == 0)
            return true;
        g_assert_cmpuint(turns++, <, 100000); /* no busy loop */
    }
    return false;
}

static stead_run_summary summary_of(const stead_run *run) {
    stead_run_summary summary = { .size = sizeof summary };
    stead_run_get_summary(run, &summary);
    g_assert_cmpuint(summary.size, ==, sizeof summary);
    return summary;
}

static void apply(Fixture *fixture, stead_graph *graph) {
    stead_run *run = start(fixture, graph, 0);
    bool ok = stead_run_wait(run, &fixture->error);
    expect_no_error(fixture);
    g_assert_true(ok);
    g_assert_cmpuint(summary_of(run).failed, ==, 0);
    stead_run_free(run);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_values(void) {
    stead_error *error = NULL;
    const char *text = "{\"a\": [1, 2.5, true, null, \"x\"], \"b\": {}}";
    stead_value *value = stead_value_new_json(text, strlen(text), "here", &error);
    g_assert_null(error);
    const stead_value *list = stead_value_get(value, "a");
    g_assert_cmpint(stead_value_type(list), ==, STEAD_LIST);
    g_assert_cmpuint(stead_value_size(list), ==, 5);
    g_assert_cmpint(stead_value_get_int(stead_value_at(list, 0, NULL), 7), ==, 1);
    g_assert_true(stead_value_get_float(stead_value_at(list, 0, NULL), 7) == 1.0);
    g_assert_true(stead_value_get_float(stead_value_at(list, 1, NULL), 7) == 2.5);
    g_assert_true(stead_value_get_bool(stead_value_at(list, 2, NULL), false));
    g_assert_cmpint(stead_value_type(stead_value_at(list, 3, NULL)), ==, STEAD_NIL);
    size_t size = 0;
    g_assert_cmpstr(stead_value_get_string(stead_value_at(list, 4, NULL), &size), ==, "x");
    g_assert_cmpuint(size, ==, 1);
    /* What is not there, or another type, is no mistake. */
    g_assert_null(stead_value_at(list, 5, NULL));
    g_assert_null(stead_value_get(list, "a"));
    g_assert_null(stead_value_get(NULL, "a"));
    g_assert_cmpint(stead_value_get_int(stead_value_at(list, 4, NULL), 7), ==, 7);
    g_assert_null(stead_value_get_string(list, NULL));
    const char *key = NULL;
    g_assert_nonnull(stead_value_at(value, 1, &key));
    g_assert_cmpstr(key, ==, "b");
    char *printed = stead_value_to_json(value);
    stead_value *again = stead_value_new_json(printed, strlen(printed), "again", NULL);
    g_assert_true(stead_value_equal(value, again));
    stead_free(printed);
    stead_value_unref(again);
    stead_value_unref(value);
    g_assert_null(stead_value_new_json("{", 1, "here", &error));
    g_assert_cmpint(stead_error_code(error), ==, STEAD_E_CONFIG);
    g_assert_nonnull(strstr(stead_error_message(error), "here:1:"));
    stead_error_free(error);
}

static void test_built_values(void) {
    stead_value *list = stead_value_new_list(), *map = stead_value_new_map();
    stead_value_append(list, stead_value_new_int(1));
    stead_value_append(list, NULL);
    stead_value_append(list, stead_value_new_bytes("a\0b", 3));
    stead_value_set(map, "list", list);
    stead_value_set(map, "key", stead_value_new_bool(false));
    stead_value_set(map, "key", stead_value_new_float(0.5));
    stead_value_set(map, "password", stead_value_new_secret("db", "hunter2"));
    stead_value *other = stead_value_ref(map);
    stead_value_unref(map);
    size_t size;
    g_assert_nonnull(stead_value_get_string(stead_value_at(list, 2, NULL), &size));
    g_assert_cmpuint(size, ==, 3);
    g_assert_true(stead_value_get_float(stead_value_get(other, "key"), 0) == 0.5);
    char *printed = stead_value_to_json(other);
    g_assert_null(strstr(printed, "hunter2"));
    g_assert_nonnull(strstr(printed, "\"db\""));
    stead_free(printed);
    stead_value_unref(other);
}

static void test_names_are_checked(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    g_assert_null(stead_graph_add(graph, "fil", "/x", &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "did you mean 'file'");
    g_assert_null(stead_graph_add(graph, "file", "", &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "is empty");
    g_assert_null(stead_graph_add(graph, "file", "\xff", &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "UTF-8");
    stead_resource *file = add(fixture, graph, "file", "/x");
    stead_resource_set_origin(file, "program.c", 7);
    g_assert_false(stead_resource_set_string(file, "contnt", "", &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "program.c:7: file '/x'");
    g_assert_false(stead_resource_set_int(file, "mode", 12345678, &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "mode");
    g_assert_false(stead_resource_set_string(file, "retry", "often", NULL)); /* nobody asked why */
    g_assert_true(stead_resource_set_int(file, "retry", 3, &fixture->error));
    g_assert_true(stead_resource_set_bool(file, "noop", true, &fixture->error));
    g_assert_true(stead_graph_find(graph, "file", "/x") == file);
    g_assert_null(stead_graph_find(graph, "file", "/y"));
    g_assert_null(stead_graph_find(graph, "fil", "/x"));
    stead_graph_free(graph);
}

static void test_problems_of_a_graph(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    add_file(fixture, graph, "/x", "one");
    stead_resource *second = add_file(fixture, graph, "/x", "two");
    stead_resource_set_origin(second, "program.c", 9);
    add(fixture, graph, "user", "no:user");
    g_assert_false(stead_graph_validate(graph, &fixture->error));
    const stead_error *next = stead_error_next(fixture->error);
    g_assert_nonnull(next); /* both, not only the first */
    g_assert_null(stead_error_next(next));
    g_assert_nonnull(
        strstr(stead_error_message(fixture->error), "program.c:9: file '/x' is declared twice"));
    g_assert_nonnull(strstr(stead_error_message(next), "user 'no:user'"));
    stead_error_free(g_steal_pointer(&fixture->error));
    g_assert_false(stead_graph_validate(graph, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "build a new one");
    g_assert_null(stead_plan_new(fixture->machine, graph, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "not valid");
    g_assert_null(stead_run_new(fixture->machine, graph, NULL, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "not valid");
    stead_graph_free(graph);
}

static void test_cycle(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    stead_resource *a = add(fixture, graph, "noop", "a"), *b = add(fixture, graph, "noop", "b");
    g_assert_true(stead_graph_add_edge(graph, a, b, 0, &fixture->error));
    g_assert_true(stead_graph_add_edge(graph, b, a, 0, &fixture->error));
    g_assert_false(stead_graph_validate(graph, &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "cycle");
    stead_graph_free(graph);
}

static void test_closed_graph(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_resource *file = stead_graph_find(graph, "file", "/srv/hello.txt");
    g_assert_cmpuint(stead_graph_size(graph), ==, 2);
    g_assert_true(stead_graph_validate(graph, &fixture->error)); /* again: nothing */
    g_assert_null(stead_graph_add(graph, "file", "/y", &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "was validated");
    g_assert_false(stead_resource_set_string(file, "content", "other", &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "was validated");
    g_assert_false(stead_graph_add_edge(graph, file, file, 0, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "was validated");
    stead_value *value = stead_graph_to_value(graph);
    g_assert_cmpuint(stead_value_size(stead_value_get(value, "resources")), ==, 2);
    g_assert_cmpuint(stead_value_size(stead_value_get(value, "edges")), ==, 1); /* automatic */
    stead_value_unref(value);
    stead_graph_free(graph);
}

static void test_plan(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_plan *plan = stead_plan_new(fixture->machine, graph, &fixture->error);
    expect_no_error(fixture);
    g_assert_cmpuint(stead_plan_size(plan), ==, 2);
    g_assert_true(stead_plan_has_changes(plan));
    g_assert_false(stead_plan_has_errors(plan));
    stead_plan_item item = { .size = sizeof item };
    g_assert_true(stead_plan_get(plan, 0, &item));
    g_assert_cmpstr(item.kind, ==, "file");
    g_assert_cmpstr(item.name, ==, "/srv/");
    g_assert_cmpstr(item.action, ==, "create");
    g_assert_null(item.error);
    g_assert_false(item.removal || item.corrective || item.uncertain || item.only_reported);
    /* A program compiled when the structure ended after the name. */
    stead_plan_item old = { .size = offsetof(stead_plan_item, action), .action = "untouched" };
    g_assert_true(stead_plan_get(plan, 1, &old));
    g_assert_cmpstr(old.name, ==, "/srv/hello.txt");
    g_assert_cmpstr(old.action, ==, "untouched");
    g_assert_false(stead_plan_get(plan, 2, &item));
    stead_value *value = stead_plan_to_value(plan);
    g_assert_cmpuint(stead_value_size(stead_value_get(value, "resource_changes")), ==, 2);
    stead_value_unref(value);
    g_autofree char *srv = in_root(fixture, "srv");
    g_assert_false(g_file_test(srv, G_FILE_TEST_EXISTS)); /* nothing was done */
    stead_graph_free(graph);
    stead_plan_free(plan);
}

static void test_own_loop(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_run *run = start(fixture, graph, 0);
    stead_graph_free(graph); /* the run keeps what it needs */
    g_assert_true(own_loop(fixture, run, NULL, 0));
    g_assert_cmpstr(fixture->log->str, ==,
                    "swapped\nchanged file '/srv/' create\nchanged file '/srv/hello.txt' create\n"
                    "converged\n");
    g_assert_cmpint(stead_run_dispatch(run, &fixture->error), ==, 0); /* still over */
    g_assert_true(stead_run_wait(run, &fixture->error));
    stead_run_summary summary = summary_of(run);
    g_assert_cmpuint(summary.total, ==, 2);
    g_assert_cmpuint(summary.changed, ==, 2);
    g_assert_cmpint(summary.exit_code, ==, -1);
    stead_value *status = stead_run_get_status(run, "file", "/srv/hello.txt");
    g_assert_cmpstr(stead_value_get_string(stead_value_get(status, "state"), NULL), ==, "ok");
    stead_value_unref(status);
    g_assert_null(stead_run_get_status(run, "file", "/nothing"));
    g_assert_true(stead_run_flush(run, &fixture->error));
    stead_run_free(run);
    expect_content(fixture, "srv/hello.txt", "hello\n");
}

static void test_what_left_is_undone(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    apply(fixture, graph);
    stead_graph_free(graph);
    graph = stead_graph_new();
    add(fixture, graph, "file", "/srv/");
    valid(fixture, graph);
    stead_plan *plan = stead_plan_new(fixture->machine, graph, &fixture->error);
    stead_plan_item item = { .size = sizeof item };
    g_assert_true(stead_plan_get(plan, 0, &item));
    g_assert_true(item.removal);
    g_assert_cmpstr(item.action, ==, "remove");
    apply(fixture, graph);
    g_autofree char *path = in_root(fixture, "srv/hello.txt");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    stead_plan_free(plan);
    stead_graph_free(graph);
}

static void test_forgetful(Fixture *fixture, gconstpointer unused) {
    stead_machine_close(fixture->machine);
    open_machine(fixture, STEAD_MACHINE_FORGETFUL);
    stead_graph *graph = sample(fixture, "hello\n");
    apply(fixture, graph);
    stead_graph_free(graph);
    graph = valid(fixture, stead_graph_new());
    apply(fixture, graph);
    stead_graph_free(graph);
    expect_content(fixture, "srv/hello.txt", "hello\n");
    g_autofree char *state = in_root(fixture, "var/lib/stead");
    g_assert_false(g_file_test(state, G_FILE_TEST_EXISTS));
}

static void test_keep(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_run *run = start(fixture, graph, STEAD_RUN_KEEP);
    const unsigned *changed = &fixture->counts[STEAD_EVENT_CHANGED];
    const unsigned *converged = &fixture->counts[STEAD_EVENT_CONVERGED];
    g_assert_false(own_loop(fixture, run, converged, 1));
    g_string_truncate(fixture->log, 0);
    write_file(fixture, "srv/hello.txt", "tampered\n");
    g_assert_false(own_loop(fixture, run, changed, 3));
    expect_content(fixture, "srv/hello.txt", "hello\n");
    g_assert_nonnull(strstr(fixture->log->str, "changed file '/srv/hello.txt' change corrective"));
    /* Another graph takes over live; what it has not is undone. */
    stead_graph *other = stead_graph_new();
    add_file(fixture, other, "/srv/other.txt", "other\n");
    add(fixture, other, "file", "/srv/");
    g_assert_false(stead_run_load(run, other, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "not valid");
    g_assert_true(stead_run_load(run, valid(fixture, other), &fixture->error));
    g_assert_false(own_loop(fixture, run, changed, 5));
    expect_content(fixture, "srv/other.txt", "other\n");
    unsigned looked = fixture->counts[STEAD_EVENT_OK];
    stead_run_recheck(run);
    g_assert_cmpint(stead_run_prepare(run), ==, 0); /* asked for between two turns of the loop */
    g_assert_false(own_loop(fixture, run, &fixture->counts[STEAD_EVENT_OK], looked + 2));
    stead_run_stop(run);
    g_assert_true(own_loop(fixture, run, NULL, 0));
    stead_run_free(run);
    stead_graph_free(graph);
    stead_graph_free(other);
}

/* What failed is tried again when something happens to it, without being asked for. */
static void test_keep_tries_again(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    add_file(fixture, graph, "/srv/hello.txt", "hello\n");
    stead_run *run = start(fixture, valid(fixture, graph), STEAD_RUN_KEEP);
    g_assert_false(own_loop(fixture, run, &fixture->counts[STEAD_EVENT_FAILED], 1));
    g_autofree char *srv = in_root(fixture, "srv");
    g_assert_cmpint(g_mkdir(srv, 0755), ==, 0);
    g_assert_false(own_loop(fixture, run, &fixture->counts[STEAD_EVENT_CHANGED], 1));
    expect_content(fixture, "srv/hello.txt", "hello\n");
    stead_run_free(run);
    stead_graph_free(graph);
}

/* Nothing to do: the host program's loop sleeps. */
static void test_idle(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_run *run = start(fixture, graph, STEAD_RUN_KEEP);
    struct pollfd ready = { .fd = stead_run_get_fd(run), .events = POLLIN };
    g_assert_false(own_loop(fixture, run, &fixture->counts[STEAD_EVENT_CONVERGED], 1));
    unsigned woken = 0;
    gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
    while (g_get_monotonic_time() < end) {
        int timeout = stead_run_prepare(run);
        if (poll(&ready, 1, timeout == 0 ? 0 : 500) > 0 || timeout == 0)
            woken++;
        g_assert_cmpint(stead_run_dispatch(run, &fixture->error), ==, 1);
    }
    g_assert_cmpuint(woken, <, 50); /* what converging left: workers that end, the ledger */
    stead_run_free(run);            /* without stopping it first */
    stead_graph_free(graph);
}

static void test_failure(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    stead_resource *fails = add(fixture, graph, "exec", "fails");
    g_assert_true(stead_resource_set_string(fails, "cmd", "exit 3", &fixture->error));
    g_assert_true(stead_resource_set_string(fails, "shell", "/bin/sh", &fixture->error));
    g_autofree char *never = in_root(fixture, "after");
    stead_resource *after = add_file(fixture, graph, never, "");
    g_assert_true(stead_graph_add_edge(graph, fails, after, STEAD_EDGE_NOTIFY, &fixture->error));
    stead_machine_close(fixture->machine);
    fixture->machine = NULL;
    stead_machine_options options = { .size = sizeof options };
    g_autofree char *state = in_root(fixture, "state");
    options.state = state; /* commands need the machine itself */
    fixture->machine = stead_machine_open(&options, &fixture->error);
    expect_no_error(fixture);
    stead_run *run = start(fixture, valid(fixture, graph), 0);
    g_assert_true(own_loop(fixture, run, NULL, 0));
    stead_run_summary summary = summary_of(run);
    g_assert_cmpuint(summary.failed, ==, 1);
    g_assert_cmpuint(summary.blocked, ==, 1);
    g_assert_nonnull(strstr(fixture->log->str, "failed exec 'fails': "));
    g_assert_false(g_file_test(never, G_FILE_TEST_EXISTS));
    stead_run_free(run);
    stead_graph_free(graph);
}

static void test_receive(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = stead_graph_new();
    stead_resource *value = add(fixture, graph, "value", "greeting");
    g_assert_true(stead_resource_set_string(value, "any", "received\n", &fixture->error));
    stead_resource *file = add(fixture, graph, "file", "/greeting.txt");
    g_assert_false(stead_resource_receive(file, "content", value, "nothing", NULL) &&
                   stead_graph_validate(graph, NULL));
    stead_graph_free(graph);
    graph = stead_graph_new();
    value = add(fixture, graph, "value", "greeting");
    g_assert_true(stead_resource_set_string(value, "any", "received\n", &fixture->error));
    file = add(fixture, graph, "file", "/greeting.txt");
    g_assert_true(stead_resource_receive(file, "content", value, "any", &fixture->error));
    apply(fixture, valid(fixture, graph));
    expect_content(fixture, "greeting.txt", "received\n");
    stead_graph_free(graph);
}

static void test_noop(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_run *run = start(fixture, graph, STEAD_RUN_NOOP);
    g_assert_true(stead_run_wait(run, &fixture->error));
    g_assert_cmpuint(summary_of(run).pending, >, 0);
    g_assert_cmpuint(fixture->counts[STEAD_EVENT_CHANGED], ==, 0);
    stead_run_free(run);
    g_autofree char *srv = in_root(fixture, "srv");
    g_assert_false(g_file_test(srv, G_FILE_TEST_EXISTS));
    stead_graph_free(graph);
}

static void test_plan_limits_run(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_plan *plan = stead_plan_new(fixture->machine, graph, &fixture->error);
    g_autofree char *srv = in_root(fixture, "srv");
    g_assert_cmpint(g_mkdir(srv, 0700), ==, 0); /* somebody was faster, and did it differently */
    write_file(fixture, "srv/hello.txt", "mine\n");
    stead_run_options options = { .size = sizeof options, .plan = plan };
    stead_run *run = stead_run_new(fixture->machine, graph, &options, &fixture->error);
    expect_no_error(fixture);
    g_assert_true(stead_run_wait(run, &fixture->error));
    g_assert_cmpuint(summary_of(run).failed, >, 0);
    expect_content(fixture, "srv/hello.txt", "mine\n");
    stead_run_free(run);
    stead_plan_free(plan);
    stead_graph_free(graph);
}

static void test_one_run_at_a_time(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n");
    stead_run *run = start(fixture, graph, STEAD_RUN_KEEP);
    g_assert_null(stead_run_new(fixture->machine, graph, NULL, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "second run");
    /* Nor by another machine object that means the same, as another process would have. */
    stead_machine_options options = { .size = sizeof options, .root = fixture->root };
    stead_machine *same = stead_machine_open(&options, &fixture->error);
    g_assert_null(stead_run_new(same, graph, NULL, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "test");
    stead_plan *plan = stead_plan_new(same, graph, &fixture->error); /* plans only read */
    expect_no_error(fixture);
    stead_plan_free(plan);
    stead_run_free(run);
    run = stead_run_new(same, graph, NULL, &fixture->error); /* the lock went with the run */
    expect_no_error(fixture);
    stead_run_free(run);
    stead_machine_close(same);
    stead_graph_free(graph);
}

/* What another program made is not undone by accident. */
static void test_take_over(Fixture *fixture, gconstpointer unused) {
    stead_graph *graph = sample(fixture, "hello\n"), *other = stead_graph_new();
    apply(fixture, graph);
    add(fixture, other, "file", "/srv/");
    valid(fixture, other);
    stead_machine_close(fixture->machine);
    stead_machine_options options = {
        .size = sizeof options,
        .root = fixture->root,
        .name = "another",
    };
    fixture->machine = stead_machine_open(&options, &fixture->error);
    stead_plan *plan = stead_plan_new(fixture->machine, other, &fixture->error);
    g_assert_nonnull(strstr(stead_plan_warning(plan), "'test'"));
    stead_plan_free(plan);
    plan = stead_plan_new(fixture->machine, graph, &fixture->error);
    g_assert_null(stead_plan_warning(plan)); /* undoes nothing */
    stead_plan_free(plan);
    g_assert_null(stead_run_new(fixture->machine, other, NULL, &fixture->error));
    expect_error(fixture, STEAD_E_REFUSED, "'test'");
    expect_content(fixture, "srv/hello.txt", "hello\n");
    stead_run *run = start(fixture, other, STEAD_RUN_NOOP);
    g_assert_nonnull(strstr(stead_run_warning(run), "'test'"));
    stead_run_free(run);
    run = start(fixture, other, STEAD_RUN_TAKE_OVER);
    g_assert_null(stead_run_warning(run));
    g_assert_true(stead_run_wait(run, &fixture->error));
    stead_run_free(run);
    g_autofree char *path = in_root(fixture, "srv/hello.txt");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    stead_graph_free(graph);
    stead_graph_free(other);
}

static void test_load(Fixture *fixture, gconstpointer unused) {
    g_autofree char *site = in_root(fixture, "site.lua");
    write_file(fixture, "site.lua", "file(\"/x\") { contnt = 1 }\nfil \"/y\" {}\n");
    g_assert_null(stead_graph_load(fixture->machine, site, NULL, &fixture->error));
    g_assert_nonnull(stead_error_next(fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "site.lua:1");
    write_file(fixture, "site.lua", "file(\"/\" .. values.name) { content = secret \"word\" }\n");
    stead_value *values = stead_value_new_map(), *secrets = stead_value_new_map();
    stead_value_set(values, "name", stead_value_new_string("loaded"));
    stead_value_set(secrets, "word", stead_value_new_string("xyzzy"));
    stead_load_options options = { .size = sizeof options, .values = values, .secrets = secrets };
    stead_graph *graph = stead_graph_load(fixture->machine, site, &options, &fixture->error);
    expect_no_error(fixture);
    g_assert_null(stead_graph_warning(graph, 0));
    apply(fixture, graph);
    expect_content(fixture, "loaded", "xyzzy");
    g_assert_null(strstr(fixture->log->str, "xyzzy"));
    stead_graph_free(graph);
    stead_value_unref(values);
    stead_value_unref(secrets);
    g_assert_null(stead_graph_load(fixture->machine, "/nowhere.lua", NULL, &fixture->error));
    g_assert_nonnull(fixture->error);
    stead_error_free(g_steal_pointer(&fixture->error));
}

static void test_options_of_other_versions(Fixture *fixture, gconstpointer unused) {
    struct {
        stead_machine_options known;
        uint64_t later;
    } newer = { { .size = sizeof newer, .root = fixture->root }, 0 };
    stead_machine *machine = stead_machine_open(&newer.known, &fixture->error);
    expect_no_error(fixture); /* asks for nothing we do not have */
    stead_machine_close(machine);
    newer.later = 1;
    g_assert_null(stead_machine_open(&newer.known, &fixture->error));
    expect_error(fixture, STEAD_E_UNSUPPORTED, "does not have");
    stead_machine_options forgotten = { .root = fixture->root };
    g_assert_null(stead_machine_open(&forgotten, &fixture->error));
    expect_error(fixture, STEAD_E_UNSUPPORTED, "'size'");
    stead_machine_options nowhere = { .size = sizeof nowhere, .root = "/nowhere/at/all" };
    g_assert_null(stead_machine_open(&nowhere, &fixture->error));
    expect_error(fixture, STEAD_E_NOT_FOUND, "/nowhere/at/all");
}

/* A copy that nobody else may write, whatever the clone's modes are. */
static char *copy_program(const char *directory, const char *name) {
    g_autofree char *from = g_build_filename(EXAMPLES, "kinds", name, NULL);
    char *kinds = g_build_filename(directory, "kinds", NULL);
    g_autofree char *to = g_build_filename(kinds, name, NULL);
    g_autofree char *text = NULL;
    g_assert_cmpint(g_mkdir(kinds, 0755), ==, 0);
    g_assert_true(g_file_get_contents(from, &text, NULL, NULL));
    g_assert_true(g_file_set_contents(to, text, -1, NULL));
    g_assert_cmpint(g_chmod(to, 0755), ==, 0);
    return kinds;
}

/* The graph and the plan outlive the machine, and so does what they know of kinds. */
static void test_kind_of_a_program(Fixture *fixture, gconstpointer unused) {
    g_autofree char *directory = copy_program(fixture->root, "timezone");
    g_autofree char *etc = g_build_filename(fixture->root, "etc", NULL);
    g_assert_cmpint(g_mkdir(etc, 0755), ==, 0);
    const char *const kinds[] = { directory, NULL };
    stead_machine_options options = { .size = sizeof options,
                                      .root = fixture->root,
                                      .kinds = kinds };
    stead_machine_close(fixture->machine);
    fixture->machine = stead_machine_open(&options, &fixture->error);
    expect_no_error(fixture);
    stead_graph *plain = stead_graph_new();
    g_assert_null(stead_graph_add(plain, "timezone", "UTC", &fixture->error));
    expect_error(fixture, STEAD_E_CONFIG, "no such kind 'timezone'");
    stead_graph_free(plain);
    stead_graph *graph = stead_graph_new_on(fixture->machine, &fixture->error);
    add(fixture, graph, "timezone", "Etc/UTC");
    valid(fixture, graph);
    stead_plan *plan = stead_plan_new(fixture->machine, graph, &fixture->error);
    expect_no_error(fixture);
    g_assert_cmpuint(stead_plan_size(plan), ==, 1);
    stead_machine_close(g_steal_pointer(&fixture->machine));
    stead_plan_item item = { .size = sizeof item };
    g_assert_true(stead_plan_get(plan, 0, &item));
    g_assert_cmpstr(item.kind, ==, "timezone");
    stead_plan_free(plan);
    stead_graph_free(graph);
}

static void test_nothing_accepts_null(void) {
    stead_error_free(NULL);
    stead_free(NULL);
    stead_value_unref(NULL);
    stead_graph_free(NULL);
    stead_plan_free(NULL);
    stead_run_free(NULL);
    stead_machine_close(NULL);
    g_assert_null(stead_value_ref(NULL));
    g_assert_cmpint(stead_value_type(NULL), ==, STEAD_NIL);
    g_assert_cmpstr(stead_version(), ==, STEAD_VERSION);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lib/values", test_values);
    g_test_add_func("/lib/built-values", test_built_values);
    g_test_add_func("/lib/null", test_nothing_accepts_null);
    static const struct {
        const char *path;
        void (*run)(Fixture *fixture, gconstpointer unused);
    } tests[] = {
        { "/lib/names", test_names_are_checked },
        { "/lib/problems", test_problems_of_a_graph },
        { "/lib/cycle", test_cycle },
        { "/lib/program", test_kind_of_a_program },
        { "/lib/closed-graph", test_closed_graph },
        { "/lib/plan", test_plan },
        { "/lib/own-loop", test_own_loop },
        { "/lib/removal", test_what_left_is_undone },
        { "/lib/forgetful", test_forgetful },
        { "/lib/keep", test_keep },
        { "/lib/keep-tries-again", test_keep_tries_again },
        { "/lib/idle", test_idle },
        { "/lib/failure", test_failure },
        { "/lib/receive", test_receive },
        { "/lib/noop", test_noop },
        { "/lib/plan-limits-run", test_plan_limits_run },
        { "/lib/one-run", test_one_run_at_a_time },
        { "/lib/take-over", test_take_over },
        { "/lib/load", test_load },
        { "/lib/options", test_options_of_other_versions },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
