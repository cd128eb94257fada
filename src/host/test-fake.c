/* The fake host's own side: watches, scripted commands, packages, units; and the faulty host. */
#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-ops.h"
#include "host/test-host.h"

#define NOT_FOUND STEAD_ERROR_NOT_FOUND

typedef struct {
    Host *host;
    Loop *loop;
    GString *events; /* "R" and "C" as they come, a name before each */
} Fixture;

static void set_up(Fixture *fixture, const void *data) {
    g_autoptr(GError) error = NULL;
    fixture->host = host_fake_new();
    fixture->loop = loop_new_virtual(&error);
    g_assert_no_error(error);
    fixture->events = g_string_new(NULL);
}

static void tear_down(Fixture *fixture, const void *data) {
    g_string_free(fixture->events, TRUE);
    host_free(fixture->host);
    loop_free(fixture->loop);
}

/* --- watches --- */

typedef struct {
    Fixture *fixture;
    const char *name;
    HostWatch *watch;
    bool free_on_ready, free_on_change, write_on_change;
} Watched;

static void on_event(void *data, HostEvent event, const char *detail) {
    Watched *watched = data;
    g_assert_true(event == HOST_EVENT_READY || event == HOST_EVENT_CHANGED);
    g_assert_true((event == HOST_EVENT_CHANGED) == (detail != NULL));
    g_string_append_printf(watched->fixture->events, "%s%c ", watched->name,
                           event == HOST_EVENT_READY ? 'R' : 'C');
    if (event == HOST_EVENT_READY ? watched->free_on_ready : watched->free_on_change)
        g_clear_pointer(&watched->watch, host_watch_free);
    else if (event == HOST_EVENT_CHANGED && watched->write_on_change) {
        watched->write_on_change = false;
        write_text(watched->fixture->host, "/etc/conf", "from the callback");
    }
}

static void watch(Fixture *fixture, Watched *watched, const char *name, HostWatchClass class,
                  const char *what, uint64_t owner) {
    g_autoptr(GError) error = NULL;
    watched->fixture = fixture;
    watched->name = name;
    watched->watch =
        host_watch(fixture->host, fixture->loop, class, what, owner, on_event, watched, &error);
    g_assert_no_error(error);
    g_assert_nonnull(watched->watch);
}

static void expect_events(Fixture *fixture, const char *wanted) {
    (void)loop_turn(fixture->loop);
    g_assert_cmpstr(fixture->events->str, ==, wanted);
    g_string_truncate(fixture->events, 0);
}

static void tamper(Fixture *fixture, const char *path) {
    g_assert_true(host_fake_tamper_write(fixture->host, path, "tampered"));
}

static void test_watch_file(Fixture *fixture, const void *data) {
    Watched a = { 0 }, b = { 0 };
    write_text(fixture->host, "/etc/conf", "1");
    watch(fixture, &a, "a", HOST_WATCH_FILE, "/etc/conf", 0);
    watch(fixture, &b, "b", HOST_WATCH_FILE, "/etc/./none/../conf", 0);
    g_assert_cmpstr(fixture->events->str, ==, ""); /* never from within host_watch() */
    expect_events(fixture, "aR bR ");
    tamper(fixture, "/etc/other");
    expect_events(fixture, "");
    tamper(fixture, "/etc/conf");
    tamper(fixture, "/etc/conf");
    g_assert_true(host_fake_tamper_mode(fixture->host, "/etc/conf", 0600));
    expect_events(fixture, "aC bC ");
    g_assert_true(host_fake_tamper_remove(fixture->host, "/etc/conf"));
    expect_events(fixture, "aC bC ");
    make_link(fixture->host, "/etc/conf", "elsewhere");
    expect_events(fixture, "aC bC ");
    host_watch_free(b.watch);
    tamper(fixture, "/etc/conf");
    expect_events(fixture, "aC ");
    tamper(fixture, "/etc/conf");
    host_watch_free(a.watch);
    expect_events(fixture, "");
}

/* What happens between host_watch() and READY is not lost. */
static void test_watch_from_the_start(Fixture *fixture, const void *data) {
    Watched a = { 0 };
    watch(fixture, &a, "a", HOST_WATCH_FILE, "/etc/conf", 0);
    tamper(fixture, "/etc/conf");
    expect_events(fixture, "aR aC ");
    host_watch_free(a.watch);
}

