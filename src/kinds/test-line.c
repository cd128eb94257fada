/* line: adding, replacing, removing, byte for byte. */
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define LINE(...) kind_test_resource(&kind_line, "l", "file=/etc/f", __VA_ARGS__, NULL)

typedef struct {
    const char *before;       /* NULL: no file */
    const char *arguments[5]; /* besides file */
    const char *after;        /* NULL: no file */
    Action action;
    const char *undone; /* after undoing; NULL: as before */
} Case;

static const Case cases[] = {
    { "a\nb\n", { "content=c" }, "a\nb\nc\n", ACTION_CREATE, NULL },
    { "a\nb", { "content=c" }, "a\nb\nc\n", ACTION_CREATE, "a\nb\n" },
    { "a\nc\nb\n", { "content=c" }, "a\nc\nb\n", ACTION_NONE, NULL },
    { "a\nb\nc", { "content=c" }, "a\nb\nc", ACTION_NONE, NULL },
    { "a\r\nb\r\n", { "content=c" }, "a\r\nb\r\nc\r\n", ACTION_CREATE, NULL },
    { "a\r\nc\r\n", { "content=c" }, "a\r\nc\r\n", ACTION_NONE, NULL },
    { "a\r\nold=1\r\nb\r\n",
      { "content=old=2", "match=^old=" },
      "a\r\nold=2\r\nb\r\n",
      ACTION_CHANGE,
      NULL },
    { NULL, { "content=c" }, "c\n", ACTION_CREATE, NULL },
    { "", { "content=c" }, "c\n", ACTION_CREATE, NULL },
    { "x", { "content=" }, "x", ACTION_NONE, NULL },
    { "ac\nca\n", { "content=c" }, "ac\nca\nc\n", ACTION_CREATE, NULL },
    { "a\n", { "content= c ", "trim:=true" }, "a\nc\n", ACTION_CREATE, NULL },
    { "a\n", { "content=c\n" }, "a\nc\n", ACTION_CREATE, NULL },
    /* blocks */
    { "a\nb\n", { "content=x\ny" }, "a\nb\nx\ny\n", ACTION_CREATE, NULL },
    { "x\na\ny\n", { "content=x\ny" }, "x\na\ny\nx\ny\n", ACTION_CREATE, NULL },
    { "a\nx\ny\nb\n", { "content=x\ny" }, "a\nx\ny\nb\n", ACTION_NONE, NULL },
    { "x\nx\ny\nb\n", { "content=x\ny", "state=absent" }, "x\nb\n", ACTION_REMOVE, "x\nb\nx\ny\n" },
    /* absent */
    { "a\nc\nb\nc\n", { "content=c", "state=absent" }, "a\nb\n", ACTION_REMOVE, "a\nb\nc\nc\n" },
    { "a\nb", { "content=b", "state=absent" }, "a\n", ACTION_REMOVE, "a\nb\n" },
    { "a\nb", { "content=c", "state=absent" }, "a\nb", ACTION_NONE, NULL },
    { NULL, { "content=c", "state=absent" }, NULL, ACTION_NONE, NULL },
    { "k1\na\nk2\n", { "match=^k", "state=absent" }, "a\n", ACTION_REMOVE, "a\nk1\nk2\n" },
    { "k\n#k\n",
      { "match=k", "content=k", "match_for_absence:=true", "state=absent" },
      "",
      ACTION_REMOVE,
      "k\n#k\n" },
    /* match */
    { "a\nold\nb\n", { "content=new", "match=^old" }, "a\nnew\nb\n", ACTION_CHANGE, NULL },
    { "a\nold", { "content=new", "match=^old" }, "a\nnew", ACTION_CHANGE, NULL },
    { "a\n", { "content=new", "match=^old" }, "a\nnew\n", ACTION_CREATE, NULL },
    { "a\n",
      { "content=new", "match=^old", "append_on_no_match:=false" },
      "a\n",
      ACTION_NONE,
      NULL },
    { "old\n", { "content=new", "match=^old", "replace:=false" }, "old\n", ACTION_NONE, NULL },
    { "#k=1\nk=2\n", { "content=k=2", "match=^#?k=" }, "#k=1\nk=2\n", ACTION_NONE, NULL },
    { "#k=1\nk=2\n",
      { "content=k=2", "match=^#?k=", "multiple:=true" },
      "k=2\nk=2\n",
      ACTION_CHANGE,
      NULL },
    { "x1\r\ny\n#x2\nx",
      { "content=x", "match=^#?x", "multiple:=true" },
      "x\r\ny\nx\nx",
      ACTION_CHANGE,
      NULL },
    { "x1\n\n", { "content=x", "match=^x|^$", "multiple:=true" }, "x\nx\n", ACTION_CHANGE, NULL },
    /* after */
    { "[a]\nx\n[b]\n", { "content=new", "after=^x$" }, "[a]\nx\nnew\n[b]\n", ACTION_CREATE, NULL },
    { "a\n", { "content=new", "after=^x$" }, "a\nnew\n", ACTION_CREATE, NULL },
    { "x", { "content=new", "after=^x$" }, "x\nnew\n", ACTION_CREATE, "x\n" },
    /* bytes that are no UTF-8 */
    { "\xff\xfe\n", { "content=c", "match=^\\xff" }, "c\n", ACTION_CHANGE, NULL },
};

