/* hostname: the file, the pretty name, the running one. */
#include <glib/gstdio.h>
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define NAME(...) kind_test_resource(&kind_hostname, "web1", __VA_ARGS__)
#define INFO      "/etc/machine-info"

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

static void assert_running(Host *host, const char *name) {
    g_autofree char *found = host_running_name(host, NULL);
    g_assert_cmpstr(found, ==, name);
}

static void test_names(void) {
    static const struct {
        const char *before, *after; /* after NULL: as before, only the running name changes */
        const char *undone;         /* NULL: as before */
    } rows[] = {
        { NULL, "web1\n", NULL },
        { "", "web1\n", NULL },
        { "old\n", "web1\n", NULL },
        { "old", "web1\n", "old\n" },
        { "# why\n\nold\n# end\n", "# why\n\nweb1\n# end\n", NULL },
        { "old\r\n", "web1\r\n", NULL },
        { "  web1  ", NULL, "  web1  " },
        { "# only this\n", "# only this\nweb1\n", "" },
        { "\xff\xfe", "web1\n", "\xff\xfe\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (rows[i].before != NULL)
            host_fake_tamper_write(host, "/etc/hostname", rows[i].before);
        g_autoptr(Resource) name = NAME(NULL);
        bool had = rows[i].before != NULL &&
                   strspn(rows[i].before, "# onlythis\n") != strlen(rows[i].before);
        kind_test_expect(test, name, had ? ACTION_CHANGE : ACTION_CREATE);
        assert_file(host, "/etc/hostname", rows[i].after != NULL ? rows[i].after : rows[i].before);
        assert_running(host, "web1");
        kind_test_undo(test, name, ON_REMOVE_DEFAULT);
        if (!had)
            assert_file(host, "/etc/hostname", NULL);
        else
            assert_file(host, "/etc/hostname",
                        rows[i].undone != NULL ? rows[i].undone : rows[i].before);
        assert_running(host, had ? "fake" : "web1");
    }
}

static void test_running(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) name = NAME(NULL);
    kind_test_expect(test, name, ACTION_CREATE);
    host_fake_tamper_running_name(host, "dhcp-7");
    g_autoptr(KindRound) round = kind_test_converge(test, name, ACTION_CHANGE);
    g_assert_cmpuint(round->changes->changes->len, ==, 1);
    assert_running(host, "web1");
    g_autoptr(Resource) left = NAME("transient_hostname=", NULL);
    host_fake_tamper_running_name(host, "dhcp-7");
    kind_test_expect(test, left, ACTION_NONE);
    g_autoptr(Resource) other = NAME("transient_hostname=web1-blue", NULL);
    kind_test_expect(test, other, ACTION_CHANGE);
    assert_running(host, "web1-blue");
    g_autoptr(Resource) absent = NAME("state=absent", NULL);
    kind_test_expect(test, absent, ACTION_REMOVE);
    assert_file(host, "/etc/hostname", NULL);
    assert_running(host, "web1-blue");
}

