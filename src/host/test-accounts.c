/* Users and groups on a fake host; the lock of other programs on a real directory. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/accounts-lock.h"
#include "host/accounts.h"
#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "host/test-host.h"

#define REFUSED   STEAD_ERROR_REFUSED
#define NOT_FOUND STEAD_ERROR_NOT_FOUND

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                             "ada:x:1000:1000:Ada Lovelace,,,:/home/ada:/bin/zsh\n"
                             "bob:x:1002:1002::/home/bob:/bin/sh\n";
static const char shadow[] = "root:*:19000:0:99999:7:::\n"
                             "daemon:*:19000:0:99999:7:::\n"
                             "ada:$y$secret:19500:1:90:14:30:20000:\n"
                             "bob:!:19500:0:99999:7:::\n";
static const char group[] = "root:x:0:\n"
                            "daemon:x:1:\n"
                            "shadow:x:42:\n"
                            "sudo:x:27:ada,bob\n"
                            "ada:x:1000:\n"
                            "docker:x:999:bob\n"
                            "bob:x:1002:\n";
static const char gshadow[] = "root:*::\n"
                              "sudo:*::ada,bob\n"
                              "docker:!:bob,ada:bob\n";

static Host *new_host(void) {
    Host *host = host_fake_new();
    write_text(host, "/etc/passwd", passwd);
    write_text(host, "/etc/group", group);
    write_mode(host, "/etc/shadow", shadow, 0640);
    write_mode(host, "/etc/gshadow", gshadow, 0640);
    return host;
}

static User *new_user(const char *name, uid_t uid) {
    User *user = g_new0(User, 1);
    user->name = g_strdup(name);
    user->uid = user->gid = uid;
    user->comment = g_strdup("");
    user->home = g_strconcat("/home/", name, NULL);
    user->shell = g_strdup("/bin/sh");
    user->expires_day = -1;
    return user;
}

static Group *new_group(const char *name, gid_t gid, const char *members) {
    Group *made = g_new0(Group, 1);
    made->name = g_strdup(name);
    made->gid = gid;
    made->members = members[0] != '\0' ? g_strsplit(members, ",", -1) : g_new0(char *, 1);
    return made;
}

static void put_user(Host *host, const User *user) {
    g_autoptr(GError) error = NULL;
    bool good = accounts_put_user(host, user, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static void put_group(Host *host, const char *name, gid_t gid, const char *members) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Group) made = new_group(name, gid, members);
    bool good = accounts_put_group(host, made, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static User *find_user(Host *host, const char *name) {
    g_autoptr(GError) error = NULL;
    User *user = accounts_find_user(host, name, &error);
    g_assert_no_error(error);
    return user;
}

/* The line of path that starts with name and a colon, without its break. */
static char *line_of(Host *host, const char *path, const char *name) {
    g_autoptr(GBytes) content = host_read(host, path, 1 << 20, NULL);
    g_autofree char *text = g_strndup(g_bytes_get_data(content, NULL), g_bytes_get_size(content));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *start = g_strconcat(name, ":", NULL);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, start))
            return g_strdup(*line);
    return NULL;
}

static void expect_line(Host *host, const char *path, const char *name, const char *wanted) {
    g_autofree char *line = line_of(host, path, name);
    g_assert_cmpstr(line, ==, wanted);
}

static char *today(void) {
    return g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / G_TIME_SPAN_DAY);
}

/* --- looking --- */

static void test_find_user(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(User) ada = find_user(host, "ada");
    g_assert_cmpint(ada->uid, ==, 1000);
    g_assert_cmpint(ada->gid, ==, 1000);
    g_assert_cmpstr(ada->name, ==, "ada");
    g_assert_cmpstr(ada->comment, ==, "Ada Lovelace,,,");
    g_assert_cmpstr(ada->home, ==, "/home/ada");
    g_assert_cmpstr(ada->shell, ==, "/bin/zsh");
    g_assert_cmpstr(ada->password_hash, ==, "$y$secret");
    g_assert_cmpint(ada->expires_day, ==, 20000);
    g_autoptr(User) bob = find_user(host, "bob");
    g_assert_cmpstr(bob->password_hash, ==, "!");
    g_assert_cmpint(bob->expires_day, ==, -1);
    expect_error(accounts_find_user(host, "daemno", &problem), NOT_FOUND,
                 "no such user 'daemno', did you mean 'daemon'?");
    expect_error(accounts_find_user(host, "zzzzz", &problem), NOT_FOUND, "no such user 'zzzzz'");
    expect_error(accounts_find_user(host, "", &problem), NOT_FOUND, "''");
}

