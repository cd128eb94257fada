/* file on a fake host: create, change, remove, replace, attributes, directories, faults, undoing.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/limits.h"
#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-overlay.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

typedef struct {
    Host *host;
    KindTest *test;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
    f->host = host_fake_new();
    f->test = kind_test_new(f->host);
}

static void tear_down(Fixture *f, gconstpointer data) {
    kind_test_free(f->test);
    host_free(f->host);
}

#define FILE_(name, ...) kind_test_resource(&kind_file, name, __VA_ARGS__, NULL)

static void assert_content(Host *host, const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text, strlen(text));
}

static FileInfo info_of(Host *host, const char *path) {
    FileInfo info;
    g_autoptr(GError) error = NULL;
    host_stat(host, path, &info, &error);
    g_assert_no_error(error);
    return info;
}

static void add_user(Host *host) {
    g_assert_true(host_fake_tamper_write(
        host, "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ada:/home/ada:/bin/bash\n"));
    g_assert_true(host_fake_tamper_write(host, "/etc/group", "root:x:0:\nada:x:1000:\n"));
}

/* --- files --- */

static void test_content(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) one = FILE_("/etc/one", "content=first\n");
    g_autoptr(KindRound) made = kind_test_converge(f->test, one, ACTION_CREATE);
    assert_content(f->host, "/etc/one", "first\n");
    g_assert_cmpuint(info_of(f->host, "/etc/one").mode, ==, 0644);
    const Change *change = changes_find(made->changes, "content");
    g_assert_null(change->before);
    g_assert_nonnull(strstr(change->diff, "+first"));

    host_fake_tamper_write(f->host, "/etc/one", "drifted\n");
    host_fake_tamper_mode(f->host, "/etc/one", 0600);
    g_autoptr(KindRound) fixed = kind_test_converge(f->test, one, ACTION_CHANGE);
    g_assert_nonnull(strstr(changes_find(fixed->changes, "content")->diff, "-drifted\n+first"));
    g_assert_null(changes_find(fixed->changes, "mode"));
    g_assert_cmpuint(info_of(f->host, "/etc/one").mode, ==, 0600); /* not managed: kept */
    kind_test_expect(f->test, one, ACTION_NONE);
}

static void test_bytes(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) bytes = FILE_("/etc/b", "content:={\"$bytes\": \"AP8AAQ==\"}");
    g_autoptr(KindRound) made = kind_test_converge(f->test, bytes, ACTION_CREATE);
    g_assert_null(changes_find(made->changes, "content")->diff);
    g_autoptr(GBytes) read = host_read(f->host, "/etc/b", 100, NULL);
    g_assert_cmpmem(g_bytes_get_data(read, NULL), g_bytes_get_size(read), "\0\xff\0\1", 4);
    g_autoptr(Resource) empty = FILE_("/etc/empty", "content=");
    kind_test_expect(f->test, empty, ACTION_CREATE);
    assert_content(f->host, "/etc/empty", "");
}

static void test_attributes(Fixture *f, gconstpointer data) {
    add_user(f->host);
    g_autoptr(Resource) mine =
        FILE_("/etc/mine", "content=x", "owner=ada", "group=1000", "mode=u=rw,g=r");
    kind_test_expect(f->test, mine, ACTION_CREATE);
    FileInfo info = info_of(f->host, "/etc/mine");
    g_assert_cmpuint(info.mode, ==, 0640);
    g_assert_cmpuint(info.uid, ==, 1000);
    g_assert_cmpuint(info.gid, ==, 1000);

    unsigned writes = host_fake_count(f->host, "write");
    host_fake_tamper_mode(f->host, "/etc/mine", 0777);
    g_autoptr(KindRound) fixed = kind_test_converge(f->test, mine, ACTION_CHANGE);
    g_assert_cmpuint(fixed->changes->changes->len, ==, 1);
    const Change *mode = changes_find(fixed->changes, "mode");
    g_assert_cmpstr(value_string(mode->before), ==, "0777");
    g_assert_cmpstr(value_string(mode->after), ==, "0640");
    g_assert_cmpuint(host_fake_count(f->host, "write"), ==, writes);
}

/* mgmt's graphs write what is not wanted as empty strings. */
static void test_empty_strings(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) file =
        FILE_("/etc/x", "content=x", "owner=", "group=", "source=", "target=", "validate_cmd=");
    kind_test_expect(f->test, file, ACTION_CREATE);
    g_autoptr(Resource) directory = FILE_("/srv/", "owner=", "recurse:=true");
    kind_test_expect(f->test, directory, ACTION_CREATE);
}

/* Root needs no entry in /etc/passwd. */
static void test_root_owner(Fixture *f, gconstpointer data) {
    host_fake_tamper_remove(f->host, "/etc/passwd");
    host_fake_tamper_remove(f->host, "/etc/group");
    g_autoptr(Resource) file = FILE_("/etc/x", "content=x", "owner=root", "group=root");
    kind_test_expect(f->test, file, ACTION_CREATE);
}

static void test_missing_owner(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) mine = FILE_("/etc/mine", "content=x", "owner=nobody-here");
    kind_test_expect_error(f->test, mine, "owner of '/etc/mine': ");
    g_assert_false(host_exists(f->host, "/etc/mine"));
    g_assert_true(host_fake_tamper_write(f->host, "/etc/mine", "x"));
    kind_test_expect_error(f->test, mine, "nobody-here");
}

