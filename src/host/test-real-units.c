/* Units: what systemd's words mean, calls and watches over a message bus, and below a root. */
#include <string.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/test-real.h"
#include "host/test-systemd.h"
#include "host/unit-bus.h"
#include "host/watch-units.h"

#define OWNER 42

static void test_words(void) {
    static const struct {
        const char *load, *active, *file, *expected;
    } cases[] = {
        { "loaded", "active", "enabled", "exists active enabled " },
        { "loaded", "activating", "enabled-runtime", "exists active enabled " },
        { "loaded", "reloading", "disabled", "exists active " },
        { "loaded", "deactivating", "static", "exists static " },
        { "loaded", "failed", "indirect", "exists failed static " },
        { "loaded", "inactive", "generated", "exists static " },
        { "loaded", "inactive", "alias", "exists static " },
        { "loaded", "inactive", "linked", "exists " },
        { "masked", "inactive", "masked", "exists masked " },
        { "loaded", "active", "masked-runtime", "exists active masked " },
        { "not-found", "inactive", "", "" },
        { "bad-setting", "inactive", "bad", "exists " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        UnitInfo info = { 0 };
        unit_info_set_load_state(&info, cases[i].load);
        unit_info_set_active_state(&info, cases[i].active);
        unit_info_set_file_state(&info, cases[i].file);
        g_autofree char *text =
            g_strconcat(info.exists ? "exists " : "", info.active ? "active " : "",
                        info.failed ? "failed " : "", info.enabled ? "enabled " : "",
                        info.is_static ? "static " : "", info.masked ? "masked " : "", NULL);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

/* --- on a bus */

typedef struct {
    FakeSystemd *systemd;
    Host *host;
    Loop *loop;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    fixture->systemd = fake_systemd_new();
    fixture->host = host_real_new(NULL, NULL, NULL);
    fixture->loop = loop_new(NULL);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    host_free(fixture->host);
    loop_free(fixture->loop);
    fake_systemd_free(fixture->systemd);
}

static bool is_here(Fixture *fixture) {
    if (fixture->systemd == NULL)
        g_test_skip("there is no dbus-daemon here");
    return fixture->systemd != NULL;
}

static UnitInfo query(Fixture *fixture, const char *name) {
    UnitInfo info;
    g_autoptr(GError) error = NULL;
    host_unit_query(fixture->host, name, false, &info, &error);
    g_assert_no_error(error);
    return info;
}

static void apply(Fixture *fixture, const char *name, UnitVerb verb) {
    g_autoptr(GError) error = NULL;
    host_unit_apply(fixture->host, name, false, verb, NULL, &error);
    g_assert_no_error(error);
}

static void assert_fails(Fixture *fixture, const char *name, UnitVerb verb, int code,
                         const char *message) {
    g_autoptr(GError) error = NULL;
    g_assert_false(host_unit_apply(fixture->host, name, false, verb, NULL, &error));
    assert_code(error, code);
    g_assert_cmpstr(error->message, ==, message);
}

static void assert_calls(Fixture *fixture, const char *expected) {
    g_autofree char *calls = fake_systemd_take_calls(fixture->systemd);
    g_assert_cmpstr(calls, ==, expected);
}

static void test_apply(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    UnitInfo info = query(fixture, "good.service");
    g_assert_true(info.exists && !info.active && info.can_reload && !info.enabled);
    apply(fixture, "good.service", UNIT_START);
    g_assert_true(query(fixture, "good.service").active);
    apply(fixture, "good.service", UNIT_RESTART);
    apply(fixture, "good.service", UNIT_RELOAD);
    apply(fixture, "good.service", UNIT_STOP);
    g_assert_false(query(fixture, "good.service").active);
    assert_calls(fixture, "StartUnit(good.service) RestartUnit(good.service) "
                          "ReloadOrRestartUnit(good.service) StopUnit(good.service) ");
    apply(fixture, "good.service", UNIT_ENABLE);
    g_assert_true(query(fixture, "good.service").enabled);
    apply(fixture, "good.service", UNIT_ENABLE);
    apply(fixture, "good.service", UNIT_DISABLE);
    g_assert_false(query(fixture, "good.service").enabled);
    assert_calls(fixture,
                 "EnableUnitFiles(good.service) Reload() EnableUnitFiles(good.service) "
                 "DisableUnitFiles(good.service) DisableUnitFiles(good.service) Reload() ");
    apply(fixture, "good.service", UNIT_MASK);
    g_assert_true(query(fixture, "good.service").masked);
    apply(fixture, "good.service", UNIT_UNMASK);
    g_assert_false(query(fixture, "good.service").masked);
    apply(fixture, NULL, UNIT_DAEMON_RELOAD);
    assert_calls(fixture, "MaskUnitFiles(good.service) Reload() UnmaskUnitFiles(good.service) "
                          "UnmaskUnitFiles(good.service) Reload() Reload() ");
    g_assert_false(query(fixture, "unknown.service").exists);
}

static void test_failures(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    assert_fails(
        fixture, "bad.service", UNIT_START, STEAD_ERROR_FAILED,
        "start 'bad.service': the program of its ExecStart= cannot be run; see: journalctl -u "
        "bad.service");
    g_assert_true(query(fixture, "bad.service").failed);
    assert_fails(fixture, "brief.service", UNIT_START, STEAD_ERROR_FAILED,
                 "start 'brief.service': it was started and did not last: the program of its "
                 "ExecStart= cannot be run; see: journalctl -u brief.service");
    assert_fails(
        fixture, "loop.service", UNIT_START, STEAD_ERROR_FAILED,
        "start 'loop.service': it was started and did not last: the program of its "
        "ExecStart= cannot be run, and systemd starts it again and again; see: journalctl -u "
        "loop.service");
    g_assert_true(query(fixture, "loop.service").restarting);
    assert_fails(fixture, "unknown.service", UNIT_START, STEAD_ERROR_NOT_FOUND,
                 "start 'unknown.service': systemd says: Unit unknown.service not found");
    assert_fails(fixture, "bare.service", UNIT_ENABLE, STEAD_ERROR_UNSUPPORTED,
                 "enable 'bare.service': it has no [Install] section, so there is nothing to "
                 "enable");
    assert_fails(fixture, "bare.service", UNIT_START, STEAD_ERROR_FAILED,
                 "start 'bare.service': its conditions are not met, so systemd left it alone; see: "
                 "systemctl status bare.service");
    assert_fails(fixture, "no suffix", UNIT_START, STEAD_ERROR_REFUSED,
                 "start 'no suffix': 'no suffix' is not the name of a unit (such as "
                 "'nginx.service')");
}

static gpointer cancel_later(gpointer cancel) {
    g_usleep(100000);
    cancel_request(cancel);
    return NULL;
}

static void test_cancel(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    g_autoptr(Cancel) late = cancel_new(100000);
    g_autoptr(GError) error = NULL;
    g_assert_false(host_unit_apply(fixture->host, "slow.service", false, UNIT_START, late, &error));
    assert_code(error, STEAD_ERROR_TIMEOUT);
    g_assert_cmpstr(error->message, ==, "start 'slow.service': timed out after 0.1 s");
    g_clear_error(&error);
    g_autoptr(Cancel) cancel = cancel_new(0);
    GThread *thread = g_thread_new("cancel", cancel_later, cancel);
    g_assert_false(
        host_unit_apply(fixture->host, "slow.service", false, UNIT_START, cancel, &error));
    assert_code(error, STEAD_ERROR_CANCELLED);
    g_thread_join(thread);
    query(fixture, "slow.service"); /* the cancellation of the job is through by now */
    assert_calls(fixture, "StartUnit(slow.service) CancelJob(slow.service) StartUnit(slow.service) "
                          "CancelJob(slow.service) ");
}

/* systemd's job may wait for us then: nobody waits for it, and it is not taken from the shutdown.
 */
static void test_shutdown(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    g_autoptr(Cancel) patience = cancel_new(60 * G_USEC_PER_SEC);
    g_autoptr(GError) error = NULL;
    fake_systemd_go_down(fixture->systemd);
    g_assert_false(
        host_unit_apply(fixture->host, "slow.service", false, UNIT_START, patience, &error));
    assert_code(error, STEAD_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==,
                    "start 'slow.service': systemd is shutting down and does nothing else any "
                    "more; what is left is done by the next run");
    assert_calls(fixture, "StartUnit(slow.service) ");
}

static gpointer query_many(gpointer data) {
    for (int i = 0; i < 50; i++)
        g_assert_true(query(data, "good.service").exists);
    return NULL;
}

static void test_threads(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    GThread *threads[8];
    for (int i = 0; i < 8; i++)
        threads[i] = g_thread_new("query", query_many, fixture);
    for (int i = 0; i < 8; i++)
        g_thread_join(threads[i]);
}

static void test_no_systemd(void) {
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/tmp/no/such/bus", TRUE);
    g_autoptr(Host) host = host_real_new(NULL, NULL, NULL);
    UnitInfo info;
    g_autoptr(GError) error = NULL;
    if (access("/run/systemd/private", F_OK) == 0) {
        g_test_skip("this machine runs systemd");
        return;
    }
    g_assert_false(host_unit_query(host, "good.service", false, &info, &error));
    assert_code(error, STEAD_ERROR_UNSUPPORTED);
    g_assert_cmpstr(error->message, ==,
                    "query unit 'good.service': no systemd can be reached here: connect to the "
                    "system bus: No such file or directory");
}

/* --- watches */

typedef struct {
    unsigned ready, changed, failed;
    char *detail;
    HostWatch *watch;
} Seen;

static void on_event(void *data, HostEvent event, const char *detail) {
    Seen *seen = data;
    seen->ready += event == HOST_EVENT_READY;
    seen->changed += event == HOST_EVENT_CHANGED;
    seen->failed += event == HOST_EVENT_FAILED;
    if (detail != NULL) {
        g_free(seen->detail);
        seen->detail = g_strdup(detail);
    }
}

/* Until nothing has happened for longer than changed files are let rest. */
static void settle(Loop *loop) {
    for (int quiet = 0; quiet < 100;) {
        quiet = loop_turn(loop) ? 0 : quiet + 1;
        g_usleep(1000);
    }
}

static void watch(Fixture *fixture, Seen *seen, const char *name, uint64_t owner) {
    g_autoptr(GError) error = NULL;
    *seen = (Seen){ 0 };
    seen->watch = host_watch(fixture->host, fixture->loop, HOST_WATCH_UNIT, name, owner, on_event,
                             seen, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(seen->ready, ==, 0);
}

static void unwatch(Seen *seen) {
    host_watch_free(seen->watch);
    g_free(seen->detail);
}

static void expect(Fixture *fixture, Seen *seen, const char *method, const char *unit,
                   bool changed) {
    seen->changed = 0;
    fake_systemd_call(fixture->systemd, method, unit);
    settle(fixture->loop);
    if (changed != (seen->changed > 0))
        g_error("after %s(%s): %u changes told", method, unit, seen->changed);
}

static void test_watch(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    Seen good, missing, invalid;
    watch(fixture, &good, "good.service", 0);
    watch(fixture, &missing, "missing.service", 0);
    watch(fixture, &invalid, "invalid", 0);
    settle(fixture->loop);
    g_assert_cmpuint(good.ready, ==, 1);
    g_assert_cmpuint(good.changed, ==, 0);
    g_assert_cmpuint(missing.ready, ==, 1);
    g_assert_cmpuint(invalid.ready, ==, 0);
    g_assert_cmpuint(invalid.failed, ==, 1);
    g_assert_cmpstr(invalid.detail, ==,
                    "watch unit 'invalid': systemd says: Unit name invalid is not valid");
    expect(fixture, &good, "StartUnit", "good.service", true);
    expect(fixture, &good, "StartUnit", "bad.service", false);
    expect(fixture, &good, "RestartUnit", "good.service", false); /* it is stopped in between */
    expect(fixture, &good, "StopUnit", "good.service", true);
    expect(fixture, &good, "EnableUnitFiles", "good.service", true);
    expect(fixture, &good, "Reload", "", false); /* nothing that is ours */
    expect(fixture, &good, "DisableUnitFiles", "good.service", true);
    g_assert_cmpuint(missing.changed + missing.failed, ==, 0);
    /* Our own questions cause nothing. */
    good.changed = 0;
    query(fixture, "good.service");
    settle(fixture->loop);
    g_assert_cmpuint(good.changed, ==, 0);
    unwatch(&good);
    unwatch(&missing);
    unwatch(&invalid);
    watch(fixture, &good, "good.service", 0); /* freed while it is being armed */
    unwatch(&good);
    settle(fixture->loop);
}

static void test_own_changes(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    static const UnitVerb verbs[] = { UNIT_START,   UNIT_RESTART, UNIT_STOP,   UNIT_ENABLE,
                                      UNIT_DISABLE, UNIT_MASK,    UNIT_UNMASK, UNIT_START };
    Seen mine, other;
    watch(fixture, &mine, "good.service", OWNER);
    watch(fixture, &other, "good.service", OWNER + 1);
    settle(fixture->loop);
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        other.changed = 0;
        host_writer_begin(OWNER);
        apply(fixture, "good.service", verbs[i]);
        host_writer_end();
        settle(fixture->loop);
        g_assert_cmpuint(mine.changed, ==, 0);
        /* After a restart the unit is in the state it was in. */
        g_assert_cmpuint(other.changed, >=, verbs[i] == UNIT_RESTART ? 0 : 1);
    }
    /* Others right after us, before the loop has looked. */
    host_writer_begin(OWNER);
    apply(fixture, "good.service", UNIT_RESTART);
    host_writer_end();
    expect(fixture, &mine, "StopUnit", "good.service", true);
    host_writer_begin(OWNER);
    apply(fixture, "good.service", UNIT_ENABLE);
    host_writer_end();
    expect(fixture, &mine, "MaskUnitFiles", "good.service", true);
    /* A change that failed is not ours any more. */
    Seen bad;
    watch(fixture, &bad, "bad.service", OWNER);
    settle(fixture->loop);
    host_writer_begin(OWNER);
    g_assert_false(host_unit_apply(fixture->host, "bad.service", false, UNIT_START, NULL, NULL));
    host_writer_end();
    settle(fixture->loop);
    g_assert_cmpuint(bad.changed, ==, 1);
    unwatch(&mine);
    unwatch(&other);
    unwatch(&bad);
}

/* Others in the middle of our change: what our verb is not about is theirs. */
static void test_change_within_own(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    Seen mine;
    fake_systemd_call(fixture->systemd, "EnableUnitFiles", "good.service");
    watch(fixture, &mine, "good.service", OWNER);
    settle(fixture->loop);
    UnitWatchers *watchers = real_host(fixture->host)->unit_watchers;
    host_writer_begin(OWNER);
    OwnUnitChange change = own_unit_begin(watchers, "good.service", false);
    host_writer_end();
    fake_systemd_call(fixture->systemd, "StartUnit", "good.service");
    fake_systemd_call(fixture->systemd, "DisableUnitFiles", "good.service");
    settle(fixture->loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    UnitInfo after;
    g_assert_true(host_unit_query(fixture->host, "good.service", false, &after, NULL));
    g_assert_true(after.active && !after.enabled);
    own_unit_end(&change, UNIT_START, &after);
    settle(fixture->loop);
    g_assert_cmpuint(mine.changed, ==, 1);
    unwatch(&mine);
}

static void test_lost_connection(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    Seen seen;
    query(fixture, "good.service"); /* leaves a connection that will be stale */
    watch(fixture, &seen, "good.service", 0);
    settle(fixture->loop);
    fake_systemd_kill_bus(fixture->systemd);
    settle(fixture->loop);
    g_assert_cmpuint(seen.failed, ==, 1);
    g_assert_cmpstr(seen.detail, ==, "watch units: lost the connection to systemd");
    g_clear_pointer(&fixture->systemd, fake_systemd_free);
    fixture->systemd = fake_systemd_new();
    query(fixture, "good.service");
    Seen again; /* while the dead one is still there */
    watch(fixture, &again, "good.service", 0);
    settle(fixture->loop);
    g_assert_cmpuint(again.ready, ==, 1);
    g_assert_cmpuint(seen.ready + seen.changed + seen.failed, ==, 2);
    unwatch(&seen);
    unwatch(&again);
}

static void test_away(Fixture *fixture, gconstpointer data) {
    if (!is_here(fixture))
        return;
    fake_systemd_go_away(fixture->systemd, 3);
    g_assert_true(query(fixture, "good.service").exists);
}

/* --- below a root */

static void test_below_root(void) {
    g_autofree char *systemctl = g_find_program_in_path("systemctl");
    if (systemctl == NULL) {
        g_test_skip("there is no systemctl here");
        return;
    }
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    Host *host = fixture.host;
    scratch_run(&fixture, "mkdir -p etc/systemd/system usr/lib/systemd/system;"
                          "printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy="
                          "multi-user.target\\n' > usr/lib/systemd/system/web.service;"
                          "printf '[Service]\\nExecStart=/bin/true\\n' > "
                          "usr/lib/systemd/system/bare.service");
    UnitInfo info;
    g_autoptr(GError) error = NULL;
    g_assert_true(host_unit_query(host, "web.service", false, &info, &error));
    g_assert_true(info.exists && !info.enabled && !info.is_static && !info.active);
    g_assert_true(host_unit_query(host, "bare.service", false, &info, &error));
    g_assert_true(info.exists && info.is_static);
    g_assert_true(host_unit_query(host, "none.service", false, &info, &error));
    g_assert_false(info.exists);
    g_assert_true(host_unit_apply(host, "web.service", false, UNIT_ENABLE, NULL, &error));
    g_assert_true(host_unit_query(host, "web.service", false, &info, &error));
    g_assert_true(info.enabled);
    scratch_run(&fixture, "[ -L etc/systemd/system/multi-user.target.wants/web.service ]");
    g_assert_true(host_unit_apply(host, "web.service", false, UNIT_DISABLE, NULL, &error));
    g_assert_true(host_unit_apply(host, "web.service", false, UNIT_MASK, NULL, &error));
    g_assert_true(host_unit_query(host, "web.service", false, &info, &error));
    g_assert_true(info.masked);
    g_assert_true(host_unit_apply(host, "web.service", false, UNIT_UNMASK, NULL, &error));
    g_assert_true(host_unit_apply(host, NULL, false, UNIT_DAEMON_RELOAD, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(host_unit_apply(host, "web.service", false, UNIT_START, NULL, &error));
    assert_code(error, STEAD_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_false(host_unit_apply(host, "none.service", false, UNIT_ENABLE, NULL, &error));
    assert_code(error, STEAD_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "enable 'none.service': systemctl says: "));
    g_autoptr(Loop) loop = loop_new(NULL);
    Seen seen = { 0 };
    seen.watch = host_watch(host, loop, HOST_WATCH_UNIT, "web.service", 0, on_event, &seen, NULL);
    settle(loop);
    g_assert_cmpuint(seen.ready, ==, 1);
    g_assert_true(host_unit_apply(host, "web.service", false, UNIT_ENABLE, NULL, NULL));
    settle(loop);
    g_assert_cmpuint(seen.changed, >=, 1);
    unwatch(&seen);
    real_fixture_tear_down(&fixture, "root");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        void (*test)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        { "/real-units/apply", test_apply },
        { "/real-units/failures", test_failures },
        { "/real-units/cancel", test_cancel },
        { "/real-units/shutdown", test_shutdown },
        { "/real-units/threads", test_threads },
        { "/real-units/watch", test_watch },
        { "/real-units/own-changes", test_own_changes },
        { "/real-units/change-within-own", test_change_within_own },
        { "/real-units/lost-connection", test_lost_connection },
        { "/real-units/away", test_away },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    g_test_add_func("/real-units/words", test_words);
    g_test_add_func("/real-units/no-systemd", test_no_systemd);
    g_test_add_func("/real-units/below-root", test_below_root);
    return g_test_run();
}
