/* user: accounts, groups and homes on the fake host and below a real --root. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/accounts.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define HASH "$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "bob:x:1000:1000:Bob:/home/bob:/bin/sh\n";
static const char shadow[] = "root:*:19000:0:99999:7:::\n"
                             "bob:!:19000:0:99999:7:::\n";
static const char group[] = "root:x:0:\nsudo:x:27:\nops:x:500:bob\nbob:x:1000:\n";

static void make_directory(Host *host, const char *path) {
    if (!host_exists(host, path))
        g_assert_true(host_make_parents(host, path, NULL) &&
                      host_make_directory(host, path, NULL, NULL));
}

static void write_file(Host *host, const char *path, const char *text, mode_t mode) {
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    FileAttributes attributes = { FILE_SET_MODE, mode, 0, 0 };
    g_autoptr(GError) error = NULL;
    host_make_parents(host, path, NULL);
    host_write(host, path, content, &attributes, &error);
    g_assert_no_error(error);
}

/* The same small machine on any host that can be written. */
static void furnish(Host *host) {
    write_file(host, "/etc/passwd", passwd, 0644);
    write_file(host, "/etc/shadow", shadow, 0600);
    write_file(host, "/etc/group", group, 0644);
    write_file(host, "/etc/skel/.profile", "PATH=/bin\n", 0640);
    make_directory(host, "/etc/skel/.config");
    write_file(host, "/etc/skel/.config/run", "#!/bin/sh\n", 0755);
    g_assert_true(host_make_link(host, "/etc/skel/.link", ".profile", NULL));
    make_directory(host, "/home");
}

static Host *furnished(void) {
    Host *host = host_fake_new();
    furnish(host);
    return host;
}

static char *file_text(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, &error);
    g_assert_no_error(error);
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data, size);
}

static bool has_line(Host *host, const char *path, const char *start) {
    g_autofree char *text = file_text(host, path), *begin = g_strconcat("\n", start, NULL);
    return g_str_has_prefix(text, start) || strstr(text, begin);
}

static void expect_line(Host *host, const char *path, const char *start) {
    if (has_line(host, path, start))
        return;
    g_autofree char *text = file_text(host, path);
    g_error("%s has no line '%s...':\n%s", path, start, text);
}

static FileInfo info_of(Host *host, const char *path) {
    FileInfo info;
    g_autoptr(GError) error = NULL;
    host_stat(host, path, &info, &error);
    g_assert_no_error(error);
    return info;
}

/* --- creation --- */

static Resource *ada(void) {
    return kind_test_resource(&kind_user, "ada", "uid:=1500", "comment=Ada Lovelace",
                              "shell=/bin/bash", "groups:=[\"ops\", \"sudo\"]", "managehome:=true",
                              "password=" HASH, "expiry=2030-01-31", NULL);
}

static void check_ada(Host *host) {
    expect_line(host, "/etc/passwd", "ada:x:1500:1500:Ada Lovelace:/home/ada:/bin/bash\n");
    expect_line(host, "/etc/shadow", "ada:" HASH ":");
    expect_line(host, "/etc/group", "ada:x:1500:\n");
    expect_line(host, "/etc/group", "ops:x:500:bob,ada\n");
    expect_line(host, "/etc/group", "sudo:x:27:ada\n");
    g_assert_cmpuint(info_of(host, "/home/ada").mode, ==, 0700);
    g_assert_cmpuint(info_of(host, "/home/ada/.profile").mode, ==, 0640);
    g_assert_cmpuint(info_of(host, "/home/ada/.config/run").mode, ==, 0755);
    g_assert_cmpint(info_of(host, "/home/ada/.link").type, ==, FILE_SYMLINK);
    if (!host_is_privileged(host))
        return;
    static const char *const owned[] = { "", "/.profile", "/.config", "/.config/run", "/.link" };
    for (unsigned i = 0; i < G_N_ELEMENTS(owned); i++) {
        g_autofree char *path = g_strconcat("/home/ada", owned[i], NULL);
        FileInfo info = info_of(host, path);
        g_assert_cmpuint(info.uid, ==, 1500);
        g_assert_cmpuint(info.gid, ==, 1500);
    }
}

