/* ssh_authorized_key: lines put in and taken out, whose the file is, and links that users plant. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/graph.h"
#include "host/accounts.h"
#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/edit.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/ssh-key.h"

#define ONE       "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"
#define TWO       "AAAAC3NzaC1lZDI1NTE5AAAAIOlQ0bGdT1cDp0l0mRkJ2x7d3F3vJ1oXbZ5h7m1cQ9aE"
#define FILE_PATH "/home/ada/.ssh/authorized_keys"

#define KEY(...)                                                                                   \
    kind_test_resource(&kind_ssh_authorized_key, "ada@laptop", "user=ada", __VA_ARGS__, NULL)

static void add_user(Host *host, const char *name, uid_t uid) {
    g_autofree char *home = g_strconcat("/home/", name, NULL);
    User user = { .name = (char *)(uintptr_t)name,
                  .uid = uid,
                  .gid = uid,
                  .home = home,
                  .comment = (char[]){ "" },
                  .shell = (char[]){ "/bin/sh" } };
    FileAttributes own = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0755, uid, uid };
    g_assert_true(accounts_put_user(host, &user, NULL));
    g_assert_true(host_make_parents(host, home, NULL));
    g_assert_true(host_make_directory(host, home, &own, NULL));
}

static Host *host_with_user(void) {
    Host *host = host_fake_new();
    add_user(host, "ada", 1000);
    return host;
}

static void put_file(Host *host, const char *text) {
    FileAttributes closed = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0700, 1000, 1000 };
    FileAttributes own = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0600, 1000, 1000 };
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_assert_true(host_make_directory(host, "/home/ada/.ssh", &closed, NULL));
    g_assert_true(host_write(host, FILE_PATH, bytes, &own, NULL));
}

static void assert_file(Host *host, size_t row, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, FILE_PATH, 100000, NULL);
    g_autofree char *found =
        bytes == NULL ? NULL : g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (g_strcmp0(found, text) != 0)
        g_error("row %zu: expected '%s', found '%s'", row, text, found);
}

typedef struct {
    const char *before;       /* NULL: no file */
    const char *arguments[4]; /* besides the user */
    const char *after;        /* NULL: no file */
    Action action;
    const char *undone; /* after undoing; NULL: as before; "": not looked at */
} Case;

