#include "kinds/kinds.h"

/* Kind 'test': one parameter of each type, for tests of languages and loaders. No unit test. */

enum {
    P_STRING,
    P_PATH,
    P_BOOL,
    P_INT,
    P_FLOAT,
    P_ENUM,
    P_MODE,
    P_DURATION,
    P_MILLISECONDS,
    P_STRINGS,
    P_MAP,
    P_ANY,
    P_SECRET,
    P_COMMENT,
    P_VALIDATEBOOL,
    P_VALIDATEERROR,
    P_ALWAYSGROUP,
    P_COMPAREFAIL,
    P_SENDVALUE,
    P_EXPECTRECV,
    N_PARAMS
};

static const char *const colours[] = { "red", "green", "blue", NULL };

static const Param params[N_PARAMS] = {
    [P_STRING] = { "string", PARAM_STRING, PARAM_RECEIVES, "Any text.",
                   .aliases = "str anotherstr" },
    [P_PATH] = { "path", PARAM_PATH, PARAM_RECEIVES, "An absolute path." },
    [P_BOOL] = { "bool", PARAM_BOOL, PARAM_RECEIVES, "True or false." },
    [P_INT] = { "int", PARAM_INT, PARAM_RECEIVES, "A whole number of 64 bits.",
                .aliases = "int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 byte rune" },
    [P_FLOAT] = { "float", PARAM_FLOAT, PARAM_RECEIVES, "A number with a fraction.",
                  .aliases = "float32 float64" },
    [P_ENUM] = { "enum", PARAM_ENUM, PARAM_RECEIVES, "One of a few words.", .choices = colours },
    [P_MODE] = { "mode", PARAM_MODE, PARAM_RECEIVES, "Permissions of a file." },
    [P_DURATION] = { "duration", PARAM_DURATION, PARAM_RECEIVES,
                     "A duration; a bare number counts seconds.", .unit = "s" },
    [P_MILLISECONDS] = { "milliseconds", PARAM_DURATION, PARAM_RECEIVES,
                         "A duration; a bare number counts milliseconds.", .unit = "ms" },
    [P_STRINGS] = { "strings", PARAM_STRINGS, PARAM_RECEIVES, "A list of texts.",
                    .aliases = "slicestring" },
    [P_MAP] = { "map", PARAM_MAP, PARAM_RECEIVES, "Texts by name." },
    [P_ANY] = { "any", PARAM_ANY, PARAM_RECEIVES, "A value of any type.", .aliases = "interface" },
    [P_SECRET] = { "secret", PARAM_STRING, PARAM_RECEIVES | PARAM_SECRET,
                   "A text that is never shown." },
    [P_COMMENT] = { "comment", PARAM_STRING, 0, "Text for whoever reads the configuration." },
    [P_VALIDATEBOOL] = { "validatebool", PARAM_BOOL, 0, "True makes validation fail.",
                         .aliases = "validate_bool" },
    [P_VALIDATEERROR] = { "validateerror", PARAM_STRING, 0,
                          "Any text makes validation fail with it.", .aliases = "validate_error" },
    [P_ALWAYSGROUP] = { "alwaysgroup", PARAM_BOOL, 0,
                        "Two resources that both set it become one vertex.",
                        .aliases = "always_group" },
    [P_COMPAREFAIL] = { "comparefail", PARAM_BOOL, 0,
                        "A live change of the configuration replaces the vertex instead of "
                        "changing it in place.",
                        .aliases = "compare_fail" },
    [P_SENDVALUE] = { "sendvalue", PARAM_STRING, 0, "What the output `hello` carries.",
                      .fallback = "hello", .aliases = "send_value" },
    [P_EXPECTRECV] = { "expectrecv", PARAM_STRINGS, 0,
                       "The parameters that must have been received, all of them and no others.",
                       .aliases = "expect_recv" },
};

static const Output outputs[] = {
    { "hello", PARAM_STRING, "The text of `sendvalue`." },
    { "answer", PARAM_INT, "The number 42." },
};

static bool test_validate(const Resource *resource, GError **error) {
    if (resource_bool(resource, P_VALIDATEBOOL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "fail because 'validatebool' is set");
        return false;
    }
    const char *text = resource_string(resource, P_VALIDATEERROR);
    if (text && *text) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
        return false;
    }
    return true;
}

static bool is_received(const Resource *resource, const char *param) {
    int index = kind_param_index(resource->kind, param);
    for (unsigned i = 0; resource->receives && i < resource->receives->len; i++)
        if ((int)g_array_index(resource->receives, Receive, i).param == index)
            return true;
    return false;
}

static bool check_received(const Resource *resource, GError **error) {
    const Value *expected = resource_get(resource, P_EXPECTRECV);
    if (!expected)
        return true;
    size_t received = resource->receives ? resource->receives->len : 0;
    if (value_size(expected) != received) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "received %zu parameters, expected %zu",
                    received, value_size(expected));
        return false;
    }
    for (size_t i = 0; i < value_size(expected); i++) {
        const char *name = value_string(value_list_at(expected, i));
        if (!is_received(resource, name)) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "parameter '%s' was not received",
                        name);
            return false;
        }
    }
    return true;
}

static bool test_observe(KindRun *run, State *actual, GError **error) {
    if (!check_received(run->resource, error))
        return false;
    actual->exists = true;
    kind_run_send(run, "hello", value_ref(resource_get(run->resource, P_SENDVALUE)));
    kind_run_send(run, "answer", value_new_int(42));
    if (run->refresh)
        kind_run_note(run, "was notified");
    return true;
}

/* Never differs, so there is never anything to do. */
static bool test_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    return true;
}

static bool test_apply_group(KindRun *const *runs, const State *const *actuals,
                             const Changes *const *changes, unsigned n, GError **error) {
    return true;
}

static bool test_group_with(const Resource *a, const Resource *b) {
    return resource_bool(a, P_ALWAYSGROUP) && resource_bool(b, P_ALWAYSGROUP);
}

static bool test_can_morph(const Resource *from, const Resource *to) {
    return !resource_bool(from, P_COMPAREFAIL) && !resource_bool(to, P_COMPAREFAIL);
}

const Kind kind_test = {
    .name = "test",
    .summary = "One parameter of each type, for tests",
    .help = "Changes nothing on the machine. Its parameters cover every type a kind can have, so "
            "that languages, loaders and received values can be tested without effects; some make "
            "validation, grouping or receiving go a certain way.",
    .example =
        "test \"types\" { string = \"x\", int = 42, bool = true, float = 1.5, mode = \"0644\",\n"
        "  duration = \"5m\", strings = { \"a\", \"b\" }, map = { k = \"v\" } }\n"
        "test \"receiver\" { string = out(test \"types\", \"hello\"), expectrecv = \"string\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .flags = KIND_INLINE | KIND_STATELESS | KIND_REFRESHES,
    .validate = test_validate,
    .observe = test_observe,
    .apply = test_apply,
    .group_with = test_group_with,
    .apply_group = test_apply_group,
    .can_morph = test_can_morph,
};