static void create_and_undo(Host *host) {
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) user = ada();
    g_autoptr(KindRound) round = kind_test_converge(test, user, ACTION_CREATE);
    g_assert_cmpint(value_map_int(round->outputs, "uid", -1), ==, 1500);
    g_assert_cmpint(value_map_int(round->outputs, "gid", -1), ==, 1500);
    g_assert_cmpstr(value_map_string(round->outputs, "home", ""), ==, "/home/ada");
    check_ada(host);
    g_assert_true(host_remove_tree(host, "/home/ada", NULL, NULL));
    kind_test_expect(test, user, ACTION_CHANGE);
    check_ada(host);
    kind_test_undo(test, user, ON_REMOVE_DEFAULT);
    g_assert_false(has_line(host, "/etc/passwd", "ada:"));
    g_assert_false(has_line(host, "/etc/shadow", "ada:"));
    g_assert_false(has_line(host, "/etc/group", "ada:"));
    expect_line(host, "/etc/group", "ops:x:500:bob\n");
    g_assert_true(host_exists(host, "/home/ada/.profile"));
}

static void test_create(void) {
    g_autoptr(Host) host = furnished();
    create_and_undo(host);
}

static void test_defaults(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    write_file(host, "/etc/default/useradd", "# SHELL=/no\nSHELL=/bin/dash\nHOME=/srv/home\n",
               0644);
    g_autoptr(Resource) plain = kind_test_resource(&kind_user, "eve", NULL);
    g_autoptr(Resource) daemon = kind_test_resource(&kind_user, "web", "system:=true", NULL);
    kind_test_expect(test, plain, ACTION_CREATE);
    expect_line(host, "/etc/passwd", "eve:x:1001:1001::/srv/home/eve:/bin/dash\n");
    expect_line(host, "/etc/shadow", "eve:!:");
    g_autoptr(KindRound) round = kind_test_converge(test, daemon, ACTION_CREATE);
    g_assert_cmpint(value_map_int(round->outputs, "uid", -1), ==, 999);
    expect_line(host, "/etc/shadow", "web:!:");
    g_autofree char *hashes = file_text(host, "/etc/shadow");
    g_assert_nonnull(strstr(strstr(hashes, "web:!:"), "::::::\n"));
    g_assert_false(host_exists(host, "/srv/home/eve"));
}

/* People get subordinate ids by themselves where there are any, system users do not. */
static void test_default_subids(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    write_file(host, "/etc/subuid", "", 0644);
    g_autoptr(Resource) eve = kind_test_resource(&kind_user, "eve", NULL);
    g_autoptr(Resource) web = kind_test_resource(&kind_user, "web", "system:=true", NULL);
    kind_test_expect(test, eve, ACTION_CREATE);
    kind_test_expect(test, web, ACTION_CREATE);
    g_autofree char *ranges = file_text(host, "/etc/subuid");
    g_assert_cmpstr(ranges, ==, "eve:100000:65536\n");
    g_assert_false(host_exists(host, "/etc/subgid"));
    kind_test_undo(test, eve, ON_REMOVE_DEFAULT);
    g_assert_cmpuint(info_of(host, "/etc/subuid").size, ==, 0);
}

/* Modes of homes are those of useradd. */
static void test_home_modes(void) {
    static const struct {
        const char *login_defs;
        mode_t mode;
    } cases[] = {
        { "", 0700 },
        { "UMASK\t022\n", 0755 },
        { "UMASK 022\nHOME_MODE 0710\n", 0710 },
        { "UMASK 9\n", 0700 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Host) host = furnished();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) user = kind_test_resource(&kind_user, "eve", "managehome:=true", NULL);
        write_file(host, "/etc/login.defs", cases[i].login_defs, 0644);
        kind_test_expect(test, user, ACTION_CREATE);
        g_assert_cmpuint(info_of(host, "/home/eve").mode, ==, cases[i].mode);
    }
}

/* A group that nobody makes fails the plan as it fails the apply, with what to do; one that a
 * command before it may make does not. */
static void test_missing_group(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    static const char *const arguments[] = { "groups=docker", "group=docker", "gid:=4321" };
    for (unsigned i = 0; i < G_N_ELEMENTS(arguments); i++) {
        g_autoptr(Resource) user = kind_test_resource(&kind_user, "ada", arguments[i], NULL);
        test->brought = true;
        g_autoptr(KindRound) plan = kind_test_plan(test, user);
        g_assert_no_error(plan->error);
        g_assert_nonnull(strstr(plan->note, "which only what goes before it may make"));
        test->brought = false;
        kind_test_expect_error(test, user, "; declare group '");
        kind_test_expect_error(test, user, "no such group '");
    }
}

/* --- changes --- */