static const Case cases[] = {
    { NULL, { "key=" ONE }, "ssh-ed25519 " ONE " ada@laptop\n", ACTION_CREATE, NULL },
    { "# c\n", { "key=" ONE }, "# c\nssh-ed25519 " ONE " ada@laptop\n", ACTION_CREATE, NULL },
    { "x\r\ny",
      { "key=" ONE, "type=ed25519" },
      "x\r\ny\r\nssh-ed25519 " ONE " ada@laptop\r\n",
      ACTION_CREATE,
      "x\r\ny\r\n" },
    { " ssh-ed25519  " ONE "   ada@laptop  \n", { "key=" ONE }, NULL, ACTION_NONE, NULL },
    { "ssh-ed25519 " ONE " ada@laptop", { "key=" ONE }, NULL, ACTION_NONE, NULL },
    /* exchanged */
    { "a\nssh-ed25519 " TWO " ada@laptop\nb\n",
      { "key=" ONE },
      "a\nssh-ed25519 " ONE " ada@laptop\nb\n",
      ACTION_CHANGE,
      NULL },
    /* under another comment, and twice */
    { "ssh-ed25519 " ONE " old name\n",
      { "key=" ONE },
      "ssh-ed25519 " ONE " ada@laptop\n",
      ACTION_CHANGE,
      "" },
    { "no-pty ssh-ed25519 " ONE " x\nz\nssh-ed25519 " TWO " ada@laptop\n",
      { "key=" ONE },
      "ssh-ed25519 " ONE " ada@laptop\nz\n",
      ACTION_CHANGE,
      "" },
    { "ssh-ed25519 " ONE " ada@laptop\nz\nssh-ed25519 " ONE " ada@laptop\n",
      { "key=" ONE },
      "ssh-ed25519 " ONE " ada@laptop\nz\n",
      ACTION_CHANGE,
      "" },
    /* options */
    { "ssh-ed25519 " ONE " ada@laptop\n",
      { "key=" ONE, "options:=[\"restrict\",\"command=\\\"a, \\\\\\\"b\\\\\\\" c\\\"\"]" },
      "restrict,command=\"a, \\\"b\\\" c\" ssh-ed25519 " ONE " ada@laptop\n",
      ACTION_CHANGE,
      NULL },
    { "restrict,command=\"a, \\\"b\\\" c\" ssh-ed25519 " ONE " ada@laptop\n",
      { "key=" ONE, "options:=[\"restrict\",\"command=\\\"a, \\\\\\\"b\\\\\\\" c\\\"\"]" },
      NULL,
      ACTION_NONE,
      NULL },
    { "no-pty ssh-ed25519 " ONE " ada@laptop\n",
      { "key=" ONE },
      "ssh-ed25519 " ONE " ada@laptop\n",
      ACTION_CHANGE,
      NULL },
    /* absent */
    { "a\nssh-ed25519 " ONE " ada@laptop\nssh-rsa AAAA ada@laptop\n",
      { "state=absent" },
      "a\n",
      ACTION_REMOVE,
      "" },
    { "ssh-ed25519 " ONE " x\nb", { "ensure=absent", "key=" ONE }, "b", ACTION_REMOVE, "" },
    { "a\nb", { "state=absent" }, NULL, ACTION_NONE, NULL },
    { NULL, { "state=absent" }, NULL, ACTION_NONE, NULL },
    /* garbage stays */
    { "ssh-ed25519\n\"\n\xff\xfe\nssh-rsa AAAA\n#ssh-ed25519 " ONE " ada@laptop\n",
      { "key=" ONE },
      "ssh-ed25519\n\"\n\xff\xfe\nssh-rsa AAAA\n#ssh-ed25519 " ONE " ada@laptop\nssh-ed25519 " ONE
      " ada@laptop\n",
      ACTION_CREATE,
      NULL },
};

static void test_cases(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *row = &cases[i];
        g_autoptr(Host) host = host_with_user();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (row->before != NULL)
            put_file(host, row->before);
        g_autoptr(Resource) key = KEY(row->arguments[0], row->arguments[1], row->arguments[2]);
        kind_test_expect(test, key, row->action);
        assert_file(host, i, row->action == ACTION_NONE ? row->before : row->after);
        if (row->action == ACTION_NONE || g_strcmp0(row->undone, "") == 0)
            continue;
        kind_test_undo(test, key, ON_REMOVE_DEFAULT);
        assert_file(host, i, row->undone != NULL ? row->undone : row->before);
    }
}

static void assert_owner(Host *host, const char *path, mode_t mode, uid_t uid) {
    FileInfo info;
    g_assert_true(host_stat(host, path, &info, NULL));
    g_assert_cmpuint(info.mode, ==, mode);
    g_assert_cmpuint(info.uid, ==, uid);
    g_assert_cmpuint(info.gid, ==, uid);
}

static void test_owner(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE);
    kind_test_expect(test, key, ACTION_CREATE);
    assert_owner(host, "/home/ada/.ssh", 0700, 1000);
    assert_owner(host, FILE_PATH, 0600, 1000);
    FileAttributes open = { FILE_SET_MODE | FILE_SET_UID, 0666, 0, 0 };
    g_assert_true(host_set_attributes(host, FILE_PATH, &open, NULL));
    g_autoptr(KindRound) file = kind_test_converge(test, key, ACTION_CHANGE);
    g_assert_nonnull(changes_find(file->changes, "mode"));
    g_assert_nonnull(changes_find(file->changes, "owner"));
    assert_owner(host, FILE_PATH, 0600, 1000);
    g_assert_true(host_set_attributes(host, "/home/ada/.ssh", &open, NULL));
    g_autoptr(KindRound) directory = kind_test_converge(test, key, ACTION_CHANGE);
    g_assert_nonnull(changes_find(directory->changes, "directory"));
    assert_owner(host, "/home/ada/.ssh", 0700, 1000);
}

