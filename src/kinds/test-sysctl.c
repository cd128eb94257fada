/* sysctl: the kernel's value, the line, what the kernel makes of values, names of keys. */
#include <glib/gstdio.h>
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/sysctl-conf.h"

#define FILE_NAME   "/etc/sysctl.d/90-stead.conf"
#define SYSCTL(...) kind_test_resource(&kind_sysctl, "net.ipv4.ip_forward", __VA_ARGS__)

static char *read_text(Host *host, const char *path) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, NULL);
    return bytes != NULL ? g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) : NULL;
}

static void assert_file(Host *host, const char *text) {
    g_autofree char *found = read_text(host, FILE_NAME);
    g_assert_cmpstr(found, ==, text);
}

static void assert_live(Host *host, const char *key, const char *text) {
    SysctlInfo info;
    g_assert_true(host_sysctl_read(host, key, &info, NULL));
    g_assert_cmpstr(info.value, ==, text);
    g_free(info.value);
}

static Host *new_host(void) {
    Host *host = host_fake_new();
    host_fake_set_sysctl(host, "net/ipv4/ip_forward", "0", FAKE_SYSCTL_NUMBER);
    host_fake_set_sysctl(host, "net/ipv4/tcp_rmem", "1\t2\t3", FAKE_SYSCTL_ANY);
    host_fake_set_sysctl(host, "net/ipv4/conf/eth0.100/forwarding", "0", FAKE_SYSCTL_ANY);
    host_fake_set_sysctl(host, "vm/swappiness", "60", FAKE_SYSCTL_CLAMPED);
    host_fake_set_sysctl(host, "kernel/version", "6", FAKE_SYSCTL_READ_ONLY);
    return host;
}

static void make_directory(Host *host) {
    g_assert_true(host_make_parents(host, FILE_NAME, NULL));
}