static void test_change(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "comment=Robert", "home=/srv/bob/", "group=ops",
                           "groups=sudo", "expiry=2031-05-06", "password=" HASH, NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, bob, ACTION_CHANGE);
    const Change *password = changes_find(round->changes, "password");
    g_assert_true(value_is_secret(password->before) && value_is_secret(password->after));
    expect_line(host, "/etc/passwd", "bob:x:1000:500:Robert:/srv/bob:/bin/sh\n");
    expect_line(host, "/etc/group", "sudo:x:27:bob\n");
    expect_line(host, "/etc/group", "ops:x:500:bob\n");
    kind_test_undo(test, bob, ON_REMOVE_RESTORE);
    g_autofree char *text = file_text(host, "/etc/passwd");
    g_assert_cmpstr(text, ==, passwd);
    expect_line(host, "/etc/group", "sudo:x:27:\n");
    expect_line(host, "/etc/shadow", "bob:!:");
}

static void test_password_ages(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    write_file(host, "/etc/login.defs", "PASS_MAX_DAYS 90\nPASS_WARN_AGE 14\n", 0644);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "password_max_age:=30", "password_min_age:=1", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, bob);
    g_assert_cmpuint(plan->changes->changes->len, ==, 2);
    g_assert_cmpint(value_int(changes_find(plan->changes, "password_max_age")->before), ==, 99999);
    kind_test_expect(test, bob, ACTION_CHANGE);
    expect_line(host, "/etc/shadow", "bob:!:19000:1:30:7:::\n");
    kind_test_undo(test, bob, ON_REMOVE_RESTORE);
    g_autofree char *text = file_text(host, "/etc/shadow");
    g_assert_cmpstr(text, ==, shadow);
    g_autoptr(Resource) endless = kind_test_resource(&kind_user, "bob", "password_max_age:=-1",
                                                     "password_warn_days:=-1", NULL);
    kind_test_expect(test, endless, ACTION_CHANGE);
    expect_line(host, "/etc/shadow", "bob:!:19000:0:::::\n");
    g_autoptr(Resource) eve = kind_test_resource(&kind_user, "eve", "password_min_age:=2", NULL);
    kind_test_expect(test, eve, ACTION_CREATE);
    g_autofree char *now = file_text(host, "/etc/shadow");
    g_assert_nonnull(strstr(now, ":2:90:14:::\n"));
}

static void test_inactive_and_locked(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) open = kind_test_resource(&kind_user, "bob", "locked:=false", NULL);
    kind_test_expect_error(test, open, "cannot unlock it: it has no password; set 'password'");
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "inactive_days:=14", "password=" HASH, NULL);
    kind_test_expect(test, bob, ACTION_CHANGE);
    g_autoptr(Resource) locked = kind_test_resource(&kind_user, "bob", "locked:=true", NULL);
    kind_test_expect(test, locked, ACTION_CHANGE);
    expect_line(host, "/etc/shadow", "bob:!" HASH ":");
    g_autoptr(Resource) both =
        kind_test_resource(&kind_user, "bob", "locked:=true", "password=" HASH, NULL);
    kind_test_expect(test, both, ACTION_NONE);
    kind_test_expect(test, open, ACTION_CHANGE);
    expect_line(host, "/etc/shadow", "bob:" HASH ":");
    g_autofree char *text = file_text(host, "/etc/shadow");
    g_assert_nonnull(strstr(text, ":0:99999:7:14::\n"));
    g_autofree char *problems =
        kind_test_problems(&kind_user, "bob", "locked:=false", "password=!", NULL);
    g_assert_nonnull(strstr(problems, "contradict"));
}

static void test_subids(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    write_file(host, "/etc/subuid", "eve:100000:65536\n# a comment\nmad:165600:10\n", 0644);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "subuid=auto", "subgid:=[\"7:3\",\"20:5\"]", NULL);
    kind_test_expect(test, bob, ACTION_CHANGE);
    g_autofree char *uids = file_text(host, "/etc/subuid"), *gids = file_text(host, "/etc/subgid");
    g_assert_cmpstr(uids, ==, "eve:100000:65536\n# a comment\nmad:165600:10\nbob:165610:65536\n");
    g_assert_cmpstr(gids, ==, "bob:7:3\nbob:20:5\n");
    kind_test_undo(test, bob, ON_REMOVE_RESTORE);
    g_assert_false(has_line(host, "/etc/subuid", "bob:"));
    g_assert_cmpuint(info_of(host, "/etc/subgid").size, ==, 0);
    kind_test_expect(test, bob, ACTION_CHANGE);
    g_autoptr(Resource) gone = kind_test_resource(&kind_user, "bob", "state=absent", NULL);
    kind_test_expect(test, gone, ACTION_REMOVE);
    g_autofree char *left = file_text(host, "/etc/subuid");
    g_assert_cmpstr(left, ==, "eve:100000:65536\n# a comment\nmad:165600:10\n");
    static const struct {
        const char *ranges, *text;
    } wrong[] = {
        { "subuid:=[\"auto\",\"1:2\"]", "or \"auto\" alone" },
        { "subgid=100000", "refuse subgid '100000'" },
        { "subuid=4294967290:10", "refuse subuid" },
        { "subuid:=[\"10:5\",\"14:1\"]", "'10:5' and '14:1' overlap" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *problems = kind_test_problems(&kind_user, "bob", wrong[i].ranges, NULL);
        if (!strstr(problems, wrong[i].text))
            g_error("%s: %s", wrong[i].ranges, problems);
    }
}