static void test_find_without_shadow(void) {
    g_autoptr(Host) host = new_host();
    g_assert_true(host_remove(host, "/etc/shadow", NULL));
    g_autoptr(User) ada = find_user(host, "ada");
    g_assert_null(ada->password_hash);
    write_text(host, "/etc/passwd", "old:$1$hash:5:5::/:/bin/sh\n");
    g_autoptr(User) old = find_user(host, "old");
    g_assert_cmpstr(old->password_hash, ==, "$1$hash");
    g_assert_true(host_remove(host, "/etc/passwd", NULL));
    expect_error(accounts_find_user(host, "old", &problem), NOT_FOUND, "'old'");
}

/* Unreadable hashes are unknown to an ordinary user, and an error to root. */
static void test_unreadable_shadow(void) {
    g_autoptr(Host) fake = new_host();
    {
        g_autoptr(Host) faulty = host_faulty_new(fake);
        host_faulty_arm(faulty, "read", 2, STEAD_ERROR_IO, "read '/etc/shadow': denied");
        expect_error(accounts_find_user(faulty, "ada", &problem), STEAD_ERROR_IO, "denied");
    }
    host_fake_set_privileged(fake, false);
    g_autoptr(Host) faulty = host_faulty_new(fake);
    host_faulty_arm(faulty, "read", 2, STEAD_ERROR_IO, "read '/etc/shadow': denied");
    g_autoptr(User) ada = find_user(faulty, "ada");
    g_assert_null(ada->password_hash);
    g_assert_cmpint(ada->uid, ==, 1000);
}

static void test_find_group(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(GError) error = NULL;
    g_autoptr(Group) sudo = accounts_find_group(host, "sudo", &error);
    g_assert_no_error(error);
    g_assert_cmpint(sudo->gid, ==, 27);
    g_autofree char *members = g_strjoinv(" ", sudo->members);
    g_assert_cmpstr(members, ==, "ada bob");
    g_autoptr(Group) empty = accounts_find_group(host, "ada", &error);
    g_assert_null(empty->members[0]);
    expect_error(accounts_find_group(host, "sudp", &problem), NOT_FOUND, "did you mean 'sudo'?");
    g_auto(GStrv) of_bob = accounts_groups_of(host, "bob", &error);
    g_autofree char *groups = g_strjoinv(" ", of_bob);
    g_assert_cmpstr(groups, ==, "docker sudo");
    g_auto(GStrv) of_nobody = accounts_groups_of(host, "nobody", &error);
    g_assert_no_error(error);
    g_assert_null(of_nobody[0]);
}

static void test_ids(void) {
    g_autoptr(Host) host = new_host();
    uid_t uid = 0;
    gid_t gid = 0;
    g_assert_true(accounts_uid(host, "ada", &uid, NULL));
    g_assert_cmpint(uid, ==, 1000);
    g_assert_true(accounts_uid(host, "4294967294", &uid, NULL));
    g_assert_cmpuint(uid, ==, 4294967294u);
    g_assert_true(accounts_gid(host, "sudo", &gid, NULL));
    g_assert_cmpint(gid, ==, 27);
    g_assert_true(accounts_gid(host, "12345", &gid, NULL));
    g_assert_cmpint(gid, ==, 12345);
    expect_error(accounts_uid(host, "4294967295", &uid, &problem), REFUSED, "'4294967295'");
    expect_error(accounts_uid(host, "99999999999999999999", &uid, &problem), REFUSED, "numbers");
    expect_error(accounts_uid(host, "-1", &uid, &problem), NOT_FOUND, "'-1'");
    expect_error(accounts_uid(host, "sudo", &uid, &problem), NOT_FOUND, "'sudo'");
    expect_error(accounts_gid(host, "", &gid, &problem), NOT_FOUND, "group ''");
    g_autofree char *name = accounts_user_name(host, 1002);
    g_autofree char *number = accounts_user_name(host, 54321);
    g_autofree char *group_name = accounts_group_name(host, 999);
    g_assert_cmpstr(name, ==, "bob");
    g_assert_cmpstr(number, ==, "54321");
    g_assert_cmpstr(group_name, ==, "docker");
}

/* A fake host is no machine: the real root of whoever runs the tests is not seen. */
static void test_no_name_service(void) {
    g_autoptr(Host) host = host_fake_new();
    uid_t uid;
    expect_error(accounts_uid(host, "daemon", &uid, &problem), NOT_FOUND, "'daemon'");
    g_autofree char *name = accounts_user_name(host, 1);
    g_assert_cmpstr(name, ==, "1");
}