/* Without content an existing file keeps what it has. */
static void test_present(Fixture *f, gconstpointer data) {
    host_fake_tamper_write(f->host, "/etc/kept", "theirs");
    g_autoptr(Resource) kept = FILE_("/etc/kept", "mode=0600");
    kind_test_expect(f->test, kept, ACTION_CHANGE);
    assert_content(f->host, "/etc/kept", "theirs");
    g_autoptr(Resource) made = FILE_("/etc/made", "state=exists");
    kind_test_expect(f->test, made, ACTION_CREATE);
    assert_content(f->host, "/etc/made", "");
    g_autoptr(Resource) once = FILE_("/etc/kept", "content=ours", "replace:=false");
    kind_test_expect(f->test, once, ACTION_NONE);
    host_fake_tamper_remove(f->host, "/etc/kept");
    kind_test_expect(f->test, once, ACTION_CREATE);
    assert_content(f->host, "/etc/kept", "ours");
}

static void test_absent(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) gone = FILE_("/etc/gone", "state=absent");
    kind_test_expect(f->test, gone, ACTION_NONE);
    host_fake_tamper_write(f->host, "/etc/gone", "x");
    kind_test_expect(f->test, gone, ACTION_REMOVE);
    g_assert_false(host_exists(f->host, "/etc/gone"));
    g_assert_true(host_make_link(f->host, "/etc/gone", "/nowhere", NULL));
    kind_test_expect(f->test, gone, ACTION_REMOVE);
}

static void test_link(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) link = FILE_("/etc/link", "target=../tmp/x");
    kind_test_expect(f->test, link, ACTION_CREATE);
    g_autofree char *target = host_read_link(f->host, "/etc/link", NULL);
    g_assert_cmpstr(target, ==, "../tmp/x");
    g_autoptr(Resource) other = FILE_("/etc/link", "symlink:=true", "source=/tmp/y");
    kind_test_expect(f->test, other, ACTION_CHANGE);
    g_autofree char *moved = host_read_link(f->host, "/etc/link", NULL);
    g_assert_cmpstr(moved, ==, "/tmp/y");
    /* Links and files replace each other. */
    g_autoptr(Resource) file = FILE_("/etc/link", "content=x");
    kind_test_expect(f->test, file, ACTION_REPLACE);
    kind_test_expect(f->test, link, ACTION_REPLACE);
}

/* What a round told that it would lose; NULL: nothing. */
static const char *lost(const KindRound *round) {
    const Change *loses = changes_find(round->changes, "loses");
    return loses != NULL ? value_string(loses->after) : NULL;
}

static void test_force(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/srv", NULL, NULL));
    host_fake_tamper_write(f->host, "/srv/a", "a");
    host_fake_tamper_write(f->host, "/srv/b", "b");
    g_autoptr(Resource) file = FILE_("/srv", "content=x");
    kind_test_expect_error(
        f->test, file,
        "it still holds 2 entries, 2 bytes (a, b); set force = true to lose them too");
    g_autoptr(Resource) absent = FILE_("/srv/", "state=absent");
    kind_test_expect_error(f->test, absent, "remove directory '/srv': it still holds 2 entries");
    g_assert_true(host_exists(f->host, "/srv/a"));
    g_autoptr(Resource) forced = FILE_("/srv", "content=x", "force:=true");
    g_autoptr(KindRound) round = kind_test_converge(f->test, forced, ACTION_REPLACE);
    g_assert_cmpstr(lost(round), ==, "2 entries, 2 bytes (a, b)");

    g_autoptr(Resource) directory = FILE_("/srv/", "mode=0750");
    kind_test_expect_error(f->test, directory, "it is a file, not a directory; set force = true");
    g_autoptr(Resource) forced_directory = FILE_("/srv/", "mode=0750", "force:=true");
    kind_test_expect(f->test, forced_directory, ACTION_REPLACE);
    g_assert_cmpint(info_of(f->host, "/srv").type, ==, FILE_DIRECTORY);
    /* Empty directories hold nothing that could be lost. */
    kind_test_expect(f->test, absent, ACTION_REMOVE);
}

static void test_parents(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) deep = FILE_("/a/b/c", "content=x");
    kind_test_expect_error(f->test, deep,
                           "the directory '/a/b' does not exist; declare file '/a/b/'");
    g_autoptr(Resource) plain = FILE_("/a/b/", "mode=0755");
    kind_test_expect_error(f->test, plain, "or set recurse = true here");
    g_autoptr(Resource) parents = FILE_("/a/b/", "recurse:=true");
    kind_test_expect(f->test, parents, ACTION_CREATE);
    kind_test_expect(f->test, deep, ACTION_CREATE);
}

static void test_fragments(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/etc/parts", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/etc/parts/no", NULL, NULL));
    host_fake_tamper_write(f->host, "/etc/parts/20", "two\n");
    host_fake_tamper_write(f->host, "/etc/parts/10", "one\n");
    host_fake_tamper_write(f->host, "/etc/head", "# head\n");
    g_autoptr(Resource) joined =
        FILE_("/etc/joined", "fragments:=[\"/etc/head\", \"/etc/parts/\"]");
    kind_test_expect(f->test, joined, ACTION_CREATE);
    assert_content(f->host, "/etc/joined", "# head\none\ntwo\n");
    host_fake_tamper_write(f->host, "/etc/parts/15", "more\n");
    kind_test_expect(f->test, joined, ACTION_CHANGE);
    host_fake_tamper_remove(f->host, "/etc/head");
    kind_test_expect_error(f->test, joined, "fragment 1: ");
}

