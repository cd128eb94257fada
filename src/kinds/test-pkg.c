/* pkg on the fake package manager; the real one is in test/container/. */
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

static Host *host_with_packages(void) {
    Host *host = host_fake_new();
    host_fake_set_package(host, "nginx", NULL, "1.22.1-9");
    host_fake_set_package(host, "curl", NULL, "7.88.1-10");
    host_fake_set_package(host, "openssl", "3.0.15-1", "3.0.16-1");
    host_fake_set_package(host, "base-files", "12.4", "12.4");
    return host;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PackageInfo, package_info_clear)

static char *version_of(Host *host, const char *name) {
    PackageInfo info = { 0 };
    g_assert_true(host_package_query(host, name, false, &info, NULL));
    char *version = g_strdup(info.version);
    package_info_clear(&info);
    return version;
}

static void expect_version(Host *host, const char *name, const char *version) {
    g_autofree char *found = version_of(host, name);
    g_assert_cmpstr(found, ==, version);
}

static void test_installed(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) nginx = kind_test_resource(&kind_pkg, "nginx", NULL);
    g_autoptr(Resource) openssl = kind_test_resource(&kind_pkg, "openssl", "ensure=present", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, nginx, ACTION_CREATE);
    const Change *version = changes_find(round->changes, "version");
    g_assert_cmpstr(value_string(version->after), ==, "1.22.1-9");
    g_assert_cmpstr(value_map_string(round->outputs, "version", ""), ==, "1.22.1-9");
    kind_test_expect(test, openssl, ACTION_NONE);
    kind_test_undo(test, nginx, ON_REMOVE_DEFAULT);
    expect_version(host, "nginx", NULL);
}

static void test_newest(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) openssl = kind_test_resource(&kind_pkg, "openssl", "state=latest", NULL);
    g_autoptr(Resource) base = kind_test_resource(&kind_pkg, "base-files", "state=newest", NULL);
    kind_test_expect(test, openssl, ACTION_CHANGE);
    expect_version(host, "openssl", "3.0.16-1");
    kind_test_expect(test, base, ACTION_NONE);
    kind_test_undo(test, openssl, ON_REMOVE_RESTORE); /* updates are not undone */
    expect_version(host, "openssl", "3.0.16-1");
}

static void test_version(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) up = kind_test_resource(&kind_pkg, "openssl", "version=3.0.16-1", NULL);
    g_autoptr(Resource) same = kind_test_resource(&kind_pkg, "openssl", "state=3.0.*", NULL);
    g_autoptr(Resource) down = kind_test_resource(&kind_pkg, "openssl", "state=3.0.14-1", NULL);
    g_autoptr(Resource) allowed =
        kind_test_resource(&kind_pkg, "openssl", "state=3.0.14-1", "allowdowngrade:=true", NULL);
    kind_test_expect(test, up, ACTION_CHANGE);
    kind_test_expect(test, same, ACTION_NONE);
    kind_test_expect_error(test, down, "set allowdowngrade = true");
    kind_test_expect(test, allowed, ACTION_CHANGE);
    expect_version(host, "openssl", "3.0.14-1");
    g_autoptr(Resource) fresh = kind_test_resource(&kind_pkg, "nginx", "version=1.22.1-9", NULL);
    kind_test_expect(test, fresh, ACTION_CREATE);
}

static void test_pattern(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) newest = kind_test_resource(&kind_pkg, "curl", "version=7.*", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, newest, ACTION_CREATE);
    g_assert_cmpstr(value_string(changes_find(round->changes, "version")->after), ==, "7.88.1-10");
    /* not the candidate: apt has to find it */
    g_autoptr(Resource) older = kind_test_resource(&kind_pkg, "nginx", "version=1.20.*", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, older);
    g_assert_no_error(plan->error);
    g_assert_cmpint(value_type(changes_find(plan->changes, "version")->after), ==, VALUE_UNKNOWN);
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "version")), ==, VALUE_UNKNOWN);
}

