/* svc on the fake service manager; the real one is in test/container/. */
#include <string.h>
#include <unistd.h>

#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

static Host *host_with_units(void) {
    Host *host = host_fake_new();
    UnitInfo web = { .exists = true, .can_reload = true };
    UnitInfo job = { .exists = true, .active = true, .enabled = true };
    UnitInfo bus = { .exists = true, .active = true, .is_static = true };
    UnitInfo closed = { .exists = true, .masked = true };
    host_fake_set_unit(host, "web.service", &web);
    host_fake_set_unit(host, "job.timer", &job);
    host_fake_set_unit(host, "bus.service", &bus);
    host_fake_set_unit(host, "closed.service", &closed);
    return host;
}

static UnitInfo unit(Host *host, const char *name) {
    UnitInfo info;
    g_assert_true(host_unit_query(host, name, false, &info, NULL));
    return info;
}

static void test_start_and_enable(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web =
        kind_test_resource(&kind_svc, "web", "state=running", "enabled:=true", NULL);
    kind_test_expect(test, web, ACTION_CHANGE);
    g_assert_true(unit(host, "web.service").active && unit(host, "web.service").enabled);
    kind_test_undo(test, web, ON_REMOVE_DEFAULT);
    g_assert_false(unit(host, "web.service").active || unit(host, "web.service").enabled);

    g_autoptr(Resource) timer =
        kind_test_resource(&kind_svc, "job.timer", "ensure=stopped", "startup=disabled", NULL);
    kind_test_expect(test, timer, ACTION_CHANGE);
    g_assert_false(unit(host, "job.timer").active || unit(host, "job.timer").enabled);
    kind_test_undo(test, timer, ON_REMOVE_RESTORE);
    g_assert_true(unit(host, "job.timer").active && unit(host, "job.timer").enabled);
}

static void test_left_alone(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = kind_test_resource(&kind_svc, "web", NULL);
    kind_test_expect(test, web, ACTION_NONE);
    g_autoptr(Resource) bus = kind_test_resource(&kind_svc, "bus", "enabled:=true", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, bus, ACTION_NONE);
    g_assert_nonnull(strstr(round->note, "nothing to enable"));
}

static const char *notified(const KindRound *round) {
    const Change *change = changes_find(round->changes, "notified");
    return change ? value_string(change->after) : NULL;
}