static void test_host_source(Fixture *f, gconstpointer data) {
    host_fake_tamper_write(f->host, "/etc/from", "copied\n");
    g_autoptr(Resource) copy = FILE_("/etc/copy", "source=/etc/from");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    assert_content(f->host, "/etc/copy", "copied\n");
    host_fake_tamper_write(f->host, "/etc/from", "newer\n");
    kind_test_expect(f->test, copy, ACTION_CHANGE);
    host_fake_tamper_remove(f->host, "/etc/from");
    kind_test_expect_error(f->test, copy, "source: ");
}

static void test_local_source(Fixture *f, gconstpointer data) {
    g_autofree char *directory = g_dir_make_tmp("stead-file-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "motd", NULL);
    g_assert_true(g_file_set_contents(path, "hello\n", -1, NULL));
    kind_test_origin(directory);
    g_autoptr(Resource) motd = FILE_("/etc/motd", "source=motd");
    kind_test_expect(f->test, motd, ACTION_CREATE);
    assert_content(f->host, "/etc/motd", "hello\n");
    g_assert_true(g_file_set_contents(path, "hi\n", -1, NULL));
    kind_test_expect(f->test, motd, ACTION_CHANGE);
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
    kind_test_expect_error(f->test, motd, "motd");
}

static void test_secret(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) secret = FILE_("/etc/secret", "mode=0600");
    g_autoptr(Value) text = value_new_string("hunter2\n");
    g_autoptr(Value) hidden = value_as_secret(text, "token");
    g_assert_true(resource_set(secret, "content", hidden, NULL));
    host_fake_tamper_write(f->host, "/etc/secret", "older\n");
    g_autoptr(KindRound) round = kind_test_converge(f->test, secret, ACTION_CHANGE);
    assert_content(f->host, "/etc/secret", "hunter2\n");
    const Change *change = changes_find(round->changes, "content");
    g_autofree char *before = value_show(change->before, 0);
    g_autofree char *after = value_show(change->after, 0);
    g_assert_null(change->diff);
    g_assert_cmpstr(before, ==, "(secret)");
    g_assert_cmpstr(after, ==, "(secret)");
}

/* What another resource sends is not known in a plan. */
static void test_unknown(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) unknown = FILE_("/etc/x", "content=?");
    g_autoptr(KindRound) made = kind_test_plan(f->test, unknown);
    g_assert_no_error(made->error);
    g_assert_cmpint(made->changes->action, ==, ACTION_CREATE);
    g_assert_cmpint(value_type(changes_find(made->changes, "content")->after), ==, VALUE_UNKNOWN);
    host_fake_tamper_write(f->host, "/etc/x", "old");
    g_autoptr(KindRound) changed = kind_test_plan(f->test, unknown);
    g_assert_no_error(changed->error);
    g_assert_cmpint(changed->changes->action, ==, ACTION_CHANGE);
    g_assert_true(changed->changes->uncertain);
}

typedef struct {
    int exit_status;
    char *seen;
} Validator;

static void run_validator(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                          void *data) {
    Validator *validator = data;
    g_autoptr(GBytes) bytes = host_read(host, command->argv[1], 1000, NULL);
    g_free(validator->seen);
    validator->seen =
        bytes != NULL ? g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) : NULL;
    ret_result->exit_status = validator->exit_status;
    ret_result->output = g_bytes_new_static("line 3: bad word\n", 17);
}

static void test_validate_cmd(Fixture *f, gconstpointer data) {
    Validator validator = { .exit_status = 1 };
    host_fake_set_command(f->host, "check /etc/.sudoers.stead-candidate", 0, "", run_validator,
                          &validator);
    host_fake_tamper_write(f->host, "/etc/sudoers", "good\n");
    g_autoptr(Resource) sudoers =
        FILE_("/etc/sudoers", "content=bad\n", "validate_cmd=check %", "mode=0440");
    g_autoptr(KindRound) refused = kind_test_round(f->test, sudoers);
    g_assert_error(refused->error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_assert_nonnull(strstr(refused->error->message, "the file stays as it is: line 3: bad word"));
    g_assert_cmpstr(validator.seen, ==, "bad\n");
    assert_content(f->host, "/etc/sudoers", "good\n");
    g_assert_false(host_exists(f->host, "/etc/.sudoers.stead-candidate"));

    validator.exit_status = 0;
    g_autoptr(KindRound) accepted = kind_test_round(f->test, sudoers);
    g_assert_no_error(accepted->error);
    assert_content(f->host, "/etc/sudoers", "bad\n");
    g_assert_false(host_exists(f->host, "/etc/.sudoers.stead-candidate"));
    g_free(validator.seen);
}

/* --- no work without need --- */

static void test_noop_reads_nothing(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) one = FILE_("/etc/one", "content=first\n", "mode=0644");
    kind_test_expect(f->test, one, ACTION_CREATE);
    unsigned reads = host_fake_count(f->host, "read"), stats = host_fake_count(f->host, "stat");
    g_autoptr(KindRound) round = kind_test_round(f->test, one);
    g_assert_true(changes_empty(round->changes));
    g_assert_cmpuint(host_fake_count(f->host, "read"), ==, reads);
    g_assert_cmpuint(host_fake_count(f->host, "stat"), ==, stats + 1);
}