static void test_watch_missing_parents(Fixture *fixture, const void *data) {
    Watched a = { 0 };
    watch(fixture, &a, "a", HOST_WATCH_FILE, "/srv/www/page", 0);
    expect_events(fixture, "aR ");
    directory(fixture->host, "/srv");
    directory(fixture->host, "/srv/www");
    expect_events(fixture, "");
    tamper(fixture, "/srv/www/page");
    expect_events(fixture, "aC ");
    g_assert_true(host_fake_tamper_remove(fixture->host, "/srv"));
    expect_events(fixture, "aC ");
    directory(fixture->host, "/other");
    write_text(fixture->host, "/other/page", "x");
    expect_events(fixture, "");
    directory(fixture->host, "/srv");
    make_link(fixture->host, "/srv/www", "/other");
    expect_events(fixture, "aC ");
    tamper(fixture, "/other/page");
    expect_events(fixture, "aC ");
    make_link(fixture->host, "/srv/www", "/nowhere");
    expect_events(fixture, "aC ");
    tamper(fixture, "/other/page");
    expect_events(fixture, "");
    host_watch_free(a.watch);
}

static void test_watch_tree(Fixture *fixture, const void *data) {
    Watched a = { 0 }, root = { 0 };
    watch(fixture, &a, "a", HOST_WATCH_TREE, "/srv", 0);
    watch(fixture, &root, "r", HOST_WATCH_TREE, "/", 0);
    expect_events(fixture, "aR rR ");
    directory(fixture->host, "/srv");
    expect_events(fixture, "aC rC ");
    directory(fixture->host, "/srv/www");
    (void)loop_turn(fixture->loop);
    g_string_truncate(fixture->events, 0);
    tamper(fixture, "/srv/www/page");
    expect_events(fixture, "aC rC ");
    tamper(fixture, "/srv2");
    expect_events(fixture, "rC ");
    g_assert_true(host_fake_tamper_remove(fixture->host, "/srv/www"));
    expect_events(fixture, "aC rC ");
    host_watch_free(a.watch);
    host_watch_free(root.watch);
}

static void test_watch_owner(Fixture *fixture, const void *data) {
    Watched own = { 0 }, other = { 0 }, nobody = { 0 };
    watch(fixture, &own, "own", HOST_WATCH_FILE, "/etc/conf", 7);
    watch(fixture, &other, "other", HOST_WATCH_FILE, "/etc/conf", 8);
    watch(fixture, &nobody, "nobody", HOST_WATCH_FILE, "/etc/conf", 0);
    expect_events(fixture, "ownR otherR nobodyR ");
    host_writer_begin(7);
    write_text(fixture->host, "/etc/conf", "mine");
    host_writer_end();
    expect_events(fixture, "otherC nobodyC ");
    host_writer_begin(7);
    tamper(fixture, "/etc/conf");
    host_writer_end();
    expect_events(fixture, "ownC otherC nobodyC ");
    write_text(fixture->host, "/etc/conf", "nobody's");
    expect_events(fixture, "ownC otherC nobodyC ");
    host_watch_free(own.watch);
    host_watch_free(other.watch);
    host_watch_free(nobody.watch);
}

static void test_watch_others(Fixture *fixture, const void *data) {
    Watched accounts = { 0 }, packages = { 0 }, unit = { 0 }, session = { 0 };
    UnitInfo info = { .exists = true };
    watch(fixture, &accounts, "accounts", HOST_WATCH_ACCOUNTS, "", 0);
    watch(fixture, &packages, "packages", HOST_WATCH_PACKAGES, NULL, 0);
    watch(fixture, &unit, "unit", HOST_WATCH_UNIT, "web.service", 0);
    watch(fixture, &session, "session", HOST_WATCH_UNIT, "user:web.service", 0);
    expect_events(fixture, "accountsR packagesR unitR sessionR ");
    tamper(fixture, "/etc/shadow");
    tamper(fixture, "/etc/passwd");
    expect_events(fixture, "accountsC ");
    host_fake_set_package(fixture->host, "vim", "9", "9");
    expect_events(fixture, "packagesC ");
    host_fake_set_unit(fixture->host, "web.service", &info);
    expect_events(fixture, "unitC ");
    host_fake_set_unit(fixture->host, "user:web.service", &info);
    expect_events(fixture, "sessionC ");
    g_assert_true(host_unit_apply(fixture->host, "web.service", false, UNIT_START, NULL, NULL));
    expect_events(fixture, "unitC ");
    g_assert_true(host_unit_apply(fixture->host, "", false, UNIT_DAEMON_RELOAD, NULL, NULL));
    expect_events(fixture, "unitC sessionC ");
    host_fake_lose_events(fixture->host);
    expect_events(fixture, "accountsC packagesC unitC sessionC ");
    host_watch_free(accounts.watch);
    host_watch_free(packages.watch);
    host_watch_free(unit.watch);
    host_watch_free(session.watch);
}

