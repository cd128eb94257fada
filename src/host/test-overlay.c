/* What only an overlay does: predicted and unknown things over a base. */
#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/test-host.h"

#define NOT_FOUND     STEAD_ERROR_NOT_FOUND
#define UNPREDICTABLE STEAD_ERROR_UNPREDICTABLE

typedef struct {
    Host *base;
    Host *overlay;
} Fixture;

static void set_up(Fixture *fixture, const void *data) {
    fixture->base = host_fake_new();
    write_text(fixture->base, "/etc/conf", "base");
    fixture->overlay = host_overlay_new(fixture->base);
}

static void tear_down(Fixture *fixture, const void *data) {
    host_free(fixture->overlay);
    host_free(fixture->base);
}

/* --- files --- */

/* As long as nothing is predicted, each call is one call of the base, and the path is not looked
 * at. Afterwards only what leads to a path is looked at, once. */
static void test_cost(Fixture *fixture, const void *data) {
    unsigned stats = host_fake_count(fixture->base, "stat");
    for (int i = 0; i < 10; i++)
        (void)info_of(fixture->overlay, "/etc/conf");
    g_assert_cmpint(host_fake_count(fixture->base, "stat"), ==, stats + 10);
    write_text(fixture->overlay, "/etc/other", "x");
    stats = host_fake_count(fixture->base, "stat");
    for (int i = 0; i < 10; i++)
        (void)info_of(fixture->overlay, "/etc/conf");
    for (int i = 0; i < 10; i++)
        (void)info_of(fixture->overlay, "/etc/other");
    g_assert_cmpint(host_fake_count(fixture->base, "stat"), ==, stats + 10);
}

static void test_base_shows_through(Fixture *fixture, const void *data) {
    write_text(fixture->overlay, "/etc/other", "predicted");
    write_text(fixture->base, "/etc/conf", "changed below");
    write_text(fixture->base, "/etc/late", "new below");
    expect_text(fixture->overlay, "/etc/conf", "changed below");
    expect_list(fixture->overlay, "/etc", "conf group late other passwd");
    expect_list(fixture->base, "/etc", "conf group late passwd");
    g_assert_true(host_is_prediction(fixture->overlay));
    g_assert_false(host_is_prediction(fixture->base));
}

/* A prediction counts under every name that leads to it. */
static void test_predicted_behind_link(Fixture *fixture, const void *data) {
    directory(fixture->base, "/usr");
    directory(fixture->base, "/usr/lib");
    make_link(fixture->base, "/lib", "usr/lib");
    make_link(fixture->base, "/etc/current", "/usr/lib/target");
    write_text(fixture->overlay, "/usr/lib/target", "predicted");
    expect_text(fixture->overlay, "/lib/target", "predicted");
    expect_text(fixture->overlay, "/etc/current", "predicted");
    g_assert_cmpint(info_of(fixture->overlay, "/etc/current").type, ==, FILE_SYMLINK);
    expect_list(fixture->overlay, "/lib", "target");
    make_link(fixture->overlay, "/lib", "/etc");
    expect_text(fixture->overlay, "/lib/conf", "base");
    expect_error(host_read(fixture->overlay, "/lib/target", 9, &problem), NOT_FOUND, "/lib/target");
}