/* Each of the attributes alone is missed and put back. */
static void test_settled(Fixture *f, gconstpointer data) {
    add_user(f->host);
    g_autoptr(Resource) one =
        FILE_("/etc/one", "content=x", "owner=ada", "group=1000", "mode=0640");
    const FileAttributes wrong[] = {
        { .set = FILE_SET_UID, .uid = 7 },
        { .set = FILE_SET_GID, .gid = 7 },
        { .set = FILE_SET_MODE, .mode = 0644 },
    };
    kind_test_expect(f->test, one, ACTION_CREATE);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_true(host_set_attributes(f->host, "/etc/one", &wrong[i], NULL));
        kind_test_expect(f->test, one, ACTION_CHANGE);
    }
}

/* --- undoing --- */

static void test_undo_created(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) one = FILE_("/etc/one", "content=first\n");
    kind_test_expect(f->test, one, ACTION_CREATE);
    kind_test_undo(f->test, one, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/etc/one"));
}

static void test_undo_changed(Fixture *f, gconstpointer data) {
    add_user(f->host);
    FileAttributes attributes = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0751, 1000, 1000 };
    g_autoptr(GBytes) content = g_bytes_new_static("theirs\n", 7);
    g_assert_true(host_write(f->host, "/etc/one", content, &attributes, NULL));
    g_autoptr(Resource) one =
        FILE_("/etc/one", "content=ours\n", "owner=root", "group=root", "mode=0600");
    kind_test_expect(f->test, one, ACTION_CHANGE);
    kind_test_undo(f->test, one, ON_REMOVE_RESTORE);
    assert_content(f->host, "/etc/one", "theirs\n");
    FileInfo info = info_of(f->host, "/etc/one");
    g_assert_cmpuint(info.mode, ==, 0751);
    g_assert_cmpuint(info.uid, ==, 1000);
    g_assert_cmpuint(info.gid, ==, 1000);

    kind_test_expect(f->test, one, ACTION_CHANGE);
    kind_test_undo(f->test, one, ON_REMOVE_REMOVE);
    g_assert_false(host_exists(f->host, "/etc/one"));
}

/* What the resource never managed comes back as well. */
static void test_undo_removed(Fixture *f, gconstpointer data) {
    add_user(f->host);
    FileAttributes attributes = { FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID, 0604, 1000, 1000 };
    g_autoptr(GBytes) content = g_bytes_new_static("theirs\n", 7);
    g_assert_true(host_write(f->host, "/etc/one", content, &attributes, NULL));
    g_autoptr(Resource) gone = FILE_("/etc/one", "state=absent");
    kind_test_expect(f->test, gone, ACTION_REMOVE);
    kind_test_undo(f->test, gone, ON_REMOVE_DEFAULT);
    assert_content(f->host, "/etc/one", "theirs\n");
    FileInfo info = info_of(f->host, "/etc/one");
    g_assert_cmpuint(info.mode, ==, 0604);
    g_assert_cmpuint(info.uid, ==, 1000);
    g_assert_cmpuint(info.gid, ==, 1000);
}

/* What appears in a directory after it was seen empty is not lost with it. */
static void test_late_entry(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/srv", NULL, NULL));
    g_autoptr(Resource) gone = FILE_("/srv/", "state=absent");
    KindRun run = { .host = f->host, .resource = gone };
    g_autoptr(State) actual = state_new(&kind_file);
    g_autoptr(Changes) changes = changes_new();
    g_assert_true(kind_file.observe(&run, actual, NULL));
    g_assert_true(kind_file.diff(&run, actual, changes, NULL));
    g_assert_true(host_fake_tamper_write(f->host, "/srv/late", "x"));
    g_assert_false(kind_file.apply(&run, actual, changes, NULL));
    g_assert_true(host_exists(f->host, "/srv/late"));
}

static void test_undo_types(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_link(f->host, "/etc/x", "/tmp/t", NULL));
    g_autoptr(Resource) file = FILE_("/etc/x", "content=y");
    kind_test_expect(f->test, file, ACTION_REPLACE);
    kind_test_undo(f->test, file, ON_REMOVE_DEFAULT);
    g_autofree char *target = host_read_link(f->host, "/etc/x", NULL);
    g_assert_cmpstr(target, ==, "/tmp/t");

    g_autoptr(Resource) gone = FILE_("/etc/x", "state=absent");
    kind_test_expect(f->test, gone, ACTION_REMOVE);
    kind_test_undo(f->test, gone, ON_REMOVE_DEFAULT);
    g_autofree char *again = host_read_link(f->host, "/etc/x", NULL);
    g_assert_cmpstr(again, ==, "/tmp/t");

    g_autoptr(Resource) directory = FILE_("/etc/x/", "force:=true");
    kind_test_expect(f->test, directory, ACTION_REPLACE);
    kind_test_undo(f->test, directory, ON_REMOVE_DEFAULT);
    g_assert_cmpint(info_of(f->host, "/etc/x").type, ==, FILE_SYMLINK);
}

static void test_undo_too_large(Fixture *f, gconstpointer data) {
    g_autofree char *large = g_malloc(LIMIT_PREIMAGE + 1);
    memset(large, 'x', LIMIT_PREIMAGE + 1);
    g_autoptr(GBytes) content = g_bytes_new_static(large, LIMIT_PREIMAGE + 1);
    FileAttributes keep = { 0 };
    g_assert_true(host_write(f->host, "/etc/large", content, &keep, NULL));
    g_autoptr(Resource) one = FILE_("/etc/large", "content=ours\n");
    kind_test_expect(f->test, one, ACTION_CHANGE);
    g_autoptr(GError) error = NULL;
    const State *before = g_hash_table_lookup(f->test->preimages, one);
    g_assert_null(one->kind->reverse(one, before, ON_REMOVE_RESTORE, &error));
    g_assert_nonnull(
        strstr(error->message, "restore '/etc/large': what it held before was not kept"));
}