static void test_linger(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "linger:=true", NULL);
    kind_test_expect(test, bob, ACTION_CHANGE); /* without loginctl: its file */
    g_assert_true(host_exists(host, "/var/lib/systemd/linger/bob"));
    kind_test_undo(test, bob, ON_REMOVE_RESTORE);
    g_assert_false(host_exists(host, "/var/lib/systemd/linger/bob"));
    host_fake_set_command(host, "loginctl enable-linger bob", 1, "Access denied\n", NULL, NULL);
    g_autoptr(KindRound) round = kind_test_round(test, bob);
    g_assert_nonnull(strstr(round->error->message, "loginctl says: Access denied"));
}

static void test_home_moves(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) user = ada();
    kind_test_expect(test, user, ACTION_CREATE);
    write_file(host, "/home/ada/work", "x", 0600);
    g_autoptr(Resource) moved = kind_test_resource(&kind_user, "ada", "homedir=/srv/people/ada/",
                                                   "managehome:=true", "uid:=1600", NULL);
    kind_test_claim(test, "/home/ada/.ssh/authorized_keys");
    kind_test_expect_error(test, moved, "let those name its new place '/srv/people/ada'");
    g_hash_table_remove_all(test->claimed);
    g_autoptr(KindRound) round = kind_test_converge(test, moved, ACTION_CHANGE);
    g_assert_cmpstr(value_string(changes_find(round->changes, "moves")->before), ==, "/home/ada");
    g_assert_cmpuint(info_of(host, "/srv/people/ada/work").mode, ==, 0600);
    g_assert_cmpuint(info_of(host, "/srv/people/ada/.profile").uid, ==, 1600);
    g_assert_false(host_exists(host, "/home/ada"));
    /* Where something is already, nothing moves. */
    make_directory(host, "/home/ada");
    FileAttributes hers = { FILE_SET_UID, 0, 1600, 0 };
    g_assert_true(host_set_attributes(host, "/home/ada", &hers, NULL));
    g_autoptr(Resource) back =
        kind_test_resource(&kind_user, "ada", "homedir=/home/ada", "managehome:=true", NULL);
    g_autoptr(KindRound) stays = kind_test_converge(test, back, ACTION_CHANGE);
    g_assert_null(changes_find(stays->changes, "moves"));
    g_assert_true(host_exists(host, "/srv/people/ada/work"));
}

static void test_skel(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    make_directory(host, "/srv/skel");
    write_file(host, "/srv/skel/welcome", "x", 0600);
    g_autoptr(Resource) user =
        kind_test_resource(&kind_user, "eve", "managehome:=true", "skel=/srv/skel", NULL);
    kind_test_expect(test, user, ACTION_CREATE);
    g_assert_true(host_exists(host, "/home/eve/welcome"));
    g_assert_false(host_exists(host, "/home/eve/.profile"));
    g_autoptr(Resource) wrong =
        kind_test_resource(&kind_user, "zoe", "managehome:=true", "skel=/srv/skul", NULL);
    g_autoptr(KindRound) round = kind_test_round(test, wrong);
    g_assert_nonnull(strstr(round->error->message, "no such directory '/srv/skul' for 'skel'"));
}