static void test_removed(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) absent = kind_test_resource(&kind_pkg, "openssl", "state=absent", NULL);
    g_autoptr(Resource) purged = kind_test_resource(&kind_pkg, "openssl", "state=purged", NULL);
    g_autoptr(Resource) never = kind_test_resource(&kind_pkg, "nginx", "state=purged", NULL);
    kind_test_expect(test, absent, ACTION_REMOVE);
    kind_test_expect(test, purged, ACTION_REMOVE); /* its configuration files are left */
    kind_test_expect(test, never, ACTION_NONE);
    g_autoptr(Resource) wanted = kind_test_resource(&kind_pkg, "nginx", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, wanted);
    g_assert_cmpstr(value_string(changes_find(plan->changes, "state")->before), ==, "absent");
    g_assert_null(kind_test_reverse(test, absent, ON_REMOVE_RESTORE));
    resource_own_meta(absent)->on_remove = ON_REMOVE_RESTORE; /* asked for */
    kind_test_undo(test, absent, ON_REMOVE_RESTORE);
    expect_version(host, "openssl", "3.0.16-1");
}

static void test_held(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) held = kind_test_resource(&kind_pkg, "openssl", "state=held", NULL);
    g_autoptr(Resource) newest = kind_test_resource(&kind_pkg, "openssl", "state=newest", NULL);
    g_autoptr(Resource) absent = kind_test_resource(&kind_pkg, "openssl", "state=absent", NULL);
    g_autoptr(Resource) both =
        kind_test_resource(&kind_pkg, "openssl", "state=newest", "held:=true", NULL);
    g_autoptr(Resource) released = kind_test_resource(&kind_pkg, "openssl", "held:=false", NULL);
    kind_test_expect(test, held, ACTION_CHANGE);
    kind_test_expect_error(test, newest, "it is held at 3.0.15-1; set held = false");
    kind_test_expect_error(test, absent, "it is held at 3.0.15-1");
    kind_test_expect(test, both, ACTION_CHANGE);
    expect_version(host, "openssl", "3.0.16-1");
    kind_test_expect(test, held, ACTION_NONE);
    kind_test_expect(test, released, ACTION_CHANGE);
    g_autoptr(Resource) fresh = kind_test_resource(&kind_pkg, "curl", "state=held", NULL);
    kind_test_expect(test, fresh, ACTION_CREATE);
    kind_test_expect(test, fresh, ACTION_NONE);
}

/* --- what is wanted stays --- */

static bool is_automatic(Host *host, const char *name) {
    g_auto(PackageInfo) info = { 0 };
    g_assert_true(host_package_query(host, name, false, &info, NULL));
    return info.automatic;
}

static void test_manual(void) {
    g_autoptr(Host) host = host_with_packages();
    host_fake_mark_package(host, "openssl", "a");
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) openssl = kind_test_resource(&kind_pkg, "openssl", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, openssl, ACTION_CHANGE);
    g_assert_true(value_bool(changes_find(round->changes, "manual")->after));
    g_assert_false(is_automatic(host, "openssl"));
    kind_test_undo(test, openssl, ON_REMOVE_DEFAULT); /* marked as it was */
    g_assert_true(is_automatic(host, "openssl"));
    expect_version(host, "openssl", "3.0.15-1");
    g_autoptr(Resource) curl = kind_test_resource(&kind_pkg, "curl", "manual:=false", NULL);
    kind_test_expect(test, curl, ACTION_CREATE);
    g_assert_true(is_automatic(host, "curl"));
}

/* --- what comes and goes with it --- */

static Value *also(KindTest *test, const Resource *resource, const char *property) {
    KindRun run = { .host = test->host, .resource = resource }, *runs[] = { &run };
    g_autoptr(State) actual = state_new(&kind_pkg);
    g_autoptr(Changes) changes = changes_new();
    const State *actuals[] = { actual };
    g_assert_true(kind_pkg.observe(&run, actual, NULL));
    g_assert_true(kind_pkg.diff(&run, actual, changes, NULL));
    g_assert_true(kind_pkg.foresee(runs, actuals, &changes, 1, NULL));
    value_unref(run.outputs);
    const Change *change = changes_find(changes, property);
    return change ? value_ref(change->after) : NULL;
}

