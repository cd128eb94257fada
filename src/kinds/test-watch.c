/* What the kinds watch: each change that matters is an event, on the real machine below a temporary
 * directory. */
#include <glib/gstdio.h>
#include <string.h>

#include "graph/watcher.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define PATIENCE_US 10000000

typedef struct {
    char *directory;
    Host *host;
    Loop *loop;
    unsigned n_ready, n_events;
    LoopTimer *timer;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    *f = (Fixture){ .directory = g_dir_make_tmp("stead-watch-XXXXXX", &error) };
    g_assert_no_error(error);
    f->host = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    f->loop = loop_new(&error);
    g_assert_no_error(error);
    kind_test_origin(f->directory);
}

static void tear_down(Fixture *f, gconstpointer data) {
    g_assert_true(host_remove_tree(f->host, f->directory, NULL, NULL));
    loop_timer_clear(&f->timer);
    loop_free(f->loop);
    host_free(f->host);
    g_free(f->directory);
}

static void on_signal(void *data, WatchSignal signal, const char *detail) {
    Fixture *f = data;
    if (signal == WATCH_FAILED)
        g_error("the watch failed: %s", detail);
    f->n_ready += signal == WATCH_READY;
    f->n_events += signal == WATCH_EVENT;
    loop_quit(f->loop);
}

static void on_timeout(void *data) {
    g_error("nothing was seen in time");
}

static void wait_for(Fixture *f, const unsigned *count, unsigned n) {
    loop_timer_set(f->loop, &f->timer, loop_now(f->loop) + PATIENCE_US, on_timeout, NULL);
    while (*count < n)
        g_assert_true(loop_run(f->loop, NULL));
    loop_timer_clear(&f->timer);
}