static void test_removed_stays_removed(Fixture *fixture, const void *data) {
    directory(fixture->base, "/srv");
    write_text(fixture->base, "/srv/old", "old");
    directory(fixture->base, "/var/log");
    g_assert_true(host_remove_tree(fixture->overlay, "/srv", NULL, NULL));
    write_text(fixture->base, "/srv/more", "below");
    directory(fixture->overlay, "/srv");
    expect_list(fixture->overlay, "/srv", "");
    write_text(fixture->overlay, "/srv/new", "new");
    expect_list(fixture->overlay, "/srv", "new");
    expect_error(host_read(fixture->overlay, "/srv/old", 9, &problem), NOT_FOUND, "/srv/old");
    expect_list(fixture->base, "/srv", "more old");
    g_assert_true(host_remove_tree(fixture->overlay, "/srv", NULL, NULL));
    host_overlay_mark_unknown(fixture->overlay, "/srv");
    directory(fixture->overlay, "/srv");
    expect_list(fixture->overlay, "/srv", "");

    g_assert_true(host_remove_tree(fixture->overlay, "/var", NULL, NULL));
    host_overlay_mark_unknown(fixture->overlay, "/var");
    directory(fixture->overlay, "/var");
    expect_list(fixture->overlay, "/var", "");

    remove_path(fixture->overlay, "/srv");
    write_text(fixture->overlay, "/srv", "a file");
    host_overlay_mark_unknown(fixture->overlay, "/srv");
    directory(fixture->overlay, "/srv");
    expect_list(fixture->overlay, "/srv", "");
}

static void test_base_errors_pass(Fixture *fixture, const void *data) {
    g_autofree char *name = g_strnfill(300, 'n');
    g_autofree char *path = g_strconcat("/etc/", name, NULL);
    expect_error(host_stat(fixture->overlay, path, &(FileInfo){ 0 }, &problem), STEAD_ERROR_IO,
                 path);
    write_text(fixture->overlay, "/etc/other", "x");
    expect_error(host_stat(fixture->overlay, path, &(FileInfo){ 0 }, &problem), STEAD_ERROR_IO,
                 path);
}

static void test_overlay_of_overlay(Fixture *fixture, const void *data) {
    write_text(fixture->overlay, "/etc/conf", "once");
    g_autoptr(Host) second = host_overlay_new(fixture->overlay);
    expect_text(second, "/etc/conf", "once");
    write_text(second, "/etc/conf", "twice");
    expect_text(second, "/etc/conf", "twice");
    expect_text(fixture->overlay, "/etc/conf", "once");
    expect_text(fixture->base, "/etc/conf", "base");
    host_overlay_mark_unknown(fixture->overlay, "/opt/x");
    g_assert_cmpint(info_of(second, "/opt/x/y").type, ==, FILE_UNKNOWN);
}

/* --- unknown files --- */

static void expect_unknown(Host *host, const char *path) {
    char hex[DIGEST_HEX_SIZE];
    g_assert_cmpint(info_of(host, path).type, ==, FILE_UNKNOWN);
    g_assert_false(host_exists(host, path));
    expect_error(host_read(host, path, 9, &problem), UNPREDICTABLE, path);
    expect_error(host_digest(host, path, NULL, hex, &problem), UNPREDICTABLE, path);
    expect_error(host_read_link(host, path, &problem), UNPREDICTABLE, path);
    expect_error(host_list(host, path, &problem), UNPREDICTABLE, path);
}

static void test_unknown(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    host_overlay_mark_unknown(host, "/etc/made");
    host_overlay_mark_unknown(host, "/etc/conf");
    expect_unknown(host, "/etc/made");
    expect_unknown(host, "/etc/conf");
    expect_list(host, "/etc", "conf group made passwd");
    FileAttributes mode = { .set = FILE_SET_MODE, .mode = 0600 };
    g_assert_true(host_set_attributes(host, "/etc/made", &mode, NULL));
    g_assert_cmpint(info_of(host, "/etc/made").type, ==, FILE_UNKNOWN);
    write_text(host, "/etc/made", "known");
    expect_text(host, "/etc/made", "known");
    remove_path(host, "/etc/conf");
    expect_error(host_stat(host, "/etc/conf", &(FileInfo){ 0 }, &problem), NOT_FOUND, "/etc/conf");
    host_overlay_mark_unknown(host, "/etc/conf");
    expect_unknown(host, "/etc/conf");
    make_link(host, "/etc/conf", "made");
    expect_text(host, "/etc/conf", "known");
}

