/* dpkg's database, what is said to apt, and both together in a root with a scripted apt. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/apt.h"
#include "host/dpkg-status.h"
#include "host/test-real.h"

/* --- the database */

static const char status_text[] =
    "Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n"
    "Version: 1.21.22\nDescription: manager\n Package: fake\n\tStatus: fake\n\n"
    "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\n"
    "Version: 2.36-9\n\n"
    "Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-8\n\n"
    "Package: wine32\nStatus: install ok installed\nArchitecture: i386\nVersion: 8.0\n\n"
    "Package: two\nStatus: install ok installed\nArchitecture: amd64\nVersion: 6\n\n"
    "Package: two\nStatus: deinstall ok config-files\nArchitecture: i386\nVersion: 6\n\n"
    "Package: held\nStatus: hold ok installed\nArchitecture: all\nVersion: 1:3~rc1+b2\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
    "Package: half\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 2\n\n"
    "Package: sick\nStatus: install reinstreq installed\nArchitecture: amd64\nVersion: 3\n\n"
    "Package: trigger\nStatus: install ok triggers-pending\nArchitecture: all\nVersion: 4\n\n"
    "Package: never\nStatus: unknown ok not-installed\nArchitecture: amd64\n\n\n"
    "Status: install ok installed\nVersion: of nobody\n\n"
    "Package: last\nStatus: install ok installed\nArchitecture: all\nVersion: 5";

static void assert_package(const DpkgStatus *status, const char *name, const char *version,
                           const char *flags) {
    PackageInfo info;
    dpkg_status_find(status, name, &info);
    g_assert_cmpstr(info.version, ==, version);
    char found[4] = { info.held ? 'h' : '-', info.config_files ? 'c' : '-', info.broken ? 'b' : '-',
                      '\0' };
    g_assert_cmpstr(found, ==, flags);
    g_assert_null(info.candidate);
    package_info_clear(&info);
}

static void test_marks(void) {
    static const char text[] = "Package: dpkg\nEssential: yes\nStatus: install ok installed\n"
                               "Architecture: amd64\nVersion: 1\n\nPackage: init\nProtected: yes\n"
                               "Status: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
                               "Package: doc\nStatus: install ok installed\nArchitecture: all\n"
                               "Version: 1\n\nPackage: lib\nStatus: install reinstreq "
                               "half-installed\nArchitecture: i386\nVersion: 1\n";
    static const char marks[] = "Package: doc\nArchitecture: amd64\nAuto-Installed: 1\n\n"
                                "Package: lib\nArchitecture: amd64\nAuto-Installed: 1\n\n"
                                "Package: none\nArchitecture: amd64\nAuto-Installed: 1\n\n"
                                "Package: dpkg\nArchitecture: amd64\nAuto-Installed: 0\n";
    g_autoptr(DpkgStatus) status = dpkg_status_parse(text, strlen(text));
    dpkg_status_mark(status, marks, strlen(marks));
    static const struct {
        const char *name;
        bool essential, automatic, reinstall;
    } cases[] = {
        { "dpkg", true, false, false },
        { "init", true, false, false },
        { "doc", false, true, false },
        { "lib:i386", false, false, true },
    };
    PackageInfo info;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        dpkg_status_find(status, cases[i].name, &info);
        g_assert_cmpint(info.essential, ==, cases[i].essential);
        g_assert_cmpint(info.automatic, ==, cases[i].automatic);
        g_assert_cmpint(info.reinstall, ==, cases[i].reinstall);
        package_info_clear(&info);
    }
    dpkg_status_mark(status, "", 0);
    dpkg_status_find(status, "doc", &info);
    g_assert_false(info.automatic);
    package_info_clear(&info);
}

static void test_status(void) {
    g_autoptr(DpkgStatus) status = dpkg_status_parse(status_text, strlen(status_text));
    g_assert_cmpstr(dpkg_status_architecture(status), ==, "amd64");
    assert_package(status, "dpkg", "1.21.22", "---");
    assert_package(status, "libc6", "2.36-9", "---");
    assert_package(status, "libc6:amd64", "2.36-9", "---");
    assert_package(status, "libc6:i386", "2.36-8", "---");
    assert_package(status, "libc6:arm64", NULL, "---");
    assert_package(status, "wine32", NULL, "---"); /* the machine's own is meant */
    assert_package(status, "wine32:any", "8.0", "---");
    assert_package(status, "two:any", "6", "---");
    assert_package(status, "two:i386", NULL, "-c-");
    assert_package(status, "held", "1:3~rc1+b2", "h--");
    assert_package(status, "gone", NULL, "-c-");
    assert_package(status, "half", "2", "--b");
    assert_package(status, "sick", "3", "--b");
    assert_package(status, "trigger", "4", "---");
    assert_package(status, "never", NULL, "---");
    assert_package(status, "fake", NULL, "---");
    assert_package(status, "last", "5", "---");
    assert_package(status, "", NULL, "---");
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    dpkg_status_list_installed(status, names);
    g_assert_cmpuint(names->len, ==, 9);
}