static void test_free_ids(void) {
    g_autoptr(Host) host = new_host();
    uid_t uid;
    gid_t gid;
    g_assert_true(accounts_free_uid(host, false, &uid, NULL));
    g_assert_cmpint(uid, ==, 1001);
    g_assert_true(accounts_free_gid(host, false, &gid, NULL));
    g_assert_cmpint(gid, ==, 1001);
    g_assert_true(accounts_free_uid(host, true, &uid, NULL));
    g_assert_cmpint(uid, ==, 999);
    write_text(host, "/etc/login.defs",
               "# UID_MIN 7\nUID_MIN\t\t 1000\nUID_MAX 1002\nSYS_UID_MIN 0x64\nUID_MINIMUM 5\n"
               "SYS_GID_MIN 999\nSYS_GID_MAX 999\nGID_MIN 2000\nUID_MAX");
    g_assert_true(accounts_free_uid(host, false, &uid, NULL));
    g_assert_cmpint(uid, ==, 1001);
    g_assert_true(accounts_free_uid(host, true, &uid, NULL));
    g_assert_cmpint(uid, ==, 999);
    g_assert_true(accounts_free_gid(host, false, &gid, NULL));
    g_assert_cmpint(gid, ==, 2000);
    g_autoptr(User) carl = new_user("carl", 1001);
    put_user(host, carl);
    expect_error(accounts_free_uid(host, false, &uid, &problem), STEAD_ERROR_LIMIT,
                 "all from 1000 to 1002 are taken, see UID_MIN and UID_MAX in /etc/login.defs");
    expect_error(accounts_free_gid(host, true, &gid, &problem), STEAD_ERROR_LIMIT, "SYS_GID_MAX");
}

/* --- changing --- */

static void test_add_user(void) {
    g_autoptr(Host) host = new_host();
    write_text(host, "/etc/login.defs", "PASS_MAX_DAYS 90\n");
    g_autoptr(User) carl = new_user("carl", 1003);
    g_free(carl->comment);
    carl->comment = NULL;
    put_user(host, carl);
    g_autofree char *day = today();
    g_autofree char *all = g_strconcat(passwd, "carl:x:1003:1003::/home/carl:/bin/sh\n", NULL);
    g_autofree char *all_shadow = g_strconcat(shadow, "carl:!:", day, ":0:90:7:::\n", NULL);
    expect_text(host, "/etc/passwd", all);
    expect_text(host, "/etc/shadow", all_shadow);
    expect_text(host, "/etc/group", group);
    g_assert_cmpint(info_of(host, "/etc/shadow").mode, ==, 0640);
    g_assert_cmpint(info_of(host, "/etc/passwd").mode, ==, 0644);
}

static void test_replace_user(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(User) ada = find_user(host, "ada");
    unsigned writes = host_fake_count(host, "write");
    put_user(host, ada);
    g_assert_cmpint(host_fake_count(host, "write"), ==, writes);

    g_free(ada->shell);
    ada->shell = g_strdup("/bin/bash");
    g_clear_pointer(&ada->password_hash, g_free);
    put_user(host, ada);
    g_assert_cmpint(host_fake_count(host, "write"), ==, writes + 1);
    expect_text(host, "/etc/shadow", shadow);
    expect_line(host, "/etc/passwd", "ada", "ada:x:1000:1000:Ada Lovelace,,,:/home/ada:/bin/bash");

    ada->password_hash = g_strdup("$y$other");
    ada->expires_day = -1;
    put_user(host, ada);
    g_autofree char *day = today();
    g_autofree char *line = g_strconcat("ada:$y$other:", day, ":1:90:14:30::", NULL);
    expect_line(host, "/etc/shadow", "ada", line);
    ada->expires_day = 12345;
    put_user(host, ada);
    g_autofree char *expiring = g_strconcat("ada:$y$other:", day, ":1:90:14:30:12345:", NULL);
    expect_line(host, "/etc/shadow", "ada", expiring);
    g_autoptr(GBytes) content = host_read(host, "/etc/passwd", 1 << 20, NULL);
    g_autofree char *text = g_strndup(g_bytes_get_data(content, NULL), g_bytes_get_size(content));
    g_assert_true(strstr(text, "ada:") < strstr(text, "bob:"));
}

static void test_hash_in_passwd(void) {
    g_autoptr(Host) host = new_host();
    write_text(host, "/etc/passwd", "old:$1$hash:5:5::/:/bin/sh\n");
    g_autoptr(User) old = find_user(host, "old");
    g_assert_cmpstr(old->password_hash, ==, "$1$hash");
    old->uid = 6;
    put_user(host, old);
    expect_text(host, "/etc/passwd", "old:$1$hash:6:5::/:/bin/sh\n");
    expect_text(host, "/etc/shadow", shadow);
    old->expires_day = 7;
    g_clear_pointer(&old->password_hash, g_free);
    put_user(host, old);
    expect_text(host, "/etc/passwd", "old:x:6:5::/:/bin/sh\n");
    g_autoptr(User) moved = find_user(host, "old");
    g_assert_cmpstr(moved->password_hash, ==, "$1$hash");
    g_assert_cmpint(moved->expires_day, ==, 7);
}