/* A file elsewhere: made for the user, then left as it is. */
static void test_target(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE, "target=/etc/keys-of-ada");
    kind_test_expect(test, key, ACTION_CREATE);
    assert_owner(host, "/etc/keys-of-ada", 0600, 1000);
    g_assert_false(host_exists(host, "/home/ada/.ssh"));
    FileAttributes roots = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0644, 0, 0 };
    g_assert_true(host_set_attributes(host, "/etc/keys-of-ada", &roots, NULL));
    kind_test_expect(test, key, ACTION_NONE);
    kind_test_undo(test, key, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, "/etc/keys-of-ada"));
}

/* --- links */

static void own_link(Host *host, const char *path, const char *target, uid_t uid) {
    FileAttributes own = { FILE_SET_UID | FILE_SET_GID, 0, uid, uid };
    g_assert_true(host_make_link(host, path, target, NULL));
    g_assert_true(host_set_attributes(host, path, &own, NULL));
}

static void test_planted_links(void) {
    static const struct {
        const char *link, *target;
        uid_t uid;
    } rows[] = {
        { "/home/ada/.ssh", "/root/.ssh", 1000 },
        { "/home/ada/.ssh", "/root/.ssh", 0 }, /* root's, but the user may move it about */
        { FILE_PATH, "/root/.ssh/authorized_keys", 1000 },
        { FILE_PATH, "/etc/shadow", 0 },
        { FILE_PATH, "../../bob/.ssh/authorized_keys", 1000 },
        { FILE_PATH, "/nowhere", 1000 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = host_with_user();
        g_autoptr(KindTest) test = kind_test_new(host);
        host_fake_tamper_write(host, "/etc/shadow", "root:secret:::::::\n");
        g_assert_true(host_make_parents(host, "/root/.ssh/authorized_keys", NULL));
        host_fake_tamper_write(host, "/root/.ssh/authorized_keys", "roots\n");
        if (strcmp(rows[i].link, FILE_PATH) == 0) {
            put_file(host, "");
            g_assert_true(host_remove(host, FILE_PATH, NULL));
        }
        own_link(host, rows[i].link, rows[i].target, rows[i].uid);
        g_autoptr(Resource) key = KEY("key=" ONE);
        kind_test_expect_error(test, key, "refuse to follow the link '/home/ada/.ssh");
        g_autoptr(GBytes) roots = host_read(host, "/root/.ssh/authorized_keys", 100, NULL);
        g_assert_cmpmem(g_bytes_get_data(roots, NULL), g_bytes_get_size(roots), "roots\n", 6);
        g_assert_false(host_exists(host, "/nowhere"));
    }
}

/* Links of the system on the way to the home lead on. */
static void test_system_links(void) {
    g_autoptr(Host) host = host_fake_new();
    g_assert_true(host_make_parents(host, "/data/home/x", NULL));
    g_assert_true(host_make_link(host, "/home", "data/x/../home/.", NULL));
    g_assert_true(host_make_directory(host, "/data/x", NULL, NULL));
    add_user(host, "ada", 1000);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE);
    kind_test_expect(test, key, ACTION_CREATE);
    g_assert_true(host_exists(host, "/data/home/ada/.ssh/authorized_keys"));
    g_assert_true(host_remove_tree(host, "/data/home/ada/.ssh", NULL, NULL));
    own_link(host, "/home", "data/home", 1000);
    kind_test_expect_error(test, key, "refuse to follow the link '/home'");
}

/* --- users */