static Host *host_with_dependencies(void) {
    Host *host = host_with_packages();
    host_fake_set_package(host, "libcurl", NULL, "7.88.1-10");
    host_fake_set_package(host, "libc", "2.36", "2.36");
    host_fake_mark_package(host, "libc", "e");
    host_fake_set_package(host, "libssl", "3.0.15-1", "3.0.15-1");
    host_fake_set_depends(host, "curl", "libcurl");
    host_fake_set_depends(host, "openssl", "libssl");
    return host;
}

static void test_dependencies(void) {
    g_autoptr(Host) host = host_with_dependencies();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) curl = kind_test_resource(&kind_pkg, "curl", NULL);
    g_autoptr(Value) installs = also(test, curl, "also installs");
    g_assert_cmpuint(value_size(installs), ==, 1);
    g_assert_cmpstr(value_string(value_list_at(installs, 0)), ==, "libcurl 7.88.1-10");
    kind_test_expect(test, curl, ACTION_CREATE);
    expect_version(host, "libcurl", "7.88.1-10");
    g_assert_true(is_automatic(host, "libcurl"));
}

static bool foresees(Host *host, const Resource *resource, GError **error) {
    KindRun run = { .host = host, .resource = resource }, *runs[] = { &run };
    g_autoptr(State) actual = state_new(&kind_pkg);
    g_autoptr(Changes) changes = changes_new();
    const State *actuals[] = { actual };
    bool ok = kind_pkg.observe(&run, actual, error) &&
              kind_pkg.diff(&run, actual, changes, error) &&
              kind_pkg.foresee(runs, actuals, &changes, 1, error);
    value_unref(run.outputs);
    return ok;
}

static void test_others_need_it(void) {
    g_autoptr(Host) host = host_with_dependencies();
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(GError) error = NULL, planned = NULL;
    g_autoptr(Resource) away = kind_test_resource(&kind_pkg, "libssl", "state=absent", NULL);
    g_assert_false(foresees(host, away, &error));
    g_assert_cmpint(error->code, ==, STEAD_ERROR_REFUSED);
    g_assert_nonnull(strstr(error->message, "it would remove other packages (openssl); set force"));
    g_assert_false(foresees(overlay, away, &planned));
    g_assert_cmpstr(planned->message, ==, error->message);
    g_autoptr(Resource) forced =
        kind_test_resource(&kind_pkg, "libssl", "state=absent", "force:=true", NULL);
    g_autoptr(Value) removes = also(test, forced, "also removes");
    g_assert_cmpstr(value_string(value_list_at(removes, 0)), ==, "openssl 3.0.15-1");
    kind_test_expect(test, forced, ACTION_REMOVE);
    expect_version(host, "openssl", NULL);
}

static void test_essential(void) {
    g_autoptr(Host) host = host_with_dependencies();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_set_package(host, "libglib2.0-0t64", "2.80", "2.80");
    g_autoptr(Resource) libc = kind_test_resource(&kind_pkg, "libc", "state=purged", NULL);
    g_autoptr(Resource) glib =
        kind_test_resource(&kind_pkg, "libglib2.0-0t64", "state=absent", NULL);
    g_autoptr(Resource) forced =
        kind_test_resource(&kind_pkg, "libc", "state=purged", "force:=true", NULL);
    kind_test_expect_error(test, libc, "refuse to remove it: dpkg calls it essential");
    kind_test_expect_error(test, glib, "refuse to remove it: stead itself needs it");
    kind_test_expect(test, forced, ACTION_REMOVE);
}

/* --- where it comes from --- */