/* What a command may create may have anything above and below it. */
static void test_unknown_tree(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    host_overlay_mark_unknown(host, "/opt/app/bin/run");
    expect_unknown(host, "/opt");
    expect_unknown(host, "/opt/app");
    expect_unknown(host, "/opt/app/bin/run");
    expect_unknown(host, "/opt/app/bin/run/below/it");
    expect_unknown(host, "/opt/beside");
    write_text(host, "/opt/app/etc/conf", "mine");
    expect_text(host, "/opt/app/etc/conf", "mine");
    expect_unknown(host, "/opt/app/etc");
    remove_path(host, "/opt/app/etc/conf");
    expect_error(host_stat(host, "/opt/app/etc/conf", &(FileInfo){ 0 }, &problem), NOT_FOUND,
                 "/opt/app/etc/conf");
    directory(host, "/opt");
    g_assert_cmpint(info_of(host, "/opt").type, ==, FILE_DIRECTORY);
    expect_list(host, "/opt", "app");
    expect_error(host_stat(host, "/opt/beside", &(FileInfo){ 0 }, &problem), NOT_FOUND,
                 "/opt/beside");
    expect_unknown(host, "/opt/app/bin/run");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(host, "/opt/app/etc/new/file", &error));
    g_assert_no_error(error);
}

static void test_unknown_directory_of_base(Fixture *fixture, const void *data) {
    host_overlay_mark_unknown(fixture->overlay, "/etc");
    expect_unknown(fixture->overlay, "/etc");
    expect_unknown(fixture->overlay, "/etc/conf");
    directory(fixture->overlay, "/etc");
    expect_list(fixture->overlay, "/etc", "conf group passwd");
    expect_text(fixture->overlay, "/etc/conf", "base");
    expect_error(host_remove(fixture->overlay, "/etc", &problem), STEAD_ERROR_IO, "/etc");
}

/* --- what does not happen --- */

static void ignore_event(void *data, HostEvent event, const char *detail) {
}

static void test_nothing_happens(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    const char *const argv[] = { "/bin/true", NULL };
    HostCommand command = { .argv = argv };
    g_auto(HostCommandResult) result = { 0 };
    host_fake_set_command(fixture->base, "/bin/true", 0, "", NULL, NULL);
    expect_error(host_run(host, &command, &result, &problem), UNPREDICTABLE, "/bin/true");
    g_assert_true(host_log(host, 6, "said", NULL, true, true, NULL));
    g_assert_null(host_fake_last_log(fixture->base));
    g_assert_cmpint(host_fake_count(fixture->base, "run"), ==, 0);
    g_autoptr(Loop) loop = loop_new_virtual(NULL);
    expect_error(
        host_watch(host, loop, HOST_WATCH_FILE, "/etc/conf", 0, ignore_event, NULL, &problem),
        STEAD_ERROR_UNSUPPORTED, "/etc/conf");
}

/* --- packages --- */