static void test_missing_user(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE);
    test->brought = true;
    g_autoptr(KindRound) plan = kind_test_plan(test, key);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
    g_assert_nonnull(strstr(plan->note, "needs user 'ada'"));
    test->brought = false;
    kind_test_expect_error(test, key, "no such user 'ada'; declare user 'ada', or let ");
    g_autoptr(Resource) absent = KEY("state=absent");
    kind_test_expect(test, absent, ACTION_NONE);
}

static void test_missing_home(void) {
    g_autoptr(Host) host = host_with_user();
    g_assert_true(host_remove(host, "/home/ada", NULL));
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE);
    kind_test_expect_error(test, key, "home '/home/ada' of user 'ada' does not exist; set");
}

static void test_edges(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned key, user;
    g_assert_true(graph_add(graph, KEY("key=" ONE), DUPLICATE_REFUSE, &key, NULL));
    Resource *ada = kind_test_resource(&kind_user, "ada", NULL);
    g_assert_true(graph_add(graph, ada, DUPLICATE_REFUSE, &user, NULL));
    (void)graph_auto_edges(graph);
    g_assert_true(graph_has_edge(graph, user, key));
}

/* --- input */

static void test_validation(void) {
    static const struct {
        const char *name, *arguments[4], *problem;
    } rows[] = {
        { "a", { "user=ada" }, "'key' is required" },
        { "a", { "key=" ONE }, "'user' or 'target' is required" },
        { "a", { "user=a b", "key=" ONE }, "refuse user name" },
        { "", { "user=ada", "key=" ONE }, "comment must be one line" },
        { "a\nb", { "user=ada", "key=" ONE }, "comment must be one line" },
        { "a", { "user=ada", "key=" }, "refuse the key: it is empty" },
        { "a", { "user=ada", "key=ssh-ed25519 " ONE }, "give only the part in base64" },
        { "a", { "user=ada", "key=" ONE "\n" }, "it holds blanks" },
        { "a",
          { "user=ada", "key=AAAAC3NzaC1lZDI1NTE5AAAAIKp6"
                        "g" },
          "it is not base64" },
        { "a", { "user=ada", "key=$$$$" }, "it is not base64" },
        { "a", { "user=ada", "key=AAAA" }, "not a public key of ssh" },
        { "a", { "user=ada", "key=AAAAC3NzaC1yc2E=" }, "not a public key of ssh" }, /* cut */
        { "a", { "user=ada", "key=aGVsbG8gd29ybGQh" }, "not a public key of ssh" },
        { "a",
          { "user=ada", "key=" ONE, "type=rsa" },
          "it is of type 'ssh-ed25519', not 'ssh-rsa'" },
        { "a", { "user=ada", "key=" ONE, "type=ssh-rsaa" }, "did you mean 'ssh-rsa'" },
        { "a", { "user=ada", "key=" ONE, "options=no-pty,restrict" }, "an item of its own" },
        { "a", { "user=ada", "key=" ONE, "options=command=x" }, "in double quotes" },
        { "a", { "user=ada", "key=" ONE, "options=command=\"x" }, "quotes do not match" },
        { "a", { "user=ada", "key=" ONE, "options=command=\"x\",no-pty" }, "an item of its own" },
        { "a", { "user=ada", "key=" ONE, "options==x" }, "name of an option" },
        { "a", { "user=ada", "key=" ONE, "options=a\nb" }, "it must be one line" },
        { "a", { "key=" ONE, "target=/etc/" }, "target must not end" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems = kind_test_problems(
            &kind_ssh_authorized_key, rows[i].name, rows[i].arguments[0], rows[i].arguments[1],
            rows[i].arguments[2], rows[i].arguments[3], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

/* What was read prints and reads back as the same, whatever the line. */
static void test_random_lines(void) {
    static const char *const pieces[] = {
        "ssh-rsa", "ssh-", "ecdsa-x", " ",    "\t", "\"",     "\\\"",           "\\",
        "a=\"x",   ",",    "=",       "AAAA", "#",  "no-pty", "command=\"a b\""
    };
    for (unsigned round = 0; round < 50000; round++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (int n = g_test_rand_int_range(0, 12); n > 0; n--)
            g_string_append(text, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        EditLine one = { text->str, text->len, text->len };
        g_auto(SshKeyLine) line = { 0 }, again = { 0 };
        if (!ssh_key_line_parse(&one, &line))
            continue;
        g_autofree char *printed = g_strjoin(
            " ", *line.options ? line.options : line.type, *line.options ? line.type : line.key,
            *line.options ? line.key : line.comment, *line.options ? line.comment : NULL, NULL);
        EditLine other = { printed, strlen(printed), strlen(printed) };
        if (!ssh_key_line_parse(&other, &again) || strcmp(line.options, again.options) != 0 ||
            strcmp(line.type, again.type) != 0 || strcmp(line.key, again.key) != 0 ||
            strcmp(line.comment, again.comment) != 0)
            g_error("'%s' became '%s'", text->str, printed);
        g_auto(GStrv) options = ssh_key_split_options(line.options);
        g_assert_true(*line.options != '\0' || *options == NULL);
    }
}

static void test_large(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len < 10 * 1024 * 1024)
        g_string_append(text, "ssh-ed25519 " TWO " somebody@else\n");
    put_file(host, text->str);
    g_autoptr(Resource) key = KEY("key=" ONE);
    kind_test_expect(test, key, ACTION_CREATE);
    g_autoptr(GBytes) bytes = host_read(host, FILE_PATH, SIZE_MAX, NULL);
    g_string_append(text, "ssh-ed25519 " ONE " ada@laptop\n");
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text->str, text->len);
}

static void test_unknown(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=?");
    g_autoptr(KindRound) plan = kind_test_plan(test, key);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

/* Options may hold passwords: they are masked, and so is the text. */
static void test_secret(void) {
    g_autoptr(Host) host = host_with_user();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) key = KEY("key=" ONE);
    g_autoptr(Value) list = value_new_list();
    value_list_append(list, value_new_string("environment=\"TOKEN=hush\""));
    resource_put(key, (unsigned)kind_param_index(key->kind, "options"),
                 value_as_secret(list, NULL));
    kind_test_expect(test, key, ACTION_CREATE);
    g_autoptr(Resource) plain = KEY("key=" TWO);
    resource_put(plain, (unsigned)kind_param_index(key->kind, "options"),
                 value_as_secret(list, NULL));
    g_autoptr(KindRound) round = kind_test_converge(test, plain, ACTION_CHANGE);
    g_assert_null(round->changes->lines);
    g_assert_true(
        value_is_secret(state_get(round->after, (unsigned)kind_param_index(key->kind, "options"))));
}

static void test_faults(void) {
    g_autoptr(Resource) key = KEY("key=" ONE);
    g_assert_cmpuint(kind_test_faults(host_with_user, key), >=, 6);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/ssh-authorized-key/cases", test_cases);
    g_test_add_func("/kinds/ssh-authorized-key/owner", test_owner);
    g_test_add_func("/kinds/ssh-authorized-key/target", test_target);
    g_test_add_func("/kinds/ssh-authorized-key/planted-links", test_planted_links);
    g_test_add_func("/kinds/ssh-authorized-key/system-links", test_system_links);
    g_test_add_func("/kinds/ssh-authorized-key/missing-user", test_missing_user);
    g_test_add_func("/kinds/ssh-authorized-key/missing-home", test_missing_home);
    g_test_add_func("/kinds/ssh-authorized-key/edges", test_edges);
    g_test_add_func("/kinds/ssh-authorized-key/validation", test_validation);
    g_test_add_func("/kinds/ssh-authorized-key/random-lines", test_random_lines);
    g_test_add_func("/kinds/ssh-authorized-key/large", test_large);
    g_test_add_func("/kinds/ssh-authorized-key/unknown", test_unknown);
    g_test_add_func("/kinds/ssh-authorized-key/secret", test_secret);
    g_test_add_func("/kinds/ssh-authorized-key/faults", test_faults);
    return g_test_run();
}
