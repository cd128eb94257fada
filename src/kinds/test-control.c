/* exit and timer: the kinds that have no state but act on the run. */
#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

static void test_exit(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) three = kind_test_resource(&kind_exit, "stop", "code:=3", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, three);
    g_assert_cmpint(plan->changes->action, ==, ACTION_RUN);
    g_assert_cmpint(plan->exit_code, ==, -1);
    g_autoptr(KindRound) round = kind_test_converge(test, three, ACTION_RUN);
    g_assert_cmpint(round->exit_code, ==, 3);

    test->reason = REASON_POLL;
    kind_test_expect(test, three, ACTION_NONE);
    g_autofree char *problems = kind_test_problems(&kind_exit, "stop", "code:=126", NULL);
    g_assert_nonnull(strstr(problems, "between 0 and 125, not 126"));
}

static void test_timer(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) timer = kind_test_resource(&kind_timer, "tick", "interval:=5", NULL);
    g_assert_cmpint(resource_int(timer, 0, 0), ==, 5000000);
    kind_test_expect(test, timer, ACTION_NONE);
    test->reason = REASON_EVENT;
    kind_test_expect(test, timer, ACTION_RUN);

    test->reason = REASON_POLL;
    test->refresh = true;
    g_autoptr(KindRound) round = kind_test_converge(test, timer, ACTION_RESTART);
    g_assert_true(round->rearm);
    g_autofree char *problems = kind_test_problems(&kind_timer, "tick", "interval:=0", NULL);
    g_assert_nonnull(strstr(problems, "above zero"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/exit", test_exit);
    g_test_add_func("/kinds/timer", test_timer);
    return g_test_run();
}
