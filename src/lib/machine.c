#include "lib/machine.h"

#include <string.h>

#include "host/host-real.h"
#include "lang/lang.h"
#include "lib/error.h"

#define DEFAULT_STATE "/var/lib/stead"

static char *state_dir_of(const stead_machine_options *options) {
    if (options->flags & STEAD_MACHINE_FORGETFUL)
        return NULL;
    if (options->state)
        return g_canonicalize_filename(options->state, NULL);
    if (options->root && strcmp(options->root, "/") != 0) {
        g_autofree char *root = g_canonicalize_filename(options->root, NULL);
        return g_build_filename(root, DEFAULT_STATE, NULL);
    }
    return g_strdup(DEFAULT_STATE);
}

stead_machine *machine_new(const stead_machine_options *options, GError **error) {
    stead_machine *machine = g_new0(stead_machine, 1);
    machine->fingerprints = fingerprint_cache_new();
    if (options->flags & STEAD_MACHINE_VERIFY)
        fingerprint_distrust(machine->fingerprints);
    machine->state_dir = state_dir_of(options);
    machine->name = g_strdup(options->name ? options->name : "libstead");
    machine->host = host_real_new(options->root, machine->fingerprints, error);
    if (!machine->host) {
        stead_machine_close(machine);
        return NULL;
    }
    machine->programs = programs_new(host_root(machine->host));
    for (const char *const *directory = programs_directories; *directory; directory++)
        programs_add(machine->programs, *directory);
    for (const char *const *directory = options->kinds; directory && *directory; directory++)
        programs_add(machine->programs, *directory);
    return machine;
}

/* Names that a program cannot have: its kind would hide a function. */
static bool is_word(const char *name) {
    static const char *const words[] = { "needs", "before", "notify", "listen" };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i], name) == 0)
            return true;
    for (size_t i = 0; i < lang_functions_count; i++) {
        const char *word = lang_functions[i].name;
        size_t size = strcspn(word, ".");
        if (strlen(name) == size && strncmp(word, name, size) == 0)
            return true;
    }
    return false;
}

const KindSet *machine_kinds(stead_machine *machine, const char *file, GError **error) {
    if (file) {
        g_autofree char *directory = g_path_get_dirname(file);
        g_autofree char *kinds = g_build_filename(directory, "kinds", NULL);
        programs_add(machine->programs, kinds);
    }
    return programs_check(machine->programs, is_word, error) ? programs_kinds(machine->programs)
                                                             : NULL;
}

bool machine_open_ledger(stead_machine *machine, LedgerMode mode, GError **error) {
    if (!machine->state_dir || (machine->ledger && machine->mode >= mode))
        return true;
    machine_close_ledger(machine);
    machine->ledger = ledger_open(machine->state_dir, mode, machine->name, error);
    if (!machine->ledger)
        return false;
    machine->mode = mode;
    ledger_attach_fingerprints(machine->ledger, machine->fingerprints);
    return true;
}

void machine_close_ledger(stead_machine *machine) {
    g_clear_pointer(&machine->ledger, ledger_close);
}

stead_machine *stead_machine_open(const stead_machine_options *options, stead_error **error) {
    stead_machine_options known;
    GError *problem = NULL;
    stead_machine *machine = NULL;
    if (options_read(options, &known, sizeof known, "machine options", &problem))
        machine = machine_new(&known, &problem);
    if (!machine)
        error_give(error, problem);
    return machine;
}

void stead_machine_close(stead_machine *machine) {
    if (!machine)
        return;
    g_assert(!machine->run);
    machine_close_ledger(machine);
    programs_unref(machine->programs);
    host_free(machine->host);
    fingerprint_cache_free(machine->fingerprints);
    g_free(machine->state_dir);
    g_free(machine->name);
    g_free(machine);
}