static void test_notified(void) {
    static const struct {
        const char *rule;
        bool can_reload, needs_daemon_reload;
        const char *word;
    } cases[] = {
        { "reload-or-restart", true, false, "reload" },
        { "reload-or-restart", false, false, "restart" },
        { "reload-or-restart", true, true, "restart" },
        { "reload", true, false, "reload" },
        { "restart", true, false, "restart" },
        { "none", true, false, NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        UnitInfo info = { .exists = true,
                          .active = true,
                          .can_reload = cases[i].can_reload,
                          .needs_daemon_reload = cases[i].needs_daemon_reload };
        host_fake_set_unit(host, "web.service", &info);
        g_autofree char *rule = g_strconcat("on_notify=", cases[i].rule, NULL);
        g_autoptr(Resource) web = kind_test_resource(&kind_svc, "web", rule, NULL);
        test->refresh = true;
        g_autoptr(KindRound) round =
            kind_test_converge(test, web, cases[i].word ? ACTION_RESTART : ACTION_NONE);
        g_assert_cmpstr(notified(round), ==, cases[i].word);
        g_assert_true(unit(host, "web.service").active);
        if (cases[i].word)
            g_assert_false(unit(host, "web.service").needs_daemon_reload);
    }
}

static void test_notified_cannot_reload(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bus = kind_test_resource(&kind_svc, "bus", "on_notify=reload", NULL);
    test->refresh = true;
    kind_test_expect_error(test, bus, "set on_notify = \"restart\"");
}

/* Started in the same round, stopped, or not running: a notification does nothing more. */
static void test_notified_in_vain(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    test->refresh = true;
    g_autoptr(Resource) idle = kind_test_resource(&kind_svc, "web", NULL);
    kind_test_expect(test, idle, ACTION_NONE);
    unsigned before = host_fake_count(host, "unit_apply");
    g_autoptr(Resource) started = kind_test_resource(&kind_svc, "web", "state=running", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, started, ACTION_CHANGE);
    g_assert_null(notified(round));
    g_assert_cmpuint(host_fake_count(host, "unit_apply"), ==, before + 1);
    g_autoptr(Resource) stopped = kind_test_resource(&kind_svc, "web", "state=stopped", NULL);
    g_autoptr(KindRound) end = kind_test_converge(test, stopped, ACTION_CHANGE);
    g_assert_null(notified(end));
}

/* Enabled in the same round: that does not replace the reload. */
static void test_notified_and_enabled(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo info = { .exists = true, .active = true, .can_reload = true };
    host_fake_set_unit(host, "web.service", &info);
    g_autoptr(Resource) web = kind_test_resource(&kind_svc, "web", "enabled:=true", NULL);
    test->refresh = true;
    g_autoptr(KindRound) round = kind_test_converge(test, web, ACTION_RESTART);
    g_assert_cmpstr(notified(round), ==, "reload");
    g_assert_true(unit(host, "web.service").enabled);
}

/* What ends by itself cannot be kept running, and nothing is started to find that out. */
static void test_oneshot(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo info = { .exists = true, .ends = true };
    host_fake_set_unit(host, "job.service", &info);
    g_autoptr(Resource) job = kind_test_resource(&kind_svc, "job", "state=running", NULL);
    kind_test_expect_error(test, job, "set RemainAfterExit=yes in its unit");
    g_assert_cmpuint(host_fake_count(host, "unit_apply"), ==, 0);
    g_assert_true(host_make_parents(host, "/etc/systemd/system/once.service", NULL));
    host_fake_tamper_write(host, "/etc/systemd/system/once.service",
                           "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    g_autoptr(Resource) once = kind_test_resource(&kind_svc, "once", "state=running", NULL);
    kind_test_expect_error(test, once, "Type=oneshot");
}

static void test_dangling_links(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo info = { .enabled = true };
    host_fake_set_unit(host, "gone.service", &info);
    g_autoptr(Resource) left = kind_test_resource(&kind_svc, "gone", "state=stopped", NULL);
    kind_test_expect(test, left, ACTION_NONE);
    g_autoptr(Resource) gone = kind_test_resource(&kind_svc, "gone", "enabled:=false", NULL);
    kind_test_expect(test, gone, ACTION_CHANGE);
    g_assert_false(unit(host, "gone.service").enabled);
}

/* Its file is gone, systemd has noticed that, and its process runs on. */
static void test_running_without_file(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo info = { .active = true };
    host_fake_set_unit(host, "gone.service", &info);
    g_autoptr(Resource) enabled =
        kind_test_resource(&kind_svc, "gone", "state=running", "enabled:=true", NULL);
    kind_test_expect_error(test, enabled, "unit 'gone.service'");
    g_autoptr(Resource) gone = kind_test_resource(&kind_svc, "gone", "state=stopped", NULL);
    kind_test_expect(test, gone, ACTION_CHANGE);
    g_assert_false(unit(host, "gone.service").active);
    kind_test_undo(test, gone, ON_REMOVE_RESTORE);
    g_assert_false(unit(host, "gone.service").active);
}

static void test_template(void) {
    g_autofree char *problems = kind_test_problems(&kind_svc, "getty@", "state=running", NULL);
    g_assert_nonnull(strstr(problems, "only its instances run, such as 'getty@NAME.service'"));
    g_autoptr(Resource) enabled = kind_test_resource(&kind_svc, "getty@", "enabled:=true", NULL);
    g_assert_nonnull(enabled);
}

static void test_stopped_below_a_socket(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    UnitInfo active = { .exists = true, .active = true };
    host_fake_set_unit(host, "web.service", &active);
    host_fake_set_unit(host, "web.socket", &active);
    g_autoptr(Resource) web = kind_test_resource(&kind_svc, "web", "state=stopped", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, web, ACTION_CHANGE);
    g_assert_cmpstr(round->note, ==,
                    "'web.socket' is active and may start it again; stop that too");
}

static void test_masked(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) start = kind_test_resource(&kind_svc, "closed", "state=running", NULL);
    g_autoptr(Resource) open =
        kind_test_resource(&kind_svc, "closed", "state=running", "masked:=false", NULL);
    g_autoptr(Resource) close =
        kind_test_resource(&kind_svc, "closed", "state=stopped", "masked:=true", NULL);
    kind_test_expect_error(test, start, "somebody has masked it; set masked = false");
    kind_test_expect(test, open, ACTION_CHANGE);
    g_assert_true(unit(host, "closed.service").active);
    kind_test_expect(test, close, ACTION_CHANGE);
    g_assert_true(unit(host, "closed.service").masked && !unit(host, "closed.service").active);
}

static void test_missing(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) start =
        kind_test_resource(&kind_svc, "none", "state=running", "enabled:=true", NULL);
    g_autoptr(KindRound) alone = kind_test_plan(test, start);
    g_assert_error(alone->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    test->brought = true; /* by a package that goes before it */
    g_autoptr(KindRound) plan = kind_test_plan(test, start);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
    g_autoptr(KindRound) round = kind_test_round(test, start);
    g_assert_error(round->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(round->error->message, "no unit 'none.service'"));
    g_autoptr(Resource) stop =
        kind_test_resource(&kind_svc, "none", "state=stopped", "enabled:=false", NULL);
    kind_test_expect(test, stop, ACTION_NONE);
}

/* A unit file that a file resource has just written. */
static void test_new_unit_file(void) {
    g_autoptr(Host) host = host_with_units();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(GBytes) text = g_bytes_new_static("[Service]\nExecStart=/bin/true\n"
                                                "[Install]\nWantedBy=multi-user.target\n",
                                                70);
    g_assert_true(host_make_parents(host, "/etc/systemd/system/new.service", NULL));
    g_assert_true(host_write(host, "/etc/systemd/system/new.service", text, NULL, NULL));
    g_autoptr(Resource) svc =
        kind_test_resource(&kind_svc, "new", "state=running", "enabled:=true", NULL);
    kind_test_expect(test, svc, ACTION_CHANGE);
    g_assert_true(unit(host, "new.service").active && unit(host, "new.service").enabled);
}

static void test_refused(void) {
    static const struct {
        const char *name, *one, *two, *text;
    } cases[] = {
        { "web", "startup=enabled", "enabled:=false", "'startup' and 'enabled' contradict" },
        { "web", "masked:=true", "state=running", "contradict" },
        { "web", "masked:=true", "enabled:=true", "contradict" },
        { "a/b", "state=running", NULL, "refuse unit name" },
        { "web*", "state=running", NULL, "refuse unit name" },
        { "-x", "state=running", NULL, "refuse unit name" },
        { "web", "state=runing", NULL, "running" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_svc, cases[i].name, cases[i].one, cases[i].two, NULL);
        if (!strstr(problems, cases[i].text))
            g_error("%s %s: %s", cases[i].name, cases[i].one, problems);
    }
}

static void test_below_root(void) {
    g_autofree char *root = g_dir_make_tmp("stead-svc-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) web = kind_test_resource(&kind_svc, "web", "state=running", NULL);
    kind_test_expect_error(test, web, "cannot start it below --root");
    g_assert_cmpint(rmdir(root), ==, 0);
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    Resource *all[] = {
        kind_test_resource(&kind_svc, "getty@tty1", "state=running", NULL),
        kind_test_resource(&kind_svc, "nginx", "state=running", NULL),
        kind_test_resource(&kind_svc, "mine", "session:=true", NULL),
        kind_test_resource(&kind_pkg, "nginx", NULL),
        kind_test_resource(&kind_file, "/etc/systemd/system/nginx.service", "content=x", NULL),
        kind_test_resource(&kind_file, "/usr/lib/systemd/system/getty@.service", "content=x", NULL),
        kind_test_resource(&kind_file, "/etc/systemd/user/mine.service", "content=x", NULL),
        kind_test_resource(&kind_file, "/etc/systemd/system/mine.service", "content=x", NULL),
    };
    unsigned v[G_N_ELEMENTS(all)];
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++)
        g_assert_true(graph_add(graph, all[i], DUPLICATE_REFUSE, &v[i], NULL));
    (void)graph_auto_edges(graph);
    g_assert_true(graph_has_edge(graph, v[3], v[1]));
    g_assert_true(graph_has_edge(graph, v[4], v[1]));
    g_assert_true(graph_has_edge(graph, v[5], v[0]));
    g_assert_true(graph_has_edge(graph, v[6], v[2]));
    g_assert_false(graph_has_edge(graph, v[7], v[2]));
    g_assert_false(graph_has_edge(graph, v[3], v[0]));
}

static void test_faults(void) {
    g_autoptr(Resource) open = kind_test_resource(&kind_svc, "closed", "state=running",
                                                  "masked:=false", "enabled:=true", NULL);
    g_assert_cmpuint(kind_test_faults(host_with_units, open), >=, 6);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/svc/start-and-enable", test_start_and_enable);
    g_test_add_func("/kinds/svc/left-alone", test_left_alone);
    g_test_add_func("/kinds/svc/notified", test_notified);
    g_test_add_func("/kinds/svc/notified-cannot-reload", test_notified_cannot_reload);
    g_test_add_func("/kinds/svc/notified-in-vain", test_notified_in_vain);
    g_test_add_func("/kinds/svc/notified-and-enabled", test_notified_and_enabled);
    g_test_add_func("/kinds/svc/oneshot", test_oneshot);
    g_test_add_func("/kinds/svc/dangling-links", test_dangling_links);
    g_test_add_func("/kinds/svc/running-without-file", test_running_without_file);
    g_test_add_func("/kinds/svc/template", test_template);
    g_test_add_func("/kinds/svc/stopped-below-a-socket", test_stopped_below_a_socket);
    g_test_add_func("/kinds/svc/masked", test_masked);
    g_test_add_func("/kinds/svc/missing", test_missing);
    g_test_add_func("/kinds/svc/new-unit-file", test_new_unit_file);
    g_test_add_func("/kinds/svc/refused", test_refused);
    g_test_add_func("/kinds/svc/below-root", test_below_root);
    g_test_add_func("/kinds/svc/edges", test_edges);
    g_test_add_func("/kinds/svc/faults", test_faults);
    return g_test_run();
}
