/* File watches with the real inotify. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/test-real.h"
#include "host/watch-files-private.h"

#define OWNER 42

typedef struct Seen Seen;
struct Seen {
    unsigned ready, changed, failed;
    char *detail;
    HostWatch *watch;
    void (*then)(Seen *seen); /* after each event */
    RealFixture *fixture;
    Loop *loop;
};

static void on_event(void *data, HostEvent event, const char *detail) {
    Seen *seen = data;
    if (event == HOST_EVENT_READY)
        seen->ready++;
    else if (event == HOST_EVENT_CHANGED)
        seen->changed++;
    else
        seen->failed++;
    if (detail != NULL) {
        g_free(seen->detail);
        seen->detail = g_strdup(detail);
    }
    if (seen->then != NULL)
        seen->then(seen);
}

/* Turns the loop until nothing has happened for a while. */
static void settle(Loop *loop) {
    for (int quiet = 0; quiet < 3;) {
        quiet = loop_turn(loop) ? 0 : quiet + 1;
        g_usleep(1000);
    }
}

static void watch(Seen *seen, RealFixture *fixture, Loop *loop, HostWatchClass class,
                  const char *path, uint64_t owner) {
    g_autofree char *name = scratch_path(fixture, path);
    g_autoptr(GError) error = NULL;
    *seen = (Seen){ .fixture = fixture, .loop = loop };
    seen->watch = host_watch(fixture->host, loop, class, name, owner, on_event, seen, &error);
    g_assert_no_error(error);
    g_assert_nonnull(seen->watch);
    g_assert_cmpuint(seen->ready, ==, 0); /* not before host_watch() returns */
    settle(loop);
    g_assert_cmpuint(seen->ready, ==, 1);
    g_assert_cmpuint(seen->changed, ==, 0);
}

static void unwatch(Seen *seen) {
    host_watch_free(seen->watch);
    g_free(seen->detail);
}

/* Runs the command, as somebody else, and expects a change to be told, or none. */
static void expect(Seen *seen, const char *command, bool changed) {
    seen->changed = 0;
    scratch_run(seen->fixture, command);
    settle(seen->loop);
    if (changed != (seen->changed > 0))
        g_error("after '%s': %u changes told", command, seen->changed);
}

static Loop *open_loop(void) {
    g_autoptr(GError) error = NULL;
    Loop *loop = loop_new(&error);
    g_assert_no_error(error);
    return loop;
}

static void test_file(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_put(fixture, "/f", "x");
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    expect(&seen, "echo y > f", true);
    expect(&seen, "echo y >> f", true);
    expect(&seen, "chmod 600 f", true);
    expect(&seen, "touch f", true);
    expect(&seen, "echo z > other; mv other f", true);
    expect(&seen, "echo a >> f", true); /* the new one is watched as well */
    expect(&seen, "mv f g", true);
    expect(&seen, "echo a > g", false);
    expect(&seen, "mv g f", true);
    expect(&seen, "rm f", true);
    expect(&seen, "ln -s g f", true);
    expect(&seen, "rm f; mkdir f", true);
    expect(&seen, "echo x > f/below", false);
    expect(&seen, "echo y > other; chmod 600 other; rm other", false);
    expect(&seen, "cat f/below >&2", false);
    g_assert_cmpuint(seen.failed, ==, 0);
    unwatch(&seen);
    settle(loop);
}

static void test_missing_parents(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/a/b/c/f", 0);
    expect(&seen, "mkdir a", false);
    expect(&seen, "mkdir -p a/b/c", true); /* now it can be made */
    expect(&seen, "echo x > a/b/c/f", true);
    expect(&seen, "echo x > a/b/c/f", true);
    expect(&seen, "rm -r a/b", true);
    expect(&seen, "mkdir -p a/b/c; echo x > a/b/c/f", true); /* all at once */
    expect(&seen, "echo y > a/b/c/f", true);
    expect(&seen, "rm -r a; echo file > a", true);
    expect(&seen, "rm a; mkdir -p a/b/c; echo x > a/b/c/f; rm -r a", false);
    expect(&seen, "mkdir -p elsewhere/b/c; echo x > elsewhere/b/c/f", false);
    expect(&seen, "mv elsewhere a", true);
    unwatch(&seen);
}