static void test_processes(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    static const char status[] = "Name:\tsleep\nUmask:\t0022\nUid:\t1000\t1000\t1000\t1000\n";
    static const char *const directories[] = { "/proc", "/proc/12", "/proc/13", "/proc/14" };
    for (unsigned i = 0; i < G_N_ELEMENTS(directories); i++)
        make_directory(host, directories[i]);
    write_file(host, "/proc/12/status", "Name:\tinit\nUid:\t0\t0\t0\t0\n", 0444);
    write_file(host, "/proc/13/status", status, 0444);
    write_file(host, "/proc/13/cgroup", "0::/system.slice/web.service\n", 0444);
    write_file(host, "/proc/14/status", status, 0444);
    write_file(host, "/proc/14/cgroup", "0::/user.slice/user-1000.slice/user@1000.service\n", 0444);
    UnitInfo web = { .exists = true, .active = true }, manager = web;
    host_fake_set_unit(host, "web.service", &web);
    host_fake_set_unit(host, "user@1000.service", &manager);
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "state=absent", NULL);
    kind_test_expect_error(test, bob, "it runs 2 processes (13 sleep, 14 sleep); stop them first");
    /* Those of what is stopped before, and of a manager that lingers, are no obstacle. */
    write_file(host, "/var/lib/systemd/linger/bob", "", 0644);
    kind_test_expect_error(test, bob, "it runs 1 process (13 sleep); stop it first");
    web.active = false;
    host_fake_set_unit(host, "web.service", &web);
    kind_test_expect(test, bob, ACTION_REMOVE);
    UnitInfo info;
    g_assert_true(host_unit_query(host, "user@1000.service", false, &info, NULL) && !info.active);
    g_assert_false(host_exists(host, "/var/lib/systemd/linger/bob"));

    g_autoptr(Resource) eve = kind_test_resource(&kind_user, "eve", "uid:=1000", NULL);
    kind_test_expect(test, eve, ACTION_CREATE);
    web.active = true;
    host_fake_set_unit(host, "web.service", &web);
    g_autoptr(Resource) forced =
        kind_test_resource(&kind_user, "eve", "state=absent", "force:=true", NULL);
    kind_test_expect(test, forced, ACTION_REMOVE);
}

static void test_inclusive(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "groups=sudo", "membership=inclusive", NULL);
    g_autoptr(Resource) none =
        kind_test_resource(&kind_user, "bob", "groups:=[]", "membership=inclusive", NULL);
    kind_test_expect(test, bob, ACTION_CHANGE);
    expect_line(host, "/etc/group", "ops:x:500:\n");
    expect_line(host, "/etc/group", "sudo:x:27:bob\n");
    kind_test_expect(test, none, ACTION_CHANGE);
    expect_line(host, "/etc/group", "sudo:x:27:\n");
}

static void uid_takes_files(Host *host) {
    g_autoptr(KindTest) test = kind_test_new(host);
    FileAttributes his = { FILE_SET_UID | FILE_SET_GID | FILE_SET_MODE, 0750, 1000, 1000 };
    FileAttributes set_id = { FILE_SET_UID | FILE_SET_GID | FILE_SET_MODE, 04755, 1000, 500 };
    make_directory(host, "/home/bob");
    write_file(host, "/home/bob/own", "x", 0600);
    write_file(host, "/home/bob/roots", "x", 0600);
    g_assert_true(host_set_attributes(host, "/home/bob/own", &set_id, NULL));
    g_assert_true(host_set_attributes(host, "/home/bob", &his, NULL));
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "uid:=7000", NULL);
    kind_test_expect(test, bob, ACTION_CHANGE);
    g_assert_cmpuint(info_of(host, "/home/bob").uid, ==, 7000);
    g_assert_cmpuint(info_of(host, "/home/bob").gid, ==, 1000);
    g_assert_cmpuint(info_of(host, "/home/bob/own").uid, ==, 7000);
    g_assert_cmpuint(info_of(host, "/home/bob/own").gid, ==, 500);
    g_assert_cmpuint(info_of(host, "/home/bob/own").mode, ==, 04755);
    g_assert_cmpuint(info_of(host, "/home/bob/roots").uid, ==, 0);
}

static void test_uid_takes_files(void) {
    g_autoptr(Host) host = furnished();
    uid_takes_files(host);
}

/* What a killed round leaves: a home of root's, half filled. */
static void test_finishes_home(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    make_directory(host, "/home/bob");
    write_file(host, "/home/bob/.profile", "mine\n", 0600);
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "managehome:=true", NULL);
    kind_test_expect(test, bob, ACTION_CHANGE);
    g_assert_cmpuint(info_of(host, "/home/bob").uid, ==, 1000);
    g_assert_true(host_exists(host, "/home/bob/.config/run"));
    g_autofree char *text = file_text(host, "/home/bob/.profile");
    g_assert_cmpstr(text, ==, "mine\n");

    FileAttributes adas = { FILE_SET_UID, 0, 1500, 0 };
    g_autoptr(Resource) user = kind_test_resource(&kind_user, "ada", "uid:=1500", NULL);
    kind_test_expect(test, user, ACTION_CREATE);
    g_assert_true(host_set_attributes(host, "/home/bob", &adas, NULL));
    kind_test_expect_error(test, bob, "it belongs to user 'ada'");
}

