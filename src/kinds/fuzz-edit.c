/*
 * A resource that edits a file of somebody else, and that file: the kind (of those below), then
 * parameters as `name=text`, each on a line, an empty line, the file. When the resource is valid
 * and applies, the plan said the same, a second round has nothing to do, and it can be undone.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define TEXT_MAX 4096 /* bytes; regular expressions take their time on long texts */

/* What edits a part of a file, the parameter that names the file, and a file that it takes. */
static const struct {
    const Kind *kind;
    const char *param, *path;
} edits[] = {
    { &kind_line, "path", "/etc/f" },          { &kind_ini, "path", "/etc/f" },
    { &kind_cron, "target", "/etc/cron.d/f" }, { &kind_host, "target", "/etc/f" },
    { &kind_hostname, "target", "/etc/f" },    { &kind_ssh_authorized_key, "target", "/etc/f" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool set_param(Resource *resource, char *line) {
    char *equals = strchr(line, '=');
    if (!equals)
        return false;
    *equals = '\0';
    g_autoptr(Value) text = value_new_string(equals + 1);
    g_autoptr(Value) yes = value_new_bool(true);
    bool is_flag = strcmp(equals + 1, "true") == 0;
    return resource_set(resource, line, text, NULL) ||
           (is_flag && resource_set(resource, line, yes, NULL));
}

/* A kind that is not known is the first. */
static unsigned find_edit(const char *name) {
    for (unsigned i = 0; name && i < G_N_ELEMENTS(edits); i++)
        if (strcmp(edits[i].kind->name, name) == 0)
            return i;
    return 0;
}

static bool finish(Resource *resource) {
    unsigned edit = find_edit(resource->kind->name);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(Value) path = value_new_string(edits[edit].path);
    return resource_set(resource, edits[edit].param, path, NULL) &&
           resource_finish(resource, problems);
}

/* NULL: not valid. */
static Resource *read_resource(const char *head, size_t size) {
    g_autofree char *text = g_strndup(head, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const Kind *kind = edits[find_edit(lines[0])].kind;
    g_autoptr(Resource) resource = resource_new(kind, "edit", (Origin){ .file = NULL });
    for (unsigned i = 1; lines[0] && lines[i]; i++)
        if (!set_param(resource, lines[i]))
            return NULL;
    return finish(resource) ? g_steal_pointer(&resource) : NULL;
}

static void check_edit(const Resource *resource, GBytes *content) {
    g_autoptr(Host) host = host_fake_new();
    const char *path = edits[find_edit(resource->kind->name)].path;
    FileAttributes plain = { .set = FILE_SET_MODE, .mode = 0644 };
    g_assert_true(host_make_parents(host, path, NULL));
    g_assert_true(host_write(host, path, content, &plain, NULL));
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(KindRound) plan = kind_test_plan(test, resource);
    g_autoptr(KindRound) round = kind_test_round(test, resource);
    g_assert_true((plan->error != NULL) == (round->error != NULL));
    if (round->error)
        return;
    g_assert_cmpint(plan->changes->action, ==, round->changes->action);
    test->reason = REASON_POLL;
    g_autoptr(KindRound) second = kind_test_round(test, resource);
    g_assert_no_error(second->error);
    g_assert_cmpint(second->changes->action, ==, ACTION_NONE);
    if (round->changes->action != ACTION_NONE)
        kind_test_undo(test, resource, ON_REMOVE_RESTORE);
}

/* kind-test ends by g_error(), whose trap a fuzzer does not catch. */
static void abort_on_error(const char *domain, GLogLevelFlags level, const char *text, void *data) {
    g_printerr("%s\n", text);
    if (level & G_LOG_FLAG_FATAL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)g_log_set_default_handler(abort_on_error, NULL);
    const uint8_t *gap = memmem(data, size, "\n\n", 2);
    if (!gap || size > TEXT_MAX)
        return 0;
    g_autoptr(Resource) resource = read_resource((const char *)data, (size_t)(gap - data));
    if (!resource)
        return 0;
    g_autoptr(GBytes) content = g_bytes_new(gap + 2, size - (size_t)(gap - data) - 2);
    check_edit(resource, content);
    return 0;
}