static void test_replaced_parents(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir -p a/b x/b; echo 1 > a/b/f; echo 2 > x/b/f");
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/a/b/f", 0);
    expect(&seen, "mv a old; mv x a", true);
    expect(&seen, "echo 3 > old/b/f", false);
    expect(&seen, "echo 3 > a/b/f", true);
    expect(&seen, "mv a x", true);
    expect(&seen, "echo 3 > x/b/f", false);
    expect(&seen, "mv x a; echo 4 > a/b/f", true);
    unwatch(&seen);
}

static void test_linked_parents(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir -p real/one real/two; echo 1 > real/one/f; echo 2 > real/two/f;"
                         "ln -s real/one current; ln -s loop loop");
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/current/f", 0);
    expect(&seen, "echo x > real/one/f", true);
    expect(&seen, "echo x > real/two/f", false);
    expect(&seen, "ln -s real/two new; mv -T new current", true);
    expect(&seen, "echo x > real/one/f", false);
    expect(&seen, "echo x > real/two/f", true);
    expect(&seen, "mv real moved", true);
    expect(&seen, "mkdir real; mv moved/two real/two", true);
    expect(&seen, "echo y > real/two/f", true);
    expect(&seen, "rm current; ln -s real/../real/./two/ current", false); /* the same place */
    expect(&seen, "echo z > real/two/f", true);
    unwatch(&seen);
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/loop/f", 0);
    expect(&seen, "rm loop; mkdir loop; echo x > loop/f", true);
    unwatch(&seen);
}

/* An absolute link leads to the root of the host, not of the machine. */
static void test_absolute_link(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    g_autoptr(Loop) loop = open_loop();
    scratch_run(&fixture, "mkdir -p etc/inside sub; ln -s /etc/inside sub/link");
    Seen seen;
    watch(&seen, &fixture, loop, HOST_WATCH_FILE, "/sub/link/f", 0);
    expect(&seen, "echo x > etc/inside/f", true);
    expect(&seen, "echo y > etc/inside/f", true);
    unwatch(&seen);
    real_fixture_tear_down(&fixture, "root");
}

