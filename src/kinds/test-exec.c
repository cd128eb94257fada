/* exec: guards, outputs, plans and errors on a fake host with scripted commands. */
#include <string.h>

#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

typedef struct {
    Host *host;
    KindTest *test;
    unsigned runs;
    char *env, *input, *cwd, *user;
    int umask; /* -1: the caller's */
} Fixture;

static void on_make(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                    void *data) {
    Fixture *f = data;
    f->runs++;
    g_free(f->env);
    g_free(f->input);
    g_free(f->cwd);
    g_free(f->user);
    f->env = command->env != NULL ? g_strjoinv(" ", (char **)(uintptr_t)command->env) : NULL;
    f->input = g_strndup(command->input, command->input_size);
    f->cwd = g_strdup(command->cwd);
    f->user = g_strdup(command->user);
    f->umask = command->has_umask ? (int)command->umask : -1;
    ret_result->output = g_bytes_new_static("made\nwarned\n", 12);
    ret_result->out = g_bytes_new_static("made\n", 5);
    ret_result->err = g_bytes_new_static("warned\n", 7);
    if (strcmp(command->argv[0], "make") == 0)
        host_fake_tamper_write(host, "/tmp/made", "x");
}

static void set_up(Fixture *f, gconstpointer data) {
    *f = (Fixture){ .host = host_fake_new() };
    f->test = kind_test_new(f->host);
    host_fake_set_command(f->host, "make", 0, "", on_make, f);
    host_fake_set_command(f->host, "idle", 0, "", on_make, f);
    host_fake_set_command(f->host, "/bin/sh -c echo $x | make", 0, "", on_make, f);
    host_fake_set_command(f->host, "make 'two words'", 0, "", on_make, f);
    host_fake_set_command(f->host, "yes", 0, "y\n", NULL, NULL);
    host_fake_set_command(f->host, "no", 1, "", NULL, NULL);
    host_fake_set_command(f->host, "three", 3, "", NULL, NULL);
    host_fake_set_command(f->host, "broken", 4, "1\n2\n3\n4\n5\n6\nno such thing\n\n", NULL, NULL);
}

static void tear_down(Fixture *f, gconstpointer data) {
    kind_test_free(f->test);
    host_free(f->host);
    g_free(f->env);
    g_free(f->input);
    g_free(f->cwd);
    g_free(f->user);
}

#define EXEC(...) kind_test_resource(&kind_exec, "e", __VA_ARGS__, NULL)

/* One round, which must succeed; true: something was run or, in a plan, would be. */
static bool runs(Fixture *f, const Resource *resource) {
    g_autoptr(KindRound) round = kind_test_round(f->test, resource);
    g_assert_no_error(round->error);
    return round->changes->action == ACTION_RUN;
}

static void test_unguarded(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) idle = EXEC("cmd=idle");
    g_assert_true(runs(f, idle));
    g_assert_true(runs(f, idle)); /* another start */
    f->test->reason = REASON_POLL;
    g_assert_false(runs(f, idle));
    f->test->reason = REASON_EVENT;
    g_assert_true(runs(f, idle));
    f->test->reason = REASON_POLL;
    f->test->refresh = true;
    g_assert_true(runs(f, idle));
    g_assert_cmpuint(f->runs, ==, 4);
}

static void test_creates(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) make = EXEC("cmd=make", "creates=/tmp/made");
    g_autoptr(KindRound) plan = kind_test_plan(f->test, make);
    g_assert_no_error(plan->error);
    g_assert_cmpint(plan->changes->action, ==, ACTION_RUN);
    g_assert_false(plan->changes->uncertain); /* the path is missing: it runs for sure */
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "stdout")), ==, VALUE_UNKNOWN);
    g_assert_cmpuint(f->runs, ==, 0);

    kind_test_expect(f->test, make, ACTION_RUN);
    kind_test_expect(f->test, make, ACTION_NONE);
    f->test->reason = REASON_POLL;
    host_fake_tamper_remove(f->host, "/tmp/made");
    g_assert_true(runs(f, make)); /* its effect is gone */

    g_autoptr(Resource) liar = EXEC("cmd=idle", "creates=/tmp/never");
    g_autoptr(KindRound) round = kind_test_round(f->test, liar);
    g_assert_error(round->error, STEAD_ERROR, STEAD_ERROR_FAILED);
    g_assert_nonnull(
        strstr(round->error->message, "cmd succeeded, but '/tmp/never', which it creates"));
}

