/* mount: fstab, what is mounted, and the two together. */
#include <glib/gstdio.h>
#include <string.h>

#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "host/mounts.h"
#include "kinds/fstab.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define MOUNT(...) kind_test_resource(&kind_mount, "/srv/cache", __VA_ARGS__)
#define TMPFS      "device=tmpfs", "fstype=tmpfs"

static char *read_text(Host *host, const char *path) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, NULL);
    return bytes != NULL ? g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) : NULL;
}

static void assert_fstab(Host *host, const char *text) {
    g_autofree char *found = read_text(host, FSTAB);
    g_assert_cmpstr(found, ==, text);
}

/* "source fstype options super-options", NULL: not mounted. */
static void assert_live(Host *host, const char *point, const char *text) {
    g_autoptr(MountTable) table = host_mounts(host, NULL);
    const Mount *mount = mount_table_at(table, point);
    g_autofree char *found = mount != NULL
                                 ? g_strdup_printf("%s %s %s %s", mount->source, mount->fstype,
                                                   mount->options, mount->super_options)
                                 : NULL;
    g_assert_cmpstr(found, ==, text);
}

static bool tamper_mount(Host *host, const char *source, const char *fstype, const char *options,
                         bool remount) {
    MountRequest request = { source, "/srv/cache", fstype, options, remount, NULL };
    return host_fake_tamper_mount(host, &request);
}

static void set_number(Resource *resource, const char *param, int64_t number) {
    g_autoptr(Value) value = value_new_int(number);
    g_assert_true(resource_set(resource, param, value, NULL));
}

/* --- the line */

static void test_lines(void) {
    static const struct {
        const char *before, *after; /* before NULL: no file */
    } rows[] = {
        { NULL, "tmpfs\t/srv/cache\ttmpfs\tsize=1m\t0\t0\n" },
        { "# c\n\n/dev/x / ext4 defaults 0 1",
          "# c\n\n/dev/x / ext4 defaults 0 1\ntmpfs\t/srv/cache\ttmpfs\tsize=1m\t0\t0\n" },
        { "tmpfs  /srv/cache/   tmpfs\tsize=2m,ro 0 0 # mine\n# end\n",
          "tmpfs  /srv/cache/   tmpfs\tsize=1m 0 0 # mine\n# end\n" },
        { "old //srv//cache ext4\n", "tmpfs //srv//cache tmpfs size=1m 0 0\n" },
        { "#tmpfs /srv/cache tmpfs size=1m\n",
          "#tmpfs /srv/cache tmpfs size=1m\ntmpfs\t/srv/cache\ttmpfs\tsize=1m\t0\t0\n" },
        { "a /srv/cache b\r\nc /d e\r\n", "tmpfs /srv/cache tmpfs size=1m 0 0\r\nc /d e\r\n" },
        { "tmpfs\t/srv\\057cache tmpfs size=1m,defaults 0\n", NULL }, /* right as it is */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (rows[i].before != NULL)
            host_fake_tamper_write(host, FSTAB, rows[i].before);
        g_autoptr(Resource) mount = MOUNT(TMPFS, "options=size=1m", NULL);
        g_autoptr(KindRound) plan = kind_test_plan(test, mount);
        g_autoptr(KindRound) round = kind_test_round(test, mount);
        g_assert_no_error(round->error);
        g_assert_cmpint(plan->changes->action, ==, round->changes->action);
        assert_fstab(host, rows[i].after != NULL ? rows[i].after : rows[i].before);
        assert_live(host, "/srv/cache", "tmpfs tmpfs rw,relatime rw,size=1m");
    }
}

static void test_spaces(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) mount =
        kind_test_resource(&kind_mount, "/srv/a b\\c", "device=#x y", "fstype=tmpfs", NULL);
    kind_test_expect(test, mount, ACTION_CREATE);
    assert_fstab(host, "\\043x\\040y\t/srv/a\\040b\\134c\ttmpfs\tdefaults\t0\t0\n");
    kind_test_expect(test, mount, ACTION_NONE);
    kind_test_undo(test, mount, ON_REMOVE_DEFAULT);
    assert_fstab(host, NULL);
    g_assert_false(host_exists(host, "/srv"));
}

