/* value, noop, print, msg and test: the kinds that only speak. */
#include <string.h>

#include "host/host-fake.h"
#include "host/host-ops.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

static void test_value(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) list = kind_test_resource(&kind_value, "ports", "any:=[80, 443]", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, list, ACTION_NONE);
    const Value *any = value_map_get(round->outputs, "any");
    g_assert_cmpuint(value_size(any), ==, 2);
    g_assert_cmpint(value_int(value_list_at(any, 1)), ==, 443);

    g_autoptr(Resource) empty = kind_test_resource(&kind_value, "none", NULL);
    g_autoptr(KindRound) nothing = kind_test_converge(test, empty, ACTION_NONE);
    g_assert_null(value_map_get(nothing->outputs, "any"));

    g_autoptr(Resource) later = kind_test_resource(&kind_value, "later", "any=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, later);
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "any")), ==, VALUE_UNKNOWN);
}

static void test_noop(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) noop = kind_test_resource(&kind_noop, "base", "comment=x", NULL);
    kind_test_expect(test, noop, ACTION_NONE);
    test->refresh = true;
    kind_test_expect(test, noop, ACTION_RUN);
}

static void test_print(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) print = kind_test_resource(&kind_print, "hello", NULL);
    g_autoptr(KindRound) first = kind_test_converge(test, print, ACTION_NONE);
    g_assert_cmpstr(first->note, ==, "hello");
    g_autoptr(KindRound) plan = kind_test_plan(test, print);
    g_assert_null(plan->note);

    test->reason = REASON_POLL;
    g_autoptr(KindRound) quiet = kind_test_round(test, print);
    g_assert_null(quiet->note);
    test->reason = REASON_EVENT;
    g_autoptr(Resource) other = kind_test_resource(&kind_print, "hello", "msg=other", NULL);
    g_autoptr(KindRound) again = kind_test_round(test, other);
    g_assert_cmpstr(again->note, ==, "other");

    test->refresh = true;
    g_autoptr(KindRound) notified = kind_test_converge(test, other, ACTION_RUN);
    g_assert_cmpstr(notified->note, ==, "other");
    const Change *change = changes_find(notified->changes, "msg");
    g_assert_cmpstr(value_string(change->after), ==, "other");
}

static void test_print_refresh_only(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) only =
        kind_test_resource(&kind_print, "changed", "refresh_only:=true", NULL);
    g_autoptr(KindRound) start = kind_test_converge(test, only, ACTION_NONE);
    g_assert_null(start->note);
    test->refresh = true;
    g_autoptr(KindRound) round = kind_test_converge(test, only, ACTION_RUN);
    g_assert_cmpstr(round->note, ==, "changed");
}

/* A received text: not there in a plan, and perhaps a secret. */
static void test_print_received(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) later = kind_test_resource(&kind_print, "later", "msg=?", NULL);
    test->refresh = true;
    g_autoptr(KindRound) plan = kind_test_plan(test, later);
    g_assert_no_error(plan->error);
    g_assert_null(plan->note);

    resource_put(later, 0, NULL); /* as the engine leaves it */
    g_autoptr(KindRound) empty = kind_test_plan(test, later);
    const Change *change = changes_find(empty->changes, "msg");
    g_assert_cmpint(value_type(change->after), ==, VALUE_UNKNOWN);

    g_autoptr(Value) text = value_new_string("hunter2");
    resource_put(later, 0, value_as_secret(text, NULL));
    g_autoptr(KindRound) round = kind_test_round(test, later);
    g_assert_cmpstr(round->note, ==, "(secret)");
}

static void test_msg(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) first = kind_test_resource(&kind_msg, "ready", "priority=Warning",
                                                   "fields:={\"team\": \"web\"}", NULL);
    g_autoptr(KindRound) sent = kind_test_converge(test, first, ACTION_RUN);
    g_assert_cmpstr(sent->note, ==, "ready");
    g_assert_nonnull(strstr(host_fake_last_log(host), "ready"));
    g_assert_cmpuint(host_fake_count(host, "log"), ==, 1);
    kind_test_expect(test, first, ACTION_NONE);

    g_autoptr(Resource) louder = kind_test_resource(&kind_msg, "ready", "priority=err", NULL);
    kind_test_expect(test, louder, ACTION_RUN);
    g_assert_cmpuint(host_fake_count(host, "log"), ==, 2);
    test->refresh = true;
    kind_test_expect(test, louder, ACTION_RUN);
    g_assert_cmpuint(host_fake_count(host, "log"), ==, 3);

    g_autoptr(Resource) later = kind_test_resource(&kind_msg, "later", "body=?", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, later);
    g_assert_cmpint(plan->changes->action, ==, ACTION_RUN);
    g_assert_cmpuint(host_fake_count(host, "log"), ==, 3);
}