static void test_guards(Fixture *f, gconstpointer data) {
    static const struct {
        const char *arguments[4];
        bool runs;
    } rows[] = {
        { { "ifcmd=yes" }, true },
        { { "ifcmd=no" }, false },
        { { "onlyif:=[\"yes\", \"no\"]" }, false },
        { { "onlyif:=[\"yes\", \"\"]" }, true },
        { { "nifcmd=yes" }, false },
        { { "unless=no" }, true },
        { { "unless:=[\"no\", \"yes\"]" }, false },
        { { "ifcmd=yes", "nifcmd=no" }, true },
        { { "ifcmd=yes", "nifcmd=yes" }, false },
        { { "ifcmd=yes", "ifequals=y\n" }, false },
        { { "ifcmd=yes", "ifequals=y" }, true },
        { { "ifcmd=", "nifcmd=", "shell=" }, true },
        { { "ifcmd=yes", "creates=/etc/passwd" }, false },
        { { "creates:=[\"/nothing\", \"/etc/passwd\"]" }, false },
        { { "refreshonly:=true" }, false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Resource) resource =
            EXEC("cmd=idle", rows[i].arguments[0], rows[i].arguments[1], rows[i].arguments[2]);
        if (runs(f, resource) != rows[i].runs)
            g_error("row %zu: expected it %s", i, rows[i].runs ? "to run" : "not to run");
    }
}

/* A plan runs no guards: what they would say is open. */
static void test_plan_of_guards(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) guarded = EXEC("cmd=idle", "ifcmd=no");
    unsigned before = host_fake_count(f->host, "run");
    g_autoptr(KindRound) plan = kind_test_plan(f->test, guarded);
    g_assert_no_error(plan->error);
    g_assert_cmpint(plan->changes->action, ==, ACTION_RUN);
    g_assert_true(plan->changes->uncertain);
    g_assert_cmpuint(host_fake_count(f->host, "run"), ==, before);
}

static void test_refresh(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) quiet = EXEC("cmd=idle", "refreshonly:=true");
    g_autoptr(Resource) guarded = EXEC("cmd=idle", "refreshonly:=true", "nifcmd=yes");
    g_assert_false(runs(f, quiet));
    f->test->refresh = true;
    f->test->reason = REASON_POLL;
    g_assert_true(runs(f, quiet));
    g_assert_false(runs(f, guarded));
}

static void test_mtimes(Fixture *f, gconstpointer data) {
    host_fake_tamper_write(f->host, "/etc/conf", "1");
    g_autoptr(Resource) exec =
        EXEC("cmd=idle", "mtimes:=[\"/etc/conf\"]", "ifcmd=no", "refreshonly:=true");
    g_assert_true(runs(f, exec)); /* never ran: overrides every guard */
    f->test->reason = REASON_POLL;
    g_assert_false(runs(f, exec));
    host_fake_tamper_write(f->host, "/etc/conf", "2");
    g_assert_true(runs(f, exec));
    g_assert_false(runs(f, exec));
    host_fake_tamper_remove(f->host, "/etc/conf");
    g_autoptr(KindRound) round = kind_test_round(f->test, exec);
    g_assert_nonnull(strstr(round->error->message, "mtimes: "));
}

static void test_outputs(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) make = EXEC("cmd=make", "creates=/tmp/made", "send_stdout=before");
    host_fake_tamper_write(f->host, "/tmp/made", "x");
    g_autoptr(KindRound) never = kind_test_round(f->test, make);
    g_assert_cmpstr(value_map_string(never->outputs, "stdout", NULL), ==, "before");
    g_assert_null(value_map_get(never->outputs, "output"));

    host_fake_tamper_remove(f->host, "/tmp/made");
    g_autoptr(KindRound) ran = kind_test_round(f->test, make);
    g_assert_cmpstr(value_map_string(ran->outputs, "output", NULL), ==, "made\nwarned\n");
    g_assert_cmpstr(value_map_string(ran->outputs, "stdout", NULL), ==, "made\n");
    g_assert_cmpstr(value_map_string(ran->outputs, "stderr", NULL), ==, "warned\n");
    g_assert_cmpstr(ran->note, ==, "warned");
    g_autoptr(KindRound) again = kind_test_round(f->test, make);
    g_assert_true(changes_empty(again->changes));
    g_assert_cmpstr(value_map_string(again->outputs, "stdout", NULL), ==, "made\n");
}

