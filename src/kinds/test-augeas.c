/* augeas: values set by libaugeas, and lines put back. */
#include <dlfcn.h>
#include <string.h>

#include "host/host-fake.h"
#include "kinds/augeas-command.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/line-undo.h"

#define HOSTS(...)                                                                                 \
    kind_test_resource(&kind_augeas, "a", "path=/etc/hosts", "lens=Hosts.lns", __VA_ARGS__, NULL)

static void assert_file(Host *host, const char *path, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1000, NULL);
    g_autofree char *found =
        bytes == NULL ? NULL
                      : g_strndup(g_bytes_get_size(bytes) > 0 ? g_bytes_get_data(bytes, NULL) : "",
                                  g_bytes_get_size(bytes));
    g_assert_cmpstr(found, ==, text);
}

typedef struct {
    const char *before; /* NULL: no file */
    const char *arguments[3];
    const char *after;
    Action action;
} Case;

static const Case cases[] = {
    { "127.0.0.1 localhost # l\n",
      { "changes=set 1/canonical local" },
      "127.0.0.1 local # l\n",
      ACTION_CHANGE },
    { "127.0.0.1 localhost # l\n",
      { "changes=set 1/canonical localhost" },
      "127.0.0.1 localhost # l\n",
      ACTION_NONE },
    { "127.0.0.1  localhost",
      { "changes=set 1/ipaddr 127.0.0.1" },
      "127.0.0.1  localhost",
      ACTION_NONE },
    { "127.0.0.1 localhost",
      { "changes=set 1/ipaddr 127.0.0.2" },
      "127.0.0.2 localhost\n",
      ACTION_CHANGE },
    { NULL,
      { "changes:=[\"set 01/ipaddr 1.1.1.1\", \"set 01/canonical 'one'\"]",
        "onlyif=match *[canonical='one'] size == 0" },
      "1.1.1.1\tone\n",
      ACTION_CREATE },
    { "1.1.1.1 one\n",
      { "changes:=[\"set 01/ipaddr 2.2.2.2\", \"set 01/canonical one\"]",
        "onlyif=match *[canonical='one'] size == 0" },
      "1.1.1.1 one\n",
      ACTION_NONE },
    { "1.1.1.1 one\n# c\n2.2.2.2 two\n",
      { "changes=rm *[canonical=\"two\"]" },
      "1.1.1.1 one\n# c\n",
      ACTION_CHANGE },
    { "1.1.1.1 one\n2.2.2.2 two\n",
      { "changes=ins 03 before /files/etc/hosts/2\nset 03/ipaddr 3.3.3.3\nset 03/canonical three",
        "onlyif=values */canonical not_include three" },
      "1.1.1.1 one\n3.3.3.3\tthree\n2.2.2.2 two\n",
      ACTION_CHANGE },
    { "1.1.1.1 one\n2.2.2.2 two\n",
      { "changes=setm *[ipaddr] canonical all", "onlyif=get 1/canonical != all" },
      "1.1.1.1 all\n2.2.2.2 all\n",
      ACTION_CHANGE },
    { "1.1.1.1 one\n2.2.2.2 two\n",
      { "changes=defvar first *[1]\nset $first/canonical uno" },
      "1.1.1.1 uno\n2.2.2.2 two\n",
      ACTION_CHANGE },
    { "1.1.1.1 one\n",
      { "changes=set 1/canonical uno", "onlyif=values */canonical == ['two']" },
      "1.1.1.1 one\n",
      ACTION_NONE },
    { "1.1.1.1 one a\n",
      { "changes=mv 1/alias 1/alias[2]\nset 1/alias b", "onlyif=match 1/alias size >= 1" },
      "1.1.1.1 one b\n",
      ACTION_CHANGE },
};

static void test_cases(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *row = &cases[i];
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (row->before != NULL)
            host_fake_tamper_write(host, "/etc/hosts", row->before);
        g_autoptr(Resource) augeas = HOSTS(row->arguments[0], row->arguments[1], row->arguments[2]);
        g_test_message("row %zu", i);
        kind_test_expect(test, augeas, row->action);
        assert_file(host, "/etc/hosts", row->after);
        if (row->action == ACTION_NONE)
            continue;
        kind_test_undo(test, augeas, ON_REMOVE_DEFAULT);
        assert_file(host, "/etc/hosts", row->before);
    }
}