static void test_pretty(void) {
    static const struct {
        const char *before, *pretty, *after; /* NULL: no file */
        const char *undone;
    } rows[] = {
        { NULL, "Ada's \"$box\" \\ `x`", "PRETTY_HOSTNAME=\"Ada's \\\"\\$box\\\" \\\\ \\`x\\`\"\n",
          NULL },
        { "ICON_NAME=x\nPRETTY_HOSTNAME='a $b'\nDEPLOYMENT=y\n", "c",
          "ICON_NAME=x\nPRETTY_HOSTNAME=\"c\"\nDEPLOYMENT=y\n",
          "ICON_NAME=x\nPRETTY_HOSTNAME=\"a \\$b\"\nDEPLOYMENT=y\n" },
        { "PRETTY_HOSTNAME=plain\nA=b\n", "", "A=b\n", "A=b\nPRETTY_HOSTNAME=\"plain\"\n" },
        { "PRETTY_HOSTNAME=plain\n", "", NULL, "PRETTY_HOSTNAME=\"plain\"\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        host_fake_tamper_write(host, "/etc/hostname", "old\n");
        if (rows[i].before != NULL)
            host_fake_tamper_write(host, INFO, rows[i].before);
        g_autofree char *argument = g_strconcat("pretty=", rows[i].pretty, NULL);
        g_autoptr(Resource) name = NAME(argument, NULL);
        kind_test_expect(test, name, ACTION_CHANGE);
        assert_file(host, INFO, rows[i].after);
        kind_test_undo(test, name, ON_REMOVE_DEFAULT);
        assert_file(host, INFO, rows[i].undone);
    }
}

static void test_validation(void) {
    static const struct {
        const char *name, *argument, *problem;
    } rows[] = {
        { "", NULL, "refuse hostname '': it is empty" },
        { "a b", NULL, "only letters" },
        { "a_b", NULL, "'_' cannot be part of it" },
        { "a..b", NULL, "empty part" },
        { "-a", NULL, "starts or ends with '-'" },
        { "a", "transient_hostname=a.", "refuse transient_hostname 'a.'" },
        { "a", "pretty=x\ny", "pretty_hostname must be one line" },
        { "abcdefghij.abcdefghij.abcdefghij.abcdefghij.abcdefghij.abcdefghij", NULL,
          "longer than the 64 characters" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_hostname, rows[i].name, rows[i].argument, NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
    g_autoptr(Resource) one = NAME(NULL);
    g_autoptr(Resource) two = kind_test_resource(&kind_hostname, "web2", NULL);
    g_autofree char *identity = resource_identity(one), *other = resource_identity(two);
    g_assert_cmpstr(identity, ==, other); /* a machine has one name */
}

static void test_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/etc/hostname");
    g_autoptr(Resource) known = NAME(NULL);
    g_autoptr(KindRound) round = kind_test_round(test, known);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
    g_autoptr(Resource) unknown = NAME("hostname=?", NULL);
    g_autoptr(KindTest) plain = kind_test_new(host);
    g_autoptr(KindRound) plan = kind_test_plan(plain, unknown);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

/* A file of 10 MB, a link, and a root below which nothing runs. */
static void test_places(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autofree char *large = g_strnfill(10 * 1024 * 1024, '#');
    host_fake_tamper_write(host, "/var/name", large);
    g_assert_true(host_make_link(host, "/etc/hostname", "/var/name", NULL));
    g_autoptr(Resource) name = NAME(NULL);
    kind_test_expect(test, name, ACTION_CREATE);
    g_autofree char *found = read_text(host, "/var/name");
    g_assert_cmpuint(strlen(found), ==, strlen(large) + strlen("\nweb1\n"));

    g_autofree char *root = g_dir_make_tmp("stead-hostname-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) real = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(host_make_directory(real, "/etc", NULL, NULL));
    g_autoptr(KindTest) below = kind_test_new(real);
    kind_test_expect(below, name, ACTION_CREATE);
    assert_file(real, "/etc/hostname", "web1\n");
    g_assert_true(host_remove_tree(real, "/etc", NULL, NULL));
    g_assert_cmpint(g_rmdir(root), ==, 0);
}

/* --- watching */

static void test_watch(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Resource) name = NAME("pretty=x", NULL);
    g_autoptr(KindWatch) watch = kind_watch_new(host, name);
    host_fake_tamper_running_name(host, "x");
    g_assert_cmpuint(kind_watch_events(watch), ==, 1);
    host_fake_tamper_write(host, "/etc/hostname", "x");
    g_assert_cmpuint(kind_watch_events(watch), ==, 2);
    host_fake_tamper_write(host, INFO, "x");
    g_assert_cmpuint(kind_watch_events(watch), ==, 3);
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    host_fake_tamper_write(host, "/etc/hostname", "old\n");
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) name = NAME("pretty=x", NULL);
    g_assert_cmpuint(kind_test_faults(set_up_fault, name), >=, 6);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/hostname/names", test_names);
    g_test_add_func("/kinds/hostname/running", test_running);
    g_test_add_func("/kinds/hostname/pretty", test_pretty);
    g_test_add_func("/kinds/hostname/validation", test_validation);
    g_test_add_func("/kinds/hostname/unknown", test_unknown);
    g_test_add_func("/kinds/hostname/places", test_places);
    g_test_add_func("/kinds/hostname/watch", test_watch);
    g_test_add_func("/kinds/hostname/faults", test_faults);
    return g_test_run();
}
