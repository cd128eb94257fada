/* A process that does steps is killed with -9 at random instants, a hundred times on one ledger.
 * Afterwards each step is either there with all it handed in, or listed as interrupted. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/test-support.h"

#define KILLS     100
#define RESOURCES 40
#define MAX_US    25000 /* longest life of a process after it has opened the ledger */

/* What the killed process did to "the machine", in memory that outlives it. */
typedef struct {
    volatile int begun;    /* ledger_begin() has returned for this version */
    volatile int effect;   /* the version that is in force on the machine */
    volatile int notified; /* whether a notification of this version is still to be delivered */
    volatile int original; /* whether the machine was ever changed */
} Resource;

typedef struct {
    volatile int ready;
    volatile unsigned steps;
    Resource resources[RESOURCES];
} Machine;

static Machine *machine;

/* --- the process that is killed --- */

static bool begin(Ledger *ledger, const char *name, int i) {
    Resource *resource = &machine->resources[i];
    g_autoptr(Value) preimage = map_of("version", value_new_int(resource->effect));
    if (!ledger_begin(ledger, "file", name, preimage, NULL))
        return false;
    resource->begun = resource->effect + 1;
    return true;
}

/* The preimage of the entry is what was there before the very first change: version 0. */
static void put(Ledger *ledger, const char *name, int version) {
    LedgerEntry *entry = sample_entry(name, version);
    value_unref(entry->preimage);
    entry->preimage = map_of("version", value_new_int(0));
    ledger_put(ledger, entry);
}

static void do_step(Ledger *ledger, int i, GRand *rand) {
    g_autofree char *name = sample_name((unsigned)i);
    Resource *resource = &machine->resources[i];
    if (!begin(ledger, name, i))
        _exit(2);
    int version = resource->begun;
    bool notify = g_rand_boolean(rand);
    resource->original = true;
    resource->notified = notify;
    resource->effect = version;
    put(ledger, name, version);
    ledger_set_pending(ledger, "file", name, "svc", "app", notify);
    ledger_set_retries(ledger, "file", name, version % 3);
    ledger_journal(ledger, sample_journal(version, name, true));
    ledger_end(ledger, "file", name);
    machine->steps++;
}

/* What a run does first: every interrupted step once more. */
static void redo_interrupted(Ledger *ledger, GRand *rand) {
    while (ledger_interrupted(ledger)->len > 0) {
        const LedgerStep *step = ledger_interrupted(ledger)->pdata[0];
        int i = atoi(step->name + strlen("/etc/app/"));
        do_step(ledger, i, rand);
    }
}

static void live(const char *dir, guint32 seed) {
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "victim", NULL);
    if (!ledger)
        _exit(1);
    machine->ready = true;
    redo_interrupted(ledger, rand);
    for (;;) {
        do_step(ledger, g_rand_int_range(rand, 0, RESOURCES), rand);
        switch (g_rand_int_range(rand, 0, 40)) {
        case 0:
            if (!ledger_flush(ledger, NULL))
                _exit(3);
            break;
        case 1:
            ledger_close(ledger);
            ledger = ledger_open(dir, LEDGER_WRITE, "victim", NULL);
            if (!ledger)
                _exit(1);
            break;
        case 2:
            g_usleep(30000); /* lets the batch go by itself */
            break;
        }
    }
}

static void run_and_kill(const char *dir) {
    guint32 seed = (guint32)g_test_rand_int();
    machine->ready = false;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0)
        live(dir, seed);
    while (!machine->ready && waitpid(child, NULL, WNOHANG) == 0)
        g_usleep(50);
    g_assert_true(machine->ready);
    g_usleep((gulong)g_test_rand_int_range(0, MAX_US));
    g_assert_cmpint(kill(child, SIGKILL), ==, 0);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status)); /* else it had failed by itself */
}

/* --- afterwards --- */

typedef struct {
    const char *name;
    int version;
    bool found;
} Wanted;

static void find_version(void *data, const JournalEntry *entry) {
    Wanted *wanted = data;
    wanted->found |= entry->time == wanted->version;
}

static const LedgerStep *find_interrupted(Ledger *ledger, const char *name) {
    const GPtrArray *steps = ledger_interrupted(ledger);
    for (unsigned i = 0; i < steps->len; i++) {
        const LedgerStep *step = steps->pdata[i];
        if (strcmp(step->name, name) == 0)
            return step;
    }
    return NULL;
}

/* A step that counts as ended left everything. */
static void check_ended(Ledger *ledger, const char *name, const Resource *resource) {
    const LedgerEntry *entry = ledger_find(ledger, "file", name);
    g_assert_true((entry != NULL) == (resource->effect > 0));
    if (!entry)
        return;
    g_assert_cmpint(entry_version(entry), ==, resource->effect);
    g_assert_true(ledger_is_pending(ledger, "file", name, "svc", "app") == resource->notified);
    g_assert_cmpint(ledger_get_retries(ledger, "file", name), ==, resource->effect % 3);
    Wanted wanted = { name, resource->effect, false };
    const JournalFilter filter = { .name = name };
    g_assert_true(ledger_read_journal(ledger, &filter, find_version, &wanted, NULL));
    g_assert_true(wanted.found);
}

/* What was there before our very first change is known, from the entry or from the step. */
static void check_preimage(Ledger *ledger, const char *name, const LedgerStep *step) {
    const LedgerEntry *entry = ledger_find(ledger, "file", name);
    const Value *preimage = entry ? entry->preimage : step ? step->preimage : NULL;
    g_assert_nonnull(preimage);
    g_assert_cmpint(value_map_int(preimage, "version", -1), ==, 0);
}

static unsigned check(const char *dir) {
    GError *error = NULL;
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "check", &error);
    g_assert_no_error(error);
    unsigned interrupted = 0;
    for (int i = 0; i < RESOURCES; i++) {
        const Resource *resource = &machine->resources[i];
        g_autofree char *name = sample_name((unsigned)i);
        const LedgerStep *step = find_interrupted(ledger, name);
        if (step)
            interrupted++;
        else
            check_ended(ledger, name, resource);
        if (resource->original)
            check_preimage(ledger, name, step);
    }
    g_assert_cmpuint(ledger_interrupted(ledger)->len, ==, interrupted);
    ledger_close(ledger);
    return interrupted;
}

static void test_kill(Fixture *fixture, gconstpointer data) {
    machine =
        mmap(NULL, sizeof *machine, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(machine != MAP_FAILED);
    unsigned interrupted = 0;
    for (int i = 0; i < KILLS; i++) {
        run_and_kill(fixture->dir);
        interrupted += check(fixture->dir);
    }
    g_test_message("%u steps, %u interrupted by %d kills", machine->steps, interrupted, KILLS);
    g_assert_cmpuint(interrupted, >, 0);
    g_assert_cmpuint(machine->steps, >, KILLS);
    munmap(machine, sizeof *machine);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/kill/steps", test_kill);
    return g_test_run();
}