static void test_new_shadow(void) {
    g_autoptr(Host) host = new_host();
    g_assert_true(host_remove(host, "/etc/shadow", NULL));
    g_autoptr(User) carl = new_user("carl", 1003);
    carl->password_hash = g_strdup("$y$carl");
    put_user(host, carl);
    FileInfo info = info_of(host, "/etc/shadow");
    g_assert_cmpint(info.mode, ==, 0640);
    g_assert_cmpint(info.gid, ==, 42);
    g_assert_cmpint(info.uid, ==, 0);

    g_assert_true(host_remove(host, "/etc/shadow", NULL));
    write_text(host, "/etc/group", "root:x:0:\n");
    put_user(host, carl);
    g_assert_cmpint(info_of(host, "/etc/shadow").mode, ==, 0600);
}

/* Whatever is no valid entry stays, byte for byte and in its place. */
static void test_strange_lines(void) {
    static const char head[] = "# users\n"
                               "root:x:0:0:root:/root:/bin/bash\n"
                               "\n"
                               "   \n"
                               "short:x:5:5\n"
                               "long:x:5:5::/:/bin/sh:more\n"
                               "bad:x:five:5::/:/bin/sh\n"
                               ":x:5:5::/:/bin/sh\n"
                               "ada:x:1000:1000::/home/ada:/bin/sh\r\n"
                               "b\xff\xfe:x:77:77:\xe4:/:/bin/sh\n";
    static const char tail[] = "+@admins::::::\n-evil\n+::::::";
    g_autoptr(Host) host = new_host();
    g_autofree char *before = g_strconcat(head, tail, NULL);
    write_text(host, "/etc/passwd", before);
    g_autoptr(User) bad = new_user("bad", 1003);
    put_user(host, bad);
    g_autofree char *after =
        g_strconcat(head, "bad:x:1003:1003::/home/bad:/bin/sh\n", tail, "\n", NULL);
    expect_text(host, "/etc/passwd", after);
    uid_t uid;
    g_assert_true(accounts_uid(host, "bad", &uid, NULL));
    g_assert_cmpint(uid, ==, 1003);
    expect_error(accounts_uid(host, "short", &uid, &problem), NOT_FOUND, "'short'");
    expect_error(accounts_uid(host, "long", &uid, &problem), NOT_FOUND, "'long'");
    expect_error(accounts_uid(host, "+", &uid, &problem), NOT_FOUND, "'+'");
    g_autoptr(GError) error = NULL;
    g_assert_true(accounts_remove_user(host, "bad", &error));
    g_assert_no_error(error);
    g_autofree char *removed = g_strconcat(head, tail, "\n", NULL);
    expect_text(host, "/etc/passwd", removed);

    g_autoptr(GBytes) zero = g_bytes_new_static("a\0b:x:1:1:::\nroot:x:0:0:::\n", 26);
    g_assert_true(host_write(host, "/etc/passwd", zero, NULL, NULL));
    put_user(host, bad);
    g_autoptr(GBytes) content = host_read(host, "/etc/passwd", 1 << 20, NULL);
    g_assert_cmpmem(g_bytes_get_data(content, NULL), 26, g_bytes_get_data(zero, NULL), 26);
}

static void test_same_name_twice(void) {
    g_autoptr(Host) host = new_host();
    write_text(host, "/etc/passwd", "two:x:7:7::/:/a\none:x:1:1::/:/b\ntwo:x:8:8::/:/c\n");
    uid_t uid;
    g_assert_true(accounts_uid(host, "two", &uid, NULL));
    g_assert_cmpint(uid, ==, 7);
    g_autoptr(User) two = find_user(host, "two");
    two->uid = 9;
    put_user(host, two);
    expect_text(host, "/etc/passwd", "two:x:9:7::/:/a\none:x:1:1::/:/b\ntwo:x:8:8::/:/c\n");
    g_assert_true(accounts_remove_user(host, "two", NULL));
    expect_text(host, "/etc/passwd", "one:x:1:1::/:/b\n");
}

static void test_remove_user(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(GError) error = NULL;
    g_assert_true(accounts_remove_user(host, "bob", &error));
    g_assert_no_error(error);
    expect_line(host, "/etc/passwd", "bob", NULL);
    expect_line(host, "/etc/shadow", "bob", NULL);
    expect_line(host, "/etc/group", "sudo", "sudo:x:27:ada");
    expect_line(host, "/etc/group", "docker", "docker:x:999:");
    expect_line(host, "/etc/group", "bob", "bob:x:1002:");
    expect_line(host, "/etc/gshadow", "docker", "docker:!:ada:");
    expect_error(accounts_remove_user(host, "bob", &problem), NOT_FOUND, "remove user 'bob'");
}

/* Killed before any of its calls, a removal or addition can be repeated, and a user never counts
 * without all the rest. */