static void apply(Host *host, PackageVerb verb, const char *name, const char *version) {
    g_autoptr(GError) error = NULL;
    PackageAction action = { .name = name, .verb = verb, .version = version };
    bool good = host_package_apply(host, &action, 1, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static void expect_package(Host *host, const char *name, const char *version,
                           const char *candidate) {
    PackageInfo info;
    g_assert_true(host_package_query(host, name, true, &info, NULL));
    g_assert_cmpstr(info.version, ==, version);
    g_assert_cmpstr(info.candidate, ==, candidate);
    package_info_clear(&info);
}

static void test_packages(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    host_fake_set_package(fixture->base, "nginx", NULL, "1.22");
    host_fake_set_package(fixture->base, "vim", "9.0", "9.1");
    expect_package(host, "nginx", NULL, "1.22");
    apply(host, PACKAGE_INSTALL, "nginx", NULL);
    expect_package(host, "nginx", "1.22", "1.22");
    apply(host, PACKAGE_INSTALL, "vim", NULL);
    expect_package(host, "vim", "9.0", "9.1");
    apply(host, PACKAGE_UPGRADE, "vim", NULL);
    expect_package(host, "vim", "9.1", "9.1");
    apply(host, PACKAGE_VERSION, "vim", "8.2");
    expect_package(host, "vim", "8.2", "9.1");
    apply(host, PACKAGE_INSTALL, "from-predicted-source", NULL);
    expect_package(host, "from-predicted-source", OVERLAY_VERSION_UNKNOWN, NULL);
    apply(host, PACKAGE_REMOVE, "vim", NULL);
    PackageInfo info;
    g_assert_true(host_package_query(host, "vim", false, &info, NULL));
    g_assert_null(info.version);
    g_assert_null(info.candidate);
    g_assert_true(info.config_files);
    package_info_clear(&info);
    expect_package(fixture->base, "nginx", NULL, "1.22");
    expect_package(fixture->base, "vim", "9.0", "9.1");
    g_assert_cmpint(host_fake_count(fixture->base, "package_apply"), ==, 0);
}

static void test_packages_held(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    host_fake_set_package(fixture->base, "vim", "9.0", "9.1");
    host_fake_set_package(fixture->base, "nginx", NULL, "1.22");
    apply(host, PACKAGE_HOLD, "vim", NULL);
    PackageAction actions[] = { { .name = "nginx", .verb = PACKAGE_INSTALL },
                                { .name = "vim", .verb = PACKAGE_UPGRADE } };
    expect_error(host_package_apply(host, actions, 2, NULL, &problem), STEAD_ERROR_REFUSED,
                 "upgrade package 'vim': it is held");
    expect_package(host, "nginx", NULL, "1.22");
    apply(host, PACKAGE_UNHOLD, "vim", NULL);
    g_assert_true(host_package_apply(host, actions, 2, NULL, NULL));
    expect_package(host, "nginx", "1.22", "1.22");
    expect_package(host, "vim", "9.1", "9.1");
    apply(host, PACKAGE_PURGE, "vim", NULL);
    PackageInfo info;
    g_assert_true(host_package_query(host, "vim", false, &info, NULL));
    g_assert_false(info.config_files);
}

/* --- units --- */

static UnitInfo unit_of(Host *host, const char *name) {
    g_autoptr(GError) error = NULL;
    UnitInfo info;
    bool good = host_unit_query(host, name, false, &info, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    return info;
}

static void do_unit(Host *host, const char *name, UnitVerb verb) {
    g_autoptr(GError) error = NULL;
    bool good = host_unit_apply(host, name, false, verb, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static void test_units(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    UnitInfo running = { .exists = true, .active = true, .enabled = true, .failed = true };
    host_fake_set_unit(fixture->base, "web.service", &running);
    g_assert_true(unit_of(host, "web.service").active);
    do_unit(host, "web.service", UNIT_STOP);
    do_unit(host, "web.service", UNIT_DISABLE);
    g_assert_false(unit_of(host, "web.service").active);
    g_assert_false(unit_of(host, "web.service").enabled);
    g_assert_true(unit_of(host, "web.service").failed);
    do_unit(host, "web.service", UNIT_START);
    g_assert_true(unit_of(host, "web.service").active);
    g_assert_false(unit_of(host, "web.service").failed);
    g_assert_true(unit_of(fixture->base, "web.service").failed);
    g_assert_cmpint(host_fake_count(fixture->base, "unit_apply"), ==, 0);
    expect_error(host_unit_apply(host, "none.service", false, UNIT_START, NULL, &problem),
                 NOT_FOUND, "start unit 'none.service': no such unit");
    expect_error(host_unit_apply(host, "web.service", false, UNIT_RELOAD, NULL, &problem),
                 STEAD_ERROR_FAILED, "cannot reload");
    do_unit(host, "web.service", UNIT_STOP);
    expect_error(host_unit_apply(host, "web.service", false, UNIT_RELOAD, NULL, &problem),
                 STEAD_ERROR_FAILED, "not active");
}

static void test_units_masked(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    UnitInfo enabled = { .exists = true, .enabled = true };
    host_fake_set_unit(fixture->base, "web.service", &enabled);
    do_unit(host, "web.service", UNIT_MASK);
    g_assert_true(unit_of(host, "web.service").masked);
    g_assert_false(unit_of(host, "web.service").enabled);
    expect_error(host_unit_apply(host, "web.service", false, UNIT_START, NULL, &problem),
                 STEAD_ERROR_REFUSED, "it is masked");
    do_unit(host, "web.service", UNIT_UNMASK);
    g_assert_false(unit_of(host, "web.service").masked);
    g_assert_true(unit_of(host, "web.service").enabled);
    do_unit(host, "unheard-of.service", UNIT_MASK);
    g_assert_true(unit_of(host, "unheard-of.service").masked);
    g_assert_false(unit_of(host, "unheard-of.service").exists);

    g_assert_true(host_make_parents(host, "/etc/systemd/system/x", NULL));
    make_link(host, "/etc/systemd/system/web.service", "/dev/null");
    g_assert_true(unit_of(host, "web.service").masked);
    do_unit(host, "web.service", UNIT_STOP);
    g_assert_true(unit_of(host, "web.service").masked);
    remove_path(host, "/etc/systemd/system/web.service");
    g_assert_false(unit_of(host, "web.service").masked);
    g_assert_true(unit_of(host, "web.service").exists);
}

#define SERVICE "[Service]\nExecStart=/bin/true\nExecReload=/bin/true\n"
#define INSTALL "[Install]\nWantedBy=multi-user.target\n"

static void test_units_from_files(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    g_assert_true(host_make_parents(host, "/etc/systemd/system/x", NULL));
    g_assert_true(host_make_parents(host, "/lib/systemd/system/x", NULL));
    g_assert_false(unit_of(host, "mine.service").exists);
    write_text(host, "/etc/systemd/system/mine.service", SERVICE INSTALL);
    write_text(host, "/lib/systemd/system/static.service", SERVICE);
    write_text(host, "/lib/systemd/system/getty@.service", INSTALL);
    UnitInfo mine = unit_of(host, "mine.service");
    g_assert_true(mine.exists && mine.can_reload);
    g_assert_false(mine.active || mine.enabled || mine.is_static || mine.needs_daemon_reload);
    g_assert_true(unit_of(host, "static.service").is_static);
    UnitInfo instance = unit_of(host, "getty@tty1.service");
    g_assert_true(instance.exists);
    g_assert_false(instance.can_reload);
    g_assert_false(unit_of(host, "getty@.servic").exists);

    do_unit(host, "mine.service", UNIT_ENABLE);
    do_unit(host, "mine.service", UNIT_START);
    do_unit(host, "mine.service", UNIT_RELOAD);
    do_unit(host, "static.service", UNIT_ENABLE);
    g_assert_true(unit_of(host, "mine.service").enabled);
    g_assert_false(unit_of(host, "static.service").enabled);

    write_text(host, "/etc/systemd/system/mine.service", SERVICE INSTALL "# changed\n");
    g_assert_true(unit_of(host, "mine.service").needs_daemon_reload);
    do_unit(host, "", UNIT_DAEMON_RELOAD);
    g_assert_false(unit_of(host, "mine.service").needs_daemon_reload);

    do_unit(host, "mine.service", UNIT_STOP);
    remove_path(host, "/etc/systemd/system/mine.service");
    g_assert_false(unit_of(host, "mine.service").exists);
}

static void test_units_of_base_with_new_files(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    UnitInfo running = { .exists = true, .active = true, .needs_daemon_reload = true };
    UnitInfo stopped = { .exists = true };
    g_assert_true(host_make_parents(fixture->base, "/lib/systemd/system/web.service", NULL));
    write_text(fixture->base, "/lib/systemd/system/web.service", SERVICE);
    write_text(fixture->base, "/lib/systemd/system/idle.service", SERVICE);
    host_fake_set_unit(fixture->base, "web.service", &running);
    host_fake_set_unit(fixture->base, "idle.service", &stopped);
    g_assert_true(unit_of(host, "web.service").needs_daemon_reload);
    do_unit(host, "web.service", UNIT_DAEMON_RELOAD);
    g_assert_false(unit_of(host, "web.service").needs_daemon_reload);

    g_assert_true(host_make_parents(host, "/etc/systemd/system/web.service.d/x", NULL));
    g_assert_false(unit_of(host, "idle.service").needs_daemon_reload);
    write_text(host, "/etc/systemd/system/web.service.d/limits.conf", "[Service]\n");
    g_assert_true(unit_of(host, "web.service").needs_daemon_reload);
    do_unit(host, "web.service", UNIT_RESTART); /* still with what was read before */
    g_assert_true(unit_of(host, "web.service").needs_daemon_reload);
    do_unit(host, "web.service", UNIT_DAEMON_RELOAD);
    g_assert_false(unit_of(host, "web.service").needs_daemon_reload);
    remove_path(host, "/etc/systemd/system/web.service.d/limits.conf");
    g_assert_true(unit_of(host, "web.service").needs_daemon_reload);
    g_assert_false(unit_of(host, "idle.service").needs_daemon_reload);

    remove_path(host, "/lib/systemd/system/web.service");
    remove_path(host, "/lib/systemd/system/idle.service");
    g_assert_true(unit_of(host, "web.service").exists); /* it still runs */
    g_assert_false(unit_of(host, "idle.service").exists);
}

/* The package that ships the unit is only predicted: the plan goes on. */
static void test_units_of_predicted_packages(Fixture *fixture, const void *data) {
    Host *host = fixture->overlay;
    g_assert_false(unit_of(host, "nginx.service").exists);
    apply(host, PACKAGE_HOLD, "other", NULL);
    g_assert_false(unit_of(host, "nginx.service").exists);
    apply(host, PACKAGE_INSTALL, "nginx", NULL);
    UnitInfo info = unit_of(host, "nginx.service");
    g_assert_true(info.exists);
    g_assert_false(info.active || info.enabled || info.masked);
    do_unit(host, "nginx.service", UNIT_ENABLE);
    do_unit(host, "nginx.service", UNIT_START);
    g_assert_true(unit_of(host, "nginx.service").enabled);
    g_assert_true(unit_of(host, "nginx.service").active);
    g_assert_false(unit_of(fixture->base, "nginx.service").exists);
}

static void test_session_units(Fixture *fixture, const void *data) {
    UnitInfo info = { .exists = true };
    host_fake_set_unit(fixture->base, "user:sync.service", &info);
    g_assert_true(host_unit_query(fixture->overlay, "sync.service", true, &info, NULL));
    g_assert_true(info.exists);
    g_assert_true(host_unit_apply(fixture->overlay, "sync.service", true, UNIT_START, NULL, NULL));
    g_assert_true(host_unit_query(fixture->overlay, "sync.service", true, &info, NULL));
    g_assert_true(info.active);
    g_assert_false(unit_of(fixture->overlay, "sync.service").exists);
}

#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("/overlay/cost", test_cost);
    ADD("/overlay/base-shows-through", test_base_shows_through);
    ADD("/overlay/predicted-behind-link", test_predicted_behind_link);
    ADD("/overlay/removed-stays-removed", test_removed_stays_removed);
    ADD("/overlay/base-errors-pass", test_base_errors_pass);
    ADD("/overlay/overlay-of-overlay", test_overlay_of_overlay);
    ADD("/overlay/unknown", test_unknown);
    ADD("/overlay/unknown-tree", test_unknown_tree);
    ADD("/overlay/unknown-directory-of-base", test_unknown_directory_of_base);
    ADD("/overlay/nothing-happens", test_nothing_happens);
    ADD("/overlay/packages", test_packages);
    ADD("/overlay/packages-held", test_packages_held);
    ADD("/overlay/units", test_units);
    ADD("/overlay/units-masked", test_units_masked);
    ADD("/overlay/units-from-files", test_units_from_files);
    ADD("/overlay/units-of-base-with-new-files", test_units_of_base_with_new_files);
    ADD("/overlay/units-of-predicted-packages", test_units_of_predicted_packages);
    ADD("/overlay/session-units", test_session_units);
    return g_test_run();
}