static void test_undo_directory(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) directory = FILE_("/srv/", "mode=0755");
    kind_test_expect(f->test, directory, ACTION_CREATE);
    host_fake_tamper_write(f->host, "/srv/foreign", "x");
    g_autoptr(Resource) inverse = kind_test_reverse(f->test, directory, ON_REMOVE_DEFAULT);
    kind_test_expect_error(f->test, inverse,
                           "it still holds 1 entry, 1 byte (foreign); set force = true");
    host_fake_tamper_remove(f->host, "/srv/foreign");
    kind_test_undo(f->test, directory, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/srv"));
}

static void test_undo_parents(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) deep = FILE_("/var/a/b/c/", "recurse:=true", "mode=0700");
    kind_test_expect(f->test, deep, ACTION_CREATE);
    host_fake_tamper_mode(f->host, "/var/a/b/c", 0755);
    kind_test_expect(f->test, deep, ACTION_CHANGE); /* does not forget what was made */
    kind_test_undo(f->test, deep, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/var/a"));
    g_assert_true(host_exists(f->host, "/var"));

    kind_test_expect(f->test, deep, ACTION_CREATE);
    g_assert_true(host_fake_tamper_write(f->host, "/var/a/foreign", "x"));
    kind_test_undo(f->test, deep, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/var/a/b"));
    g_assert_true(host_exists(f->host, "/var/a/foreign"));
}

/* --- what a command makes of a path is not known in a plan --- */

/* Files that a package may bring are not known to be absent. */
static void test_absent_behind_a_package(Fixture *f, gconstpointer data) {
    host_fake_set_package(f->host, "nginx", NULL, "1.0");
    g_autoptr(Host) overlay = host_overlay_new(f->host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    g_autoptr(Resource) site = FILE_("/etc/nginx/sites/default", "state=absent");
    g_autoptr(Resource) other = FILE_("/etc/motd", "state=absent");
    g_autoptr(KindRound) before = kind_test_round(test, site);
    g_assert_true(changes_empty(before->changes));
    PackageAction install = { .name = "nginx", .verb = PACKAGE_INSTALL };
    g_assert_true(host_package_apply(overlay, &install, 1, NULL, NULL));
    g_autoptr(KindRound) after = kind_test_round(test, site);
    g_assert_no_error(after->error);
    g_assert_cmpint(after->changes->action, ==, ACTION_REMOVE);
    g_assert_true(after->changes->uncertain);
    g_autoptr(KindRound) elsewhere = kind_test_round(test, other);
    g_assert_true(changes_empty(elsewhere->changes));
}

static void test_unknown_path(Fixture *f, gconstpointer data) {
    static const struct {
        const char *name, *argument;
    } rows[] = {
        { "/made", "content=x" },       { "/made", "mode=0600" },      { "/made/", "mode=0700" },
        { "/made", "target=/x" },       { "/made/", "recurse:=true" }, { "/made", "state=absent" },
        { "/made/below", "content=x" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) overlay = host_overlay_new(f->host);
        g_autoptr(KindTest) test = kind_test_new(overlay);
        host_overlay_mark_unknown(overlay, "/made");
        g_autoptr(Resource) file = FILE_(rows[i].name, rows[i].argument);
        g_autoptr(KindRound) round = kind_test_round(test, file);
        if (round->error != NULL)
            g_error("row %zu: %s", i, round->error->message);
        g_assert_true(round->changes->uncertain);
        g_autoptr(KindRound) again = kind_test_round(test, file);
        g_assert_no_error(again->error);
        if (!changes_empty(again->changes))
            g_error("row %zu: a prediction is not known afterwards", i);
    }
    g_autoptr(Host) overlay = host_overlay_new(f->host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/made");
    g_autoptr(Resource) copy = FILE_("/etc/copy", "source=/made");
    g_autoptr(KindRound) round = kind_test_round(test, copy);
    g_assert_no_error(round->error);
    g_assert_cmpint(value_type(changes_find(round->changes, "content")->after), ==, VALUE_UNKNOWN);
    g_autoptr(Resource) tree = FILE_("/etc/tree/", "source=/made/", "recurse:=true");
    g_autoptr(KindRound) copied = kind_test_round(test, tree);
    g_assert_no_error(copied->error);
}

/* --- trees --- */

static void make_source(Host *host) {
    FileAttributes script = { .set = FILE_SET_MODE, .mode = 0700 };
    g_autoptr(GBytes) run = g_bytes_new_static("#!/bin/sh\n", 10);
    g_assert_true(host_make_directory(host, "/src", NULL, NULL));
    g_assert_true(host_make_directory(host, "/src/sub", NULL, NULL));
    g_assert_true(host_fake_tamper_write(host, "/src/a", "a\n"));
    g_assert_true(host_fake_tamper_write(host, "/src/sub/b", "b\n"));
    g_assert_true(host_write(host, "/src/run", run, &script, NULL));
    g_assert_true(host_make_link(host, "/src/link", "a", NULL));
}

static void test_tree_copy(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true");
    g_autoptr(KindRound) made = kind_test_converge(f->test, copy, ACTION_CREATE);
    const Change *tree = changes_find(made->changes, "tree");
    g_assert_cmpuint(value_size(tree->after), ==, 5);
    assert_content(f->host, "/dst/sub/b", "b\n");
    g_assert_cmpuint(info_of(f->host, "/dst/run").mode, ==, 0755);
    g_assert_cmpuint(info_of(f->host, "/dst/a").mode, ==, 0644);
    g_autofree char *target = host_read_link(f->host, "/dst/link", NULL);
    g_assert_cmpstr(target, ==, "a");

    /* Drift of every sort in one round; what is foreign stays. */
    host_fake_tamper_write(f->host, "/dst/a", "changed\n");
    host_fake_tamper_mode(f->host, "/dst/run", 0600);
    host_fake_tamper_remove(f->host, "/dst/sub");
    host_fake_tamper_write(f->host, "/dst/foreign", "theirs\n");
    g_autoptr(KindRound) fixed = kind_test_converge(f->test, copy, ACTION_CHANGE);
    tree = changes_find(fixed->changes, "tree");
    g_assert_cmpuint(value_size(tree->after), ==, 4);
    g_assert_cmpstr(value_map_string(tree->before, "run", ""), ==, "mode 0600");
    g_assert_cmpstr(value_map_string(tree->after, "run", ""), ==, "mode 0755");
    g_assert_nonnull(strstr(tree->diff, "a:\n"));
    g_assert_nonnull(strstr(tree->diff, "-changed\n+a\n"));
    g_assert_true(host_exists(f->host, "/dst/foreign"));
}

static void test_tree_leaves_source(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    host_fake_tamper_remove(f->host, "/src/sub");
    host_fake_tamper_remove(f->host, "/src/a");
    host_fake_tamper_write(f->host, "/dst/foreign", "theirs\n");
    kind_test_expect(f->test, copy, ACTION_CHANGE);
    g_assert_false(host_exists(f->host, "/dst/a"));
    g_assert_false(host_exists(f->host, "/dst/sub"));
    g_assert_true(host_exists(f->host, "/dst/foreign"));
}

static void test_tree_undo(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    host_fake_tamper_remove(f->host, "/src"); /* the source need not be there any more */
    kind_test_undo(f->test, copy, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/dst"));
}

static void test_tree_undo_adopted(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_assert_true(host_make_directory(f->host, "/dst", NULL, NULL));
    host_fake_tamper_write(f->host, "/dst/foreign", "theirs\n");
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true");
    kind_test_expect(f->test, copy, ACTION_CHANGE);
    kind_test_undo(f->test, copy, ON_REMOVE_DEFAULT);
    g_auto(GStrv) left = host_list(f->host, "/dst", NULL);
    g_assert_cmpuint(g_strv_length(left), ==, 1);
    g_assert_cmpstr(left[0], ==, "foreign");
}

static void test_tree_purge(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true", "purge:=true",
                                     "force:=true", "ignore:=[\"*.keep\", \"cache\"]");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    g_assert_true(host_make_directory(f->host, "/dst/old", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/dst/old/er", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/dst/mixed", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/dst/cache", NULL, NULL));
    host_fake_tamper_write(f->host, "/dst/old/er/x", "x");
    host_fake_tamper_write(f->host, "/dst/mixed/managed", "m");
    host_fake_tamper_write(f->host, "/dst/mixed/foreign", "x");
    host_fake_tamper_write(f->host, "/dst/sub/x.keep", "k");
    host_fake_tamper_write(f->host, "/dst/cache/x", "k");
    kind_test_claim(f->test, "/dst/mixed/managed");
    g_autoptr(KindRound) round = kind_test_converge(f->test, copy, ACTION_CHANGE);
    const Change *tree = changes_find(round->changes, "tree");
    g_assert_cmpuint(value_size(tree->before), ==, 4);
    g_assert_cmpuint(value_size(tree->after), ==, 0);
    g_assert_cmpstr(lost(round), ==, "2 entries, 1 byte (old/)");
    g_assert_false(host_exists(f->host, "/dst/old"));
    g_assert_false(host_exists(f->host, "/dst/mixed/foreign"));
    g_assert_true(host_exists(f->host, "/dst/mixed/managed"));
    g_assert_true(host_exists(f->host, "/dst/sub/x.keep"));
    g_assert_true(host_exists(f->host, "/dst/cache/x"));
}

/* Directories that hold something go only under force; what the source had does not count. */
static void test_tree_purge_force(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_autoptr(Resource) copy = FILE_("/dst/", "source=/src/", "recurse:=true", "purge:=true");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    g_assert_true(host_make_directory(f->host, "/dst/old", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/dst/old/er", NULL, NULL));
    host_fake_tamper_write(f->host, "/dst/old/er/x", "12345");
    host_fake_tamper_write(f->host, "/dst/plain", "x");
    kind_test_expect_error(f->test, copy,
                           "purge directory '/dst': it still holds 2 entries, 5 bytes (old/); set "
                           "force = true");
    g_assert_true(host_exists(f->host, "/dst/plain"));
    host_fake_tamper_remove(f->host, "/dst/old/er");
    host_fake_tamper_remove(f->host, "/src/sub");
    g_autoptr(KindRound) round = kind_test_converge(f->test, copy, ACTION_CHANGE);
    g_assert_null(lost(round));
    g_assert_false(host_exists(f->host, "/dst/old") || host_exists(f->host, "/dst/plain") ||
                   host_exists(f->host, "/dst/sub"));
}

/* Said while it was declared, it still counts when the block is gone. */
static void test_undo_force(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) directory = FILE_("/srv/", "mode=0755", "force:=true");
    kind_test_expect(f->test, directory, ACTION_CREATE);
    g_assert_true(host_make_directory(f->host, "/srv/sub", NULL, NULL));
    host_fake_tamper_write(f->host, "/srv/sub/foreign", "x");
    kind_test_undo(f->test, directory, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/srv"));
}

/* A directory that will hold a managed file is not purged before that one is made. */
static void test_tree_purge_holds(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/d", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/d/later", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/d/empty", NULL, NULL));
    kind_test_claim(f->test, "/d/later/file");
    g_autoptr(Resource) purge = FILE_("/d/", "recurse:=true", "purge:=true");
    kind_test_expect(f->test, purge, ACTION_CHANGE);
    g_assert_true(host_exists(f->host, "/d/later"));
    g_assert_false(host_exists(f->host, "/d/empty"));
}

static void test_tree_attributes(Fixture *f, gconstpointer data) {
    add_user(f->host);
    make_source(f->host);
    host_fake_tamper_write(f->host, "/src/sub/secret", "s");
    host_fake_tamper_mode(f->host, "/src/sub/secret", 0600);
    kind_test_claim(f->test, "/src/sub/secret");
    g_autoptr(Resource) all = FILE_("/src/", "recurse:=true", "owner=ada", "mode=0640");
    kind_test_expect(f->test, all, ACTION_CHANGE);
    g_assert_cmpuint(info_of(f->host, "/src").mode, ==, 0750);
    g_assert_cmpuint(info_of(f->host, "/src/sub").mode, ==, 0750);
    g_assert_cmpuint(info_of(f->host, "/src/sub/b").mode, ==, 0640);
    g_assert_cmpuint(info_of(f->host, "/src/link").uid, ==, 1000);
    g_assert_cmpuint(info_of(f->host, "/src/sub/secret").mode, ==, 0600);
    g_assert_cmpuint(info_of(f->host, "/src/sub/secret").uid, ==, 0);
}

static void test_tree_types(Fixture *f, gconstpointer data) {
    make_source(f->host);
    g_assert_true(host_make_directory(f->host, "/dst", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/dst/a", NULL, NULL));
    host_fake_tamper_write(f->host, "/dst/a/inside", "x");
    g_assert_true(host_make_link(f->host, "/dst/sub", "/src/sub", NULL));
    g_autoptr(Resource) plain = FILE_("/dst/", "source=/src/", "recurse:=true");
    kind_test_expect_error(f->test, plain, "replace directory '/dst/a' by a file");
    g_autoptr(Resource) forced = FILE_("/dst/", "source=/src/", "recurse:=true", "force:=true");
    kind_test_expect(f->test, forced, ACTION_CHANGE);
    assert_content(f->host, "/dst/a", "a\n");
    g_assert_cmpint(info_of(f->host, "/dst/sub").type, ==, FILE_DIRECTORY);
    assert_content(f->host, "/dst/sub/b", "b\n");
    assert_content(f->host, "/src/sub/b", "b\n"); /* what the link led to is untouched */
}

static void test_tree_local(Fixture *f, gconstpointer data) {
    g_autofree char *directory = g_dir_make_tmp("stead-tree-XXXXXX", NULL);
    g_autofree char *www = g_build_filename(directory, "www", NULL);
    g_autofree char *index = g_build_filename(www, "index.html", NULL);
    g_assert_cmpint(g_mkdir(www, 0755), ==, 0);
    g_assert_true(g_file_set_contents(index, "<p>\n", -1, NULL));
    kind_test_origin(directory);
    g_autoptr(Resource) copy = FILE_("/srv/", "source=www/", "recurse:=true");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    assert_content(f->host, "/srv/index.html", "<p>\n");
    g_assert_true(g_file_set_contents(index, "<b>\n", -1, NULL));
    kind_test_expect(f->test, copy, ACTION_CHANGE);
    kind_test_undo(f->test, copy, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/srv"));
    kind_test_expect(f->test, copy, ACTION_CREATE);
    g_assert_cmpint(g_remove(index), ==, 0);
    kind_test_expect(f->test, copy, ACTION_CHANGE);
    g_assert_false(host_exists(f->host, "/srv/index.html"));
    g_assert_cmpint(g_rmdir(www), ==, 0);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

/* --- validation --- */

static void test_validation(Fixture *f, gconstpointer data) {
    static const struct {
        const char *name, *arguments[4], *problem;
    } rows[] = {
        { "/x", { "state=absent", "content=x" }, "an absent file cannot have content" },
        { "/x", { "content=x", "source=/y" }, "exclude each other" },
        { "/x/", { "content=x" }, "a directory cannot have content" },
        { "/x/", { "source=/y", "recurse:=true" }, "end the source with a slash" },
        { "/x", { "source=/y/" }, "end the path with a slash" },
        { "/x/", { "source=/y/" }, "set recurse = true" },
        { "/x/", { "purge:=true" }, "purge needs recurse" },
        { "/x", { "purge:=true", "recurse:=true" }, "purge is for directories" },
        { "/x", { "recurse:=true", "content=y" }, "recurse is for directories" },
        { "/x", { "symlink:=true" }, "symlink needs a source" },
        { "/x", { "target=/y", "content=z" }, "a link cannot have content" },
        { "/x", { "target=/y", "mode=0644" }, "the mode of a link means nothing" },
        { "/x/", { "target=/y" }, "must not end with a slash" },
        { "/x/", { "type=file" }, "so its type is directory" },
        { "/x", { "type=link" }, "a link needs a target" },
        { "/", { "state=absent" }, "the root directory cannot be absent" },
        { "/x", { "source=../y" }, "must not leave the directory of the configuration" },
        { "/x", { "fragments:=[\"y\"]" }, "fragment 'y' must be an absolute path" },
        { "/d/x", { "fragments:=[\"/d/\"]" }, "is itself in the fragment '/d/'" },
        { "/x", { "content=x", "validate_cmd=true" }, "has no % where" },
        { "/x", { "validate_cmd=true %" }, "validate_cmd needs content" },
        { "/x", { "ignore:=[\"a\"]" }, "ignore needs recurse" },
        { "/s/d/", { "source=/s/", "recurse:=true" }, "the directory is in its own source" },
        { "x", { "content=x" }, "absolute path" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_file, rows[i].name, rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

/* --- what the system refuses --- */

static void expect_refusal(Host *host, int errno_value, const char *text) {
    g_autoptr(Host) faulty = host_faulty_new(host);
    g_autoptr(KindTest) test = kind_test_new(faulty);
    g_autoptr(Resource) one = FILE_("/etc/one", "content=x");
    g_autofree char *message = g_strdup_printf("write '/etc/one': %s", g_strerror(errno_value));
    host_faulty_arm(faulty, "write", 1, STEAD_ERROR_IO, message);
    g_autoptr(KindRound) round = kind_test_round(test, one);
    if (round->error == NULL || strstr(round->error->message, text) == NULL)
        g_error("expected '%s', got '%s'", text,
                round->error != NULL ? round->error->message : "success");
}

/* The remedy depends on who we are. */
static void test_hints(Fixture *f, gconstpointer data) {
    expect_refusal(f->host, EPERM, "'lsattr -d' on '/etc/one' shows it, 'chattr -i' ends it");
    expect_refusal(f->host, EROFS, "mounted read-only: see 'findmnt -T /etc/one'");
    expect_refusal(f->host, ENOSPC, "see 'df -h /etc/one' and 'df -i'");
    expect_refusal(f->host, EDQUOT, "a disk quota is used up");
    host_fake_set_privileged(f->host, false);
    expect_refusal(f->host, EPERM, "only root may do that: run stead as root");
    expect_refusal(f->host, EACCES, "run stead as root, or below a --root");
}

/* --- faults --- */

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    make_source(host);
    host_fake_tamper_write(host, "/etc/one", "theirs\n");
    return host;
}

static void test_faults(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) file = FILE_("/etc/one", "content=ours\n", "mode=0600");
    g_assert_cmpuint(kind_test_faults(set_up_fault, file), >=, 4);
    g_autoptr(Resource) tree = FILE_("/dst/", "source=/src/", "recurse:=true");
    g_assert_cmpuint(kind_test_faults(set_up_fault, tree), >=, 20);
    g_autoptr(Resource) gone = FILE_("/src/", "state=absent", "force:=true");
    g_assert_cmpuint(kind_test_faults(set_up_fault, gone), >=, 10);
}

#define ADD(path, function)                                                                        \
    g_test_add("/kinds/file/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("content", test_content);
    ADD("bytes", test_bytes);
    ADD("attributes", test_attributes);
    ADD("empty-strings", test_empty_strings);
    ADD("root-owner", test_root_owner);
    ADD("missing-owner", test_missing_owner);
    ADD("present", test_present);
    ADD("absent", test_absent);
    ADD("link", test_link);
    ADD("force", test_force);
    ADD("parents", test_parents);
    ADD("fragments", test_fragments);
    ADD("host-source", test_host_source);
    ADD("local-source", test_local_source);
    ADD("secret", test_secret);
    ADD("unknown", test_unknown);
    ADD("absent-behind-a-package", test_absent_behind_a_package);
    ADD("validate-cmd", test_validate_cmd);
    ADD("noop-reads-nothing", test_noop_reads_nothing);
    ADD("settled", test_settled);
    ADD("undo/created", test_undo_created);
    ADD("undo/changed", test_undo_changed);
    ADD("late-entry", test_late_entry);
    ADD("undo/removed", test_undo_removed);
    ADD("undo/types", test_undo_types);
    ADD("undo/too-large", test_undo_too_large);
    ADD("undo/directory", test_undo_directory);
    ADD("undo/parents", test_undo_parents);
    ADD("unknown-path", test_unknown_path);
    ADD("tree/copy", test_tree_copy);
    ADD("tree/leaves-source", test_tree_leaves_source);
    ADD("tree/undo", test_tree_undo);
    ADD("tree/undo-adopted", test_tree_undo_adopted);
    ADD("tree/purge", test_tree_purge);
    ADD("tree/purge-holds", test_tree_purge_holds);
    ADD("tree/purge-force", test_tree_purge_force);
    ADD("undo/force", test_undo_force);
    ADD("tree/attributes", test_tree_attributes);
    ADD("tree/types", test_tree_types);
    ADD("tree/local", test_tree_local);
    ADD("validation", test_validation);
    ADD("hints", test_hints);
    ADD("faults", test_faults);
    return g_test_run();
}