static void test_odd_paths(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir d");
    Seen a, b;
    watch(&a, fixture, loop, HOST_WATCH_FILE, "/d//./f", 0);
    watch(&b, fixture, loop, HOST_WATCH_FILE, "/d/", 0);
    expect(&a, "echo x > d/f", true);
    b.changed = 0;
    expect(&b, "chmod 700 d", true);
    unwatch(&a);
    unwatch(&b);
    g_autoptr(GError) error = NULL;
    g_assert_null(
        host_watch(fixture->host, loop, HOST_WATCH_FILE, "relative", 0, on_event, &a, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
}

static void test_root_itself(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    g_autoptr(Loop) loop = open_loop();
    Seen seen, tree;
    watch(&seen, &fixture, loop, HOST_WATCH_FILE, "/", 0);
    watch(&tree, &fixture, loop, HOST_WATCH_TREE, "/", 0);
    expect(&seen, "chmod 700 .", true);
    expect(&tree, "mkdir -p a/b; echo x > a/b/f", true);
    expect(&tree, "echo x > a/b/f", true);
    unwatch(&seen);
    unwatch(&tree);
    real_fixture_tear_down(&fixture, "root");
}

static void test_tree(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir -p d/a/b other/sub; echo x > d/a/b/f");
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_TREE, "/d", 0);
    expect(&seen, "echo y > d/a/b/f", true);
    expect(&seen, "mkdir -p d/n/e/w", true);
    expect(&seen, "echo x > d/n/e/w/f", true);
    expect(&seen, "mv d/n d/a/moved", true);
    expect(&seen, "echo y > d/a/moved/e/w/f", true);
    expect(&seen, "mv d/a/moved gone", true);
    expect(&seen, "echo z > gone/e/w/f", false);
    expect(&seen, "mv gone d/back", true);
    expect(&seen, "echo z > d/back/e/w/f", true);
    expect(&seen, "ln -s ../other d/link", true);
    expect(&seen, "echo z > other/f", false);
    expect(&seen, "chmod 700 d/a/b", true);
    expect(&seen, "chmod 700 d", true);
    expect(&seen, "echo x > d/.stead.0123456789abcdef.tmp", false);
    expect(&seen, "rm -r d", true);
    expect(&seen, "mkdir -p d/x; echo x > d/x/f", true);
    expect(&seen, "echo y > d/x/f", true);
    expect(&seen, "mv d away; mv other d", true);
    expect(&seen, "echo y > d/sub/f", true);
    expect(&seen, "echo y > away/x/f", false);
    g_assert_cmpuint(seen.failed, ==, 0);
    g_assert_cmpuint(seen.ready, ==, 1);
    unwatch(&seen);
}

static void test_missing_tree(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_TREE, "/not/yet", 0);
    expect(&seen, "mkdir not", true); /* now it can be made */
    expect(&seen, "mkdir -p not/yet/sub", true);
    expect(&seen, "echo x > not/yet/sub/f", true);
    unwatch(&seen);
}

/* --- own writes */

static void own(RealFixture *fixture, const char *path, const char *text, uint64_t owner) {
    g_autoptr(GError) error = NULL;
    host_writer_begin(owner);
    put(fixture, path, text, NULL, &error);
    host_writer_end();
    g_assert_no_error(error);
}

static void test_own_write(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_put(fixture, "/f", "x");
    Seen mine, other;
    watch(&mine, fixture, loop, HOST_WATCH_FILE, "/f", OWNER);
    watch(&other, fixture, loop, HOST_WATCH_FILE, "/f", OWNER + 1);
    for (unsigned i = 1; i <= 5; i++) {
        own(fixture, "/f", "new", OWNER);
        settle(loop);
        g_assert_cmpuint(mine.changed, ==, 0);
        g_assert_cmpuint(other.changed, ==, i);
    }
    own(fixture, "/f", "theirs", OWNER + 1);
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 1);
    expect(&mine, "echo foreign > f", true);
    expect(&mine, "chmod 600 f", true);
    /* Who still writes to the file that we replaced changes nothing any more. */
    g_autofree char *local = scratch_local(fixture, "/f");
    int fd = open(local, O_WRONLY | O_CLOEXEC);
    own(fixture, "/f", "new", OWNER);
    settle(loop);
    mine.changed = 0;
    g_assert_cmpint(write(fd, "late", 4), ==, 4);
    close(fd);
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    /* Another in the same turn of the loop, before and after ours. */
    mine.changed = 0;
    own(fixture, "/f", "new", OWNER);
    scratch_put(fixture, "/f", "new");
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 1);
    mine.changed = 0;
    own(fixture, "/f", "new", OWNER);
    scratch_run(fixture, "echo foreign > g; mv g f");
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 1);
    unwatch(&mine);
    unwatch(&other);
}

