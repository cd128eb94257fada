/* remote: hosts, exit codes, what ssh says, what is copied. What needs an sshd is in test/remote.
 */
#include <string.h>

#include "base/error.h"
#include "remote/script.h"
#include "remote/ssh-error.h"
#include "remote/targets.h"

static void test_hosts(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hosts =
        targets_parse_hosts("web1, root@db1.example.com,web1,[::1]", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(hosts->len, ==, 3);
    g_assert_cmpstr(hosts->pdata[1], ==, "root@db1.example.com");
    static const char *const bad[] = { ",",     "a,,b", "-oProxyCommand=x", "a b", "a;b",
                                       "root@", "a,-l" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) problem = NULL;
        g_assert_null(targets_parse_hosts(bad[i], &problem));
        g_assert_nonnull(strstr(problem->message, "is no host"));
    }
}

static void test_exit_codes(void) {
    static const struct {
        int codes[3];
        unsigned n, refused;
        int all;
    } cases[] = {
        { { 0, 0, 0 }, 3, 0, 0 },     { { 0, 2, 0 }, 3, 0, 2 },   { { 0, 4, 2 }, 3, 0, 6 },
        { { 0, 4, 0 }, 3, 0, 4 },     { { 0, 6, 0 }, 3, 0, 6 },   { { 1, 1, 1 }, 3, 0, 1 },
        { { 0, 1, 0 }, 3, 0, 4 },     { { 0, 0, 0 }, 2, 1, 4 },   { { 0, 0, 0 }, 0, 2, 1 },
        { { 1, 0, 0 }, 1, 1, 1 },     { { 5, 0, 0 }, 2, 0, 5 },   { { 5, 4, 0 }, 2, 0, 4 },
        { { 0, 130, 4 }, 3, 0, 130 }, { { 137, 0, 0 }, 2, 0, 4 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(targets_exit_code(cases[i].codes, cases[i].n, cases[i].refused), ==,
                        cases[i].all);
}

static void test_ssh_errors(void) {
    static const struct {
        const char *said, *part;
    } cases[] = {
        { "@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.\n",
          "another one than in known_hosts: if it was installed anew, remove the old key with "
          "'ssh-keygen -R web1'" },
        { "Host key verification failed.\n", "not known: connect once with 'ssh web1'" },
        { "web1: Permission denied (publickey).\n", "'ssh-copy-id web1'" },
        { "ssh: connect to host web1 port 22: Connection timed out\n", "does not answer" },
        { "", "ssh ended with status 3; try 'ssh web1'" },
        { "odd\nlast words\n\n", "ssh ended with status 3: last words; try" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        ssh_explain("web1", cases[i].said, "ended with status 3", &error);
        if (strstr(error->message, cases[i].part) == NULL)
            g_error("'%s' is not in: %s", cases[i].part, error->message);
    }
}

static void test_program(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(RemoteProgram) program = remote_program_new(&error);
    g_assert_no_error(error);
    g_autoptr(RemoteProgram) again = remote_program_new(&error);
    g_assert_cmpstr(program->digest, ==, again->digest);
    g_assert_cmpstr(program->names->pdata[0], ==, REMOTE_PROGRAM);
    g_assert_cmpstr(program->names->pdata[1], ==, REMOTE_LOADER);
    bool has_libc = false;
    for (unsigned i = 0; i < program->names->len; i++)
        has_libc = has_libc || strcmp(program->names->pdata[i], "libc.so.6") == 0;
    g_assert_true(has_libc);
}

/* Each script stands between single quotes on the command line. */
static void test_script(void) {
    ScriptOptions options = { .token = "T", .digest = "D", .machine = "M", .who = "it's me" };
    g_autofree char *command = script_command(&options);
    g_auto(GStrv) words = NULL;
    int n;
    g_assert_true(g_shell_parse_argv(command, &n, &words, NULL));
    g_assert_cmpint(n, ==, 13);
    g_assert_cmpstr(words[4], ==, "stead");
    g_assert_cmpstr(words[6], ==, "T");
    g_assert_cmpstr(words[11], ==, "it's me");
    g_assert_cmpstr(words[12], ==, ""); /* no socket */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote/hosts", test_hosts);
    g_test_add_func("/remote/exit-codes", test_exit_codes);
    g_test_add_func("/remote/ssh-errors", test_ssh_errors);
    g_test_add_func("/remote/program", test_program);
    g_test_add_func("/remote/script", test_script);
    return g_test_run();
}
