/* group: lines of /etc/group on the fake host, and what must not be done to them. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/accounts.h"
#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

static Host *host_with_user(void) {
    Host *host = host_fake_new();
    g_assert_true(host_fake_tamper_write(host, "/etc/passwd",
                                         "root:x:0:0:root:/root:/bin/sh\n"
                                         "ada:x:1000:1000::/home/ada:/bin/sh\n"
                                         "bob:x:1001:1000::/home/bob:/bin/sh\n"));
    g_assert_true(
        host_fake_tamper_write(host, "/etc/group", "root:x:0:\nada:x:1000:\nops:x:2000:bob,ada\n"));
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

static void expect_line(Host *host, const char *path, const char *line) {
    g_autofree char *text = file_text(host, path), *whole = g_strconcat("\n", line, "\n", NULL);
    g_autofree char *lines = g_strconcat("\n", text, NULL);
    if (!strstr(lines, whole))
        g_error("%s has no line '%s':\n%s", path, line, text);
}

static void test_create(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) group =
        kind_test_resource(&kind_group, "web", "gid:=3000", "members:=[\"bob\", \"ada\"]", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, group, ACTION_CREATE);
    g_assert_cmpint(value_map_int(round->outputs, "gid", -1), ==, 3000);
    expect_line(host, "/etc/group", "web:x:3000:ada,bob");
    kind_test_undo(test, group, ON_REMOVE_DEFAULT);
    g_autofree char *text = file_text(host, "/etc/group");
    g_assert_null(strstr(text, "web"));
}

static void test_password(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) plain = kind_test_resource(&kind_group, "ops", "password=$y$a$b$c", NULL);
    kind_test_expect(test, plain, ACTION_CHANGE);
    expect_line(host, "/etc/group", "ops:$y$a$b$c:2000:ada,bob"); /* there is no gshadow */
    g_assert_true(host_fake_tamper_write(host, "/etc/gshadow", "ops:!:bob:bob,ada\n"));
    g_autoptr(Resource) other = kind_test_resource(&kind_group, "ops", "password=$y$d$e$f", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, other, ACTION_CHANGE);
    g_assert_true(value_is_secret(changes_find(round->changes, "password")->after));
    expect_line(host, "/etc/gshadow", "ops:$y$d$e$f:bob:ada,bob");
    expect_line(host, "/etc/group", "ops:x:2000:ada,bob");
    g_autofree char *problems = kind_test_problems(&kind_group, "ops", "password=clear1", NULL);
    g_assert_nonnull(strstr(problems, "not a crypt(5) hash"));
    g_assert_null(strstr(problems, "clear1"));
}

static void test_free_gid(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) person = kind_test_resource(&kind_group, "eve", NULL);
    g_autoptr(Resource) daemon = kind_test_resource(&kind_group, "daemon", "system:=true", NULL);
    g_autoptr(KindRound) first = kind_test_converge(test, person, ACTION_CREATE);
    g_autoptr(KindRound) second = kind_test_converge(test, daemon, ACTION_CREATE);
    g_assert_cmpint(value_map_int(first->outputs, "gid", -1), >=, 1000);
    g_assert_cmpint(value_map_int(second->outputs, "gid", -1), <, 1000);
}

static void test_members(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) least = kind_test_resource(&kind_group, "ops", "members=eve", NULL);
    g_autoptr(Resource) all =
        kind_test_resource(&kind_group, "ops", "members=eve", "membership=inclusive", NULL);
    g_autoptr(Resource) any = kind_test_resource(&kind_group, "ops", NULL);
    kind_test_expect(test, any, ACTION_NONE);
    kind_test_expect(test, least, ACTION_CHANGE);
    expect_line(host, "/etc/group", "ops:x:2000:ada,bob,eve");
    kind_test_undo(test, least, ON_REMOVE_RESTORE);
    expect_line(host, "/etc/group", "ops:x:2000:ada,bob");
    kind_test_expect(test, all, ACTION_CHANGE);
    expect_line(host, "/etc/group", "ops:x:2000:eve");
    kind_test_undo(test, all, ON_REMOVE_RESTORE);
    expect_line(host, "/etc/group", "ops:x:2000:ada,bob");
}