static void test_environment(Fixture *f, gconstpointer data) {
    host_fake_tamper_write(f->host, "/etc/passwd",
                           "root:x:0:0:root:/root:/bin/sh\nada:x:7:7::/home/ada:/bin/sh\n");
    g_autoptr(Resource) full =
        EXEC("cmd=idle", "env:={\"A\": \"1\", \"LANG\": \"de\"}", "path:=[\"/opt\", \"/bin\"]",
             "input=stdin\n", "cwd=/tmp", "user=ada", "umask=0027");
    g_assert_true(runs(f, full));
    g_assert_nonnull(strstr(f->env, "A=1"));
    g_assert_nonnull(strstr(f->env, "LANG=de"));
    g_assert_nonnull(strstr(f->env, "PATH=/opt:/bin"));
    g_assert_nonnull(strstr(f->env, "HOME=/home/ada"));
    g_assert_cmpstr(f->input, ==, "stdin\n");
    g_assert_cmpstr(f->cwd, ==, "/tmp");
    g_assert_cmpstr(f->user, ==, "ada");
    g_assert_cmpint(f->umask, ==, 0027);
    g_autoptr(Resource) plain = EXEC("cmd=idle");
    g_assert_true(runs(f, plain));
    g_assert_null(f->env); /* the host's default, which inherits nothing */
    g_assert_cmpint(f->umask, ==, -1);
}

static void test_words(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) shell = EXEC("cmd=echo $x | make", "shell=/bin/sh");
    g_assert_true(runs(f, shell));
    host_fake_set_command(f->host, "idle two words", 0, "", on_make, f);
    g_autoptr(Resource) quoted = EXEC("cmd=idle 'two words'");
    g_assert_true(runs(f, quoted));
    g_autoptr(Resource) listed = EXEC("cmd=idle", "args:=[\"two words\"]");
    g_autoptr(KindRound) round = kind_test_round(f->test, listed);
    g_autofree char *shown = value_show(changes_find(round->changes, "cmd")->after, 0);
    g_assert_cmpstr(shown, ==, "\"idle two words\"");
    g_assert_cmpuint(f->runs, ==, 3);
    g_autoptr(Resource) named = kind_test_resource(&kind_exec, "idle", "cwd=/", NULL);
    g_assert_true(runs(f, named));
}

static void expect_failure(Fixture *f, const Resource *resource, const char *text) {
    g_autoptr(KindRound) round = kind_test_round(f->test, resource);
    if (round->error == NULL || strcmp(round->error->message, text) != 0)
        g_error("expected '%s', got '%s'", text,
                round->error != NULL ? round->error->message : "success");
}

static void test_failures(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) broken = EXEC("cmd=broken");
    expect_failure(f, broken,
                   "cmd failed, exit status 4:\n    3\n    4\n    5\n    6\n    no such thing");
    g_autoptr(Resource) three = EXEC("cmd=three", "returns:=[0, 3]");
    g_assert_true(runs(f, three));
    g_autoptr(Resource) done = EXEC("cmd=idle", "donecmd=no");
    expect_failure(f, done, "donecmd failed, exit status 1");
    g_autoptr(Resource) missing = EXEC("cmd=nowhere");
    g_autoptr(KindRound) round = kind_test_round(f->test, missing);
    g_assert_nonnull(
        strstr(round->error->message, "give its full path, or set shell if it is shell syntax"));
}

static void test_logoutput(Fixture *f, gconstpointer data) {
    static const struct {
        const char *choice, *note;
    } cases[] = {
        { "logoutput=last", "warned" },
        { "logoutput=always", "made\nwarned" },
        { "logoutput=on_failure", NULL },
        { "logoutput=never", NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Resource) idle = EXEC("cmd=idle", cases[i].choice);
        g_autoptr(KindRound) round = kind_test_round(f->test, idle);
        g_assert_no_error(round->error);
        g_assert_cmpstr(round->note, ==, cases[i].note);
    }
    g_autoptr(Resource) never = EXEC("cmd=broken", "logoutput=never");
    expect_failure(f, never,
                   "cmd failed, exit status 4 (output not shown: logoutput is \"never\")");
    g_autoptr(Resource) told = EXEC("cmd=broken", "logoutput=on_failure");
    g_autoptr(KindRound) round = kind_test_round(f->test, told);
    g_assert_nonnull(strstr(round->error->message, "no such thing"));
}

