/* pkg on the fake package manager; the real one is in test/container/. */
#include <string.h>

#include "host/host-fake.h"
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
        { "state=installed", "state=present", true },    { "state=newest", "state=latest", true },
        { "state=installed", "state=newest", false },    { "state=1.0", "state=1.0", false },
        { "version=1.0", "state=installed", false },     { "state=absent", "state=purged", true },
        { "allowuntrusted:=true", "held:=true", false }, { "held:=true", "held:=false", true },
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
    g_test_add_func("/kinds/pkg/unknown", test_unknown);
    g_test_add_func("/kinds/pkg/group", test_group);
    g_test_add_func("/kinds/pkg/group-with", test_group_with);
    g_test_add_func("/kinds/pkg/refused", test_refused);
    g_test_add_func("/kinds/pkg/faults", test_faults);
    return g_test_run();
}