static void test_refresh(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_offer_later(host, "tool", "1.0");
    g_autoptr(Resource) tool = kind_test_resource(&kind_pkg, "tool", NULL);
    g_autoptr(KindRound) round = kind_test_round(test, tool);
    g_assert_no_error(round->error);
    expect_version(host, "tool", "1.0");
    g_autoptr(Resource) ngin = kind_test_resource(&kind_pkg, "ngin", NULL);
    g_autoptr(KindRound) missing = kind_test_round(test, ngin);
    g_assert_nonnull(strstr(missing->error->message, "did you mean 'nginx'?"));
    g_assert_nonnull(strstr(missing->error->message, "'apt-get update' was run"));
    host_fake_fail_refresh(host, "fetch from 'mirror': refused");
    g_autoptr(KindRound) unreachable = kind_test_round(test, ngin);
    g_assert_nonnull(strstr(unreachable->error->message, "fetch from 'mirror': refused"));
    unsigned asked = host_fake_count(host, "package_refresh");
    g_autoptr(KindRound) plan = kind_test_plan(test, ngin); /* changes nothing, lists neither */
    g_assert_no_error(plan->error);
    g_assert_cmpuint(host_fake_count(host, "package_refresh"), ==, asked);
}

static void test_release(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_set_package(host, "openssl/backports", NULL, "3.2");
    g_autoptr(Resource) openssl =
        kind_test_resource(&kind_pkg, "openssl", "state=newest", "release=backports", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, openssl);
    g_assert_no_error(plan->error);
    g_assert_cmpstr(value_string(changes_find(plan->changes, "version")->after), ==, "3.2");
}

/* A package file as dpkg-deb makes it, uncompressed. */
static GBytes *make_deb(const char *control) {
    GByteArray *deb = g_byte_array_new();
    g_autofree char *tar = g_malloc0(2048);
    size_t size = strlen(control);
    g_strlcpy(tar, "./control", 100);
    memcpy(tar + 100, "0000644\0000000000\0000000000", 23);
    g_snprintf(tar + 124, 12, "%011o", (unsigned)size);
    memcpy(tar + 136, "00000000000", 11);
    tar[156] = '0';
    memcpy(tar + 257, "ustar\00000", 8);
    memset(tar + 148, ' ', 8);
    unsigned sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum += (unsigned char)tar[i];
    g_snprintf(tar + 148, 8, "%06o", sum);
    memcpy(tar + 512, control, size);
    g_autofree char *head = g_strdup_printf("!<arch>\n%-16s%-12d%-6d%-6d%-8s%-10d`\n2.0\n"
                                            "%-16s%-12d%-6d%-6d%-8s%-10d`\n",
                                            "debian-binary", 0, 0, 0, "100644", 4, "control.tar", 0,
                                            0, 0, "100644", 2048);
    g_byte_array_append(deb, (const guint8 *)head, (guint)strlen(head));
    g_byte_array_append(deb, (const guint8 *)tar, 2048);
    return g_byte_array_free_to_bytes(deb);
}

static void put_deb(Host *host, const char *path, const char *control) {
    g_autoptr(GBytes) deb = make_deb(control);
    g_assert_true(host_write(host, path, deb, NULL, NULL));
}

static void test_source(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    put_deb(host, "/tmp/tool.deb", "Package: tool\nVersion: 1.4\nArchitecture: all\n");
    g_autoptr(Resource) tool = kind_test_resource(&kind_pkg, "tool", "source=/tmp/tool.deb", NULL);
    kind_test_expect(test, tool, ACTION_CREATE);
    expect_version(host, "tool", "1.4");
    put_deb(host, "/tmp/tool.deb", "Package: tool\nVersion: 1.5\nArchitecture: all\n");
    kind_test_expect(test, tool, ACTION_NONE); /* any version will do */
    g_autoptr(Resource) newest =
        kind_test_resource(&kind_pkg, "tool", "source=/tmp/tool.deb", "state=newest", NULL);
    kind_test_expect(test, newest, ACTION_CHANGE);
    expect_version(host, "tool", "1.5");
    g_autoptr(Resource) wrong =
        kind_test_resource(&kind_pkg, "tool", "source=/tmp/tool.deb", "version=2.0", NULL);
    kind_test_expect_error(test, wrong, "source '/tmp/tool.deb' is version 1.5, not 2.0");
    put_deb(host, "/tmp/tool.deb", "Package: tool\nVersion: 1.1\nArchitecture: all\n");
    kind_test_expect_error(test, newest, "set allowdowngrade = true");
    g_autoptr(Resource) other = kind_test_resource(&kind_pkg, "curl", "source=/tmp/tool.deb", NULL);
    kind_test_expect_error(test, other, "is the package 'tool'");
    g_assert_true(host_fake_tamper_write(host, "/tmp/tool.deb", "!<arch>\nrubbish"));
    kind_test_expect_error(test, newest, "it is no Debian package");
    g_assert_true(host_fake_tamper_remove(host, "/tmp/tool.deb"));
    kind_test_expect_error(test, newest, "read source '/tmp/tool.deb'");
}