/* Later changes: of one architecture, of what comes and what goes. */
static void test_updates(void) {
    static const char *const updates[] = {
        "Package: libc6\nStatus: install reinstreq half-installed\nArchitecture: i386\nVersion: "
        "9\n",
        "Package: half\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n",
        "Package: fresh\nStatus: install ok unpacked\nArchitecture: all\nVersion: 1\n\n"
        "Package: trigger\nStatus: unknown ok not-installed\n",
        "Package: held\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4\n",
        "Package: fresh\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
        "Package: \nStatus: install ok installed\n",
    };
    g_autoptr(DpkgStatus) status = dpkg_status_parse(status_text, strlen(status_text));
    for (size_t i = 0; i < G_N_ELEMENTS(updates); i++)
        dpkg_status_update(status, updates[i], strlen(updates[i]));
    assert_package(status, "libc6", "2.36-9", "---");
    assert_package(status, "libc6:i386", "9", "--b");
    assert_package(status, "half", "2", "--b");
    assert_package(status, "fresh", "1", "--b");
    assert_package(status, "trigger", NULL, "--b");
    assert_package(status, "held", "4", "--b");
    assert_package(status, "dpkg", "1.21.22", "---");
}

/* Whatever is in the file, we read inside it. */
static void test_status_of_rubbish(void) {
    for (size_t size = 0; size < sizeof status_text; size++) {
        g_autofree char *cut = g_memdup2(status_text, size);
        dpkg_status_free(dpkg_status_parse(cut, size));
    }
    static const char odd[] = "Package: \nStatus: \n\nPackage:x\n\0\nStatus: hold\n\n\nPackage: y";
    g_autoptr(DpkgStatus) status = dpkg_status_parse(odd, sizeof odd - 1);
    assert_package(status, "y", NULL, "---");
    assert_package(status, "x", NULL, "---");
}

static void test_status_speed(void) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 1500; i++) {
        g_string_append_printf(text,
                               "Package: package-%d\nStatus: install ok installed\n"
                               "Architecture: amd64\nVersion: 1.%d\nDescription: ",
                               i, i);
        for (int line = 0; line < 20; line++)
            g_string_append(text, "some forty characters of a description\n ");
        g_string_append(text, ".\n\n");
    }
    int64_t best = G_MAXINT64;
    for (int i = 0; i < 5; i++) {
        int64_t start = g_get_monotonic_time();
        dpkg_status_free(dpkg_status_parse(text->str, text->len));
        best = MIN(best, g_get_monotonic_time() - start);
    }
    g_test_minimized_result((double)best, "1,500 packages, %zu KB: %" G_GINT64_FORMAT " us",
                            text->len / 1024, best);
    g_assert_cmpint(best, <, 50000);
}

/* --- what is said to apt */

