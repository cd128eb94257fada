/* Which hosts a selector means, and how a strategy is read and printed. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/selector.h"
#include "fleet/strategy.h"

static const char labels_text[] = "{\"role\": \"web\", \"site\": \"ams1\", \"note\": \"a b\"}";
static const char facts_text[] = "{\"role\": \"fact\", \"os\": {\"name\": \"debian\"}, \"cpus\": 8,"
                                 " \"virtual\": true, \"tags\": [\"edge\", \"new\"]}";

static bool matches(const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) labels = json_parse(labels_text, strlen(labels_text), "labels", &error);
    g_assert_no_error(error);
    g_autoptr(Value) facts = json_parse(facts_text, strlen(facts_text), "facts", &error);
    g_assert_no_error(error);
    g_autoptr(Selector) selector = selector_parse(text, &error);
    g_assert_no_error(error);
    return selector_matches(selector, "web1.ams1", labels, facts);
}

static void test_matches(void) {
    static const char *const yes[] = {
        "all",
        "web1.ams1",
        "web*",
        "*1.ams?",
        "host=web*",
        "role=web",
        "role=web and site=ams1",
        "role=db or site=ams*",
        "not role=db",
        "not (role=db or role=fact)",
        "role!=db",
        "nothing!=x",
        "os.name=debian",
        "cpus=8",
        "virtual=true",
        "tags=new",
        "note=\"a b\"",
        "\"web1.ams1\"",
        "role=db and site=none or host=web1*",
        "  role = web ",
    };
    static const char *const no[] = {
        "web",       "db*",       "role=fact", "role=web and site=fra1",
        "not all",   "\"all\"",   "\"web*\"",  "role=db and (site=none or host=web1*)",
        "nothing=x", "os=debian", "tags=old",  "web?",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(yes); i++)
        if (!matches(yes[i]))
            g_error("'%s' does not match", yes[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(no); i++)
        if (matches(no[i]))
            g_error("'%s' matches", no[i]);
}

static void test_long_globs(void) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < SELECTOR_MAX / 2 - 1; i++)
        g_string_append(text, "*a");
    g_assert_false(matches(text->str));
}

static void test_print(void) {
    static const char *const pairs[][2] = {
        { "a or (b or c) and not(not d)", "a or (b or c) and not not d" },
        { "(a and b) or c", "a and b or c" },
        { "a and (b and c)", "a and (b and c)" },
        { "not (a and b)", "not (a and b)" },
        { "x=\"a\\\"b\\\\\"", "x=\"a\\\"b\\\\\"" },
        { "role != web", "role!=web" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Selector) selector = selector_parse(pairs[i][0], &error);
        g_assert_no_error(error);
        g_autofree char *text = selector_print(selector);
        g_assert_cmpstr(text, ==, pairs[i][1]);
    }
}

static void test_refused(void) {
    static const char *const pairs[][2] = {
        { "", "character 1: expected a host name" },
        { "role=web and", "character 13: expected a host name" },
        { "role=", "character 6: expected a value" },
        { "role=web site=ams1", "character 10: expected 'and', 'or' or the end" },
        { "(role=web", "character 10: expected 'and', 'or' or ')'" },
        { "role=\"web", "character 6: end the text" },
        { "r*=web", "character 1: name one label or fact" },
        { "a )", "character 3: expected 'and', 'or' or the end" },
        { "a\x01", "control characters" },
        { "\xff", "not UTF-8" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(selector_parse(pairs[i][0], &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, pairs[i][1]))
            g_error("'%s' is not in: %s", pairs[i][1], error->message);
    }
    g_autofree char *deep = g_strnfill(1000, '(');
    g_autoptr(GError) error = NULL;
    g_assert_null(selector_parse(deep, &error));
    g_assert_nonnull(strstr(error->message, "character 65: it is nested deeper"));
}

static void test_strategy(void) {
    static const char *const pairs[][2] = {
        { "", "batch=10%,soak=1m,max-failures=1,canaries=1,by=none,order=salted,timeout=10m,"
              "on-failure=halt" },
        { "batch=2, soak=90s ,on-failure=revert,by=site,order=name,timeout=2h,canaries=0,"
          "max-failures=0",
          "batch=2,soak=90s,max-failures=0,canaries=0,by=site,order=name,timeout=2h,"
          "on-failure=revert" },
        { "by=rack-row_1.a",
          "batch=10%,soak=1m,max-failures=1,canaries=1,by=rack-row_1.a,order=salted,timeout=10m,"
          "on-failure=halt" },
    };
    Strategy strategy;
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GError) error = NULL;
        strategy_parse(pairs[i][0], &strategy, &error);
        g_assert_no_error(error);
        g_autofree char *text = strategy_print(&strategy);
        g_assert_cmpstr(text, ==, pairs[i][1]);
        g_assert_true(strategy_parse(text, &strategy, &error));
        g_autofree char *again = strategy_print(&strategy);
        g_assert_cmpstr(again, ==, text);
    }
    g_assert_true(strategy_parse("batch=10%", &strategy, NULL));
    g_assert_cmpuint(strategy_batch(&strategy, 0), ==, 1);
    g_assert_cmpuint(strategy_batch(&strategy, 50), ==, 5);
    g_assert_cmpuint(strategy_batch(&strategy, 51), ==, 6);
    g_assert_true(strategy_parse("batch=3", &strategy, NULL));
    g_assert_cmpuint(strategy_batch(&strategy, 50), ==, 3);
}

static void test_strategy_refused(void) {
    static const char *const pairs[][2] = {
        { "bach=2", "option 1: read 'bach': there is no such option; did you mean 'batch'?" },
        { "soak=60s,batch=0", "option 2: read 'batch=0': it is a number from 1" },
        { "batch=101%", "or a share like '10%'" },
        { "batch=2x", "it is a number from 1" },
        { "soak=60", "it is a time from 0s to 7d, like '90s'" },
        { "timeout=0s", "it is a time from 1s to 7d" },
        { "timeout=999999999d", "it is a time" },
        { "by=", "it is 'none', or the name of a label or fact: up to 64 letters" },
        { "by=a rack", "it is 'none', or the name" },
        { "by=rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", "up to 64" },
        { "by=role,by=site", "it is given twice" },
        { "soak=1m,", "option 2: read ''" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GError) error = NULL;
        Strategy strategy;
        g_assert_false(strategy_parse(pairs[i][0], &strategy, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, pairs[i][1]))
            g_error("'%s' is not in: %s", pairs[i][1], error->message);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fleet/selector/matches", test_matches);
    g_test_add_func("/fleet/selector/long-globs", test_long_globs);
    g_test_add_func("/fleet/selector/print", test_print);
    g_test_add_func("/fleet/selector/refused", test_refused);
    g_test_add_func("/fleet/strategy/print", test_strategy);
    g_test_add_func("/fleet/strategy/refused", test_strategy_refused);
    return g_test_run();
}
