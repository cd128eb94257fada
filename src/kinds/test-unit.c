/* unit: files and drop-ins on the fake service manager; the real one is in test/container/. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/json.h"
#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/unit-text.h"

#define TEXT  "[Service]\nExecStart=/bin/true\n"
#define OTHER "[Service]\nExecStart=/bin/false\n"
#define PATH  "/etc/systemd/system/web.service"

#define UNIT(...) kind_test_resource(&kind_unit, "web", __VA_ARGS__, NULL)

static char *read_text(Host *host, const char *path) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 24, NULL);
    if (bytes == NULL)
        return NULL;
    GString *text = g_string_new(NULL);
    g_string_append_len(text, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes));
    return g_string_free(text, FALSE);
}

static void assert_file(Host *host, const char *path, const char *text) {
    g_autofree char *found = read_text(host, path);
    g_assert_cmpstr(found, ==, text);
}

static void put_text(Host *host, const char *path, const char *text) {
    g_assert_true(host_make_parents(host, path, NULL));
    g_assert_true(host_fake_tamper_write(host, path, text));
}

static UnitInfo unit(Host *host, const char *name) {
    UnitInfo info;
    g_assert_true(host_unit_query(host, name, false, &info, NULL));
    return info;
}

static void test_file(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    kind_test_expect(test, web, ACTION_CREATE);
    assert_file(host, PATH, TEXT);
    g_assert_true(unit(host, "web.service").exists);
    g_assert_cmpuint(host_fake_count(host, "unit_apply"), ==, 1);
    g_autoptr(Resource) other = UNIT("content=" OTHER, "mode=0600");
    g_autoptr(KindRound) round = kind_test_converge(test, other, ACTION_CHANGE);
    g_assert_nonnull(
        strstr(changes_find(round->changes, "content")->diff, "+ExecStart=/bin/false"));
    g_assert_nonnull(changes_find(round->changes, "mode"));
    kind_test_undo(test, other, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, PATH));
    g_assert_false(unit(host, "web.service").exists);
}

/* What was there, of whatever sort, comes back, and systemd reads it. */
static void test_restore(void) {
    static const char *const befores[] = { "", "old", "a\r\nb", "[x]\n\xff\xfe\n", TEXT "#" };
    for (size_t i = 0; i < G_N_ELEMENTS(befores); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        put_text(host, PATH, befores[i]);
        host_fake_tamper_mode(host, PATH, 0640);
        g_autoptr(Resource) web = UNIT("content=" TEXT);
        kind_test_expect(test, web, ACTION_CHANGE);
        assert_file(host, PATH, TEXT);
        kind_test_undo(test, web, ON_REMOVE_DEFAULT);
        assert_file(host, PATH, befores[i]);
        FileInfo info;
        g_assert_true(host_stat(host, PATH, &info, NULL));
        g_assert_cmpuint(info.mode, ==, 0640);
        g_assert_false(unit(host, "web.service").needs_daemon_reload);

        g_autoptr(Resource) absent = UNIT("state=absent");
        kind_test_expect(test, absent, ACTION_REMOVE);
        g_assert_false(host_exists(host, PATH));
        kind_test_undo(test, absent, ON_REMOVE_RESTORE);
        assert_file(host, PATH, befores[i]);
    }
}

static void test_drop_in(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo running = { .exists = true, .active = true, .can_reload = true };
    host_fake_set_unit(host, "nginx.service", &running);
    g_autoptr(Resource) limits =
        kind_test_resource(&kind_unit, "limits of nginx", "unit=nginx", "dropin=10-limits",
                           "settings:={\"Service\":{\"LimitNOFILE\":65536}}", NULL);
    kind_test_expect(test, limits, ACTION_CREATE);
    assert_file(host, "/etc/systemd/system/nginx.service.d/10-limits.conf",
                "# Kept by stead as unit 'limits of nginx': edit its configuration instead.\n"
                "\n[Service]\nLimitNOFILE=65536\n");
    g_assert_false(unit(host, "nginx.service").needs_daemon_reload);
    g_assert_true(unit(host, "nginx.service").outdated);
    g_autoptr(Resource) more = kind_test_resource(&kind_unit, "more", "unit=nginx.service",
                                                  "dropin=20.conf", "content=[Unit]\n", NULL);
    kind_test_expect(test, more, ACTION_CREATE);
    kind_test_undo(test, limits, ON_REMOVE_DEFAULT);
    g_assert_true(host_exists(host, "/etc/systemd/system/nginx.service.d/20.conf"));
    kind_test_undo(test, more, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, "/etc/systemd/system/nginx.service.d"));
}