static char *given_answers;

static void take_answers(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                         void *data) {
    g_free(given_answers);
    given_answers = g_strndup(command->input, command->input_size);
    ret_result->exit_status = *(int *)data;
}

static void test_debconf(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    int exit_status = 1;
    host_fake_set_command(host, "debconf-set-selections", 0, "", take_answers, &exit_status);
    g_autoptr(Resource) curl = kind_test_resource(
        &kind_pkg, "curl", "debconf:=[\"curl/one select a b\", \"curl/two boolean true\"]", NULL);
    g_autoptr(KindRound) refused = kind_test_round(test, curl);
    g_assert_nonnull(strstr(refused->error->message, "give the answers in debconf"));
    expect_version(host, "curl", NULL);
    exit_status = 0;
    kind_test_expect(test, curl, ACTION_CREATE);
    g_assert_cmpstr(given_answers, ==, "curl curl/one select a b\ncurl curl/two boolean true\n");
    g_clear_pointer(&given_answers, g_free);
}

/* A source may come with something before: a plan cannot know, an apply must. */
static void test_unknown(void) {
    g_autoptr(Host) host = host_with_packages();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) pkg = kind_test_resource(&kind_pkg, "no-such", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, pkg);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
    g_assert_cmpint(value_type(changes_find(plan->changes, "version")->after), ==, VALUE_UNKNOWN);
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "version")), ==, VALUE_UNKNOWN);
    g_autoptr(KindRound) round = kind_test_round(test, pkg);
    g_assert_error(round->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(round->error->message, "no source of apt has it"));
}

static void test_group(void) {
    g_autoptr(Host) host = host_with_packages();
    const char *const names[] = { "nginx", "curl" };
    KindRun runs[2], *run_list[2];
    const State *states[2];
    const Changes *changes[2];
    for (unsigned i = 0; i < 2; i++) {
        Resource *pkg = kind_test_resource(&kind_pkg, names[i], NULL);
        runs[i] = (KindRun){ .host = host, .resource = pkg };
        State *state = state_new(&kind_pkg);
        Changes *found = changes_new();
        g_assert_true(kind_pkg.observe(&runs[i], state, NULL));
        g_assert_true(kind_pkg.diff(&runs[i], state, found, NULL));
        run_list[i] = &runs[i];
        states[i] = state;
        changes[i] = found;
    }
    g_assert_true(kind_pkg.apply_group(run_list, states, changes, 2, NULL));
    g_assert_cmpuint(host_fake_count(host, "package_apply"), ==, 1);
    expect_version(host, "nginx", "1.22.1-9");
    expect_version(host, "curl", "7.88.1-10");
    for (unsigned i = 0; i < 2; i++) {
        resource_unref((Resource *)(uintptr_t)runs[i].resource);
        value_unref(runs[i].outputs);
        state_free((State *)(uintptr_t)states[i]);
        changes_free((Changes *)(uintptr_t)changes[i]);
    }
}