static void test_watch_freed_in_callback(Fixture *fixture, const void *data) {
    Watched early = { .free_on_ready = true }, late = { .free_on_change = true };
    Watched busy = { .write_on_change = true };
    watch(fixture, &early, "early", HOST_WATCH_FILE, "/etc/conf", 0);
    watch(fixture, &late, "late", HOST_WATCH_FILE, "/etc/conf", 0);
    watch(fixture, &busy, "busy", HOST_WATCH_FILE, "/etc/conf", 0);
    tamper(fixture, "/etc/conf");
    expect_events(fixture, "earlyR lateR lateC busyR busyC busyC ");
    g_assert_null(early.watch);
    g_assert_null(late.watch);
    tamper(fixture, "/etc/conf");
    expect_events(fixture, "busyC ");
    host_watch_free(busy.watch);
}

static void *write_often(void *data) {
    Fixture *fixture = data;
    host_writer_begin(3);
    for (int i = 0; i < 200; i++)
        write_text(fixture->host, "/etc/conf", "x");
    host_writer_end();
    return NULL;
}

static void test_watch_from_threads(Fixture *fixture, const void *data) {
    Watched a = { 0 };
    watch(fixture, &a, "a", HOST_WATCH_FILE, "/etc/conf", 4);
    GThread *threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("writer", write_often, fixture);
    for (int i = 0; i < 200; i++)
        (void)loop_turn(fixture->loop);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    (void)loop_turn(fixture->loop);
    g_assert_true(g_str_has_prefix(fixture->events->str, "aR aC "));
    g_string_truncate(fixture->events, 0);
    expect_events(fixture, "");
    host_watch_free(a.watch);
}

/* --- commands and messages --- */

static void make_file(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                      void *data) {
    write_text(host, "/tmp/made", data);
    ret_result->exit_status = 3;
    ret_result->err = g_bytes_new_static("oops", 4);
}

static void expect_bytes(GBytes *bytes, const char *text) {
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    g_assert_cmpmem(data, size, text, strlen(text));
}

static void test_commands(Fixture *fixture, const void *data) {
    const char *const argv[] = { "/bin/echo", "a", "b", NULL };
    HostCommand command = { .argv = argv };
    g_auto(HostCommandResult) result = { 0 };
    expect_error(host_run(fixture->host, &command, &result, &problem), NOT_FOUND,
                 "run '/bin/echo a b': no such command");
    host_fake_set_command(fixture->host, "/bin/echo a b", 0, "a b\n", NULL, NULL);
    g_assert_true(host_run(fixture->host, &command, &result, NULL));
    g_assert_cmpint(result.exit_status, ==, 0);
    expect_bytes(result.output, "a b\n");
    expect_bytes(result.out, "a b\n");
    expect_bytes(result.err, "");
    host_command_result_clear(&result);
    static char made[] = "made";
    host_fake_set_command(fixture->host, "/bin/echo a b", 0, NULL, make_file, made);
    g_assert_true(host_run(fixture->host, &command, &result, NULL));
    g_assert_cmpint(result.exit_status, ==, 3);
    expect_bytes(result.err, "oops");
    expect_bytes(result.output, "");
    expect_text(fixture->host, "/tmp/made", "made");
    g_assert_cmpint(host_fake_count(fixture->host, "run"), ==, 3);
    host_command_result_clear(&result);
    g_autoptr(Cancel) cancel = cancel_new(0);
    cancel_request(cancel);
    command.cancel = cancel;
    expect_error(host_run(fixture->host, &command, &result, &problem), STEAD_ERROR_CANCELLED,
                 "run '/bin/echo a b'");
}