static void assert_file(Host *host, size_t row, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, "/etc/f", 1000, NULL);
    if (text == NULL) {
        g_assert_null(bytes);
        return;
    }
    g_assert_nonnull(bytes);
    g_autofree char *found = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (strcmp(found, text) != 0)
        g_error("row %zu: expected '%s', found '%s'", row, text, found);
}

static void test_cases(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *row = &cases[i];
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (row->before != NULL)
            host_fake_tamper_write(host, "/etc/f", row->before);
        g_autoptr(Resource) line =
            LINE(row->arguments[0], row->arguments[1], row->arguments[2], row->arguments[3]);
        kind_test_expect(test, line, row->action);
        assert_file(host, i, row->after);
        if (row->action == ACTION_NONE)
            continue;
        kind_test_undo(test, line, ON_REMOVE_DEFAULT);
        assert_file(host, i, row->undone != NULL ? row->undone : row->before);
    }
}

static void test_link(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, "/var/real", "a\n");
    g_assert_true(host_make_link(host, "/etc/f", "../var/real", NULL));
    g_autoptr(Resource) line = LINE("content=b");
    kind_test_expect(test, line, ACTION_CREATE);
    FileInfo info;
    g_assert_true(host_stat(host, "/etc/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_SYMLINK);
    assert_file(host, 0, "a\nb\n");
    g_assert_true(host_make_link(host, "/var/real", "/etc/f", NULL));
    kind_test_expect_error(test, line, "lead in a circle");
}

static void test_mode(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, "/etc/f", "a\n");
    host_fake_tamper_mode(host, "/etc/f", 0600);
    g_autoptr(Resource) line = LINE("content=b");
    g_autoptr(KindRound) round = kind_test_converge(test, line, ACTION_CREATE);
    FileInfo info;
    g_assert_true(host_stat(host, "/etc/f", &info, NULL));
    g_assert_cmpuint(info.mode, ==, 0600);
    g_assert_nonnull(strstr(changes_find(round->changes, "content")->diff, "+b"));
}

static void test_errors(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_tamper_write(host, "/etc/f", "x1\nx2\n");
    g_autoptr(Resource) vague = LINE("content=new", "match=^x");
    kind_test_expect_error(test, vague, "2 lines of '/etc/f' match '^x', the first is line 1");
    host_fake_tamper_remove(host, "/etc/f");
    g_autoptr(Resource) careful = LINE("content=c", "create:=false");
    kind_test_expect_error(test, careful, "it does not exist; set create = true");

    static const struct {
        const char *arguments[3], *problem;
    } rows[] = {
        { { "state=exists" }, "content is required" },
        { { "state=absent" }, "content or match must say which line" },
        { { "content=x", "match=(" }, "match: " },
        { { "content=x", "after=[" }, "after: " },
        { { "content=x\ny", "match=z" }, "a block of several lines" },
        { { "content=x", "match_for_absence:=true" }, "match_for_absence needs match" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_line, "l", "file=/etc/f", rows[i].arguments[0],
                               rows[i].arguments[1], rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

/* A file that a command makes, a value that another resource sends: known only when applied. */
static void test_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/etc/f");
    g_autoptr(Resource) known = LINE("content=b");
    g_autoptr(KindRound) round = kind_test_round(test, known);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
    g_autoptr(Resource) unknown = LINE("content=?");
    g_autoptr(KindTest) plain = kind_test_new(host);
    g_autoptr(KindRound) plan = kind_test_plan(plain, unknown);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

static void write_bytes(Host *host, const char *data, size_t size) {
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    FileAttributes plain = { .set = FILE_SET_MODE, .mode = 0644 };
    g_assert_true(host_write(host, "/etc/f", bytes, &plain, NULL));
}

/* What is no text is nobody's to edit by lines; a file that a power cut emptied is made anew. */
static void test_zero_bytes(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) line = LINE("content=b");
    write_bytes(host, "a\nx\0y\n", 6);
    kind_test_expect_error(test, line, "refuse to edit '/etc/f': it is not text, line 2");
    write_bytes(host, "\0\0\n", 3);
    kind_test_expect_error(test, line, "line 1 has a zero byte");
    write_bytes(host, "\0\0\0", 3);
    kind_test_expect(test, line, ACTION_CREATE);
    assert_file(host, 0, "b\n");
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    host_fake_tamper_write(host, "/etc/f", "a\n");
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) line = LINE("content=b");
    g_assert_cmpuint(kind_test_faults(set_up_fault, line), >=, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/line/cases", test_cases);
    g_test_add_func("/kinds/line/link", test_link);
    g_test_add_func("/kinds/line/mode", test_mode);
    g_test_add_func("/kinds/line/errors", test_errors);
    g_test_add_func("/kinds/line/unknown", test_unknown);
    g_test_add_func("/kinds/line/zero-bytes", test_zero_bytes);
    g_test_add_func("/kinds/line/faults", test_faults);
    return g_test_run();
}