static void test_kill_between_files(void) {
    for (unsigned n = 1; n < 20; n++) {
        g_autoptr(Host) fake = new_host();
        g_autoptr(Host) faulty = host_faulty_new(fake);
        host_faulty_arm(faulty, "write", n, STEAD_ERROR_IO, "killed");
        bool removed = accounts_remove_user(faulty, "bob", NULL);
        g_autofree char *line = line_of(fake, "/etc/passwd", "bob");
        g_assert_cmpint(line == NULL, ==, removed);
        g_assert_cmpint(removed, ==, n > 4);
        if (!removed)
            g_assert_true(accounts_remove_user(fake, "bob", NULL));
        expect_line(fake, "/etc/shadow", "bob", NULL);
        expect_line(fake, "/etc/gshadow", "docker", "docker:!:ada:");
        expect_line(fake, "/etc/group", "sudo", "sudo:x:27:ada");
    }
    g_autoptr(Host) fake = new_host();
    g_autoptr(Host) faulty = host_faulty_new(fake);
    g_autoptr(User) carl = new_user("carl", 1003);
    host_faulty_arm(faulty, "write", 2, STEAD_ERROR_IO, "killed");
    expect_error(accounts_put_user(faulty, carl, &problem), STEAD_ERROR_IO, "killed");
    expect_line(fake, "/etc/passwd", "carl", NULL);
    put_user(fake, carl);
    g_autofree char *line = line_of(fake, "/etc/passwd", "carl");
    g_assert_nonnull(line);
}

static void test_groups(void) {
    g_autoptr(Host) host = new_host();
    put_group(host, "www", 33, "ada,carl");
    expect_line(host, "/etc/group", "www", "www:x:33:ada,carl");
    expect_line(host, "/etc/gshadow", "www", "www:!::ada,carl");
    put_group(host, "docker", 998, "ada");
    expect_line(host, "/etc/group", "docker", "docker:x:998:ada");
    expect_line(host, "/etc/gshadow", "docker", "docker:!:bob,ada:ada");
    g_autoptr(GError) error = NULL;
    g_assert_true(accounts_remove_group(host, "docker", &error));
    g_assert_no_error(error);
    expect_line(host, "/etc/group", "docker", NULL);
    expect_line(host, "/etc/gshadow", "docker", NULL);
    expect_error(accounts_remove_group(host, "docker", &problem), NOT_FOUND, "group 'docker'");
    g_assert_true(host_remove(host, "/etc/gshadow", NULL));
    put_group(host, "late", 34, "");
    expect_line(host, "/etc/group", "late", "late:x:34:");
    g_assert_false(host_exists(host, "/etc/gshadow"));
}

static void test_membership(void) {
    g_autoptr(Host) host = new_host();
    g_autoptr(GError) error = NULL;
    const char *const wanted[] = { "docker", "daemon", NULL };
    g_assert_true(accounts_set_groups_of(host, "ada", wanted, true, &error));
    g_assert_no_error(error);
    expect_line(host, "/etc/group", "docker", "docker:x:999:bob,ada");
    expect_line(host, "/etc/group", "daemon", "daemon:x:1:ada");
    expect_line(host, "/etc/group", "sudo", "sudo:x:27:ada,bob");
    expect_line(host, "/etc/gshadow", "docker", "docker:!:bob,ada:bob,ada");
    g_assert_true(accounts_set_groups_of(host, "ada", wanted, false, &error));
    expect_line(host, "/etc/group", "sudo", "sudo:x:27:bob");
    expect_line(host, "/etc/gshadow", "sudo", "sudo:*::bob");
    unsigned writes = host_fake_count(host, "write");
    g_assert_true(accounts_set_groups_of(host, "ada", wanted, false, &error));
    g_assert_cmpint(host_fake_count(host, "write"), ==, writes);
    const char *const missing[] = { "sudo", "none", NULL };
    expect_error(accounts_set_groups_of(host, "ada", missing, false, &problem), NOT_FOUND,
                 "put user 'ada' into group 'none': no such group");
    g_assert_cmpint(host_fake_count(host, "write"), ==, writes);
}

static void test_refusals(void) {
    g_autoptr(Host) host = new_host();
    static const char *const names[] = { "", "-x", "+x", "#x", "a:b", "a,b", "a/b", "a b", "a\nb" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(User) user = new_user(names[i], 5000);
        expect_error(accounts_put_user(host, user, &problem), REFUSED, "user");
        g_autoptr(Group) made = new_group(names[i], 5000, "");
        expect_error(accounts_put_group(host, made, &problem), REFUSED, "group");
    }
    g_autoptr(User) user = new_user("eve", 5000);
    g_free(user->comment);
    user->comment = g_strdup("x:y");
    expect_error(accounts_put_user(host, user, &problem), REFUSED, "user 'eve': its comment");
    user->comment[1] = '\n';
    expect_error(accounts_put_user(host, user, &problem), REFUSED, "line break");
    user->comment[1] = ' ';
    user->password_hash = g_strdup("$y$:");
    expect_error(accounts_put_user(host, user, &problem), REFUSED, "password hash");
    user->password_hash[3] = 'x';
    user->uid = (uid_t)-1;
    expect_error(accounts_put_user(host, user, &problem), REFUSED, "user 'eve'");
    g_autoptr(Group) bad = new_group("bad", 1, "x y");
    expect_error(accounts_put_group(host, bad, &problem), REFUSED, "group 'bad'");
    expect_text(host, "/etc/passwd", passwd);
    expect_text(host, "/etc/shadow", shadow);
    expect_text(host, "/etc/group", group);
}