static void test_log_and_counts(Fixture *fixture, const void *data) {
    g_assert_null(host_fake_last_log(fixture->host));
    g_assert_true(host_log(fixture->host, 6, "hello", NULL, true, false, NULL));
    g_assert_cmpstr(host_fake_last_log(fixture->host), ==, "hello");
    g_assert_cmpint(host_fake_count(fixture->host, "log"), ==, 1);
    g_assert_cmpint(host_fake_count(fixture->host, "write"), ==, 0);
    tamper(fixture, "/etc/conf");
    g_assert_cmpint(host_fake_count(fixture->host, "write"), ==, 0);
    write_text(fixture->host, "/etc/conf", "x");
    g_assert_cmpint(host_fake_count(fixture->host, "write"), ==, 1);
}

static void test_first_files(Fixture *fixture, const void *data) {
    expect_list(fixture->host, "/", "etc tmp var");
    expect_text(fixture->host, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    expect_text(fixture->host, "/etc/group", "root:x:0:\n");
    g_assert_cmpint(info_of(fixture->host, "/tmp").mode, ==, 01777);
    FileInfo before = info_of(fixture->host, "/etc/passwd");
    g_autoptr(Host) twin = host_fake_new();
    g_assert_cmpint(info_of(twin, "/etc/passwd").mtime_ns, ==, before.mtime_ns);
}

static void test_ordinary_user(Fixture *fixture, const void *data) {
    host_fake_set_privileged(fixture->host, false);
    g_assert_false(host_is_privileged(fixture->host));
    write_text(fixture->host, "/tmp/mine", "x");
    g_assert_cmpint(info_of(fixture->host, "/tmp/mine").uid, ==, 1000);
    FileAttributes root = { .set = FILE_SET_UID, .uid = 0 };
    expect_error(host_set_attributes(fixture->host, "/tmp/mine", &root, &problem), STEAD_ERROR_IO,
                 "/tmp/mine");
    FileAttributes same = { .set = FILE_SET_UID | FILE_SET_GID, .uid = 1000, .gid = 1000 };
    g_assert_true(host_set_attributes(fixture->host, "/tmp/mine", &same, NULL));
}

/* --- packages and units --- */

static void test_packages(Fixture *fixture, const void *data) {
    host_fake_set_package(fixture->host, "nginx", NULL, "1.22");
    PackageAction actions[] = { { .name = "nginx", .verb = PACKAGE_INSTALL },
                                { .name = "ngimx", .verb = PACKAGE_INSTALL } };
    expect_error(host_package_apply(fixture->host, actions, 2, NULL, &problem), NOT_FOUND,
                 "install package 'ngimx': no package source offers it");
    PackageInfo info;
    g_assert_true(host_package_query(fixture->host, "nginx", true, &info, NULL));
    g_assert_null(info.version); /* all or nothing */
    package_info_clear(&info);
    g_assert_true(host_package_apply(fixture->host, actions, 1, NULL, NULL));
    g_assert_true(host_package_query(fixture->host, "nginx", false, &info, NULL));
    g_assert_cmpstr(info.version, ==, "1.22");
    g_assert_null(info.candidate);
    package_info_clear(&info);
    g_assert_true(host_package_query(fixture->host, "ngimx", true, &info, NULL));
    g_assert_null(info.version);
    g_assert_null(info.candidate);
}

static void test_units(Fixture *fixture, const void *data) {
    UnitInfo info = { .exists = true, .needs_daemon_reload = true, .can_reload = true };
    expect_error(host_unit_apply(fixture->host, "web.service", false, UNIT_START, NULL, &problem),
                 NOT_FOUND, "'web.service'");
    g_assert_true(host_unit_query(fixture->host, "web.service", false, &info, NULL));
    g_assert_false(info.exists);
    info = (UnitInfo){ .exists = true, .needs_daemon_reload = true, .can_reload = true };
    host_fake_set_unit(fixture->host, "web.service", &info);
    g_assert_true(host_unit_apply(fixture->host, "web.service", false, UNIT_START, NULL, NULL));
    g_assert_true(host_unit_apply(fixture->host, "web.service", false, UNIT_RELOAD, NULL, NULL));
    g_assert_true(host_unit_apply(fixture->host, "web.service", false, UNIT_ENABLE, NULL, NULL));
    g_assert_true(host_unit_query(fixture->host, "web.service", false, &info, NULL));
    g_assert_true(info.active && info.enabled && info.needs_daemon_reload && info.can_reload);
    g_assert_true(host_unit_apply(fixture->host, "", false, UNIT_DAEMON_RELOAD, NULL, NULL));
    g_assert_true(host_unit_query(fixture->host, "web.service", false, &info, NULL));
    g_assert_false(info.needs_daemon_reload);

    g_autofree char *path = g_strdup("/etc/systemd/system/own.service");
    g_assert_true(host_make_parents(fixture->host, path, NULL));
    write_text(fixture->host, path, "[Service]\n[Install]\n");
    g_assert_true(host_unit_query(fixture->host, "own.service", false, &info, NULL));
    g_assert_true(info.exists);
    g_assert_false(info.is_static || info.needs_daemon_reload);
    remove_path(fixture->host, path);
    g_assert_true(host_unit_query(fixture->host, "own.service", false, &info, NULL));
    g_assert_false(info.exists);
}

/* --- noting changes: what was looked up before does not count after --- */

static void expect_noted(Host *host, int *seen, bool noted) {
    g_assert_cmpint(host->changes > *seen, ==, noted);
    *seen = host->changes;
}

static void test_changes_are_noted(Fixture *fixture, const void *data) {
    Host *host = fixture->host;
    const char *const argv[] = { "/bin/true", NULL };
    HostCommand command = { .argv = argv };
    g_auto(HostCommandResult) result = { 0 };
    FileAttributes mode = { .set = FILE_SET_MODE, .mode = 0700 };
    PackageAction action = { .name = "vim", .verb = PACKAGE_INSTALL };
    Watched watched = { 0 };
    int seen = host->changes;
    write_text(host, "/tmp/x", "x");
    expect_noted(host, &seen, true);
    g_assert_true(host_set_attributes(host, "/tmp/x", &mode, NULL));
    expect_noted(host, &seen, true);
    make_link(host, "/tmp/x", "y");
    expect_noted(host, &seen, true);
    remove_path(host, "/tmp/x");
    expect_noted(host, &seen, true);
    directory(host, "/tmp/x");
    expect_noted(host, &seen, true);
    g_assert_true(host_remove_tree(host, "/tmp/x", NULL, NULL));
    expect_noted(host, &seen, true);
    g_assert_false(host_run(host, &command, &result, NULL));
    expect_noted(host, &seen, true);
    g_assert_false(host_package_apply(host, &action, 1, NULL, NULL));
    expect_noted(host, &seen, true);
    g_assert_true(host_unit_apply(host, "x.service", false, UNIT_MASK, NULL, NULL));
    expect_noted(host, &seen, true);
    tamper(fixture, "/tmp/y");
    expect_noted(host, &seen, true);
    (void)info_of(host, "/tmp/y");
    expect_text(host, "/tmp/y", "tampered");
    expect_list(host, "/tmp", "y");
    expect_noted(host, &seen, false);
    watch(fixture, &watched, "w", HOST_WATCH_FILE, "/tmp/y", 0);
    expect_events(fixture, "wR ");
    expect_noted(host, &seen, true);
    host_fake_lose_events(host);
    seen = host->changes;
    expect_events(fixture, "wC ");
    expect_noted(host, &seen, true);
    host_watch_free(watched.watch);
}

/* --- the faulty host --- */

static void test_faulty(Fixture *fixture, const void *data) {
    g_autoptr(Host) faulty = host_faulty_new(fixture->host);
    GBytes *content = g_bytes_new_static("x", 1);
    host_faulty_arm(faulty, "write", 2, STEAD_ERROR_IO, "disk full");
    FileInfo info;
    g_assert_true(host_stat(faulty, "/etc", &info, NULL));
    g_assert_true(host_write(faulty, "/tmp/1", content, NULL, NULL));
    g_assert_true(host_stat(faulty, "/etc", &info, NULL));
    expect_error(host_write(faulty, "/tmp/2", content, NULL, &problem), STEAD_ERROR_IO,
                 "disk full");
    g_assert_false(host_exists(fixture->host, "/tmp/2"));
    g_assert_true(host_write(faulty, "/tmp/2", content, NULL, NULL));
    g_assert_cmpint(host_faulty_calls(faulty), ==, 5);

    host_faulty_arm(faulty, NULL, 1, STEAD_ERROR_TIMEOUT, NULL);
    expect_error(host_stat(faulty, "/etc", &info, &problem), STEAD_ERROR_TIMEOUT, "injected");
    host_faulty_arm(faulty, NULL, 3, STEAD_ERROR_IO, "never");
    host_faulty_arm(faulty, NULL, 0, 0, NULL);
    for (int i = 0; i < 10; i++)
        g_assert_true(host_stat(faulty, "/etc", &info, NULL));
    g_bytes_unref(content);
}

/* Each operation passes, is counted, and fails under its own name. */
static void test_faulty_operations(Fixture *fixture, const void *data) {
    g_autoptr(Host) faulty = host_faulty_new(fixture->host);
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    const char *const argv[] = { "/bin/true", NULL };
    HostCommand command = { .argv = argv };
    HostCommandResult result;
    FileAttributes mode = { .set = FILE_SET_MODE, .mode = 0700 };
    PackageAction action = { .name = "vim", .verb = PACKAGE_INSTALL };
    FileInfo info;
    PackageInfo package;
    UnitInfo unit;
    char hex[DIGEST_HEX_SIZE];
    int fd;
    pid_t pid;

#define FAILS(name, expression)                                                                    \
    host_faulty_arm(faulty, #name, 1, STEAD_ERROR_IO, "no " #name);                                \
    expect_error(expression, STEAD_ERROR_IO, "no " #name)

    FAILS(stat, host_stat(faulty, "/etc", &info, &problem));
    FAILS(read, host_read(faulty, "/etc/passwd", 99, &problem));
    FAILS(digest, host_digest(faulty, "/etc/passwd", NULL, hex, &problem));
    FAILS(read_link, host_read_link(faulty, "/etc", &problem));
    FAILS(list, host_list(faulty, "/etc", &problem));
    FAILS(write, host_write(faulty, "/etc/x", content, NULL, &problem));
    FAILS(make_directory, host_make_directory(faulty, "/srv", NULL, &problem));
    FAILS(make_link, host_make_link(faulty, "/link", "x", &problem));
    FAILS(remove, host_remove(faulty, "/tmp", &problem));
    FAILS(set_attributes, host_set_attributes(faulty, "/tmp", &mode, &problem));
    FAILS(read_local, host_read_local(faulty, "/etc/passwd", 1 << 20, &problem));
    FAILS(run, host_run(faulty, &command, &result, &problem));
    FAILS(spawn, host_spawn(faulty, &command, &fd, &pid, &problem));
    FAILS(package_query, host_package_query(faulty, "vim", false, &package, &problem));
    FAILS(package_apply, host_package_apply(faulty, &action, 1, NULL, &problem));
    FAILS(unit_query, host_unit_query(faulty, "x.service", false, &unit, &problem));
    FAILS(unit_apply, host_unit_apply(faulty, "x", false, UNIT_MASK, NULL, &problem));
    FAILS(log, host_log(faulty, 6, "x", NULL, true, true, &problem));
    FAILS(watch,
          host_watch(faulty, fixture->loop, HOST_WATCH_FILE, "/x", 0, on_event, NULL, &problem));
    g_assert_cmpint(host_faulty_calls(faulty), ==, 19);
    expect_list(fixture->host, "/", "etc tmp var");
    expect_list(fixture->host, "/etc", "group passwd");
    g_assert_null(host_fake_last_log(fixture->host));
    g_assert_cmpint(host_fake_count(fixture->host, "run"), ==, 0);
}

#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("/fake/watch-file", test_watch_file);
    ADD("/fake/watch-from-the-start", test_watch_from_the_start);
    ADD("/fake/watch-missing-parents", test_watch_missing_parents);
    ADD("/fake/watch-tree", test_watch_tree);
    ADD("/fake/watch-owner", test_watch_owner);
    ADD("/fake/watch-others", test_watch_others);
    ADD("/fake/watch-freed-in-callback", test_watch_freed_in_callback);
    ADD("/fake/watch-from-threads", test_watch_from_threads);
    ADD("/fake/commands", test_commands);
    ADD("/fake/log-and-counts", test_log_and_counts);
    ADD("/fake/first-files", test_first_files);
    ADD("/fake/ordinary-user", test_ordinary_user);
    ADD("/fake/packages", test_packages);
    ADD("/fake/units", test_units);
    ADD("/fake/changes-are-noted", test_changes_are_noted);
    ADD("/faulty/nth-call", test_faulty);
    ADD("/faulty/operations", test_faulty_operations);
    return g_test_run();
}