/* What arrives at the log, in all its parts. */
typedef struct {
    Host host;
    GString *seen;
} LogHost;

static bool record_log(Host *host, int priority, const char *text, const char *const *fields,
                       bool journal, bool syslog, GError **error) {
    LogHost *self = (LogHost *)(void *)host;
    g_string_append_printf(self->seen, "%d %s journal=%d syslog=%d", priority, text, journal,
                           syslog);
    for (; *fields; fields++)
        g_string_append_printf(self->seen, " %s", *fields);
    return true;
}

static void test_msg_parts(void) {
    static const HostOps ops = { .name = "log", .log = record_log };
    LogHost host = { { .ops = &ops, .root = (char *)(uintptr_t) "/" }, g_string_new(NULL) };
    g_autoptr(Resource) msg =
        kind_test_resource(&kind_msg, "m", "body=it is done", "priority=Warning",
                           "fields:={\"team\": \"web\", \"N\": 1}", "syslog:=true", NULL);
    KindRun run = { .host = &host.host, .resource = msg };
    g_autoptr(Changes) changes = changes_new();
    g_assert_true(kind_msg.apply(&run, NULL, changes, NULL));
    g_assert_cmpstr(host.seen->str, ==, "4 it is done journal=1 syslog=1 N=1 TEAM=web");
    value_unref(run.keep);
    g_free(run.note);
    g_string_free(host.seen, TRUE);
}

static void test_msg_secret(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) one = kind_test_resource(&kind_msg, "key", NULL);
    g_autoptr(Resource) two = kind_test_resource(&kind_msg, "key", NULL);
    g_autoptr(Value) hunter = value_new_string("hunter2"), other = value_new_string("hunter3");
    resource_put(one, 0, value_as_secret(hunter, NULL));
    resource_put(two, 0, value_as_secret(other, NULL));
    g_autoptr(KindRound) round = kind_test_converge(test, one, ACTION_RUN);
    g_assert_cmpstr(round->note, ==, "(secret)");
    const Value *kept = g_hash_table_lookup(test->kept, one);
    g_autofree char *text = value_show(kept, 0);
    g_assert_null(strstr(text, "hunter2"));
    kind_test_expect(test, two, ACTION_RUN); /* masked alike, but another text */
}

static void test_msg_refused(void) {
    static const struct {
        const char *fields, *text;
    } cases[] = {
        { "fields:={\"_x\": \"1\"}", "refuse field '_x'" },
        { "fields:={\"a b\": \"1\"}", "refuse field 'a b'" },
        { "fields:={\"message\": \"1\"}", "it is set by 'body'" },
        { "fields:={\"1a\": \"1\"}", "starting with a letter" },
        { "priority=urgent", "urgent" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *problems = kind_test_problems(&kind_msg, "m", cases[i].fields, NULL);
        if (!strstr(problems, cases[i].text))
            g_error("%s: %s", cases[i].fields, problems);
    }
}

static void test_test(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) types =
        kind_test_resource(&kind_test, "types", "str=x", "int8:=7", "float32:=1.5",
                           "mode=u=rw,go=r", "duration=5m", "milliseconds:=250", "strings:=[\"a\"]",
                           "map:={\"k\": 1}", "enum=green", "secret=s", "sendvalue=hey", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, types, ACTION_NONE);
    g_assert_cmpstr(value_map_string(round->outputs, "hello", ""), ==, "hey");
    g_assert_cmpint(value_map_int(round->outputs, "answer", 0), ==, 42);
    g_autofree char *problems =
        kind_test_problems(&kind_test, "bad", "validateerror=no good today", NULL);
    g_assert_nonnull(strstr(problems, "no good today"));
    g_autofree char *flag = kind_test_problems(&kind_test, "bad", "validate_bool:=true", NULL);
    g_assert_nonnull(strstr(flag, "validatebool"));

    g_autoptr(Resource) lonely = kind_test_resource(&kind_test, "r", "expectrecv=string", NULL);
    kind_test_expect_error(test, lonely, "received 0 parameters, expected 1");
    g_assert_true(resource_receive(lonely, "int", "test", "types", "answer", NULL));
    kind_test_expect_error(test, lonely, "parameter 'string' was not received");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/value", test_value);
    g_test_add_func("/kinds/noop", test_noop);
    g_test_add_func("/kinds/print", test_print);
    g_test_add_func("/kinds/print/refresh-only", test_print_refresh_only);
    g_test_add_func("/kinds/print/received", test_print_received);
    g_test_add_func("/kinds/msg", test_msg);
    g_test_add_func("/kinds/msg/parts", test_msg_parts);
    g_test_add_func("/kinds/msg/secret", test_msg_secret);
    g_test_add_func("/kinds/msg/refused", test_msg_refused);
    g_test_add_func("/kinds/test", test_test);
    return g_test_run();
}
