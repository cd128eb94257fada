/* What is of a schema, and what is said of what is not. */
#include "http/schema.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"

static const char page[] =
    "{\"type\":\"object\",\"properties\":{\"hosts\":{\"type\":\"array\",\"items\":{\"type\":"
    "\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"time\":{\"type\":\"integer\"},"
    "\"share\":{\"type\":\"number\"},\"bad\":{\"type\":\"boolean\"},\"state\":{\"enum\":[\"a\"]},"
    "\"labels\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}},"
    "\"required\":[\"name\"]}}}}";

/* problem NULL: it is. */
static void expect(const char *text, const char *problem) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) schema = json_parse(page, strlen(page), "schema", &error);
    g_assert_no_error(error);
    g_autoptr(Value) value = json_parse(text, strlen(text), "value", &error);
    g_assert_no_error(error);
    g_assert_cmpint(schema_check(schema, value, &error), ==, problem == NULL);
    if (problem)
        g_assert_true(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_REFUSED));
    g_assert_cmpstr(error ? error->message : NULL, ==, problem);
}

static void takes(void) {
    expect("{}", NULL);
    expect("{\"more\":[1,null]}", NULL);
    expect("{\"hosts\":[]}", NULL);
    expect("{\"hosts\":[{\"name\":\"a\",\"time\":1,\"share\":1,\"bad\":true,\"state\":\"a\","
           "\"labels\":{\"x\":\"y\"},\"new\":{}},{\"name\":\"\",\"share\":0.5}]}",
           NULL);
}

static void refuses(void) {
    expect("[]", "it is a list, not an object");
    expect("null", "it is null, not an object");
    expect("{\"hosts\":{}}", "'hosts' is an object, not a list");
    expect("{\"hosts\":[1]}", "'hosts[0]' is an integer, not an object");
    expect("{\"hosts\":[{}]}", "'hosts[0].name' is missing");
    expect("{\"hosts\":[{\"name\":\"a\"},{\"name\":null}]}",
           "'hosts[1].name' is null, not a string");
    expect("{\"hosts\":[{\"name\":\"a\",\"time\":1.5}]}",
           "'hosts[0].time' is a number, not an integer");
    expect("{\"hosts\":[{\"name\":\"a\",\"bad\":1}]}",
           "'hosts[0].bad' is an integer, not a boolean");
    expect("{\"hosts\":[{\"name\":\"a\",\"state\":\"b\"}]}",
           "'hosts[0].state' is not a word that is known here");
    expect("{\"hosts\":[{\"name\":\"a\",\"labels\":{\"x\":[]}}]}",
           "'hosts[0].labels.x' is a list, not a string");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http/schema/takes", takes);
    g_test_add_func("/http/schema/refuses", refuses);
    return g_test_run();
}
