/* The agent's listener is called in the loop's thread only, whoever has something to say. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "host/host-fake.h"
#include "ledger/ledger.h"

#define PATIENCE_US (30 * (gint64)G_USEC_PER_SEC)

typedef struct {
    Loop *loop;
    GThread *thread; /* the first listener call's */
    char *warning;
} Seen;

static void on_warning(void *data, const char *text) {
    Seen *seen = data;
    g_assert_true(g_thread_self() == seen->thread);
    g_free(seen->warning);
    seen->warning = g_strdup(text);
}

static void on_problems(void *data, const GPtrArray *problems) {
    g_error("%s", ((const GError *)g_ptr_array_index(problems, 0))->message);
}

static void on_event(void *data, const EngineEvent *event) {
}

/* A file is where the database is to be: nothing can be written. */
static Ledger *unwritable_ledger(const char *dir) {
    g_autoptr(GError) error = NULL;
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "test", &error);
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(dir, "ledger.db", NULL);
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    return ledger;
}

static void note_something(Ledger *ledger) {
    JournalEntry *entry = g_new0(JournalEntry, 1);
    entry->kind = g_strdup("file");
    entry->name = g_strdup("/x");
    entry->action = g_strdup("change");
    ledger_journal(ledger, entry);
}

static void test_ledger_failure_comes_by_the_loop(void) {
    static const KindSet no_kinds = { NULL, 0 };
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = g_dir_make_tmp("stead-agent-XXXXXX", &error);
    g_autofree char *file = g_build_filename(dir, "site.lua", NULL);
    g_autofree char *state = g_build_filename(dir, "state", NULL);
    g_assert_true(g_file_set_contents(file, "", 0, &error));
    g_autoptr(Loop) loop = loop_new(&error);
    g_assert_no_error(error);
    g_autoptr(Host) host = host_fake_new();
    Ledger *ledger = unwritable_ledger(state);
    Seen seen = { .loop = loop, .thread = g_thread_self() };
    AgentOptions options = {
        .loop = loop,
        .host = host,
        .ledger = ledger,
        .file = file,
        .inputs = { .kinds = &no_kinds },
        .listener = { .event = on_event,
                      .problems = on_problems,
                      .warning = on_warning,
                      .data = &seen },
    };
    Agent *agent = agent_new(&options, &error);
    g_assert_no_error(error);
    note_something(ledger);
    g_assert_false(ledger_flush(ledger, NULL)); /* its thread has said so */
    g_assert_null(seen.warning);
    for (gint64 end = g_get_monotonic_time() + PATIENCE_US; !seen.warning;) {
        (void)loop_turn(loop);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_nonnull(strstr(seen.warning, "ledger.db"));
    agent_free(agent);
    g_free(seen.warning);
    ledger_close(ledger); /* fails once more, and has nobody to tell */
    g_autofree char *command = g_strdup_printf("rm -r '%s'", dir);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/agent/ledger-failure", test_ledger_failure_comes_by_the_loop);
    return g_test_run();
}
