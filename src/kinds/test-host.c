/* host: entries of a hosts file set, removed and restored, everything else byte for byte. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define HOST(...) kind_test_resource(&kind_host, "db", __VA_ARGS__, NULL)

typedef struct {
    const char *before;       /* NULL: no file */
    const char *arguments[5]; /* besides the name */
    const char *after;        /* NULL: no file */
    Action action;
    const char *undone; /* after undoing; NULL: as before */
} Case;

#define DEBIAN "127.0.0.1\tlocalhost\n::1     localhost ip6-localhost\n# end\n"

static const Case cases[] = {
    { NULL, { "ip=10.0.0.1" }, "10.0.0.1\tdb\n", ACTION_CREATE, NULL },
    { "", { "ip=10.0.0.1" }, "10.0.0.1\tdb\n", ACTION_CREATE, NULL },
    { "a", { "ip=10.0.0.1" }, "a\n10.0.0.1\tdb\n", ACTION_CREATE, "a\n" },
    { DEBIAN,
      { "ip=10.0.0.1", "host_aliases:=[\"d\",\"e\"]", "comment= main " },
      DEBIAN "10.0.0.1\tdb d e\t# main\n",
      ACTION_CREATE,
      NULL },
    { "#1\r\n10.0.0.9 db x # y\r\n2\r\n",
      { "ip=10.0.0.1" },
      "#1\r\n10.0.0.1\tdb x\t# y\r\n2\r\n",
      ACTION_CHANGE,
      "#1\r\n10.0.0.9\tdb x\t# y\r\n2\r\n" },
    { "10.0.0.9 db x # y\n",
      { "ip=10.0.0.9", "aliases=z", "comment=" },
      "10.0.0.9\tdb z\n",
      ACTION_CHANGE,
      "10.0.0.9\tdb x\t# y\n" },
    { "  10.0.0.1 \t DB   x\n", { "ip=10.0.0.1", "aliases=x" }, NULL, ACTION_NONE, NULL },
    { "10.0.0.1 db", { "ip=10.0.0.1" }, NULL, ACTION_NONE, NULL },
    { "10.0.0.2 db", { "ip=10.0.0.1" }, "10.0.0.1\tdb\n", ACTION_CHANGE, "10.0.0.2\tdb\n" },
    { "2001:DB8:0::1 db\n", { "ip=2001:db8::1" }, NULL, ACTION_NONE, NULL },
    /* a family each; the other one's line stays */
    { "::2 db\n", { "ip=10.0.0.1" }, "::2 db\n10.0.0.1\tdb\n", ACTION_CREATE, NULL },
    { "10.0.0.9 db\n::2 db\n",
      { "ip=::3" },
      "10.0.0.9 db\n::3\tdb\n",
      ACTION_CHANGE,
      "10.0.0.9 db\n::2\tdb\n" },
    { "::2 db\n", { "ip=10.0.0.1", "family=any" }, "10.0.0.1\tdb\n", ACTION_CHANGE, "::2\tdb\n" },
    { "fe80::1%lo db\n",
      { "ip=fe80::1%eth0" },
      "fe80::1%eth0\tdb\n",
      ACTION_CHANGE,
      "fe80::1%lo\tdb\n" },
    /* not the entry: an alias, a comment, garbage */
    { "10.0.0.9 x db\n#10.0.0.9 db\nnonsense db\n\xff\n",
      { "ip=10.0.0.1" },
      "10.0.0.9 x db\n#10.0.0.9 db\nnonsense db\n\xff\n10.0.0.1\tdb\n",
      ACTION_CREATE,
      NULL },
    /* absent */
    { "10.0.0.9 db\na\n::1 db\n", { "state=absent" }, "a\n", ACTION_REMOVE, "" },
    { "10.0.0.9 db\na\n::1 db\n",
      { "state=absent", "family=ipv6" },
      "10.0.0.9 db\na\n",
      ACTION_REMOVE,
      "10.0.0.9 db\na\n::1\tdb\n" },
    { NULL, { "ensure=absent" }, NULL, ACTION_NONE, NULL },
};

static void assert_file(Host *host, size_t row, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, "/etc/hosts", 1000, NULL);
    g_autofree char *found =
        bytes == NULL ? NULL : g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (g_strcmp0(found, text) != 0)
        g_error("row %zu: expected '%s', found '%s'", row, text, found);
}

static void test_cases(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *row = &cases[i];
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (row->before != NULL)
            host_fake_tamper_write(host, "/etc/hosts", row->before);
        g_autoptr(Resource) entry = HOST(row->arguments[0], row->arguments[1], row->arguments[2]);
        kind_test_expect(test, entry, row->action);
        assert_file(host, i, row->action == ACTION_NONE ? row->before : row->after);
        if (row->action == ACTION_NONE || g_strcmp0(row->undone, "") == 0)
            continue;
        kind_test_undo(test, entry, ON_REMOVE_DEFAULT);
        assert_file(host, i, row->undone != NULL ? row->undone : row->before);
    }
}