/* What somebody else writes counts at once, even when it has the same size. */
static void test_changes_are_seen(void) {
    g_autoptr(Host) host = new_host();
    uid_t uid = 0;
    for (unsigned i = 100; i < 200; i++) {
        g_autofree char *text = g_strdup_printf("bob:x:%u:1::/:/bin/sh\n", i);
        g_assert_true(host_fake_tamper_write(host, "/etc/passwd", text));
        g_assert_true(accounts_uid(host, "bob", &uid, NULL));
        g_assert_cmpint(uid, ==, i);
    }
    unsigned reads = host_fake_count(host, "read");
    for (unsigned i = 0; i < 100; i++)
        g_assert_true(accounts_uid(host, "bob", &uid, NULL));
    g_assert_cmpint(host_fake_count(host, "read"), ==, reads);

    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(User) carl = new_user("carl", 1003);
    put_user(overlay, carl);
    g_assert_true(accounts_uid(overlay, "carl", &uid, NULL));
    expect_error(accounts_uid(host, "carl", &uid, &problem), NOT_FOUND, "'carl'");
}

/* --- at the same time --- */

#define THREADS 8
#define USERS   20

typedef struct {
    Host *host;
    unsigned number;
} Worker;

static void add_one(Worker *worker, unsigned i) {
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strdup_printf("user-%u-%u", worker->number, i);
    const char *const groups[] = { "sudo", NULL };
    g_autoptr(User) user = new_user(name, 0);
    g_assert_true(accounts_lock(worker->host, &error));
    g_assert_true(accounts_free_uid(worker->host, false, &user->uid, &error));
    g_assert_true(accounts_put_user(worker->host, user, &error));
    accounts_unlock(worker->host);
    g_assert_true(accounts_set_groups_of(worker->host, name, groups, true, &error));
    g_assert_no_error(error);
}

static void *add_many(void *data) {
    Worker *worker = data;
    for (unsigned i = 0; i < USERS; i++)
        add_one(worker, i);
    return NULL;
}

static void work_in_threads(Host *host, GThreadFunc work) {
    GThread *threads[THREADS];
    Worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (Worker){ host, i };
        threads[i] = g_thread_new("accounts", work, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
}

/* On a real host each change waits for the lock of the file as well. */
static void *add_few(void *data) {
    Worker *worker = data;
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *name = g_strdup_printf("group-%u-%u", worker->number, i);
        put_group(worker->host, name, 100 + worker->number * 10 + i, "");
    }
    return NULL;
}

static void add_from_threads_below(Host *host) {
    work_in_threads(host, add_few);
    g_autoptr(GBytes) content = host_read(host, "/etc/group", 1 << 20, NULL);
    const char *text = g_bytes_get_data(content, NULL);
    unsigned lines = 0;
    for (size_t i = 0; i < g_bytes_get_size(content); i++)
        lines += text[i] == '\n';
    g_assert_cmpint(lines, ==, THREADS * 3);
}

static void test_no_update_is_lost(void) {
    g_autoptr(Host) host = new_host();
    work_in_threads(host, add_many);
    g_autoptr(Group) sudo = accounts_find_group(host, "sudo", NULL);
    g_assert_cmpint(g_strv_length(sudo->members), ==, THREADS * USERS + 2);
    g_autoptr(GHashTable) uids = g_hash_table_new(NULL, NULL);
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < USERS; i++) {
            g_autofree char *name = g_strdup_printf("user-%u-%u", t, i);
            g_autoptr(User) user = find_user(host, name);
            g_assert_cmpstr(user->password_hash, ==, "!");
            g_assert_true(g_hash_table_add(uids, GUINT_TO_POINTER(user->uid)));
        }
}

/* --- the lock of other programs --- */

static const char *new_root(void) {
    const char *root = test_root_new();
    g_autofree char *etc = g_build_filename(root, "etc", NULL);
    g_assert_cmpint(g_mkdir(etc, 0755), ==, 0);
    return root;
}

static void test_lock(void) {
    const char *root = new_root();
    g_autoptr(GError) error = NULL;
    int first = -1, second = -1;
    g_assert_true(accounts_lock_take(root, 0, &first, &error));
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(root, "etc/.pwd.lock", NULL);
    GStatBuf info;
    g_assert_cmpint(g_stat(path, &info), ==, 0);
    g_assert_cmpint(info.st_mode & 07777, ==, 0600);
    expect_error(accounts_lock_take(root, 50000, &second, &problem), STEAD_ERROR_TIMEOUT,
                 "another program has held '/etc/.pwd.lock' for 0.05 s");
    close(first);
    g_assert_true(accounts_lock_take(root, 0, &second, &error));
    close(second);
    test_root_free();
}