static void test_keys(void) {
    static const struct {
        const char *name, *key, *dotted;
    } rows[] = {
        { "net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.ip_forward" },
        { "net/ipv4/ip_forward", "net/ipv4/ip_forward", "net.ipv4.ip_forward" },
        { "net/ipv4/conf/eth0.1/x", "net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x" },
        { "net.ipv4.conf.eth0/1.x", "net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *key = sysctl_key(rows[i].name), *dotted = sysctl_name(key);
        g_assert_cmpstr(key, ==, rows[i].key);
        g_assert_cmpstr(dotted, ==, rows[i].dotted);
    }
}

static void test_same(void) {
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        { "1", "1", true },
        { "1", "0", false },
        { "4\t5 \t6", "4 5 6", true },
        { " 4 5 ", "4 5", true },
        { "4 5", "4 5 6", false },
        { "0x1f", "31", true },
        { "037", "31", true },
        { "", "", true },
        { "", "0", false },
        { "|/bin/x %p", "|/bin/x  %p", true },
        { "1a", "1", false },
        { "bbr", "cubic", false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_true(sysctl_same(rows[i].a, rows[i].b) == rows[i].same);
}

static void test_lines(void) {
    static const struct {
        const char *before, *after; /* before NULL: no file */
    } rows[] = {
        { NULL, "net.ipv4.ip_forward = 1\n" },
        { "# c\n\nvm.swappiness=1", "# c\n\nvm.swappiness=1\nnet.ipv4.ip_forward = 1\n" },
        { "net/ipv4/ip_forward=0 \n;x\n", "net.ipv4.ip_forward = 1\n;x\n" },
        { "a.b=1\r\n-net.ipv4.ip_forward =0\r\n", "a.b=1\r\nnet.ipv4.ip_forward = 1\r\n" },
        { "net.ipv4.ip_forward=1\nnet.ipv4.ip_forward=0\n",
          "net.ipv4.ip_forward=1\nnet.ipv4.ip_forward = 1\n" },
        { "  net.ipv4.ip_forward\t=\t0x1\n", NULL }, /* right as it is */
        { "#net.ipv4.ip_forward=1\n-net.ipv4.ip_forward\nnet.ipv4.*=0\n",
          "#net.ipv4.ip_forward=1\n-net.ipv4.ip_forward\nnet.ipv4.*=0\nnet.ipv4.ip_forward = 1\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = new_host();
        g_autoptr(KindTest) test = kind_test_new(host);
        make_directory(host);
        if (rows[i].before != NULL)
            host_fake_tamper_write(host, FILE_NAME, rows[i].before);
        g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
        g_autoptr(KindRound) plan = kind_test_plan(test, sysctl);
        g_autoptr(KindRound) round = kind_test_round(test, sysctl);
        g_assert_no_error(round->error);
        g_assert_cmpint(plan->changes->action, ==, round->changes->action);
        assert_file(host, rows[i].after != NULL ? rows[i].after : rows[i].before);
        assert_live(host, "net/ipv4/ip_forward", "1");
    }
}

static void test_both(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) sysctl =
        kind_test_resource(&kind_sysctl, "net/ipv4/tcp_rmem", "value=4  5\t6", NULL);
    kind_test_expect(test, sysctl, ACTION_CREATE);
    assert_live(host, "net/ipv4/tcp_rmem", "4\t\t5\t6");
    assert_file(host, "net.ipv4.tcp_rmem = 4  5\t6\n");
    host_fake_set_sysctl(host, "net/ipv4/tcp_rmem", "4\t5\t7", FAKE_SYSCTL_ANY);
    g_autoptr(KindRound) live = kind_test_converge(test, sysctl, ACTION_CHANGE);
    g_assert_cmpuint(live->changes->changes->len, ==, 1);
    host_fake_tamper_write(host, FILE_NAME, "");
    g_autoptr(KindRound) line = kind_test_converge(test, sysctl, ACTION_CREATE);
    g_assert_cmpuint(line->changes->changes->len, ==, 1);
    kind_test_undo(test, sysctl, ON_REMOVE_DEFAULT);
    assert_live(host, "net/ipv4/tcp_rmem", "1\t2\t3");
    assert_file(host, NULL);
}

static void test_undo(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(KindTest) test = kind_test_new(host);
    make_directory(host);
    host_fake_tamper_write(host, FILE_NAME, "# x\nnet.ipv4.ip_forward=0\n");
    g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
    kind_test_expect(test, sysctl, ACTION_CHANGE);
    kind_test_undo(test, sysctl, ON_REMOVE_DEFAULT);
    assert_live(host, "net/ipv4/ip_forward", "0");
    assert_file(host, "# x\nnet.ipv4.ip_forward = 0\n");
    kind_test_expect(test, sysctl, ACTION_CHANGE);
    kind_test_undo(test, sysctl, ON_REMOVE_REMOVE);
    assert_live(host, "net/ipv4/ip_forward", "0");
    assert_file(host, "# x\n");
}

static void test_absent(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(KindTest) test = kind_test_new(host);
    make_directory(host);
    host_fake_tamper_write(host, FILE_NAME,
                           "net.ipv4.ip_forward=0\n# x\nnet/ipv4/ip_forward = 1\na.b = 1\n");
    g_autoptr(Resource) absent = SYSCTL("state=absent", NULL);
    kind_test_expect(test, absent, ACTION_REMOVE);
    assert_file(host, "# x\na.b = 1\n");
    assert_live(host, "net/ipv4/ip_forward", "0");
}

static void test_file_only(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) later =
        kind_test_resource(&kind_sysctl, "net.bridge.x", "value=1", "live:=false", NULL);
    kind_test_expect(test, later, ACTION_CREATE);
    assert_file(host, "net.bridge.x = 1\n");
    kind_test_undo(test, later, ON_REMOVE_DEFAULT);
    assert_file(host, NULL);
    g_autoptr(Resource) now = SYSCTL("value=1", "saved=", NULL);
    kind_test_expect(test, now, ACTION_CHANGE);
    assert_file(host, NULL);
    assert_live(host, "net/ipv4/ip_forward", "1");
    g_autoptr(Resource) two = SYSCTL("value=1", "saved=0", NULL);
    kind_test_expect(test, two, ACTION_CREATE);
    assert_file(host, "net.ipv4.ip_forward = 0\n");
}

/* What the kernel does not take loses nothing. */
static void test_refused(void) {
    static const struct {
        const char *key, *value, *problem;
        bool in_plan;
    } rows[] = {
        { "net.ipv4.ip_forward", "value=yes", "the kernel refuses 'yes'; it keeps '0'", false },
        { "vm.swappiness", "value=500",
          "of '500' the kernel makes '100'; it has its old value '60'", false },
        { "kernel.version", "value=7", "it can only be read here", true },
        { "net.ipv4.ip_forwad", "value=1", "did you mean 'net.ipv4.ip_forward'?", true },
        { "net.ipv4.conf.eth0.100.forwarding", "value=1",
          "did you mean 'net/ipv4/conf/eth0.100/forwarding'?", true },
        { "net.ipv4", "value=1", "the kernel has no parameter 'net.ipv4'", true },
        { "fs.nothing.like.it", "value=1", "if it comes with a module, load that first", true },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = new_host();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) sysctl =
            kind_test_resource(&kind_sysctl, rows[i].key, rows[i].value, NULL);
        if (rows[i].in_plan) {
            kind_test_expect_error(test, sysctl, rows[i].problem);
        } else {
            g_autoptr(KindRound) round = kind_test_round(test, sysctl);
            g_assert_nonnull(round->error);
            if (strstr(round->error->message, rows[i].problem) == NULL)
                g_error("row %zu: %s", i, round->error->message);
        }
        assert_file(host, NULL);
        assert_live(host, "net/ipv4/ip_forward", "0");
        assert_live(host, "vm/swappiness", "60");
    }
}