/* What is not asked for stays as the line has it. */
static void test_partial(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, FSTAB, "LABEL=c /srv/cache ext4 noatime 1 2\n");
    g_assert_true(host_make_parents(host, "/srv/cache/x", NULL));
    g_assert_true(tamper_mount(host, "/dev/vdb", "ext4", "noatime", false));
    g_autoptr(Resource) mount = MOUNT("options:=[\"noatime\",\"nodev\"]", NULL);
    kind_test_expect(test, mount, ACTION_CHANGE);
    assert_fstab(host, "LABEL=c /srv/cache ext4 noatime,nodev 1 2\n");
    assert_live(host, "/srv/cache", "/dev/vdb ext4 rw,nodev,noatime rw");
    g_autoptr(Resource) numbers = MOUNT("atboot:=false", NULL);
    set_number(numbers, "pass", 0);
    kind_test_expect(test, numbers, ACTION_CHANGE);
    assert_fstab(host, "LABEL=c /srv/cache ext4 noatime,nodev,noauto 1 0\n");
    g_autoptr(Resource) none = kind_test_resource(&kind_mount, "/srv/none", NULL);
    kind_test_expect_error(test, none, "'device' is required: '/etc/fstab' has no line");
}

/* --- what is mounted */

static void test_tampering(void) {
    static const struct {
        const char *source, *fstype, *options;
        bool remount;
        Action action;
        const char *property;
    } rows[] = {
        { "tmpfs", "tmpfs", "size=1m,nodev,ro", true, ACTION_CHANGE, "mounted options" },
        { "tmpfs", "tmpfs", "size=2m,nodev", true, ACTION_CHANGE, "mounted options" },
        { "tmpfs", "tmpfs", "size=1024k,nodev", true, ACTION_NONE, NULL },
        { "tmpfs", "tmpfs", "size=1m,nodev,lazytime", true, ACTION_CHANGE, "mounted options" },
        { "else", "ramfs", NULL, false, ACTION_REPLACE, "mounted device" },
        { "other-name", "tmpfs", "size=1m,nodev", false, ACTION_NONE, NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) mount = MOUNT(TMPFS, "options=size=1m,nodev,nofail", NULL);
        kind_test_expect(test, mount, ACTION_CREATE);
        g_assert_true(
            tamper_mount(host, rows[i].source, rows[i].fstype, rows[i].options, rows[i].remount));
        g_autoptr(KindRound) round = kind_test_converge(test, mount, rows[i].action);
        if (rows[i].property != NULL) {
            g_assert_cmpuint(round->changes->changes->len, ==, 1);
            g_assert_nonnull(changes_find(round->changes, rows[i].property));
            assert_live(host, "/srv/cache", "tmpfs tmpfs rw,nodev,relatime rw,size=1m");
        }
        g_assert_true(host_fake_tamper_unmount(host, "/srv/cache"));
        while (host_fake_tamper_unmount(host, "/srv/cache"))
            ;
        kind_test_expect(test, mount, ACTION_CHANGE);
        assert_live(host, "/srv/cache", "tmpfs tmpfs rw,nodev,relatime rw,size=1m");
    }
}

static void test_states(void) {
    static const struct {
        const char *state;
        bool line, live;
        Action action; /* coming from the row before */
    } rows[] = {
        { "state=defined", true, false, ACTION_CREATE },
        { "state=unmounted", true, false, ACTION_NONE },
        { "state=mounted", true, true, ACTION_CHANGE },
        { "state=present", true, true, ACTION_NONE },
        { "state=ephemeral", false, true, ACTION_CHANGE },
        { "state=unmounted", true, false, ACTION_CHANGE },
        { "state=mounted", true, true, ACTION_CHANGE },
        { "state=absent", false, false, ACTION_REMOVE },
    };
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, FSTAB, "# mine\n");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Resource) mount = MOUNT(TMPFS, rows[i].state, NULL);
        kind_test_expect(test, mount, rows[i].action);
        g_autofree char *fstab = read_text(host, FSTAB);
        g_assert_true((strstr(fstab, "/srv/cache") != NULL) == rows[i].line);
        assert_live(host, "/srv/cache", rows[i].live ? "tmpfs tmpfs rw,relatime rw" : NULL);
    }
    assert_fstab(host, "# mine\n");
}

static void test_bind(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_assert_true(host_make_parents(host, "/data/www/x", NULL));
    g_assert_true(host_make_link(host, "/link", "data", NULL));
    g_autoptr(Resource) mount = MOUNT("device=/link/www/", "options=bind,ro", NULL);
    kind_test_expect(test, mount, ACTION_CREATE);
    assert_fstab(host, "/link/www/\t/srv/cache\tnone\tbind,ro\t0\t0\n");
    g_autoptr(Resource) other = MOUNT("device=/var", "options=bind,ro", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, other, ACTION_REPLACE);
    g_assert_nonnull(changes_find(round->changes, "mounted device"));
    g_autoptr(Resource) missing = MOUNT("device=/nothing", "options=bind", NULL);
    kind_test_expect_error(test, missing, "'/nothing' does not exist");
    g_autoptr(MountTable) table = host_mounts(host, NULL);
    g_assert_cmpstr(mount_table_at(table, "/srv/cache")->root, ==, "/var"); /* mounted again */
}