/* As lckpwdf(3) does it, in another process. Returns its id once it has the lock, which it keeps
 * for so long after *ret_release is closed. */
static pid_t hold_lock(const char *root, int hold_ms, int *ret_release) {
    g_autofree char *path = g_build_filename(root, "etc/.pwd.lock", NULL);
    int ready[2], release[2];
    g_assert_cmpint(pipe(ready), ==, 0);
    g_assert_cmpint(pipe2(release, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    char byte;
    if (pid == 0) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close(release[1]);
        if (fd < 0 || fcntl(fd, F_SETLKW, &lock) != 0 || write(ready[1], "x", 1) != 1 ||
            read(release[0], &byte, 1) != 0)
            _exit(1);
        usleep(hold_ms * 1000);
        _exit(0);
    }
    close(ready[1]);
    close(release[0]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    *ret_release = release[1];
    return pid;
}

static void test_lock_of_others(void) {
    const char *root = new_root();
    g_autoptr(GError) error = NULL;
    int fd = -1, release;
    pid_t pid = hold_lock(root, 300, &release);
    g_autofree char *who = g_strdup_printf("process %d has held", (int)pid);
    expect_error(accounts_lock_take(root, 50000, &fd, &problem), STEAD_ERROR_TIMEOUT, who);
    close(release);
    g_assert_true(accounts_lock_take(root, 60000000, &fd, &error));
    g_assert_no_error(error);
    close(fd);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    test_root_free();
}

static void test_lock_stays_inside(void) {
    const char *root = test_root_new();
    g_autofree char *inside = g_build_filename(root, "inside", NULL);
    g_autofree char *outside = g_build_filename(root, "outside", NULL);
    g_autofree char *etc = g_build_filename(inside, "etc", NULL);
    g_assert_cmpint(g_mkdir(inside, 0755), ==, 0);
    g_assert_cmpint(g_mkdir(outside, 0755), ==, 0);
    g_assert_cmpint(symlink(outside, etc), ==, 0);
    int fd = -1;
    expect_error(accounts_lock_take(inside, 0, &fd, &problem), NOT_FOUND, "/etc/.pwd.lock");
    g_autofree char *lock = g_build_filename(outside, ".pwd.lock", NULL);
    g_assert_cmpint(g_access(lock, F_OK), !=, 0);
    test_root_free();
}

/* One's own changes count at once, however soon after the last look. */
static void expect_changes_seen(Host *host) {
    for (uid_t i = 100; i < 200; i++) {
        g_autofree char *text = g_strdup_printf("bob:x:%u:1::/:/bin/sh\n", i);
        uid_t uid = 0;
        write_text(host, "/etc/passwd", text);
        g_assert_true(accounts_uid(host, "bob", &uid, NULL));
        g_assert_cmpint(uid, ==, i);
        g_autofree char *name = accounts_user_name(host, i);
        g_autofree char *nobody = accounts_user_name(host, i - 1);
        g_assert_cmpstr(name, ==, "bob");
        g_assert_cmpstr(nobody, !=, "bob");
    }
}

/* A real host below a root waits for the lock, and works for an ordinary user. */
static void test_real_host(void) {
    const char *root = new_root();
    g_autoptr(GError) error = NULL;
    int release;
    pid_t pid = hold_lock(root, 300, &release);
    int64_t start = g_get_monotonic_time();
    close(release);
    {
        g_autoptr(Host) host = host_real_new(root, NULL, &error);
        g_assert_no_error(error);
        g_autoptr(User) carl = new_user("carl", 1003);
        put_user(host, carl);
        g_assert_cmpint(g_get_monotonic_time() - start, >=, 200000);
        expect_text(host, "/etc/passwd", "carl:x:1003:1003::/home/carl:/bin/sh\n");
        g_assert_cmpint(info_of(host, "/etc/shadow").mode, ==, geteuid() == 0 ? 0600 : 0640);
        expect_changes_seen(host);
        add_from_threads_below(host);
        g_assert_true(host_remove(host, "/etc/passwd", NULL));
        g_assert_true(host_remove(host, "/etc/shadow", NULL));
        g_assert_true(host_remove(host, "/etc/group", NULL));
    }
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    test_root_free();
}

static int put_as_ordinary_user(const char *root) {
    g_autoptr(Host) host = host_real_new(root, NULL, NULL);
    g_autoptr(User) carl = new_user("carl", 1003);
    FileInfo info;
    if (host == NULL || host_is_privileged(host) || !accounts_put_user(host, carl, NULL) ||
        !host_stat(host, "/etc/shadow", &info, NULL) || info.mode != 0640)
        return 1;
    g_autoptr(User) found = accounts_find_user(host, "carl", NULL);
    bool good = found != NULL && g_strcmp0(found->password_hash, "!") == 0;
    good = good && host_remove(host, "/etc/passwd", NULL) && host_remove(host, "/etc/shadow", NULL);
    return good ? 0 : 2;
}

static void test_ordinary_user(void) {
    const char *root = new_root();
    pid_t pid = fork();
    if (pid == 0) {
        g_autofree char *etc = g_build_filename(root, "etc", NULL);
        if (geteuid() == 0 &&
            (chown(root, 65534, 65534) != 0 || chown(etc, 65534, 65534) != 0 ||
             setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
            _exit(9);
        _exit(put_as_ordinary_user(root));
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    test_root_free();
}

/* This machine's own files are read, never written: predictions take their names away. */
static void test_name_service(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) machine = host_real_new("/", NULL, &error);
    g_assert_no_error(error);
    g_autoptr(Host) overlay = host_overlay_new(machine);
    g_autoptr(Host) faulty = host_faulty_new(overlay);
    write_text(overlay, "/etc/passwd", "");
    write_text(overlay, "/etc/group", "");
    uid_t uid = 1;
    gid_t gid = 1;
    g_assert_true(accounts_uid(faulty, "root", &uid, &error));
    g_assert_true(accounts_gid(overlay, "root", &gid, &error));
    g_assert_cmpint(uid, ==, 0);
    g_assert_cmpint(gid, ==, 0);
    g_autofree char *user = accounts_user_name(overlay, 0);
    g_autofree char *group_name = accounts_group_name(overlay, 0);
    g_assert_cmpstr(user, ==, "root");
    g_assert_cmpstr(group_name, ==, "root");
    expect_error(accounts_uid(overlay, "no-such-user-here", &uid, &problem), NOT_FOUND,
                 "no-such-user-here");
    expect_error(accounts_find_user(overlay, "root", &problem), NOT_FOUND, "'root'");
}

/* --- speed --- */

static void test_speed(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(GString) lines = g_string_new(NULL);
    g_autoptr(GString) hashes = g_string_new(NULL);
    for (unsigned i = 0; i < 1000; i++) {
        g_string_append_printf(lines, "user-%u:x:%u:%u:User %u:/home/user-%u:/bin/bash\n", i,
                               2000 + i, 2000 + i, i, i);
        g_string_append_printf(hashes, "user-%u:!:19000:0:99999:7:::\n", i);
    }
    write_text(host, "/etc/passwd", lines->str);
    write_text(host, "/etc/shadow", hashes->str);
    g_test_timer_start();
    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("user-%u", i * 10);
        g_autoptr(User) user = find_user(host, name);
        g_assert_cmpint(user->uid, ==, 2000 + i * 10);
    }
    double looked = g_test_timer_elapsed();
    g_test_timer_start();
    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("new-%u", i);
        g_autoptr(User) user = new_user(name, 5000 + i);
        put_user(host, user);
    }
    double put = g_test_timer_elapsed();
    g_test_minimized_result(looked * 1e4, "look up 100 of 1,000 users: %.0f us each", looked * 1e4);
    g_test_minimized_result(put * 1e4, "add 100 users to 1,000: %.0f us each", put * 1e4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/accounts/find-user", test_find_user);
    g_test_add_func("/accounts/find-without-shadow", test_find_without_shadow);
    g_test_add_func("/accounts/unreadable-shadow", test_unreadable_shadow);
    g_test_add_func("/accounts/find-group", test_find_group);
    g_test_add_func("/accounts/ids", test_ids);
    g_test_add_func("/accounts/no-name-service", test_no_name_service);
    g_test_add_func("/accounts/free-ids", test_free_ids);
    g_test_add_func("/accounts/add-user", test_add_user);
    g_test_add_func("/accounts/replace-user", test_replace_user);
    g_test_add_func("/accounts/hash-in-passwd", test_hash_in_passwd);
    g_test_add_func("/accounts/new-shadow", test_new_shadow);
    g_test_add_func("/accounts/strange-lines", test_strange_lines);
    g_test_add_func("/accounts/same-name-twice", test_same_name_twice);
    g_test_add_func("/accounts/remove-user", test_remove_user);
    g_test_add_func("/accounts/kill-between-files", test_kill_between_files);
    g_test_add_func("/accounts/groups", test_groups);
    g_test_add_func("/accounts/membership", test_membership);
    g_test_add_func("/accounts/refusals", test_refusals);
    g_test_add_func("/accounts/changes-are-seen", test_changes_are_seen);
    g_test_add_func("/accounts/no-update-is-lost", test_no_update_is_lost);
    g_test_add_func("/accounts/lock", test_lock);
    g_test_add_func("/accounts/lock-of-others", test_lock_of_others);
    g_test_add_func("/accounts/lock-stays-inside", test_lock_stays_inside);
    g_test_add_func("/accounts/real-host", test_real_host);
    g_test_add_func("/accounts/ordinary-user", test_ordinary_user);
    g_test_add_func("/accounts/name-service", test_name_service);
    g_test_add_func("/accounts/speed", test_speed);
    return g_test_run();
}