static void test_validation(void) {
    static const struct {
        const char *key, *argument, *problem;
    } rows[] = {
        { "net.ipv4.ip_forward", NULL, "'value' is required" },
        { "forward", "value=1", "it has no group" },
        { "net..x", "value=1", "a part of it is empty" },
        { "net/../x", "value=1", "a part of it is empty" },
        { "/proc/sys/net/x", "value=1", "a part of it is empty" },
        { "net.ipv4.*", "value=1", "it is no name of a parameter" },
        { "-net.ipv4.x", "value=1", "it is no name of a parameter" },
        { "net.ipv4.x", "value=1\n2", "it must be one line" },
        { "net.ipv4.x", "value= ", "say saved = \"\"" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_sysctl, rows[i].key, rows[i].argument, NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

static void test_winner(void) {
    static const struct {
        const char *path, *text, *place; /* NULL: nobody else wins */
    } rows[] = {
        { "/etc/sysctl.d/99-x.conf", "# c\nnet/ipv4/ip_forward=0\n", "/etc/sysctl.d/99-x.conf:2" },
        { "/usr/lib/sysctl.d/95-x.conf", "-net.ipv4.ip_forward = 2\n",
          "/usr/lib/sysctl.d/95-x.conf:1" },
        { "/etc/sysctl.d/99-x.conf", "net.ipv4.ip_forward=0x1\n", NULL },
        { "/etc/sysctl.d/10-x.conf", "net.ipv4.ip_forward=0\n", NULL },
        { "/etc/sysctl.d/99-x.conf", "net.ipv4.*=0\n", NULL }, /* a name counts more */
        { "/etc/sysctl.d/99-x", "net.ipv4.ip_forward=0\n", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = new_host();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_assert_true(host_make_parents(host, rows[i].path, NULL));
        host_fake_tamper_write(host, rows[i].path, rows[i].text);
        g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
        g_autoptr(KindRound) round = kind_test_round(test, sysctl);
        g_assert_no_error(round->error);
        g_assert_true((round->note != NULL) == (rows[i].place != NULL));
        if (rows[i].place != NULL)
            g_assert_nonnull(strstr(round->note, rows[i].place));
    }
}

static void test_root(void) {
    g_autofree char *root = g_dir_make_tmp("stead-sysctl-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) real = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KindTest) test = kind_test_new(real);
    g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
    kind_test_expect(test, sysctl, ACTION_CREATE);
    assert_file(real, "net.ipv4.ip_forward = 1\n");
    kind_test_undo(test, sysctl, ON_REMOVE_DEFAULT);
    assert_file(real, NULL);
    g_assert_true(host_remove_tree(real, "/etc", NULL, NULL));
    g_assert_cmpint(g_rmdir(root), ==, 0);
}

static void test_unknown(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) later = SYSCTL("value=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, later);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
    g_autoptr(Host) overlay = host_overlay_new(host);
    host_overlay_mark_unknown(overlay, FILE_NAME);
    g_autoptr(KindTest) predicted = kind_test_new(overlay);
    g_autoptr(Resource) known = SYSCTL("value=1", NULL);
    g_autoptr(KindRound) round = kind_test_round(predicted, known);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
}

static void test_watch(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
    g_autoptr(KindWatch) watch = kind_watch_new(host, sysctl);
    host_fake_set_sysctl(host, "net/ipv4/ip_forward", "0", FAKE_SYSCTL_ANY);
    g_assert_cmpuint(kind_watch_events(watch), ==, 1);
    make_directory(host);
    host_fake_tamper_write(host, FILE_NAME, "x");
    g_assert_cmpuint(kind_watch_events(watch), >=, 2);
}

static void test_faults(void) {
    g_autoptr(Resource) sysctl = SYSCTL("value=1", NULL);
    g_assert_cmpuint(kind_test_faults(new_host, sysctl), >=, 6);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/sysctl/keys", test_keys);
    g_test_add_func("/kinds/sysctl/same", test_same);
    g_test_add_func("/kinds/sysctl/lines", test_lines);
    g_test_add_func("/kinds/sysctl/both", test_both);
    g_test_add_func("/kinds/sysctl/undo", test_undo);
    g_test_add_func("/kinds/sysctl/absent", test_absent);
    g_test_add_func("/kinds/sysctl/file-only", test_file_only);
    g_test_add_func("/kinds/sysctl/refused", test_refused);
    g_test_add_func("/kinds/sysctl/validation", test_validation);
    g_test_add_func("/kinds/sysctl/winner", test_winner);
    g_test_add_func("/kinds/sysctl/root", test_root);
    g_test_add_func("/kinds/sysctl/unknown", test_unknown);
    g_test_add_func("/kinds/sysctl/watch", test_watch);
    g_test_add_func("/kinds/sysctl/faults", test_faults);
    return g_test_run();
}