/* A file that others manage keeps its directory. */
static void test_claimed_directory(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) one = UNIT("dropin=x", "content=[Unit]\n");
    kind_test_expect(test, one, ACTION_CREATE);
    kind_test_claim(test, "/etc/systemd/system/web.service.d");
    kind_test_undo(test, one, ON_REMOVE_DEFAULT);
    g_assert_true(host_exists(host, "/etc/systemd/system/web.service.d"));
}

/* Killed between writing and reading again: the next round finishes. */
static void test_reload_is_finished(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo known = { .exists = true };
    host_fake_set_unit(host, "web.service", &known);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    kind_test_expect(test, web, ACTION_CREATE);
    put_text(host, PATH, OTHER);
    put_text(host, PATH, TEXT);
    g_assert_true(unit(host, "web.service").needs_daemon_reload);
    g_autoptr(KindRound) round = kind_test_converge(test, web, ACTION_CHANGE);
    g_assert_nonnull(changes_find(round->changes, "daemon_reload"));
    g_assert_false(unit(host, "web.service").needs_daemon_reload);
}

/* A service that runs and can reload is restarted when its file has changed, and reloaded when
 * something else notifies it. */
static void test_notified_service(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo running = { .exists = true, .active = true, .can_reload = true };
    host_fake_set_unit(host, "web.service", &running);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    g_autoptr(Resource) svc = kind_test_resource(&kind_svc, "web", "state=running", NULL);
    kind_test_expect(test, web, ACTION_CREATE);
    test->refresh = true;
    g_autoptr(KindRound) first = kind_test_converge(test, svc, ACTION_RESTART);
    g_assert_cmpstr(value_string(changes_find(first->changes, "notified")->after), ==, "restart");
    g_assert_false(unit(host, "web.service").outdated);
    g_autoptr(KindRound) second = kind_test_converge(test, svc, ACTION_RESTART);
    g_assert_cmpstr(value_string(changes_find(second->changes, "notified")->after), ==, "reload");
}

static void test_session(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = UNIT("content=" TEXT, "session:=true");
    kind_test_expect(test, web, ACTION_CREATE);
    assert_file(host, "/etc/systemd/user/web.service", TEXT);
    UnitInfo info;
    g_assert_true(host_unit_query(host, "web.service", true, &info, NULL));
    g_assert_true(info.exists && !unit(host, "web.service").exists);
}

static void test_links(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    g_autoptr(Resource) absent = UNIT("state=absent");
    g_assert_true(host_make_parents(host, PATH, NULL));
    g_assert_true(host_make_link(host, PATH, "/dev/null", NULL));
    kind_test_expect_error(test, web, "which masks the unit; first: systemctl unmask web.service");
    kind_test_expect(test, absent, ACTION_NONE);
    g_assert_true(host_make_link(host, PATH, "/srv/web.service", NULL));
    kind_test_expect_error(test, web, "which leads to /srv/web.service");
    kind_test_expect(test, absent, ACTION_NONE);
    g_assert_true(host_exists(host, PATH));
    g_assert_true(host_remove(host, PATH, NULL));
    g_assert_true(host_make_directory(host, PATH, NULL, NULL));
    kind_test_expect_error(test, web, PATH);
}

/* A file of 10 MB in its place is compared, replaced, and comes back. */
static void test_large(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autofree char *large = g_strnfill(10 * 1024 * 1024, 'x');
    put_text(host, PATH, large);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    kind_test_expect(test, web, ACTION_CHANGE);
    kind_test_undo(test, web, ON_REMOVE_DEFAULT);
    assert_file(host, PATH, large);
    g_autofree char *argument = g_strconcat("content=", large, NULL);
    g_autofree char *problems = kind_test_problems(&kind_unit, "web", argument, NULL);
    g_assert_nonnull(strstr(problems, "longer than 1 MiB"));
}