/* What others changed meanwhile stays, also when it is in our place. */
static void test_undo_among_others(void) {
    static const struct {
        const char *before, *was, *now, *after;
    } rows[] = {
        { "a\nb\nc\n", "a\nB\nc\n", "0\na\nB\nx\nc\n", "0\na\nb\nx\nc\n" },
        { "a\nc\n", "a\nb\nc\n", "a\nb\nc\nd\n", "a\nc\nd\n" },
        { "a\nb\nc\n", "a\nc\n", "0\na\nc\n", "0\na\nb\nc\n" },
        { "a\nb\nc\n", "a\nB\nc\n", "a\nother\nc\n", "a\nother\nc\n" },
        { "a\nb\nc\nd\n", "A\nb\nc\nD\n", "A\nb\nx\nc\nD\n", "a\nb\nx\nc\nd\n" },
        { "", "a\n", "a\nb\n", "b\n" },
        { "a\n", "", "", "a\n" },
        { "a\n", "", "x\n", "x\na\n" },
        { "a\n", "", "x\na\n", "x\na\n" },
        { "a\nb\nc\n", "A\nb\n", "A\nother\n", "a\nother\nc\n" },
        { "a", "b\n", "b\n", "a" },
        /* it was taken back already */
        { "a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n", "a\nb\nc\nd\n" },
        { "a\nc\n", "a\nb\nc\n", "a\nc\nd\n", "a\nc\nd\n" },
        { "a\nb\nc\n", "a\nB\nc\n", "a\nb\nc\n", "a\nb\nc\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *after = line_undo(rows[i].before, rows[i].was, rows[i].now);
        g_test_message("row %zu", i);
        g_assert_cmpstr(after, ==, rows[i].after);
    }
}

static void test_lens_of_path(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_assert_true(host_make_parents(host, "/etc/ssh/sshd_config", NULL));
    host_fake_tamper_write(host, "/etc/ssh/sshd_config", "Port 22\n");
    host_fake_tamper_write(host, "/etc/nonesuch.conf", "a\n");
    g_autoptr(Resource) ssh = kind_test_resource(
        &kind_augeas, "a", "context=/files/etc/ssh/sshd_config", "changes=set Port 2222", NULL);
    kind_test_expect(test, ssh, ACTION_CHANGE);
    assert_file(host, "/etc/ssh/sshd_config", "Port 2222\n");
    g_autoptr(Resource) none = kind_test_resource(
        &kind_augeas, "b", "context=/files/etc/nonesuch.conf", "changes=set a b", NULL);
    kind_test_expect_error(test, none, "find a lens for '/etc/nonesuch.conf'");
    g_autoptr(Resource) wrong = kind_test_resource(&kind_augeas, "c", "path=/etc/nonesuch.conf",
                                                   "lens=Nonesuch.lns", "changes=set a b", NULL);
    kind_test_expect_error(test, wrong, "Lens not found");
    g_autoptr(Resource) other = kind_test_resource(&kind_augeas, "d", "path=/etc/nonesuch.conf",
                                                   "lens=Fstab.lns", "changes=set a b", NULL);
    kind_test_expect_error(test, other,
                           "edit '/etc/nonesuch.conf': read it by lens 'Fstab.lns', line 1");
    g_autoptr(Resource) misfit = HOSTS("changes=set 1/bogus x");
    host_fake_tamper_write(host, "/etc/hosts", "1.1.1.1 one\n");
    kind_test_expect_error(test, misfit, "write it by lens 'Hosts.lns'");
    g_autoptr(Resource) again = HOSTS("changes=set 1/canonical two");
    kind_test_expect(test, again, ACTION_CHANGE);
}

static void test_validation(void) {
    static const struct {
        const char *arguments[3], *problem;
    } rows[] = {
        { { "changes=set a b" }, "cannot tell the file" },
        { { "context=/files", "changes=set /files/etc/hosts/1/ipaddr 1.1.1.1" }, NULL },
        { { "context=/files/etc", "changes=set hosts/1/ipaddr 1.1.1.1" }, NULL },
        { { "context=/files/etc/puppet/puppet.conf/agent", "changes=set server x" }, NULL },
        { { "context=/files/etc/hosts", "changes=set a" }, "'set' needs more" },
        { { "context=/files/etc/hosts", "changes=put a b" }, "no such change 'put'" },
        { { "context=/files/etc/hosts", "changes=set a b c" }, "'c' is more than 'set' takes" },
        { { "context=/files/etc/hosts", "changes=set a 'b" }, "a quote is not closed" },
        { { "context=/files/etc/hosts", "changes=set a[b c" }, "a bracket or quote" },
        { { "context=/files/etc/hosts", "changes=ins a behind b" }, "expected a place" },
        { { "context=/files/etc/hosts", "changes=set /augeas/save newfile" }, "is outside of" },
        { { "context=/files/etc/hosts", "changes=set /files/etc/hosts2/a b" }, "is outside of" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=get a" }, "needs more" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=get a is b" }, "a comparison" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=match a size == x" }, "a number" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=match a == x" },
          "a list of texts" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=match a == ['x'" },
          "a list of texts" },
        { { "context=/files/etc/hosts", "changes=rm a", "onlyif=rm a" }, "no such condition" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("row %zu", i);
        if (rows[i].problem == NULL) {
            g_autoptr(Resource) fine = kind_test_resource(&kind_augeas, "a", rows[i].arguments[0],
                                                          rows[i].arguments[1], NULL);
            continue;
        }
        g_autofree char *problems =
            kind_test_problems(&kind_augeas, "a", rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        g_test_message("%s", problems);
        g_assert_nonnull(strstr(problems, rows[i].problem));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/augeas/validation", test_validation);
    g_test_add_func("/kinds/augeas/undo-among-others", test_undo_among_others);
    void *library = dlopen("libaugeas.so.0", RTLD_NOW);
    if (library == NULL)
        return g_test_run();
    g_test_add_func("/kinds/augeas/cases", test_cases);
    g_test_add_func("/kinds/augeas/lens-of-path", test_lens_of_path);
    return g_test_run();
}