/* Both families of one name, declared under two titles. */
static void test_families(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) four = HOST("ip=10.0.0.1");
    g_autoptr(Resource) six =
        kind_test_resource(&kind_host, "db6", "hostname=db", "ip=::3", "family=ipv6", NULL);
    kind_test_expect(test, four, ACTION_CREATE);
    kind_test_expect(test, six, ACTION_CREATE);
    kind_test_expect(test, four, ACTION_NONE);
    assert_file(host, 0, "10.0.0.1\tdb\n::3\tdb\n");
    g_autofree char *one = resource_identity(four), *other = resource_identity(six);
    g_assert_cmpstr(one, !=, other);
    kind_test_undo(test, four, ON_REMOVE_DEFAULT);
    assert_file(host, 0, "::3\tdb\n");
    kind_test_undo(test, six, ON_REMOVE_DEFAULT);
    g_assert_true(host_exists(host, "/etc/hosts")); /* the other entry made it */
}

static void test_validation(void) {
    static const struct {
        const char *name, *arguments[3], *problem;
    } rows[] = {
        { "db", { "comment=x" }, "'ip' is required" },
        { "db", { "ip=10.0.0" }, "refuse ip '10.0.0': it is no address" },
        { "db", { "ip=10.0.0.1 x" }, "it is no address" },
        { "db", { "ip=::1", "family=ipv4" }, "not of the family" },
        { "d b", { "ip=::1" }, "refuse hostname 'd b': only letters" },
        { "-db", { "ip=::1" }, "starts or ends with '-'" },
        { "db..x", { "ip=::1" }, "empty part" },
        { "", { "ip=::1" }, "it is empty" },
        { "db", { "ip=::1", "aliases=a#b" }, "refuse alias 'a#b'" },
        { "db", { "ip=::1", "comment=a\nb" }, "it must be one line" },
        { "db", { "ip=::1", "target=/etc/" }, "it is a directory" },
        { "db", { "ip=::1", "state=there" }, "expected one of 'exists'" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_host, rows[i].name, rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

static void test_link_and_mode(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, "/var/real", "a\n");
    host_fake_tamper_mode(host, "/var/real", 0640);
    g_assert_true(host_make_link(host, "/etc/hosts", "../var/real", NULL));
    g_autoptr(Resource) entry = HOST("ip=10.0.0.1");
    g_autoptr(KindRound) round = kind_test_converge(test, entry, ACTION_CREATE);
    g_assert_nonnull(strstr(round->changes->lines, "+10.0.0.1\tdb"));
    FileInfo info;
    g_assert_true(host_stat(host, "/etc/hosts", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_SYMLINK);
    g_assert_true(host_stat(host, "/var/real", &info, NULL));
    g_assert_cmpuint(info.mode, ==, 0640);
    assert_file(host, 0, "a\n10.0.0.1\tdb\n");
}

static void test_large(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len < 10 * 1024 * 1024)
        g_string_append(text, "10.1.2.3\tsome-host.example.com alias\t# a comment\n");
    host_fake_tamper_write(host, "/etc/hosts", text->str);
    g_autoptr(Resource) entry = HOST("ip=10.0.0.1");
    kind_test_expect(test, entry, ACTION_CREATE);
    g_autoptr(GBytes) bytes = host_read(host, "/etc/hosts", SIZE_MAX, NULL);
    g_string_append(text, "10.0.0.1\tdb\n");
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text->str, text->len);
}

/* A file that a command makes, an address that another resource sends: known only when applied. */
static void test_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/etc/hosts");
    g_autoptr(Resource) known = HOST("ip=10.0.0.1");
    g_autoptr(KindRound) round = kind_test_round(test, known);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
    g_autoptr(Resource) unknown = HOST("ip=?");
    g_autoptr(KindTest) plain = kind_test_new(host);
    g_autoptr(KindRound) plan = kind_test_plan(plain, unknown);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned entry, file;
    g_assert_true(graph_add(graph, HOST("ip=10.0.0.1"), DUPLICATE_REFUSE, &entry, NULL));
    Resource *whole = kind_test_resource(&kind_file, "/etc/hosts", "mode=0644", NULL);
    g_assert_true(graph_add(graph, whole, DUPLICATE_REFUSE, &file, NULL));
    (void)graph_auto_edges(graph);
    g_assert_true(graph_has_edge(graph, file, entry));
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    host_fake_tamper_write(host, "/etc/hosts", DEBIAN);
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) entry = HOST("ip=10.0.0.1");
    g_assert_cmpuint(kind_test_faults(set_up_fault, entry), >=, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/host/cases", test_cases);
    g_test_add_func("/kinds/host/families", test_families);
    g_test_add_func("/kinds/host/validation", test_validation);
    g_test_add_func("/kinds/host/link-and-mode", test_link_and_mode);
    g_test_add_func("/kinds/host/large", test_large);
    g_test_add_func("/kinds/host/unknown", test_unknown);
    g_test_add_func("/kinds/host/edges", test_edges);
    g_test_add_func("/kinds/host/faults", test_faults);
    return g_test_run();
}