static void test_own_everything(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Host *host = fixture->host;
    g_autofree char *f = scratch_path(fixture, "/f");
    g_autoptr(GError) error = NULL;
    FileAttributes mode = { .set = FILE_SET_MODE, .mode = 0711 };
    Seen mine, other;
    watch(&mine, fixture, loop, HOST_WATCH_FILE, "/f", OWNER);
    watch(&other, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    /* One after the other, and all without the loop in between. */
    for (int together = 0; together < 2; together++) {
        for (int step = 0; step < 7; step++) {
            other.changed = 0;
            host_writer_begin(OWNER);
            bool ok = step == 0   ? put(fixture, "/f", "x", NULL, &error)
                      : step == 1 ? host_set_attributes(host, f, &mode, &error)
                      : step == 2 ? host_remove(host, f, &error)
                      : step == 3 ? host_make_directory(host, f, NULL, &error)
                      : step == 4 ? host_remove_tree(host, f, NULL, &error)
                      : step == 5 ? host_make_link(host, f, "somewhere", &error)
                                  : host_make_link(host, f, "elsewhere", &error);
            host_writer_end();
            g_assert_no_error(error);
            g_assert_true(ok);
            if (together)
                continue;
            settle(loop);
            g_assert_cmpuint(mine.changed, ==, 0);
            g_assert_cmpuint(other.changed, ==, 1);
        }
        settle(loop);
        g_assert_cmpuint(mine.changed, ==, 0);
        g_assert_cmpuint(other.changed, ==, 1);
        host_writer_begin(OWNER);
        g_assert_true(host_remove(host, f, &error));
        host_writer_end();
        settle(loop);
    }
    expect(&mine, "echo x > f", true);
    unwatch(&mine);
    unwatch(&other);
}

/* A failed write of ours must not make us deaf. */
static void test_own_failure(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir f");
    g_autofree char *f = scratch_path(fixture, "/f");
    Seen mine;
    watch(&mine, fixture, loop, HOST_WATCH_FILE, "/f", OWNER);
    host_writer_begin(OWNER);
    g_assert_false(host_make_directory(fixture->host, f, NULL, NULL));
    host_writer_end();
    expect(&mine, "rmdir f", true);
    unwatch(&mine);
}

static void test_own_tree(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir d");
    g_autofree char *sub = scratch_path(fixture, "/d/sub");
    Seen mine, other;
    watch(&mine, fixture, loop, HOST_WATCH_TREE, "/d", OWNER);
    watch(&other, fixture, loop, HOST_WATCH_TREE, "/d", 0);
    own(fixture, "/d/f", "x", OWNER);
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    g_assert_cmpuint(other.changed, ==, 1);
    host_writer_begin(OWNER);
    g_assert_true(host_make_directory(fixture->host, sub, NULL, NULL));
    host_writer_end();
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    own(fixture, "/d/sub/f", "x", OWNER);
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    g_assert_cmpuint(other.changed, ==, 3);
    /* While it has no name yet, its owner and mode change. */
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 0777 };
    if (geteuid() == 0)
        attributes = (FileAttributes){ FILE_SET_MODE | FILE_SET_UID, .mode = 0777, .uid = 12 };
    host_writer_begin(OWNER);
    g_assert_true(put(fixture, "/d/sub/odd", "x", &attributes, NULL));
    host_writer_end();
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    expect(&mine, "touch 'd/sub/#12'", true);
    expect(&mine, "chmod 600 'd/sub/#12'", true);
    expect(&mine, "rm 'd/sub/#12'", true);
    expect(&mine, "echo x > d/sub/f", true);
    /* Somebody is faster in a directory of ours than we are in watching it. */
    g_autofree char *fresh = scratch_path(fixture, "/d/fresh");
    mine.changed = 0;
    host_writer_begin(OWNER);
    g_assert_true(host_make_directory(fixture->host, fresh, NULL, NULL));
    host_writer_end();
    scratch_put(fixture, "/d/fresh/f", "theirs");
    settle(loop);
    g_assert_cmpuint(mine.changed, >=, 1);
    expect(&mine, "rm -r d/fresh", true);
    const FileWatch *inside = (const FileWatch *)(void *)mine.watch;
    g_assert_cmpuint(g_hash_table_size(inside->tree->stamps), ==, 0); /* all old by now */
    mine.changed = other.changed = 0;
    host_writer_begin(OWNER);
    g_assert_true(host_remove_tree(fixture->host, sub, NULL, NULL));
    host_writer_end();
    settle(loop);
    g_assert_cmpuint(mine.changed, ==, 0);
    g_assert_cmpuint(other.changed, ==, 1);
    unwatch(&mine);
    unwatch(&other);
}