/* A file is bound to a file. */
static void test_bind_file(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) mount =
        kind_test_resource(&kind_mount, "/run/passwd", "device=/etc/passwd", "options=bind", NULL);
    g_autoptr(KindRound) round = kind_test_round(test, mount);
    g_assert_no_error(round->error);
    FileInfo info;
    g_assert_true(host_stat(host, "/run/passwd", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
}

static void test_automount(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_assert_true(host_make_parents(host, "/srv/cache/x", NULL));
    host_fake_tamper_write(host, FSTAB, "a /srv/cache nfs x-systemd.automount 0 0\n");
    g_assert_true(tamper_mount(host, "systemd-1", "autofs", NULL, false));
    g_autoptr(Resource) waits =
        MOUNT("device=a", "fstype=nfs", "options=x-systemd.automount", NULL);
    kind_test_expect(test, waits, ACTION_NONE);
    g_autoptr(Resource) now = MOUNT("device=a", "fstype=nfs", "options=ro", NULL);
    kind_test_expect(test, now, ACTION_CHANGE);
    assert_live(host, "/srv/cache", "a nfs ro,relatime ro");
}

static void test_refresh(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    kind_test_expect(test, mount, ACTION_CREATE);
    unsigned before = host_fake_count(host, "mount");
    test->refresh = true;
    g_autoptr(KindRound) round = kind_test_round(test, mount);
    g_assert_no_error(round->error);
    g_assert_cmpint(round->changes->action, ==, ACTION_RESTART);
    g_assert_cmpuint(host_fake_count(host, "mount"), ==, before + 1);
}

/* --- refusals */

static void test_busy(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    kind_test_expect(test, mount, ACTION_CREATE);
    host_fake_set_busy(host, "/srv/cache", "'sleep' (7)");
    g_autoptr(Resource) absent = MOUNT("state=absent", NULL);
    g_autoptr(KindRound) round = kind_test_round(test, absent);
    g_assert_nonnull(strstr(round->error->message, "it is in use by 'sleep' (7)"));
    assert_fstab(host, "tmpfs\t/srv/cache\ttmpfs\tdefaults\t0\t0\n");
    g_autoptr(Resource) forced = MOUNT("state=absent", "force:=true", NULL);
    kind_test_expect(test, forced, ACTION_REMOVE);
    assert_live(host, "/srv/cache", NULL);
}

static void test_below(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) top = MOUNT(TMPFS, NULL);
    g_autoptr(Resource) inner = kind_test_resource(&kind_mount, "/srv/cache/in", TMPFS, NULL);
    g_autoptr(Resource) absent = MOUNT("state=absent", NULL);
    kind_test_expect(test, top, ACTION_CREATE);
    kind_test_expect(test, inner, ACTION_CREATE);
    kind_test_expect_error(test, absent, "'/srv/cache/in' is mounted below it");
}

static void test_protected(void) {
    static const char *const points[] = { "/",        "/usr",          "/run", "/proc/sys/fs/x",
                                          "/dev/shm", "/run/user/1000" };
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_mount, points[i], "state=absent", NULL);
        g_assert_nonnull(strstr(problems, "the machine needs what is mounted there"));
    }
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) other =
        kind_test_resource(&kind_mount, "/run", "device=/dev/vdb", "fstype=ext4", NULL);
    host_fake_tamper_write(host, "/vdb", "");
    kind_test_expect_error(test, other, "refuse to unmount '/run'");
    g_autoptr(Resource) options = kind_test_resource(
        &kind_mount, "/run", "device=tmpfs", "fstype=tmpfs", "options=noexec,size=64m", NULL);
    kind_test_expect(test, options, ACTION_CHANGE);
    assert_fstab(host, "tmpfs\t/run\ttmpfs\tnoexec,size=64m\t0\t0\n");
    kind_test_undo(test, options, ON_REMOVE_DEFAULT);
    assert_fstab(host, NULL);
    assert_live(host, "/run", "tmpfs tmpfs rw,nosuid,nodev,relatime rw,size=65536k,mode=755");
    kind_test_expect(test, options, ACTION_CHANGE);
    kind_test_undo(test, options, ON_REMOVE_REMOVE);
    assert_fstab(host, NULL);
}