/* What its package, or a file, brings is no matter. */
static void test_missing_shell(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) user = kind_test_resource(&kind_user, "ada", "shell=/bin/zsh", NULL);
    g_autoptr(KindRound) tree = kind_test_plan(test, user);
    g_assert_cmpstr(tree->note, ==, NULL); /* no machine */
    make_directory(host, "/bin");
    write_file(host, "/bin/sh", "", 0755);
    g_autoptr(KindRound) plan = kind_test_plan(test, user);
    g_assert_no_error(plan->error);
    g_assert_nonnull(strstr(plan->note, "its shell '/bin/zsh' does not exist"));
    test->brought = true;
    g_autoptr(KindRound) brought = kind_test_plan(test, user);
    g_assert_cmpstr(brought->note, ==, NULL);
    test->brought = false;
    write_file(host, "/bin/zsh", "", 0755);
    g_autoptr(KindRound) done = kind_test_converge(test, user, ACTION_CREATE);
    g_assert_cmpstr(done->note, ==, NULL);
}

/* --- removal --- */

static void test_absent(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "state=absent", NULL);
    make_directory(host, "/home/bob");
    g_autoptr(KindRound) round = kind_test_converge(test, bob, ACTION_REMOVE);
    g_assert_cmpstr(round->note, ==, NULL); /* said by the changes */
    g_assert_cmpstr(value_string(changes_find(round->changes, "keeps")->after), ==, "/home/bob");
    g_assert_false(has_line(host, "/etc/passwd", "bob:"));
    g_assert_false(has_line(host, "/etc/group", "bob:"));
    expect_line(host, "/etc/group", "ops:x:500:\n");
    g_assert_true(host_exists(host, "/home/bob"));
    kind_test_expect(test, bob, ACTION_NONE);
    g_assert_null(kind_test_reverse(test, bob, ON_REMOVE_RESTORE));
    resource_own_meta(bob)->on_remove = ON_REMOVE_RESTORE; /* asked for */
    kind_test_undo(test, bob, ON_REMOVE_RESTORE);
    g_autofree char *text = file_text(host, "/etc/passwd");
    g_assert_cmpstr(text, ==, passwd);
    expect_line(host, "/etc/group", "ops:x:500:bob\n");
    g_autoptr(Resource) root = kind_test_resource(&kind_user, "root", "state=absent", NULL);
    kind_test_expect_error(test, root, "it has uid 0");
}

static void test_absent_shared_group(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eve = kind_test_resource(&kind_user, "eve", "group=bob", NULL);
    g_autoptr(Resource) bob = kind_test_resource(&kind_user, "bob", "state=absent", NULL);
    kind_test_expect(test, eve, ACTION_CREATE);
    kind_test_expect(test, bob, ACTION_REMOVE);
    expect_line(host, "/etc/group", "bob:x:1000:\n");
}

static void test_purge(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) user = ada();
    g_autoptr(Resource) gone =
        kind_test_resource(&kind_user, "ada", "state=absent", "purge_home:=true", NULL);
    kind_test_expect(test, user, ACTION_CREATE);
    write_file(host, "/var/mail/ada", "mail", 0600);
    kind_test_claim(test, "/home/ada/.ssh/authorized_keys");
    kind_test_expect_error(test, gone, "another resource manages it");
    g_hash_table_remove_all(test->claimed);
    g_autoptr(KindRound) round = kind_test_converge(test, gone, ACTION_REMOVE);
    g_assert_nonnull(changes_find(round->changes, "homedir"));
    const Change *loses = changes_find(round->changes, "loses");
    g_assert_cmpstr(value_string(loses->after), ==,
                    "/home/ada with 4 entries, 20 bytes (.config/, .link, .profile)");
    g_assert_false(host_exists(host, "/home/ada"));
    g_assert_false(host_exists(host, "/var/mail/ada"));
}

static void test_purge_refused(void) {
    static const struct {
        const char *line, *text;
    } cases[] = {
        { "old:x:1700:1700::/:/bin/sh\n", "a directory of the system" },
        { "old:x:1700:1700::/home:/bin/sh\n", "a directory of the system" },
        { "old:x:1700:1700::/var/lib:/bin/sh\n", "a directory of the system" },
        { "old:x:1700:1700::/home/bob:/bin/sh\n", "it does not belong to user 'old'" },
        { "old:x:1000:1700::/home/bob:/bin/sh\n", "user 'bob' lives in it too" },
        { "old:x:1700:1700::/etc/passwd:/bin/sh\n", "it is not a directory" },
    };
    g_autoptr(Resource) old =
        kind_test_resource(&kind_user, "old", "state=absent", "purge_home:=true", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Host) host = furnished();
        g_autoptr(KindTest) test = kind_test_new(host);
        FileAttributes bobs = { FILE_SET_UID, 0, 1000, 0 };
        make_directory(host, "/home/bob");
        make_directory(host, "/var/lib");
        g_assert_true(host_set_attributes(host, "/home/bob", &bobs, NULL));
        g_autofree char *text = g_strconcat(passwd, cases[i].line, NULL);
        g_assert_true(host_fake_tamper_write(host, "/etc/passwd", text));
        kind_test_expect_error(test, old, cases[i].text);
        expect_line(host, "/etc/passwd", "old:");
    }
}