static void test_text(void) {
    static const struct {
        const char *unit, *text, *problem; /* NULL: good */
    } rows[] = {
        { "a.service", TEXT, NULL },
        { "a.service",
          "; c\n# c\n\n[Unit]\n[Service]\n ExecStart = x \\\n # c\n  y\n[X-Own]\nA=", NULL },
        { "a.service", "[Service]\nExecStop=x", NULL },
        { "a.timer", "[Timer]\nOnBootSec=1\n", NULL },
        { "a.target", "[Unit]\n", NULL },
        { "a.slice", "", NULL },
        { "a.service", "", "needs a section [Service] with ExecStart=" },
        { "a.service", "[Unit]\nExecStart=x\n", "needs a section [Service]" },
        { "a.service", "[Service]\n#ExecStart=x\n", "needs a section [Service]" },
        { "a.service", "[Service]\nA=\\\nExecStart=x\n", "needs a section [Service]" },
        { "a.timer", "[Timer]\nUnit=x\n", "needs a section [Timer] with On...=" },
        { "a.socket", "[Socket]\n", "needs a section [Socket] with Listen...=" },
        { "a.service", "ExecStart=x\n", "line 1: a setting stands before the first section" },
        { "a.service", "[Service]\nExecStart\n", "line 2 is neither" },
        { "a.service", "[Service]\nExec Start=x\n", "line 2 is neither" },
        { "a.service", "[service]\n",
          "line 1: 'a.service' has no section [service], did you mean [Service]?" },
        { "a.service", "[Timer]\n", "'a.service' has no section [Timer]" },
        { "a.service", "[Service\n", "line 1: a section is written [Name]" },
        { "a.service", "[Service] # c\n", "line 1: a section is written" },
        { "a.service", "[Service]\r\nExecStart=x\r\n", "line 1 ends with a carriage return" },
        { "a.service", "[Service]\nExecStart=\xff\n", "it is not UTF-8" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        bool good =
            unit_text_check(rows[i].text, strlen(rows[i].text), rows[i].unit, false, &error);
        g_assert_cmpint(good, ==, error == NULL);
        if (rows[i].problem == NULL ? !good : good || !strstr(error->message, rows[i].problem))
            g_error("row %zu: expected '%s', found '%s'", i, rows[i].problem,
                    error ? error->message : "nothing wrong");
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(unit_text_check("a\0b", 3, "a.service", false, &error));
    g_assert_nonnull(strstr(error->message, "zero bytes"));
    g_assert_true(unit_text_check("[Service]\n", 10, "a.service", true, NULL));
}

static void test_print(void) {
    static const struct {
        const char *json, *text; /* without "[": the error */
    } rows[] = {
        { "{\"Install\":{\"WantedBy\":\"x\"},\"Service\":{\"B\":[\"\",\"c\",3],\"A\":true},"
          "\"Unit\":{}}",
          "\n[Unit]\n\n[Service]\nA=true\nB=\nB=c\nB=3\n\n[Install]\nWantedBy=x\n" },
        { "{\"Unit\":{\"A\":\"b\\nc\"}}", "settings: A must be a text of one line" },
        { "{\"Unit\":{\"A\":{}}}", "settings: A must be" },
        { "{\"Unit\":{\"A\":[[]]}}", "settings: A must be" },
        { "{\"Unit\":\"x\"}", "section Unit must be a table" },
        { "[1]", "settings must be a table of sections" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = json_parse(rows[i].json, strlen(rows[i].json), "test", &error);
        g_assert_no_error(error);
        g_autofree char *text = unit_text_print(value, "t", &error);
        const char *found = text != NULL ? strchr(text, '\n') + 1 : error->message;
        if (text != NULL ? strcmp(found, rows[i].text) != 0 : !strstr(found, rows[i].text))
            g_error("row %zu: expected '%s', found '%s'", i, rows[i].text, found);
    }
}

static void test_validation(void) {
    static const struct {
        const char *name, *arguments[3], *problem;
    } rows[] = {
        { "web", { "mode=0644" }, "'content' or 'settings' is required" },
        { "web", { "content=" TEXT, "settings:={}" }, "not both" },
        { "web", { "content=x" }, "content: line 1 is neither" },
        { "web",
          { "settings:={\"Servce\":{}}" },
          "settings: line 3: 'web.service' has no section" },
        { "web", { "settings:=3" }, "settings must be a table" },
        { "a/b", { "content=" TEXT }, "refuse unit name" },
        { "web", { "content=" TEXT, "dropin=a/b" }, "dropin must be a name" },
        { "web", { "content=" TEXT, "dropin=.." }, "dropin must be a name" },
        { "x.timer", { "content=" TEXT }, "'x.timer' has no section [Service]" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_unit, rows[i].name, rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    Resource *all[] = {
        kind_test_resource(&kind_unit, "b.service", "content=" TEXT, NULL),
        kind_test_resource(&kind_unit, "b.timer", "content=[Timer]\nOnBootSec=1\n", NULL),
        kind_test_resource(&kind_unit, "d", "unit=b.timer", "dropin=x", "content=", NULL),
        kind_test_resource(&kind_svc, "b.timer", "state=running", NULL),
        kind_test_resource(&kind_svc, "b", "enabled:=false", NULL),
        kind_test_resource(&kind_unit, "i@.service", "content=" TEXT, NULL),
        kind_test_resource(&kind_svc, "i@1", "state=running", NULL),
    };
    unsigned v[G_N_ELEMENTS(all)];
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++)
        g_assert_true(graph_add(graph, all[i], DUPLICATE_REFUSE, &v[i], NULL));
    (void)graph_auto_edges(graph);
    g_assert_true(graph_has_edge(graph, v[0], v[3]));
    g_assert_true(graph_has_edge(graph, v[0], v[4]));
    g_assert_true(graph_has_edge(graph, v[1], v[3]));
    g_assert_true(graph_has_edge(graph, v[2], v[3]));
    g_assert_false(graph_has_edge(graph, v[1], v[4]));
    g_assert_true(graph_has_edge(graph, v[5], v[6]));
}

static void test_secret_and_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = UNIT("content=" TEXT, "mode=0600");
    g_autoptr(Value) text = value_new_string(TEXT "Environment=TOKEN=hush\n");
    resource_put(web, (unsigned)kind_param_index(web->kind, "content"),
                 value_as_secret(text, NULL));
    g_autoptr(KindRound) round = kind_test_converge(test, web, ACTION_CREATE);
    g_assert_null(changes_find(round->changes, "content")->diff);
    g_autoptr(Resource) unknown = kind_test_resource(&kind_unit, "u", "content=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, unknown);
    g_assert_no_error(plan->error);
    g_assert_cmpint(value_type(changes_find(plan->changes, "content")->after), ==, VALUE_UNKNOWN);
}

/* On a real file system, where no systemd is asked. */
static void test_below_root(void) {
    g_autofree char *root = g_dir_make_tmp("stead-unit-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    kind_test_expect(test, web, ACTION_CREATE);
    assert_file(host, PATH, TEXT);
    kind_test_undo(test, web, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, PATH));
    g_assert_true(host_remove_tree(host, "/etc", NULL, NULL));
    g_assert_cmpint(g_rmdir(root), ==, 0);
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    UnitInfo running = { .exists = true, .active = true };
    host_fake_set_unit(host, "web.service", &running);
    put_text(host, PATH, OTHER);
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) web = UNIT("content=" TEXT);
    g_assert_cmpuint(kind_test_faults(set_up_fault, web), >=, 6);
    g_autoptr(Resource) absent = UNIT("state=absent");
    g_assert_cmpuint(kind_test_faults(set_up_fault, absent), >=, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/unit/file", test_file);
    g_test_add_func("/kinds/unit/restore", test_restore);
    g_test_add_func("/kinds/unit/drop-in", test_drop_in);
    g_test_add_func("/kinds/unit/claimed-directory", test_claimed_directory);
    g_test_add_func("/kinds/unit/reload-is-finished", test_reload_is_finished);
    g_test_add_func("/kinds/unit/notified-service", test_notified_service);
    g_test_add_func("/kinds/unit/session", test_session);
    g_test_add_func("/kinds/unit/links", test_links);
    g_test_add_func("/kinds/unit/large", test_large);
    g_test_add_func("/kinds/unit/text", test_text);
    g_test_add_func("/kinds/unit/print", test_print);
    g_test_add_func("/kinds/unit/validation", test_validation);
    g_test_add_func("/kinds/unit/edges", test_edges);
    g_test_add_func("/kinds/unit/secret-and-unknown", test_secret_and_unknown);
    g_test_add_func("/kinds/unit/below-root", test_below_root);
    g_test_add_func("/kinds/unit/faults", test_faults);
    return g_test_run();
}