/* Changes of others between our own are never lost: whoever looks after each event, as the engine
 * does, sees the last state. */
typedef struct {
    RealFixture *fixture;
    gint stop;
} Rival;

static gpointer rival_writes(gpointer data) {
    Rival *rival = data;
    char text[32];
    for (int i = 0; i < 400; i++) {
        g_snprintf(text, sizeof text, "rival %d", i % 7);
        own(rival->fixture, "/f", text, i % 2 ? OWNER + 1 : 0);
        if (i % 20 == 0)
            g_usleep(500);
    }
    g_atomic_int_set(&rival->stop, 1);
    return NULL;
}

static gpointer worker_writes(gpointer data) {
    own(data, "/f", "ours", OWNER);
    return NULL;
}

static void test_own_race(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_put(fixture, "/f", "ours");
    Seen mine;
    watch(&mine, fixture, loop, HOST_WATCH_FILE, "/f", OWNER);
    Rival rival = { fixture, 0 };
    GThread *thread = g_thread_new("rival", rival_writes, &rival);
    bool stopped = false;
    for (int quiet = 0; quiet < 50;) {
        quiet = loop_turn(loop) || !stopped ? 0 : quiet + 1;
        stopped = g_atomic_int_get(&rival.stop);
        if (quiet > 0)
            g_usleep(1000);
        if (mine.changed == 0)
            continue;
        mine.changed = 0;
        g_autofree char *text = scratch_get(fixture, "/f");
        if (strcmp(text, "ours") != 0)
            g_thread_join(g_thread_new("worker", worker_writes, fixture));
    }
    g_thread_join(thread);
    g_autofree char *text = scratch_get(fixture, "/f");
    g_assert_cmpstr(text, ==, "ours");
    unwatch(&mine);
}

/* --- life of watches */

static void free_both(Seen *seen) {
    if (seen->changed == 0)
        return;
    Seen *pair = seen->fixture->host != NULL ? seen : NULL;
    g_assert_nonnull(pair);
    Seen *other = (Seen *)(void *)seen->detail;
    seen->detail = NULL;
    if (other != NULL)
        other->detail = NULL;
    g_clear_pointer(&seen->watch, host_watch_free);
    if (other != NULL)
        g_clear_pointer(&other->watch, host_watch_free);
}