static void assert_commands(const PackageAction *actions, size_t n, const char *expected) {
    g_autoptr(GPtrArray) commands = apt_commands(actions, n);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < commands->len; i++) {
        g_autofree char *line = g_strjoinv(" ", commands->pdata[i]);
        g_string_append_printf(text, "%s\n", line);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

#define PLAIN_OPTIONS                                                                              \
    "-y -q -o APT::Cmd::Pattern-Only=1 -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 "
#define APT_OPTIONS                                                                                \
    PLAIN_OPTIONS "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "

static void test_commands(void) {
    PackageAction install[] = {
        { .name = "nginx", .verb = PACKAGE_INSTALL },
        { .name = "curl", .verb = PACKAGE_UPGRADE },
        { .name = "jq", .verb = PACKAGE_VERSION, .version = "1.6-2", .allow_downgrade = true },
    };
    assert_commands(install, 3,
                    "apt-get install " APT_OPTIONS
                    "--allow-downgrades --no-remove nginx curl jq=1.6-2\n");
    PackageAction mixed[] = {
        { .name = "a1", .verb = PACKAGE_HOLD },
        { .name = "a1", .verb = PACKAGE_INSTALL },
        { .name = "b1", .verb = PACKAGE_UNHOLD },
        { .name = "b1", .verb = PACKAGE_REMOVE },
        { .name = "c1", .verb = PACKAGE_PURGE },
        { .name = "d1", .verb = PACKAGE_PURGE },
        { .name = "e1", .verb = PACKAGE_INSTALL, .allow_untrusted = true },
    };
    assert_commands(mixed, G_N_ELEMENTS(mixed),
                    "apt-mark unhold b1\n"
                    "apt-get install " APT_OPTIONS "--allow-unauthenticated a1 b1- c1- d1- e1\n"
                    "apt-get purge " PLAIN_OPTIONS "c1 d1\n"
                    "apt-mark hold a1\n");
    assert_commands(&mixed[4], 2, "apt-get install " APT_OPTIONS "--purge c1- d1-\n");
    assert_commands(mixed, 1, "apt-mark hold a1\n");
    g_autofree char *text = apt_describe(mixed, G_N_ELEMENTS(mixed));
    g_assert_cmpstr(text, ==,
                    "hold 'a1'; install 'a1'; unhold 'b1'; remove 'b1'; purge 'c1', 'd1'; "
                    "install 'e1'");
}

static void test_names(void) {
    static const char *const good[] = { "g++", "libc6:i386", "0ad", "lib.so-2", "python3:any" };
    static const char *const bad[] = { "",    "-y",    "a",      "a b", "nginx=1", "ngin*",
                                       "a/b", "Nginx", "nginx^", "a:",  "a1:-o=",  "a1:B" };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
        g_assert_true(apt_check_action(&(PackageAction){ .name = good[i] }, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        bool ok = apt_check_action(&(PackageAction){ .name = bad[i] }, &error);
        g_assert_false(ok);
        assert_code(error, STEAD_ERROR_REFUSED);
    }
    PackageAction version = { .name = "nginx", .verb = PACKAGE_VERSION, .version = "1.2 -o x" };
    g_assert_false(apt_check_action(&version, NULL));
    version.version = "1:2.3~rc1-4+deb12u1";
    g_assert_true(apt_check_action(&version, NULL));
    version.version = "1.2*"; /* the newest that begins so */
    g_assert_true(apt_check_action(&version, NULL));
    version.version = "1.*.2";
    g_assert_false(apt_check_action(&version, NULL));
    version.version = NULL;
    g_assert_false(apt_check_action(&version, NULL));
}

static char *effects_text(const GPtrArray *effects) {
    static const char signs[] = {
        [PACKAGE_COMES] = '+', [PACKAGE_CHANGES] = '~', [PACKAGE_GOES] = '-'
    };
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        g_string_append_printf(text, "%s%c%s %s%s", i > 0 ? ", " : "", signs[effect->what],
                               effect->name, effect->version != NULL ? effect->version : "?",
                               effect->unneeded ? " unneeded" : "");
    }
    return g_string_free(text, FALSE);
}

static void test_simulation(void) {
    PackageAction actions[] = {
        { .name = "lib", .verb = PACKAGE_REMOVE },
        { .name = "other:amd64", .verb = PACKAGE_PURGE },
        { .name = "new", .verb = PACKAGE_INSTALL },
    };
    static const struct {
        const char *output, *effects;
    } cases[] = {
        { "", "" },
        { "Remv lib [1.0]\nPurg other [2] []\nInst new (1 r [all])\nConf new (1 r [all])\n", "" },
        { "Remv lib [1.0]\nRemv app [1]\nPurg tool [2]\n", "-app 1, -tool 2" },
        { "Remv lib:i386 [1.0]\nRemv new [1]\n", "-lib:i386 1.0, -new 1" },
        { "Inst dep (1:2.0-1 Debian:12.1/stable [amd64])\nInst up [1.0] (1.1 r [all]) []\n",
          "+dep 1:2.0-1, ~up 1.1" },
        { "Inst lib (1 r [all])\nInst\nInst \nRemv odd", "+lib 1, -odd ?" },
        { "The following packages will be REMOVED:\n  lib app\n", "" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) effects = package_effects_new();
        apt_parse_simulation(cases[i].output, actions, 3, effects);
        g_autofree char *text = effects_text(effects);
        g_assert_cmpstr(text, ==, cases[i].effects);
    }
    g_auto(GStrv) words = apt_simulation(actions, 3, false);
    g_autofree char *line = g_strjoinv(" ", words);
    g_assert_cmpstr(line, ==,
                    "apt-get install " APT_OPTIONS "--simulate --allow-change-held-packages "
                    "--allow-remove-essential lib- other:amd64- new");
    g_assert_null(apt_simulation(actions, 3, true));
    PackageAction hold = { .name = "lib", .verb = PACKAGE_HOLD };
    g_assert_null(apt_simulation(&hold, 1, false));
}

/* What a transaction as a whole is told. */
static void test_wishes(void) {
    PackageAction one = { .name = "a1",
                          .verb = PACKAGE_INSTALL,
                          .release = "bookworm-backports",
                          .recommends = RECOMMENDS_NO,
                          .replace_config = true,
                          .reinstall = true };
    assert_commands(&one, 1,
                    "apt-get install " PLAIN_OPTIONS
                    "-o Dpkg::Options::=--force-confnew --reinstall --no-install-recommends "
                    "--target-release bookworm-backports --no-remove a1\n");
    g_assert_true(g_strv_contains(apt_environment(&one, 1), "UCF_FORCE_CONFFNEW=1"));
    g_assert_true(g_strv_contains(apt_environment(NULL, 0), "UCF_FORCE_CONFFOLD=1"));
    PackageAction file = { .name = "a1",
                           .verb = PACKAGE_VERSION,
                           .version = "1",
                           .file = "/srv/a1.deb",
                           .recommends = RECOMMENDS_YES,
                           .force = true };
    assert_commands(&file, 1,
                    "apt-get install " APT_OPTIONS
                    "--install-recommends --allow-remove-essential /srv/a1.deb\n");
    PackageAction away[] = { { .name = "a1", .verb = PACKAGE_REMOVE, .autoremove = true },
                             { .name = "b1", .verb = PACKAGE_MARK_MANUAL },
                             { .name = "c1", .verb = PACKAGE_MARK_AUTO } };
    assert_commands(away, 3,
                    "apt-get install " APT_OPTIONS "--auto-remove a1-\n"
                    "apt-mark manual b1\napt-mark auto c1\n");
    g_auto(GStrv) update = apt_update("/run/x.sources");
    g_autofree char *line = g_strjoinv(" ", update);
    g_assert_cmpstr(line, ==,
                    "apt-get update " PLAIN_OPTIONS
                    "-o APT::Update::Error-Mode=any -o Dir::Etc::sourcelist=/run/x.sources "
                    "-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0");
    one.release = "a b";
    g_assert_false(apt_check_action(&one, NULL));
    file.file = "a1.deb";
    g_assert_false(apt_check_action(&file, NULL));
}

/* Each as apt and dpkg of Debian 12 print it. */
static void test_failures(void) {
    static const struct {
        const char *output, *reason;
    } cases[] = {
        { "Reading package lists...\nBuilding dependency tree...\nE: Unable to locate package "
          "nopkg\n",
          "apt knows no package 'nopkg' (check the name, or refresh its lists with: apt-get "
          "update)" },
        { "Package mta is a virtual package provided by:\n  exim4\n\n"
          "E: Package 'mta' has no installation candidate\n",
          "package 'mta' is in no configured repository (it is virtual, obsolete or elsewhere)" },
        { "E: Version '9.9' for 'bash' was not found\n",
          "there is no version '9.9' of package 'bash' (see: apt-cache madison bash)" },
        { "The following packages will be REMOVED:\n  exim4 exim4-base\n  exim4-config\n"
          "The following NEW packages will be installed:\n  postfix\n0 upgraded\n"
          "E: Packages need to be removed but remove is disabled.\n",
          "it would remove other packages (exim4 exim4-base exim4-config); if that is wanted, "
          "set force = true" },
        { "The following packages have unmet dependencies:\n exim4 : Depends: light but it is not "
          "installable\nE: Unable to correct problems, you have held broken packages.\n",
          "dependencies cannot be met: exim4 : Depends: light but it is not installable" },
        { "E: Held packages were changed and -y was used without --allow-change-held-packages.\n",
          "a package is held (see: apt-mark showhold)" },
        { "Setting up bad (1.0) ...\ndpkg: error processing package bad (--configure):\n"
          " installed bad package post-installation script subprocess returned error exit status "
          "1\n"
          "Errors were encountered while processing:\n bad\n"
          "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
          "'bad': installed bad package post-installation script subprocess returned error exit "
          "status 1" },
        { "Setting up other (1) ...\nSetting up bad (1.0) ...\none\ntwo\n  three\n\nfour\n"
          "dpkg: error processing package bad (--configure):\n installed bad package "
          "post-installation script subprocess returned error exit status 3\n",
          "'bad': installed bad package post-installation script subprocess returned error exit "
          "status 3; it said: three | four" },
        { "Err:1 http://127.0.0.1:9 ./ x 1\n  Could not connect\n"
          "E: Failed to fetch http://127.0.0.1:9/x.deb  Could not connect to 127.0.0.1:9 "
          "(127.0.0.1). - connect (111: Connection refused)\nE: Unable to fetch some archives, "
          "maybe run apt-get update or try with --fix-missing?\n",
          "fetch from '127.0.0.1:9': Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: "
          "Connection refused) (http://127.0.0.1:9/x.deb): is it up, and the network?" },
        { "E: Failed to fetch file:/srv/repo/./x.deb  File not found - /srv/repo/./x.deb (2: No "
          "such file or directory)\n",
          "fetch 'file:/srv/repo/./x.deb': File not found - /srv/repo/./x.deb (2: No such file or "
          "directory): the source does not have it" },
        { "W: GPG error: file:/srv/repo ./ InRelease: The following signatures couldn't be "
          "verified because the public key is not available: NO_PUBKEY 0123456789ABCDEF\n"
          "E: The repository 'file:/srv/repo ./ InRelease' is not signed.\n",
          "the source 'file:/srv/repo ./ InRelease' is signed by the key 0123456789ABCDEF, which "
          "is not the one that is trusted for it" },
        { "E: The repository 'file:/srv/repo ./ Release' is not signed.\n",
          "the source 'file:/srv/repo ./ Release' is not signed" },
        { "Unpacking big (1.0) ...\ndpkg: error processing archive /x/big.deb (--unpack):\n cannot "
          "copy extracted data for './usr/big' to '/usr/big.dpkg-new': failed to write (No space "
          "left on device)\n",
          "the disk is full (cannot copy extracted data for './usr/big' to '/usr/big.dpkg-new': "
          "failed to write (No space left on device)); make room: what was begun is finished by "
          "the next run" },
        { "E: You don't have enough free space in /var/cache/apt/archives/.\n",
          "the disk is full (You don't have enough free space in /var/cache/apt/archives/.); make "
          "room: what was begun is finished by the next run" },
        { "W: warned\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 "
          "(apt)\nE: Unable to acquire the dpkg frontend lock\n",
          "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)" },
        { "E: The package half needs to be reinstalled, but I can't find an archive for it.\n",
          "an interrupted dpkg left parts of 'half', and no source has it: bring its source back, "
          "or end it with 'dpkg --force-remove-reinstreq --remove half'" },
        { "something\n  odd  \n\n", "odd" },
        { "", "it gave no reason" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *reason = apt_failure(cases[i].output);
        g_assert_cmpstr(reason, ==, cases[i].reason);
    }
    g_assert_true(apt_wants_configure("E: dpkg was interrupted, you must manually run 'dpkg "
                                      "--configure -a' to correct the problem. \n"));
    g_assert_false(apt_wants_configure("E: Unable to locate package dpkg\n"));
    g_assert_true(apt_wants_repair("E: Unmet dependencies. Try 'apt --fix-broken install' with no "
                                   "packages (or specify a solution).\n"));
    g_assert_false(apt_wants_repair("E: Unable to correct problems\n"));
    g_assert_true(
        apt_wants_update("E: Failed to fetch http://h/x.deb  404  Not Found [IP: ::1 80]\n"));
    g_assert_false(apt_wants_update("E: Failed to fetch http://h/x.deb  Could not connect\n"));
    g_assert_true(
        apt_wants_lock("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held\n"));
    g_assert_false(apt_wants_lock("E: dpkg was interrupted\n"));
    g_assert_true(
        apt_wants_cache("E: Problem renaming the file /var/cache/apt/pkgcache.bin.uNI152 to "
                        "/var/cache/apt/pkgcache.bin - rename (2: No such file)\n"));
    g_assert_false(apt_wants_cache("E: Problem renaming the file /x.deb\n"));
}

static void append_candidate(void *data, const char *name, const char *candidate) {
    g_string_append_printf(data, "%s=%s ", name, candidate != NULL ? candidate : "none");
}

static void test_policy(void) {
    static const char output[] =
        "bash:\n  Installed: 5.2.15-2+b8\n  Candidate: 5.2.15-2+b13\n  Version table:\n"
        "     5.2.15-2+b13 500\n        500 http://deb.example.org bookworm/main\n"
        " *** 5.2.15-2+b8 100\n        100 /var/lib/dpkg/status\n"
        "libc6:i386:\n  Installed: (none)\n  Candidate: 2.36\n  Version table:\n"
        "mta:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
    g_autoptr(GString) text = g_string_new(NULL);
    apt_parse_policy(output, append_candidate, text);
    g_assert_cmpstr(text->str, ==, "bash=5.2.15-2+b13 libc6:i386=2.36 mta=none ");
    apt_parse_policy("", append_candidate, text);
    apt_parse_policy("  Candidate: 1\n:\n", append_candidate, text);
    g_assert_cmpstr(text->str, ==, "bash=5.2.15-2+b13 libc6:i386=2.36 mta=none ");
}

/* --- all together */

static void put_status(RealFixture *fixture) {
    scratch_run(fixture, "mkdir -p var/lib/dpkg");
    scratch_put(fixture, "/var/lib/dpkg/status", status_text);
}

static void test_query(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    PackageInfo info;
    g_autoptr(GError) error = NULL;
    g_assert_false(host_package_query(fixture.host, "held", false, &info, &error));
    assert_code(error, STEAD_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    put_status(&fixture);
    g_assert_true(host_package_query(fixture.host, "held", false, &info, &error));
    g_assert_cmpstr(info.version, ==, "1:3~rc1+b2");
    package_info_clear(&info);
    /* A changed database is read again. */
    scratch_run(&fixture, "cd var/lib/dpkg; sed 's/1:3~rc1+b2/7/' status > new; mv new status");
    g_assert_true(host_package_query(fixture.host, "held", false, &info, &error));
    g_assert_cmpstr(info.version, ==, "7");
    package_info_clear(&info);
    g_assert_true(host_package_query(fixture.host, "unknown", false, &info, &error));
    g_assert_null(info.version);
    g_assert_false(host_package_query(fixture.host, "-o=x", false, &info, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
    real_fixture_tear_down(&fixture, "root");
}

static void assert_version(RealFixture *fixture, const char *name, const char *version,
                           bool broken) {
    g_autoptr(GError) error = NULL;
    PackageInfo info;
    host_package_query(fixture->host, name, false, &info, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(info.version, ==, version);
    g_assert_cmpint(info.broken, ==, broken);
    package_info_clear(&info);
}

/* A process that has the lock of a dpkg at work; it ends with a byte at *ret_fd. */
static pid_t hold_dpkg_lock(RealFixture *fixture, int *ret_fd) {
    g_autofree char *path = scratch_local(fixture, "/var/lib/dpkg/lock");
    int ready[2], end[2];
    char byte = 0;
    g_assert_true(pipe(ready) == 0 && pipe(end) == 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        bool ok = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], &byte, 1) == 1 &&
                  read(end[0], &byte, 1) == 1;
        _exit(!ok);
    }
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(end[0]);
    *ret_fd = end[1];
    return pid;
}

static void let_go(pid_t holder, int fd) {
    int status;
    g_assert_cmpint(write(fd, "", 1), ==, 1);
    g_assert_cmpint(waitpid(holder, &status, 0), ==, holder);
    g_assert_cmpint(status, ==, 0);
    (void)close(fd);
}

/* What a dpkg that was killed had begun is in files of its own. */
static void test_interrupted(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    put_status(&fixture);
    scratch_run(&fixture, "mkdir var/lib/dpkg/updates; touch var/lib/dpkg/updates/tmp.i");
    assert_version(&fixture, "two", "6", false);
    scratch_put(&fixture, "/var/lib/dpkg/updates/0000",
                "Package: two\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7\n");
    int fd;
    pid_t holder = hold_dpkg_lock(&fixture, &fd);
    assert_version(&fixture, "two", "6", false); /* it is at work */
    let_go(holder, fd);
    assert_version(&fixture, "two", "7", true);
    scratch_put(&fixture, "/var/lib/dpkg/updates/0001",
                "Package: two\nStatus: install reinstreq half-installed\nArchitecture: amd64\n"
                "Version: 7\n");
    assert_version(&fixture, "two", "7", true);
    assert_version(&fixture, "last", "5", false);
    scratch_run(&fixture, "rm var/lib/dpkg/updates/0*");
    assert_version(&fixture, "two", "6", false);
    real_fixture_tear_down(&fixture, "root");
}

/* Programs of the root that write down how they are called and answer from a file. */
static void put_apt(RealFixture *fixture) {
    put_status(fixture);
    scratch_run(
        fixture,
        "mkdir -p bin usr/bin var/lib/apt/lists; cp /bin/sh bin/;"
        "for f in $(ldd /bin/sh | grep -o '/[^ ]*'); do mkdir -p .$(dirname $f);"
        "cp $f .$f; done;"
        "printf '#!/bin/sh\\necho \"${0##*/} $*\" >> /calls\\n"
        "while IFS= read -r l; do echo \"$l\"; done < /answer\\nread x < /status\\nexit $x\\n'"
        " > usr/bin/apt-get; chmod 755 usr/bin/apt-get;"
        "cp usr/bin/apt-get usr/bin/apt-cache; cp usr/bin/apt-get usr/bin/apt-mark;"
        "printf '#!/bin/sh\\necho \"dpkg $*\" >> /calls; : > /answer; echo 0 > /status\\n'"
        "> usr/bin/dpkg; chmod 755 usr/bin/dpkg; echo 0 > status; : > answer");
}

static void assert_calls(RealFixture *fixture, const char *expected) {
    g_autofree char *calls = scratch_get(fixture, "/calls");
    g_assert_cmpstr(calls, ==, expected);
    scratch_run(fixture, "rm calls");
}

static void assert_candidate(RealFixture *fixture, const char *name, const char *expected) {
    g_autoptr(GError) error = NULL;
    PackageInfo info;
    host_package_query(fixture->host, name, true, &info, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(info.candidate, ==, expected);
    package_info_clear(&info);
}

static bool needs_root(void) {
    if (geteuid() == 0)
        return true;
    g_test_skip("only root may chroot");
    return false;
}

static void test_candidates(void) {
    if (!needs_root())
        return;
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    put_apt(&fixture);
    scratch_put(&fixture, "/answer",
                "libc6:\n  Installed: 2.36-9\n  Candidate: 2.36-10\n"
                "libc6:i386:\n  Installed: 2.36-8\n  Candidate: 2.36-9\n"
                "held:\n  Installed: 1\n  Candidate: 9\n");
    assert_candidate(&fixture, "held", "9");
    assert_candidate(&fixture, "libc6", "2.36-10"); /* installed: the same call answered */
    assert_candidate(&fixture, "libc6:amd64", "2.36-10");
    assert_candidate(&fixture, "libc6:i386", "2.36-9");
    g_autofree char *calls = scratch_get(&fixture, "/calls");
    g_assert_cmpuint(strcspn(calls, "\n") + 1, ==, strlen(calls));
    g_assert_true(g_str_has_prefix(calls, "apt-cache policy held "));
    scratch_run(&fixture, "rm calls");
    assert_candidate(&fixture, "new", NULL);
    assert_candidate(&fixture, "new", NULL);
    assert_calls(&fixture, "apt-cache policy new\n");
    scratch_put(&fixture, "/answer", "held:\n  Installed: 1\n  Candidate: 10\n");
    assert_candidate(&fixture, "held", "9");
    scratch_run(&fixture, "echo > var/lib/apt/lists/new_Packages");
    assert_candidate(&fixture, "held", "10");
    scratch_put(&fixture, "/status", "100\n");
    scratch_put(&fixture, "/answer", "E: The package cache is broken\n");
    scratch_run(&fixture, "rm var/lib/apt/lists/new_Packages");
    g_autoptr(GError) error = NULL;
    PackageInfo info;
    g_assert_false(host_package_query(fixture.host, "held", true, &info, &error));
    g_assert_cmpstr(error->message, ==,
                    "query package 'held': ask apt-cache for candidates: The package cache is "
                    "broken");
    scratch_run(&fixture, "rm calls");
    scratch_put(&fixture, "/answer", "E: Cache is out of sync, can't x-ref a package file\n");
    g_assert_false(host_package_query(fixture.host, "held", true, &info, NULL));
    g_autofree char *again = scratch_get(&fixture, "/calls");
    g_auto(GStrv) lines = g_strsplit(again, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines) - 1, ==, 5); /* what dpkg wrote meanwhile is read then */
    real_fixture_tear_down(&fixture, "root");
}

static gpointer ask(gpointer data) {
    assert_candidate(data, "held", "9");
    assert_candidate(data, "new", NULL);
    return NULL;
}

static void test_candidates_together(void) {
    if (!needs_root())
        return;
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    put_apt(&fixture);
    scratch_put(&fixture, "/answer", "held:\n  Installed: 1\n  Candidate: 9\n");
    GThread *threads[8];
    for (int i = 0; i < 8; i++)
        threads[i] = g_thread_new("ask", ask, &fixture);
    for (int i = 0; i < 8; i++)
        g_thread_join(threads[i]);
    g_autofree char *calls = scratch_get(&fixture, "/calls");
    g_auto(GStrv) lines = g_strsplit(calls, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines) - 1, ==, 2);
    real_fixture_tear_down(&fixture, "root");
}

static void test_apply(void) {
    if (!needs_root())
        return;
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    put_apt(&fixture);
    PackageAction actions[] = { { .name = "nginx", .verb = PACKAGE_INSTALL },
                                { .name = "nginx", .verb = PACKAGE_HOLD } };
    g_autoptr(GError) error = NULL;
    g_assert_true(host_package_apply(fixture.host, actions, 2, NULL, &error));
    g_assert_no_error(error);
    assert_calls(&fixture, "apt-get install " APT_OPTIONS "--no-remove nginx\n"
                           "apt-mark hold nginx\n");
    scratch_put(&fixture, "/status", "100\n");
    scratch_put(&fixture, "/answer", "Reading\nE: Unable to locate package nginx\n");
    g_assert_false(host_package_apply(fixture.host, actions, 2, NULL, &error));
    assert_code(error, STEAD_ERROR_FAILED);
    g_assert_true(g_str_has_prefix(error->message,
                                   "install 'nginx'; hold 'nginx': apt knows no package 'nginx'"));
    scratch_run(&fixture, "rm calls");
    /* An interrupted dpkg is finished first, and then once more. */
    scratch_put(&fixture, "/answer", "E: dpkg was interrupted, you must manually run ...\n");
    g_test_expect_message("stead", G_LOG_LEVEL_MESSAGE, "*dpkg --configure -a first");
    g_clear_error(&error);
    g_assert_true(host_package_apply(fixture.host, actions, 1, NULL, &error));
    g_test_assert_expected_messages();
    g_assert_no_error(error);
    assert_calls(&fixture, "apt-get install " APT_OPTIONS "--no-remove nginx\n"
                           "dpkg --force-confdef --force-confold --configure -a\n"
                           "apt-get install " APT_OPTIONS "--no-remove nginx\n");
    /* Another apt took its cache away, and does so once only. */
    scratch_run(&fixture, "sed -i '$i [ $x = 0 ] || echo 0 > /status' usr/bin/apt-get");
    scratch_put(&fixture, "/status", "100\n");
    scratch_put(&fixture, "/answer", "E: Problem renaming the file /x/pkgcache.bin.1 to /x\n");
    g_assert_true(host_package_apply(fixture.host, actions, 1, NULL, &error));
    g_assert_no_error(error);
    assert_calls(&fixture, "apt-get install " APT_OPTIONS "--no-remove nginx\n"
                           "apt-get install " APT_OPTIONS "--no-remove nginx\n");
    /* It finds nothing to do, though there is: once more, without its cache. */
    PackageAction version = { .name = "two", .verb = PACKAGE_VERSION, .version = "5" };
    g_assert_true(host_package_apply(fixture.host, &version, 1, NULL, &error));
    g_assert_no_error(error);
    assert_calls(&fixture,
                 "apt-get install " APT_OPTIONS "--no-remove two=5\n"
                 "apt-get -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= install " APT_OPTIONS
                 "--no-remove two=5\n");
    version.version = "6"; /* which is there */
    g_assert_true(host_package_apply(fixture.host, &version, 1, NULL, &error));
    assert_calls(&fixture, "apt-get install " APT_OPTIONS "--no-remove two=6\n");
    scratch_run(&fixture, "rm usr/bin/apt-get");
    g_assert_false(host_package_apply(fixture.host, actions, 1, NULL, &error));
    assert_code(error, STEAD_ERROR_UNSUPPORTED);
    real_fixture_tear_down(&fixture, "root");
}

static void test_remove(void) {
    if (!needs_root())
        return;
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    put_apt(&fixture);
    PackageAction remove = { .name = "lib", .verb = PACKAGE_REMOVE };
    g_autoptr(GError) error = NULL;
    scratch_put(&fixture, "/answer", "Remv app [1]\nRemv lib [1]\n");
    g_assert_false(host_package_apply(fixture.host, &remove, 1, NULL, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
    g_assert_nonnull(strstr(error->message, "remove 'lib': it would remove other packages (app)"));
    const char *simulation = "apt-get install " APT_OPTIONS
                             "--simulate --allow-change-held-packages --allow-remove-essential "
                             "lib-\n";
    assert_calls(&fixture, simulation);
    g_clear_error(&error);
    scratch_put(&fixture, "/answer", "Remv lib [1]\n");
    scratch_put(&fixture, "/var/lib/apt/lists/new", ""); /* what was foreseen counts no more */
    g_assert_true(host_package_apply(fixture.host, &remove, 1, NULL, &error));
    g_autofree char *both = g_strconcat(simulation, "apt-get install " APT_OPTIONS "lib-\n", NULL);
    assert_calls(&fixture, both);
    real_fixture_tear_down(&fixture, "root");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/real-packages/simulation", test_simulation);
    g_test_add_func("/real-packages/wishes", test_wishes);
    g_test_add_func("/real-packages/remove", test_remove);
    g_test_add_func("/real-packages/status", test_status);
    g_test_add_func("/real-packages/updates", test_updates);
    g_test_add_func("/real-packages/marks", test_marks);
    g_test_add_func("/real-packages/status-of-rubbish", test_status_of_rubbish);
    g_test_add_func("/real-packages/status-speed", test_status_speed);
    g_test_add_func("/real-packages/commands", test_commands);
    g_test_add_func("/real-packages/names", test_names);
    g_test_add_func("/real-packages/failures", test_failures);
    g_test_add_func("/real-packages/policy", test_policy);
    g_test_add_func("/real-packages/query", test_query);
    g_test_add_func("/real-packages/interrupted", test_interrupted);
    g_test_add_func("/real-packages/candidates", test_candidates);
    g_test_add_func("/real-packages/candidates-together", test_candidates_together);
    g_test_add_func("/real-packages/apply", test_apply);
    return g_test_run();
}