static void test_group_with(void) {
    static const struct {
        const char *a, *b;
        bool together;
    } cases[] = {
        { "state=installed", "state=present", true },
        { "state=newest", "state=latest", true },
        { "state=installed", "state=newest", false },
        { "state=1.0", "state=1.0", false },
        { "version=1.0", "state=installed", false },
        { "state=absent", "state=purged", true },
        { "force:=true", "held:=true", false },
        { "recommends:=true", "recommends:=false", false },
        { "release=b", "state=present", false },
        { "source=/a.deb", "source=/a.deb", false },
        { "allowuntrusted:=true", "held:=true", false },
        { "held:=true", "held:=false", true },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Resource) a = kind_test_resource(&kind_pkg, "aa", cases[i].a, NULL);
        g_autoptr(Resource) b = kind_test_resource(&kind_pkg, "bb", cases[i].b, NULL);
        if (kind_pkg.group_with(a, b) != cases[i].together ||
            kind_pkg.group_with(b, a) != cases[i].together)
            g_error("%s, %s", cases[i].a, cases[i].b);
    }
}

static void test_refused(void) {
    static const struct {
        const char *name, *one, *two, *text;
    } cases[] = {
        { "nginx", "state=instaled", NULL, "did you mean 'installed'?" },
        { "nginx", "state=1.0 beta", NULL, "refuse version '1.0 beta'" },
        { "nginx", "version=*", NULL, "refuse version '*'" },
        { "nginx", "version=1.0", "state=newest", "they contradict" },
        { "nginx", "version=1.0", "state=1.1", "they contradict" },
        { "nginx", "state=absent", "held:=true", "cannot be both absent and held" },
        { "nginx", "state=held", "held:=false", "contradict" },
        { "-y", "state=newest", NULL, "refuse package name" },
        { "Nginx", "state=newest", NULL, "refuse package name" },
        { "nginx", "debconf=tzdata/Areas", NULL, "write 'QUESTION TYPE VALUE'" },
        { "nginx", "debconf=nginx tzdata/Areas select Europe", NULL, "write 'QUESTION TYPE" },
        { "nginx", "release=a b", NULL, "refuse release 'a b'" },
        { "nginx", "source=/tmp/x.rpm", NULL, "a package file ends in .deb" },
        { "nginx", "configfiles=ask", NULL, "expected" },
        { "nginx:", "state=newest", NULL, "refuse package name" },
        { "nginx=1", "state=newest", NULL, "refuse package name" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_pkg, cases[i].name, cases[i].one, cases[i].two, NULL);
        if (!strstr(problems, cases[i].text))
            g_error("%s %s: %s", cases[i].name, cases[i].one, problems);
    }
    g_autoptr(Resource) foreign = kind_test_resource(&kind_pkg, "libc6:i386", NULL);
    g_assert_nonnull(foreign);
}

static void test_faults(void) {
    g_autoptr(Resource) openssl =
        kind_test_resource(&kind_pkg, "openssl", "state=newest", "held:=true", NULL);
    g_assert_cmpuint(kind_test_faults(host_with_packages, openssl), >=, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/pkg/installed", test_installed);
    g_test_add_func("/kinds/pkg/newest", test_newest);
    g_test_add_func("/kinds/pkg/version", test_version);
    g_test_add_func("/kinds/pkg/pattern", test_pattern);
    g_test_add_func("/kinds/pkg/removed", test_removed);
    g_test_add_func("/kinds/pkg/held", test_held);
    g_test_add_func("/kinds/pkg/manual", test_manual);
    g_test_add_func("/kinds/pkg/dependencies", test_dependencies);
    g_test_add_func("/kinds/pkg/others-need-it", test_others_need_it);
    g_test_add_func("/kinds/pkg/essential", test_essential);
    g_test_add_func("/kinds/pkg/refresh", test_refresh);
    g_test_add_func("/kinds/pkg/release", test_release);
    g_test_add_func("/kinds/pkg/source", test_source);
    g_test_add_func("/kinds/pkg/debconf", test_debconf);
    g_test_add_func("/kinds/pkg/unknown", test_unknown);
    g_test_add_func("/kinds/pkg/group", test_group);
    g_test_add_func("/kinds/pkg/group-with", test_group_with);
    g_test_add_func("/kinds/pkg/refused", test_refused);
    g_test_add_func("/kinds/pkg/faults", test_faults);
    return g_test_run();
}
