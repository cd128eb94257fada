/* Kinds of programs without a program: descriptions, on a machine in memory, and undoing. What the
 * conversation does is tested with real programs by test/cli/test_programs.py. */
#include <string.h>

#include "base/json.h"
#include "graph/autoedge.h"
#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/program-kind.h"
#include "kinds/program-message.h"

#define DESCRIPTION                                                                                \
    "{\"summary\":\"s\",\"help\":\"h\",\"example\":\"e\",\"predicts\":\"properties\","             \
    "\"params\":["                                                                                 \
    "{\"name\":\"level\",\"type\":\"choice\",\"choices\":[\"low\",\"high\"],\"default\":\"low\","  \
    "\"property\":true,\"help\":\"h\"},"                                                           \
    "{\"name\":\"age\",\"type\":\"duration\",\"property\":true,\"help\":\"h\",\"also\":\"old\"},"  \
    "{\"name\":\"word\",\"type\":\"string\",\"pattern\":\"[a-z]+\",\"help\":\"h\"},"               \
    "{\"name\":\"key\",\"type\":\"string\",\"secret\":true,\"property\":true,\"help\":\"h\"}]}"

static ProgramKind *kind_from(const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) described = json_parse(text, strlen(text), "description", &error);
    g_assert_no_error(error);
    ProgramKind *kind = program_kind_new("thing", "/kinds/thing", described, &error);
    g_assert_no_error(error);
    return kind;
}

static void test_table(void) {
    g_autoptr(ProgramKind) self = kind_from(DESCRIPTION);
    const Kind *kind = &self->kind;
    g_assert_cmpuint(kind->n_params, ==, 5);
    g_assert_cmpstr(kind->params[PROGRAM_STATE].name, ==, "state");
    g_assert_cmpint(kind_param_index(kind, "old"), ==, kind_param_index(kind, "age"));
    g_assert_cmpstr(kind->program, ==, "/kinds/thing");
    g_assert_true(kind->flags & KIND_UNWATCHABLE);
    g_autofree char *problems = kind_test_problems(kind, "x", "word=NO", NULL);
    g_assert_nonnull(strstr(problems, "must match the pattern [a-z]+"));
}

static void test_memory(void) {
    g_autoptr(ProgramKind) self = kind_from(DESCRIPTION);
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) low = kind_test_resource(&self->kind, "x", "age=1h30m", NULL);
    g_autoptr(Resource) high =
        kind_test_resource(&self->kind, "x", "level=high", "age=1h30m", NULL);
    g_autoptr(Resource) absent = kind_test_resource(&self->kind, "x", "state=absent", NULL);
    kind_test_expect(test, low, ACTION_CREATE);
    kind_test_expect(test, high, ACTION_CHANGE);
    kind_test_expect(test, absent, ACTION_REMOVE);
    kind_test_expect(test, low, ACTION_CREATE);
    kind_test_undo(test, low, ON_REMOVE_DEFAULT);
    kind_test_expect(test, low, ACTION_CREATE);
}

static State *found(const ProgramKind *self, const Resource *resource, const char *answer) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) map = json_parse(answer, strlen(answer), "answer", &error);
    State *state = state_new(&self->kind);
    Value *outputs = NULL;
    g_assert_no_error(error);
    g_assert_true(program_read_state(self, resource, map, state, &outputs, &error));
    g_assert_no_error(error);
    return state;
}

static void test_restore(void) {
    g_autoptr(ProgramKind) self = kind_from(DESCRIPTION);
    unsigned level = (unsigned)kind_param_index(&self->kind, "level");
    unsigned age = (unsigned)kind_param_index(&self->kind, "age");
    unsigned key = (unsigned)kind_param_index(&self->kind, "key");
    g_autoptr(Resource) resource =
        kind_test_resource(&self->kind, "x", "level=high", "age=2s", "key=new", NULL);
    g_autoptr(State) before =
        found(self, resource,
              "{\"exists\":true,\"props\":{\"level\":\"odd\",\"age\":null,\"key\":\"old\"}}");
    g_assert_true(value_is_secret(state_get(before, key)));
    g_autoptr(Resource) inverse = self->kind.reverse(resource, before, ON_REMOVE_RESTORE, NULL);
    g_assert_cmpstr(resource_string(inverse, PROGRAM_STATE), ==, "exists");
    g_assert_cmpstr(value_string(resource_get(inverse, level)), ==, "odd");
    g_assert_cmpint(value_type(resource_get(inverse, age)), ==, VALUE_NIL);
    g_assert_null(resource_get(inverse, key)); /* the ledger does not keep it */
    g_autoptr(Resource) removal = self->kind.reverse(resource, before, ON_REMOVE_REMOVE, NULL);
    g_assert_cmpstr(resource_string(removal, PROGRAM_STATE), ==, "absent");
}

static void test_request(void) {
    g_autoptr(ProgramKind) self = kind_from(DESCRIPTION);
    g_autoptr(Resource) resource =
        kind_test_resource(&self->kind, "x", "state=present", "age=1500ms", "key=k", NULL);
    g_autoptr(Value) members = program_members(resource);
    g_autoptr(GString) line = request_line(7, "observe", members);
    g_assert_cmpstr(line->str, ==,
                    "{\"id\":7,\"request\":\"observe\",\"name\":\"x\",\"params\":{\"age\":1.5,"
                    "\"key\":\"k\",\"level\":\"low\",\"state\":\"exists\"}}\n");
    g_autoptr(GString) bare = request_line(8, "x", NULL);
    g_assert_cmpstr(bare->str, ==, "{\"id\":8,\"request\":\"x\"}\n");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/program/table", test_table);
    g_test_add_func("/program/memory", test_memory);
    g_test_add_func("/program/restore", test_restore);
    g_test_add_func("/program/request", test_request);
    return g_test_run();
}