static void write_text(Fixture *f, const char *name, const char *text) {
    g_autofree char *path = g_build_filename(f->directory, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void make_directory(Fixture *f, const char *name) {
    g_autofree char *path = g_build_filename(f->directory, name, NULL);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
}

static Watcher *watch(Fixture *f, const Resource *resource) {
    g_autoptr(GError) error = NULL;
    Watcher *watcher = watcher_new(f->host, f->loop, 0, on_signal, f);
    g_assert_true(resource->kind->watch(watcher, resource, &error));
    g_assert_no_error(error);
    watcher_start(watcher);
    wait_for(f, &f->n_ready, 1);
    f->n_ready = f->n_events = 0;
    return watcher;
}

/* Writes each of names in turn; each must be an event. */
static void each_is_seen(Fixture *f, const Resource *resource, const char *const *names) {
    Watcher *watcher = watch(f, resource);
    for (unsigned i = 0; names[i] != NULL; i++) {
        f->n_events = 0;
        write_text(f, names[i], "changed\n");
        wait_for(f, &f->n_events, 1);
        while (loop_turn(f->loop)) /* the rest of this change */
            ;
    }
    watcher_free(watcher);
}

#define SEEN(resource, ...) each_is_seen(f, resource, (const char *const[]){ __VA_ARGS__, NULL })

static char *below(Fixture *f, const char *format) {
    g_auto(GStrv) parts = g_strsplit(format, "@", -1);
    return g_strjoinv(f->directory, parts);
}

static void test_file(Fixture *f, gconstpointer data) {
    g_autofree char *name = below(f, "@/one");
    g_autofree char *source = below(f, "source=@/from");
    g_autofree char *fragments = below(f, "fragments:=[\"@/first\", \"@/parts/\"]");
    make_directory(f, "parts");
    g_autoptr(Resource) plain = kind_test_resource(&kind_file, name, "content=x", NULL);
    SEEN(plain, "one");
    g_autoptr(Resource) host = kind_test_resource(&kind_file, name, source, NULL);
    SEEN(host, "one", "from");
    g_autoptr(Resource) local = kind_test_resource(&kind_file, name, "source=local", NULL);
    SEEN(local, "one", "local");
    g_autoptr(Resource) joined = kind_test_resource(&kind_file, name, fragments, NULL);
    SEEN(joined, "one", "first", "parts/new");
}

static void test_tree(Fixture *f, gconstpointer data) {
    g_autofree char *name = below(f, "@/dst/");
    make_directory(f, "dst");
    make_directory(f, "dst/sub");
    make_directory(f, "www");
    g_autoptr(Resource) copy =
        kind_test_resource(&kind_file, name, "source=www/", "recurse:=true", NULL);
    SEEN(copy, "dst/x", "dst/sub/y", "www/z");
}

static void test_edits(Fixture *f, gconstpointer data) {
    g_autofree char *file = below(f, "file=@/shared");
    g_autofree char *path = below(f, "path=@/shared");
    g_autoptr(Resource) line = kind_test_resource(&kind_line, "l", file, "content=x", NULL);
    SEEN(line, "shared");
    g_autoptr(Resource) ini = kind_test_resource(&kind_ini, "i", path, "key=k", "value=v", NULL);
    SEEN(ini, "shared");
    g_autofree char *target = below(f, "target=@/shared");
    g_autoptr(Resource) host = kind_test_resource(&kind_host, "h", "ip=::1", target, NULL);
    SEEN(host, "shared");
    g_autoptr(Resource) key =
        kind_test_resource(&kind_ssh_authorized_key, "k", target, "state=absent", NULL);
    SEEN(key, "shared");
    g_autoptr(Resource) name =
        kind_test_resource(&kind_hostname, "n", target, "transient_hostname=", NULL);
    SEEN(name, "shared");
}

static void test_tar(Fixture *f, gconstpointer data) {
    g_autofree char *archive = below(f, "@/x.tar");
    g_autofree char *inputs = below(f, "inputs:=[\"@/in\"]");
    g_autofree char *directory = below(f, "@/out/");
    make_directory(f, "in");
    make_directory(f, "out");
    g_autoptr(Resource) pack = kind_test_resource(&kind_tar, archive, inputs, NULL);
    SEEN(pack, "x.tar", "in/a");
    g_autoptr(Resource) unpack = kind_test_resource(&kind_tar, directory, "source=y.tar", NULL);
    SEEN(unpack, "y.tar", "out/a");
}

static void test_exec(Fixture *f, gconstpointer data) {
    g_autofree char *creates = below(f, "creates=@/made");
    g_autofree char *mtimes = below(f, "mtimes:=[\"@/newer\"]");
    g_autofree char *files = below(f, "watchfiles:=[\"@/seen\", \"@/all/\"]");
    g_autofree char *command =
        below(f, "watchcmd=until test -e @/go; do sleep 0.02; done; echo x; sleep 60");
    make_directory(f, "all");
    g_autoptr(Resource) exec = kind_test_resource(&kind_exec, "true", creates, mtimes, files,
                                                  command, "watchshell=/bin/sh", NULL);
    SEEN(exec, "made", "newer", "seen", "all/x", "go");
}

static void test_timer(void) {
    Fixture f = { .host = host_fake_new(), .loop = loop_new_virtual(NULL) };
    g_autoptr(Resource) hourly = kind_test_resource(&kind_timer, "t", "interval=1h", NULL);
    Watcher *watcher = watcher_new(f.host, f.loop, 0, on_signal, &f);
    g_assert_true(hourly->kind->watch(watcher, hourly, NULL));
    watcher_start(watcher);
    while (f.n_events < 3)
        g_assert_true(loop_run(f.loop, NULL));
    g_assert_cmpuint(loop_now(f.loop) / G_USEC_PER_SEC, ==, 3 * 3600);
    watcher_free(watcher);
    loop_free(f.loop);
    host_free(f.host);
}

#define ADD(path, function)                                                                        \
    g_test_add("/kinds/watch/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("file", test_file);
    ADD("tree", test_tree);
    ADD("edits", test_edits);
    ADD("tar", test_tar);
    ADD("exec", test_exec);
    g_test_add_func("/kinds/watch/timer", test_timer);
    return g_test_run();
}