/* --- refusals --- */

static void test_refused(void) {
    static const struct {
        const char *one, *two, *text;
    } cases[] = {
        { "password=secret1", NULL, "not a crypt(5) hash" },
        { "password=", NULL, "lets everybody in" },
        { "password=$y$a:b", NULL, "cannot be part of it" },
        { "comment=a:b", NULL, "refuse comment" },
        { "comment=a\nb", NULL, "refuse comment" },
        { "expiry=2025-02-30", NULL, "write a day" },
        { "expiry=2025-+1-+1", NULL, "write a day" },
        { "expiry=1970-01-01", NULL, "write a day" },
        { "password_max_age:=-2", NULL, "refuse password_max_age -2: write 0 to 99999 days" },
        { "password_warn_days:=100000", NULL, "refuse password_warn_days 100000" },
        { "password_min_age:=8", "password_max_age:=7", "is above password_max_age 7" },
        { "group=ops", "gid:=500", "set either 'group' or 'gid'" },
        { "groups=a b", NULL, "refuse group name 'a b'" },
        { "uid:=65535", NULL, "refuse uid 65535" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_user, "x1", cases[i].one, cases[i].two, NULL);
        if (!strstr(problems, cases[i].text) || strstr(problems, "secret1"))
            g_error("%s: %s", cases[i].one, problems);
    }
    g_autofree char *number = kind_test_problems(&kind_user, "1000", NULL);
    g_assert_nonnull(strstr(number, "taken for an id"));
    g_autoptr(Resource) samba = kind_test_resource(&kind_user, "pc1$", NULL);
    g_assert_nonnull(samba);
}

static void test_duplicate_uid(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) refused = kind_test_resource(&kind_user, "eve", "uid:=1000", NULL);
    kind_test_expect_error(test, refused, "user 'bob' has it");
    g_assert_false(has_line(host, "/etc/passwd", "eve:"));
    /* with noop nothing is applied: looking must see it already */
    KindRun run = { .host = host, .resource = refused };
    g_autoptr(State) state = state_new(&kind_user);
    g_autoptr(Changes) changes = changes_new();
    g_assert_true(kind_user.observe(&run, state, NULL));
    g_assert_false(kind_user.diff(&run, state, changes, NULL));
    value_unref(run.outputs);
    g_autoptr(Resource) shared =
        kind_test_resource(&kind_user, "eve", "uid:=1000", "allowdupe:=true", NULL);
    kind_test_expect(test, shared, ACTION_CREATE);
}

/* In a plan the hash of a password that is still to be made is not there. */
static void test_unknown_password(void) {
    g_autoptr(Host) host = furnished();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) user = kind_test_resource(&kind_user, "ada", "password=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, user);
    g_assert_no_error(plan->error);
    g_assert_cmpint(plan->changes->action, ==, ACTION_CREATE);
}

static void test_faults(void) {
    g_autoptr(Resource) user = ada();
    g_assert_cmpuint(kind_test_faults(furnished, user), >, 20);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "state=absent", "purge_home:=true", NULL);
    g_assert_cmpuint(kind_test_faults(furnished, bob), >, 5);
}

/* --- many at once --- */

typedef struct {
    Host *host;
    unsigned first;
} Maker;

static void *make_users(void *data) {
    const Maker *maker = data;
    g_autoptr(KindTest) test = kind_test_new(maker->host);
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("u%u", maker->first + i);
        g_autoptr(Resource) user = kind_test_resource(&kind_user, name, NULL);
        g_autoptr(KindRound) round = kind_test_round(test, user);
        g_assert_no_error(round->error);
    }
    return NULL;
}