static void test_gid_moves_users(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) group = kind_test_resource(&kind_group, "ada", "gid:=4000", NULL);
    kind_test_expect(test, group, ACTION_CHANGE);
    expect_line(host, "/etc/group", "ada:x:4000:");
    expect_line(host, "/etc/passwd", "ada:x:1000:4000::/home/ada:/bin/sh");
    expect_line(host, "/etc/passwd", "bob:x:1001:4000::/home/bob:/bin/sh");
}

static void test_refused(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) primary = kind_test_resource(&kind_group, "ada", "state=absent", NULL);
    kind_test_expect_error(test, primary, "it is the primary group of 'ada', 'bob'");
    g_autoptr(Resource) taken = kind_test_resource(&kind_group, "new", "gid:=2000", NULL);
    kind_test_expect_error(test, taken, "group 'ops' has it");
    g_autoptr(Resource) shared =
        kind_test_resource(&kind_group, "new", "gid:=2000", "allowdupe:=true", NULL);
    kind_test_expect(test, shared, ACTION_CREATE);

    static const char *const names[] = { "",
                                         "a:b",
                                         "a b",
                                         "12",
                                         "-x",
                                         "a,b",
                                         "a/b",
                                         "a\nb",
                                         "\xc3\xa4",
                                         "a$b",
                                         "$",
                                         ".",
                                         "abcdefghijklmnopqrstuvwxyz1234567" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *problems = kind_test_problems(&kind_group, names[i], NULL);
        g_assert_nonnull(strstr(problems, "refuse group name"));
    }
    g_autofree char *negative = kind_test_problems(&kind_group, "x", "gid:=-1", NULL);
    g_autofree char *big = kind_test_problems(&kind_group, "x", "gid:=4294967295", NULL);
    g_assert_nonnull(strstr(negative, "refuse gid -1"));
    g_assert_nonnull(strstr(big, "refuse gid 4294967295"));
}

static void test_absent(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) absent = kind_test_resource(&kind_group, "ops", "ensure=absent", NULL);
    kind_test_expect(test, absent, ACTION_REMOVE);
    kind_test_expect(test, absent, ACTION_NONE);
    g_assert_null(kind_test_reverse(test, absent, ON_REMOVE_RESTORE));
    resource_own_meta(absent)->on_remove = ON_REMOVE_RESTORE; /* asked for */
    kind_test_undo(test, absent, ON_REMOVE_RESTORE);
    expect_line(host, "/etc/group", "ops:x:2000:ada,bob");
}

static void test_faults(void) {
    g_autoptr(Resource) group =
        kind_test_resource(&kind_group, "ada", "gid:=4000", "members=eve", NULL);
    g_assert_cmpuint(kind_test_faults(host_with_user, group), >, 5);
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    Resource *user = kind_test_resource(&kind_user, "ada", "group=web", "groups=ops", NULL);
    Resource *gone = kind_test_resource(&kind_user, "old", "state=absent", "gid:=77", NULL);
    Resource *web = kind_test_resource(&kind_group, "web", NULL);
    Resource *ops = kind_test_resource(&kind_group, "ops", NULL);
    Resource *last = kind_test_resource(&kind_group, "last", "gid:=77", "state=absent", NULL);
    unsigned v[5];
    Resource *all[] = { user, gone, web, ops, last };
    for (unsigned i = 0; i < 5; i++)
        g_assert_true(graph_add(graph, all[i], DUPLICATE_REFUSE, &v[i], NULL));
    g_assert_cmpuint(graph_auto_edges(graph), ==, 3);
    g_assert_true(graph_has_edge(graph, v[2], v[0]));
    g_assert_true(graph_has_edge(graph, v[3], v[0]));
    g_assert_true(graph_has_edge(graph, v[1], v[4])); /* an absent user goes first */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/group/password", test_password);
    g_test_add_func("/kinds/group/create", test_create);
    g_test_add_func("/kinds/group/free-gid", test_free_gid);
    g_test_add_func("/kinds/group/members", test_members);
    g_test_add_func("/kinds/group/gid-moves-users", test_gid_moves_users);
    g_test_add_func("/kinds/group/refused", test_refused);
    g_test_add_func("/kinds/group/absent", test_absent);
    g_test_add_func("/kinds/group/faults", test_faults);
    g_test_add_func("/kinds/group/edges", test_edges);
    return g_test_run();
}