static void test_failed_mount(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) mount = MOUNT("device=/dev/none", "fstype=ext4", NULL);
    kind_test_expect_error(test, mount, "mount '/srv/cache': '/dev/none' does not exist");
    assert_fstab(host, NULL);
    g_autoptr(Resource) still = MOUNT(TMPFS, "mkdir:=false", "path=/srv/other", NULL);
    kind_test_expect_error(test, still, "the mount point does not exist");
}

static void test_validation(void) {
    static const struct {
        const char *name, *argument, *problem;
    } rows[] = {
        { "relative", NULL, "absolute" },
        { "/a", "device=", "refuse device '': it is empty" },
        { "/a", "device=x\ny", "it must be one word" },
        { "/a", "fstype=ext4 ro", "it must be one word" },
        { "/a", "options=remount,ro", "'remount' is what stead does by itself" },
        { "/a", "pass:=17", "refuse pass 17" },
        { "/a", "dump:=-1", "refuse dump -1" },
        { "/a", "state=gone", "state" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_mount, rows[i].name, rows[i].argument, NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
    g_autofree char *relative =
        kind_test_problems(&kind_mount, "/a", "device=data", "options=bind", NULL);
    g_assert_nonnull(strstr(relative, "what is bound is an absolute path"));
}

/* --- undoing */

static void test_undo(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, FSTAB, "a b c\n# x\nt /srv/cache tmpfs size=1m,nodev 0 0\n");
    g_assert_true(host_make_parents(host, "/srv/cache/x", NULL));
    g_assert_true(tamper_mount(host, "t", "tmpfs", "size=1m,nodev", false));
    g_autoptr(Resource) mount = MOUNT("device=u", "fstype=tmpfs", "options=size=2m", NULL);
    kind_test_expect(test, mount, ACTION_CHANGE);
    assert_live(host, "/srv/cache", "t tmpfs rw,relatime rw,size=2m");
    kind_test_undo(test, mount, ON_REMOVE_DEFAULT);
    assert_fstab(host, "a b c\n# x\nt /srv/cache tmpfs size=1m,nodev 0 0\n");
    assert_live(host, "/srv/cache", "t tmpfs rw,nodev,relatime rw,size=1m");
    kind_test_expect(test, mount, ACTION_CHANGE);
    kind_test_undo(test, mount, ON_REMOVE_REMOVE);
    assert_fstab(host, "a b c\n# x\n");
    assert_live(host, "/srv/cache", NULL);
    g_assert_true(host_exists(host, "/srv/cache")); /* not ours */
}

/* What was mounted by hand only is mounted by hand again. */
static void test_undo_ephemeral(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_assert_true(host_make_parents(host, "/srv/cache/x", NULL));
    g_assert_true(tamper_mount(host, "/var", NULL, "bind,ro", false));
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    kind_test_expect(test, mount, ACTION_REPLACE);
    assert_live(host, "/srv/cache", "tmpfs tmpfs rw,relatime rw");
    kind_test_undo(test, mount, ON_REMOVE_DEFAULT);
    assert_live(host, "/srv/cache", "/dev/vda1 ext4 ro,relatime rw");
    assert_fstab(host, NULL);
}

/* --- around it */

static void test_root(void) {
    g_autofree char *root = g_dir_make_tmp("stead-mount-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) real = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(host_make_directory(real, "/etc", NULL, NULL));
    g_autoptr(KindTest) test = kind_test_new(real);
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    kind_test_expect(test, mount, ACTION_CREATE);
    assert_fstab(real, "tmpfs\t/srv/cache\ttmpfs\tdefaults\t0\t0\n");
    g_assert_false(host_exists(real, "/srv"));
    kind_test_undo(test, mount, ON_REMOVE_DEFAULT);
    assert_fstab(real, NULL);
    g_assert_true(host_remove_tree(real, "/etc", NULL, NULL));
    g_assert_cmpint(g_rmdir(root), ==, 0);
}

static void test_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Host) overlay = host_overlay_new(host);
    host_overlay_mark_unknown(overlay, FSTAB);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    g_autoptr(KindRound) round = kind_test_round(test, mount);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
    g_autoptr(KindTest) plain = kind_test_new(host);
    g_autoptr(Resource) later = MOUNT("device=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(plain, later);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

/* A file system in memory is empty when it is mounted, in a plan too. */
static void test_prediction(void) {
    g_autoptr(Host) host = host_fake_new();
    g_assert_true(host_make_parents(host, "/srv/cache/deep/x", NULL));
    host_fake_tamper_write(host, "/srv/cache/file", "hidden");
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    g_autoptr(KindRound) round = kind_test_round(test, mount);
    g_assert_no_error(round->error);
    g_assert_true(host_exists(overlay, "/srv/cache"));
    g_assert_false(host_exists(overlay, "/srv/cache/file"));
    g_autoptr(Resource) bound = MOUNT("device=/var", "options=bind", NULL);
    g_autoptr(KindRound) next = kind_test_round(test, bound);
    g_assert_no_error(next->error);
    FileInfo info;
    g_assert_true(host_stat(overlay, "/srv/cache/file", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_UNKNOWN);
}

static bool is_before(const Graph *graph, unsigned one, unsigned other) {
    unsigned n;
    const unsigned *in = graph_edges_in(graph, other, &n);
    for (unsigned i = 0; i < n; i++)
        if (graph_edge(graph, in[i])->from == one)
            return true;
    return false;
}

static unsigned declare(Graph *graph, Resource *resource) {
    unsigned vertex;
    g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, &vertex, NULL));
    return vertex;
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned file = declare(graph, kind_test_resource(&kind_file, "/a/b/file", NULL));
    unsigned point = declare(graph, kind_test_resource(&kind_file, "/a/b", "state=exists", NULL));
    unsigned inner = declare(graph, kind_test_resource(&kind_mount, "/a/b/c", TMPFS, NULL));
    unsigned outer = declare(graph, kind_test_resource(&kind_mount, "/a/b/", TMPFS, NULL));
    unsigned bind = declare(
        graph, kind_test_resource(&kind_mount, "/m", "device=/a/b/src", "options=bind", NULL));
    unsigned source = declare(graph, kind_test_resource(&kind_file, "/a/b/src", NULL));
    unsigned layers = declare(graph, kind_test_resource(&kind_mount, "/o", "device=overlay",
                                                        "options=lowerdir=/a/b/src:/m/x", NULL));
    unsigned inside =
        declare(graph, kind_test_resource(&kind_file, "/a/b/c", "state=exists", NULL));
    g_assert_cmpuint(graph_auto_edges(graph), >=, 8);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_assert_true(graph_seal(graph, problems));
    const struct {
        unsigned from, to;
    } edges[] = {
        { point, outer },  { outer, file },   { outer, inner },   { outer, source },
        { outer, bind },   { source, bind },  { source, layers }, { bind, layers },
        { outer, inside }, { inside, inner },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        if (!is_before(graph, edges[i].from, edges[i].to))
            g_error("edge %zu is missing", i);
    g_assert_false(is_before(graph, outer, point));
}

static void test_watch(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Resource) mount = MOUNT(TMPFS, NULL);
    g_autoptr(KindWatch) watch = kind_watch_new(host, mount);
    g_assert_true(tamper_mount(host, "x", "tmpfs", NULL, false));
    g_assert_cmpuint(kind_watch_events(watch), ==, 1);
    g_assert_true(host_fake_tamper_unmount(host, "/srv/cache"));
    g_assert_cmpuint(kind_watch_events(watch), ==, 2);
    host_fake_tamper_write(host, FSTAB, "x");
    g_assert_cmpuint(kind_watch_events(watch), ==, 3);
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    host_fake_tamper_write(host, FSTAB, "# mine\n");
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) mount = MOUNT(TMPFS, "options=size=1m", NULL);
    g_assert_cmpuint(kind_test_faults(set_up_fault, mount), >=, 8);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/mount/lines", test_lines);
    g_test_add_func("/kinds/mount/spaces", test_spaces);
    g_test_add_func("/kinds/mount/partial", test_partial);
    g_test_add_func("/kinds/mount/tampering", test_tampering);
    g_test_add_func("/kinds/mount/states", test_states);
    g_test_add_func("/kinds/mount/bind", test_bind);
    g_test_add_func("/kinds/mount/bind-file", test_bind_file);
    g_test_add_func("/kinds/mount/automount", test_automount);
    g_test_add_func("/kinds/mount/refresh", test_refresh);
    g_test_add_func("/kinds/mount/busy", test_busy);
    g_test_add_func("/kinds/mount/below", test_below);
    g_test_add_func("/kinds/mount/protected", test_protected);
    g_test_add_func("/kinds/mount/failed", test_failed_mount);
    g_test_add_func("/kinds/mount/validation", test_validation);
    g_test_add_func("/kinds/mount/undo", test_undo);
    g_test_add_func("/kinds/mount/undo-ephemeral", test_undo_ephemeral);
    g_test_add_func("/kinds/mount/root", test_root);
    g_test_add_func("/kinds/mount/unknown", test_unknown);
    g_test_add_func("/kinds/mount/prediction", test_prediction);
    g_test_add_func("/kinds/mount/edges", test_edges);
    g_test_add_func("/kinds/mount/watch", test_watch);
    g_test_add_func("/kinds/mount/faults", test_faults);
    return g_test_run();
}