static void test_secret(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) resource = EXEC("cmd=broken");
    g_autoptr(Value) text = value_new_string("hunter2");
    g_autoptr(Value) secret = value_as_secret(text, NULL);
    g_assert_true(resource_set(resource, "input", secret, NULL));
    expect_failure(f, resource,
                   "cmd failed, exit status 4 (output not shown: it was given a secret)");
    g_autoptr(Resource) fine = EXEC("cmd=idle");
    g_assert_true(resource_set(fine, "input", secret, NULL));
    g_autoptr(KindRound) round = kind_test_round(f->test, fine);
    g_assert_no_error(round->error);
    g_assert_null(round->note);
    g_assert_true(value_is_secret(value_map_get(round->outputs, "stdout")));
    const Value *kept = g_hash_table_lookup(f->test->kept, fine);
    g_assert_null(value_map_get(kept, "stdout"));
}

static void test_undo(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) undoable = EXEC("cmd=idle", "undocmd=yes", "refreshonly:=true");
    g_autoptr(Resource) inverse = kind_test_reverse(f->test, undoable, ON_REMOVE_DEFAULT);
    g_autoptr(KindRound) round = kind_test_round(f->test, inverse);
    g_assert_no_error(round->error);
    g_assert_cmpstr(value_map_string(round->outputs, "stdout", NULL), ==, "y\n");
    g_autoptr(Resource) plain = EXEC("cmd=idle");
    g_assert_null(kind_test_reverse(f->test, plain, ON_REMOVE_DEFAULT));
}

/* What a shell would take for its own, quoted or not where a shell would; find(1) takes a ';'. */
static void test_plain_words(Fixture *f, gconstpointer data) {
    static const char *const lines[] = { "cmd=expr 2 '>' 1",
                                         "cmd=grep -c \"a | b\" /x",
                                         "cmd=find / -exec rm {} ;",
                                         "cmd=a \\> b",
                                         "cmd=a x>y",
                                         "cmd=say 'it is' \"& \\\" > that\"" };
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(Resource) resource = kind_test_resource(&kind_exec, "x", lines[i], NULL);
        g_autoptr(GError) error = NULL;
        g_assert_true(kind_exec.validate(resource, &error));
        g_assert_no_error(error);
    }
    g_autoptr(Resource) shell =
        kind_test_resource(&kind_exec, "x", "cmd=a > b", "shell=/bin/sh", NULL);
    g_assert_true(kind_exec.validate(shell, NULL));
}

static void test_validation(Fixture *f, gconstpointer data) {
    static const struct {
        const char *arguments[3], *problem;
    } rows[] = {
        { { "cmd=" }, "cmd must not be empty" },
        { { "cmd=a", "args:=[\"b\"]", "shell=/bin/sh" }, "exclude each other" },
        { { "cmd=a b", "args:=[\"c\"]" }, "cmd must be the program alone" },
        { { "cmd=a 'b" }, "cmd: split into words" },
        { { "cmd=a", "creates=x" }, "creates: 'x' must be an absolute path" },
        { { "cmd=a", "env:={\"1A\": \"x\"}" }, "'1A' is no name of a variable" },
        { { "cmd=a", "returns:=[256]" }, "'256' is no exit code" },
        { { "cmd=a", "ifequals=x" }, "ifequals needs an ifcmd" },
        { { "cmd=echo a > /tmp/x" },
          "cmd: '>' means nothing without a shell, and would be an "
          "argument: set shell = \"/bin/sh\", or quote it" },
        { { "cmd=cat '/a b' |  tee" }, "'|' means nothing" },
        { { "cmd=a \\\" 2>/dev/null" }, "'2>/dev/null' means nothing" },
        { { "cmd=a", "nifcmd:=[\"a && b\"]" },
          "nifcmd: '&&' means nothing without a shell, and "
          "would be an argument: set nifshell = " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_exec, "e", rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

#define ADD(path, function)                                                                        \
    g_test_add("/kinds/exec/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("unguarded", test_unguarded);
    ADD("creates", test_creates);
    ADD("guards", test_guards);
    ADD("plan-of-guards", test_plan_of_guards);
    ADD("refresh", test_refresh);
    ADD("mtimes", test_mtimes);
    ADD("outputs", test_outputs);
    ADD("environment", test_environment);
    ADD("words", test_words);
    ADD("failures", test_failures);
    ADD("logoutput", test_logoutput);
    ADD("secret", test_secret);
    ADD("undo", test_undo);
    ADD("validation", test_validation);
    ADD("plain-words", test_plain_words);
    return g_test_run();
}