static void test_parallel(void) {
    g_autoptr(Host) host = furnished();
    Maker makers[4];
    GThread *threads[4];
    for (unsigned i = 0; i < 4; i++) {
        makers[i] = (Maker){ host, i * 100 };
        threads[i] = g_thread_new(NULL, make_users, &makers[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_autoptr(GHashTable) uids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *text = file_text(host, "/etc/passwd");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; **line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", -1);
        g_assert_true(g_hash_table_add(uids, g_strdup(fields[2])));
    }
    g_assert_cmpuint(g_hash_table_size(uids), ==, 82);
}

/* --- below --root --- */

static char *new_root(void) {
    g_autoptr(GError) error = NULL;
    char *root = g_dir_make_tmp("stead-user-XXXXXX", &error);
    g_assert_no_error(error);
    g_assert_cmpint(chmod(root, 0755), ==, 0);
    return root;
}

/* A plan by somebody who may not read the hashes: no difference that he could not see. */
static void shadow_hidden(Host *host, const char *root) {
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autofree char *path = g_build_filename(root, "etc/shadow", NULL);
    g_autoptr(Resource) bob =
        kind_test_resource(&kind_user, "bob", "expiry=2030-01-01", "password=" HASH, NULL);
    g_assert_cmpint(chmod(path, 0), ==, 0);
    g_autoptr(KindRound) plan = kind_test_plan(test, bob);
    g_assert_no_error(plan->error);
    g_assert_cmpint(plan->changes->action, ==, ACTION_NONE);
    g_assert_cmpstr(plan->note, ==, "expiry not compared: only root can read it");
    g_assert_cmpint(chmod(path, 0600), ==, 0);
    kind_test_expect(test, bob, ACTION_CHANGE);
}

static void with_real_root(const char *root) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *etc = g_build_filename(root, "etc", NULL);
    g_assert_cmpint(g_mkdir(etc, 0755), ==, 0);
    furnish(host);
    g_assert_true(host_is_privileged(host) == (geteuid() == 0));
    create_and_undo(host);
    if (!host_is_privileged(host))
        shadow_hidden(host, root);
    else
        uid_takes_files(host); /* the kernel clears set-id bits on a change of owner */
}

static void remove_root(const char *root) {
    g_autoptr(Host) host = host_real_new(root, NULL, NULL);
    static const char *const tops[] = { "/etc", "/home" };
    for (unsigned i = 0; i < G_N_ELEMENTS(tops); i++)
        if (host_exists(host, tops[i]))
            g_assert_true(host_remove_tree(host, tops[i], NULL, NULL));
    g_assert_cmpint(g_rmdir(root), ==, 0);
}

static void test_root(void) {
    g_autofree char *root = new_root();
    with_real_root(root);
    remove_root(root);
}

static void test_root_unprivileged(void) {
    if (geteuid() != 0) {
        g_test_skip("not root: /kinds/user/root has run without privileges already");
        return;
    }
    g_autofree char *root = new_root();
    g_assert_cmpint(chown(root, 65534, 65534), ==, 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        g_assert_true(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
        with_real_root(root);
        _exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        g_assert_cmpint(errno, ==, EINTR);
    remove_root(root);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/user/create", test_create);
    g_test_add_func("/kinds/user/defaults", test_defaults);
    g_test_add_func("/kinds/user/default-subids", test_default_subids);
    g_test_add_func("/kinds/user/home-modes", test_home_modes);
    g_test_add_func("/kinds/user/missing-group", test_missing_group);
    g_test_add_func("/kinds/user/missing-shell", test_missing_shell);
    g_test_add_func("/kinds/user/change", test_change);
    g_test_add_func("/kinds/user/password-ages", test_password_ages);
    g_test_add_func("/kinds/user/inactive-and-locked", test_inactive_and_locked);
    g_test_add_func("/kinds/user/subids", test_subids);
    g_test_add_func("/kinds/user/linger", test_linger);
    g_test_add_func("/kinds/user/home-moves", test_home_moves);
    g_test_add_func("/kinds/user/skel", test_skel);
    g_test_add_func("/kinds/user/processes", test_processes);
    g_test_add_func("/kinds/user/inclusive", test_inclusive);
    g_test_add_func("/kinds/user/uid-takes-files", test_uid_takes_files);
    g_test_add_func("/kinds/user/finishes-home", test_finishes_home);
    g_test_add_func("/kinds/user/absent", test_absent);
    g_test_add_func("/kinds/user/absent-shared-group", test_absent_shared_group);
    g_test_add_func("/kinds/user/purge", test_purge);
    g_test_add_func("/kinds/user/purge-refused", test_purge_refused);
    g_test_add_func("/kinds/user/refused", test_refused);
    g_test_add_func("/kinds/user/duplicate-uid", test_duplicate_uid);
    g_test_add_func("/kinds/user/unknown-password", test_unknown_password);
    g_test_add_func("/kinds/user/faults", test_faults);
    g_test_add_func("/kinds/user/parallel", test_parallel);
    g_test_add_func("/kinds/user/root", test_root);
    g_test_add_func("/kinds/user/root-unprivileged", test_root_unprivileged);
    return g_test_run();
}