static void test_free_in_callback(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Seen a, b;
    watch(&a, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    watch(&b, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    a.detail = (char *)(void *)&b;
    b.detail = (char *)(void *)&a;
    a.then = b.then = free_both;
    scratch_run(fixture, "echo x > f");
    settle(loop);
    g_assert_cmpuint(a.changed + b.changed, ==, 1);
    g_assert_null(a.watch);
    g_assert_null(b.watch);
}

static void watch_again(Seen *seen) {
    if (seen->changed != 1)
        return;
    seen->changed++;
    g_autofree char *name = scratch_path(seen->fixture, "/g");
    host_watch_free(seen->watch);
    seen->watch =
        host_watch(seen->fixture->host, seen->loop, HOST_WATCH_FILE, name, 0, on_event, seen, NULL);
    g_assert_cmpuint(seen->ready, ==, 1);
}

static void test_watch_in_callback(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    seen.then = watch_again;
    scratch_run(fixture, "echo x > f");
    settle(loop);
    g_assert_cmpuint(seen.ready, ==, 2);
    seen.then = NULL;
    expect(&seen, "echo x > f", false);
    expect(&seen, "echo x > g", true);
    unwatch(&seen);
}

static void test_accounts_and_packages(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    g_autoptr(Loop) loop = open_loop();
    scratch_run(&fixture, "mkdir -p etc; echo x > etc/passwd");
    Seen accounts = { .fixture = &fixture, .loop = loop }, packages = accounts;
    accounts.watch =
        host_watch(fixture.host, loop, HOST_WATCH_ACCOUNTS, NULL, 0, on_event, &accounts, NULL);
    packages.watch =
        host_watch(fixture.host, loop, HOST_WATCH_PACKAGES, NULL, 0, on_event, &packages, NULL);
    settle(loop);
    g_assert_cmpuint(accounts.ready, ==, 1);
    g_assert_cmpuint(packages.ready, ==, 1);
    const char *const files[] = { "passwd", "group", "shadow", "gshadow" };
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *command = g_strdup_printf("echo y > etc/new; mv etc/new etc/%s", files[i]);
        expect(&accounts, command, true);
    }
    g_assert_cmpuint(packages.changed, ==, 0);
    expect(&packages, "mkdir -p var/lib/dpkg; echo x > var/lib/dpkg/status", true);
    unwatch(&accounts);
    unwatch(&packages);
    real_fixture_tear_down(&fixture, "root");
}

/* --- limits */

static void test_burst(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    Seen seen, quiet;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/f", 0);
    watch(&quiet, fixture, loop, HOST_WATCH_FILE, "/quiet", 0);
    g_autofree char *f = scratch_local(fixture, "/f");
    g_autofree char *g = scratch_local(fixture, "/g");
    int fds[2] = { creat(f, 0644), creat(g, 0644) };
    for (int i = 0; i < 15000; i++) /* in turn, or the kernel would make one event of them */
        g_assert_cmpint(pwrite(fds[i % 2], "x", 1, 0), ==, 1);
    close(fds[0]);
    close(fds[1]);
    clock_t start = clock(); /* processor time: others may be at work here, too */
    while (seen.changed == 0)
        loop_turn(loop);
    g_assert_cmpint(clock() - start, <, CLOCKS_PER_SEC / 5);
    settle(loop);
    g_assert_cmpuint(seen.changed, ==, 1);
    g_assert_cmpuint(quiet.changed, ==, 0);
    unwatch(&seen);
    unwatch(&quiet);
}

/* More than the kernel keeps: everybody has to look again, and nothing is deaf afterwards. */
static void test_overflow(RealFixture *fixture, gconstpointer has_root) {
    g_autoptr(Loop) loop = open_loop();
    scratch_run(fixture, "mkdir -p d/sub busy");
    Seen seen, tree, busy;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/f", OWNER);
    own(fixture, "/f", "ours", OWNER); /* even what is as we left it has to be looked at */
    g_usleep(30000);
    settle(loop);
    g_assert_cmpuint(seen.changed, ==, 0);
    watch(&tree, fixture, loop, HOST_WATCH_TREE, "/d", OWNER);
    watch(&busy, fixture, loop, HOST_WATCH_TREE, "/busy", 0);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/sys/fs/inotify/max_queued_events", &text, NULL, NULL));
    long limit = strtol(text, NULL, 10);
    if (limit > 100000) {
        g_test_skip("fs.inotify.max_queued_events is too high for a test");
    } else {
        g_autofree char *command =
            g_strdup_printf("cd busy; i=0; while [ $i -lt %ld ]; do : > a; : > b; i=$((i+1)); done;"
                            "mkdir ../d/late",
                            limit / 2 + 100);
        scratch_run(fixture, command);
        settle(loop);
        g_assert_cmpuint(seen.changed, ==, 1);
        g_assert_cmpuint(tree.changed, >=, 1);
        g_assert_cmpuint(busy.changed, >=, 1);
        expect(&seen, "echo x > f", true);
        expect(&tree, "echo x > d/late/f", true);
    }
    unwatch(&seen);
    unwatch(&tree);
    unwatch(&busy);
}

/* In a user namespace of our own the limit is ours to set. */
static int hit_limit(RealFixture *fixture) {
    if (unshare(CLONE_NEWUSER) != 0)
        return 77;
    FILE *limit = fopen("/proc/sys/user/max_inotify_watches", "we");
    if (limit == NULL || fputs("20", limit) < 0 || fclose(limit) != 0)
        return 77;
    g_autoptr(Loop) loop = open_loop();
    Seen seen = { .fixture = fixture, .loop = loop };
    g_autofree char *d = scratch_path(fixture, "/d");
    g_autofree char *f = scratch_path(fixture, "/e/f");
    g_autoptr(GError) error = NULL;
    seen.watch = host_watch(fixture->host, loop, HOST_WATCH_TREE, d, 0, on_event, &seen, &error);
    g_assert_no_error(error);
    settle(loop);
    g_assert_cmpuint(seen.failed, ==, 1);
    g_assert_nonnull(strstr(seen.detail, "fs.inotify.max_user_watches"));
    g_assert_null(host_watch(fixture->host, loop, HOST_WATCH_FILE, f, 0, on_event, &seen, &error));
    assert_code(error, STEAD_ERROR_LIMIT);
    scratch_run(fixture, "echo x > d/f");
    settle(loop);
    g_assert_cmpuint(seen.failed + seen.changed + seen.ready, ==, 1);
    unwatch(&seen);
    return 0;
}

static void test_limit(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir e; i=0; while [ $i -lt 30 ]; do mkdir -p d/$i; i=$((i+1)); done");
    pid_t pid = fork();
    if (pid == 0)
        _exit(hit_limit(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("may not set a limit here");
    else
        g_assert_cmpint(status, ==, 0);
}

static int watch_mount(RealFixture *fixture) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 77;
    g_autoptr(Loop) loop = open_loop();
    Seen seen;
    watch(&seen, fixture, loop, HOST_WATCH_FILE, "/d/f", 0);
    g_autofree char *d = scratch_local(fixture, "/d");
    if (mount("none", d, "tmpfs", 0, NULL) != 0)
        return 77;
    settle(loop);
    g_assert_cmpuint(seen.changed, ==, 1);
    expect(&seen, "echo x > d/f", true);
    seen.changed = 0;
    g_assert_cmpint(umount2(d, MNT_DETACH), ==, 0);
    settle(loop);
    g_assert_cmpuint(seen.changed, ==, 1);
    expect(&seen, "echo x > d/f", true);
    unwatch(&seen);
    return 0;
}

static void test_mount(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir d; echo below > d/f");
    pid_t pid = fork();
    if (pid == 0)
        _exit(watch_mount(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("may not mount here");
    else
        g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add_real_test("/watch-files/file", test_file);
    add_real_test("/watch-files/missing-parents", test_missing_parents);
    add_real_test("/watch-files/replaced-parents", test_replaced_parents);
    add_real_test("/watch-files/linked-parents", test_linked_parents);
    add_real_test("/watch-files/odd-paths", test_odd_paths);
    add_real_test("/watch-files/tree", test_tree);
    add_real_test("/watch-files/missing-tree", test_missing_tree);
    add_real_test("/watch-files/own-write", test_own_write);
    add_real_test("/watch-files/own-everything", test_own_everything);
    add_real_test("/watch-files/own-failure", test_own_failure);
    add_real_test("/watch-files/own-tree", test_own_tree);
    add_real_test("/watch-files/own-race", test_own_race);
    add_real_test("/watch-files/free-in-callback", test_free_in_callback);
    add_real_test("/watch-files/watch-in-callback", test_watch_in_callback);
    add_real_test("/watch-files/burst", test_burst);
    add_real_test("/watch-files/overflow", test_overflow);
    add_real_test("/watch-files/limit", test_limit);
    add_real_test("/watch-files/mount", test_mount);
    g_test_add_func("/watch-files/absolute-link", test_absolute_link);
    g_test_add_func("/watch-files/root-itself", test_root_itself);
    g_test_add_func("/watch-files/accounts-and-packages", test_accounts_and_packages);
    return g_test_run();
}
