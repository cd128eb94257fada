/* The first byte chooses: dpkg's database, or what apt says. What is listed is also found. */
#include <stdint.h>
#include <string.h>

#include "host/apt.h"
#include "host/dpkg-status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_package(const DpkgStatus *status, const char *name) {
    PackageInfo info;
    dpkg_status_find(status, name, &info);
    g_assert_false(info.config_files);
    g_free(info.version);
}

/* A name and an architecture that mean themselves; others may be listed but not be asked for. */
static bool is_usual(const char *name) {
    static const char *const unusual[] = { "", "any", "native" };
    const char *colon = strchr(name, ':');
    for (unsigned i = 0; colon && i < G_N_ELEMENTS(unusual); i++)
        if (strcmp(colon + 1, unusual[i]) == 0)
            return false;
    return *name != '\0' && *name != ':' && (!colon || !strchr(colon + 1, ':'));
}

static void check_status(const char *text, size_t size) {
    g_autoptr(DpkgStatus) status = dpkg_status_parse(text, size);
    dpkg_status_mark(status, text, size);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    dpkg_status_list_installed(status, names);
    size_t blocks = 1; /* separated by empty lines */
    for (size_t i = 1; i < size; i++)
        blocks += text[i] == '\n' && text[i - 1] == '\n';
    g_assert_cmpuint(names->len, <=, blocks);
    for (unsigned i = 0; i < names->len; i++)
        if (is_usual(names->pdata[i]))
            check_package(status, names->pdata[i]);
    check_package(status, "");
    check_package(status, ":");
}

static void count_policy(void *data, const char *name, const char *candidate) {
    g_assert_true(name && *name);
    g_assert_true(!candidate || *candidate);
    ++*(unsigned *)data;
}

static void check_apt(const char *text, size_t size) {
    g_autofree char *output = g_strndup(text, size);
    static char name[] = "nginx";
    const PackageAction action = { .name = name };
    unsigned n_packages = 0;
    apt_parse_policy(output, count_policy, &n_packages);
    g_autoptr(GPtrArray) effects = package_effects_new();
    apt_parse_simulation(output, &action, 1, effects);
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        g_assert_true(*effect->name && !strpbrk(effect->name, " \n"));
        g_assert_true(effect->what == PACKAGE_GOES || strcmp(effect->name, name) != 0);
        g_assert_true(!effect->version || !strpbrk(effect->version, " )]\n"));
    }
    g_autofree char *failure = apt_failure(output);
    g_assert_true(failure && !strchr(failure, '\n'));
    (void)(apt_wants_configure(output) || apt_wants_repair(output) || apt_wants_update(output) ||
           apt_wants_lock(output) || apt_wants_cache(output));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] == 'a')
        check_apt((const char *)data + 1, size - 1);
    else
        check_status((const char *)data + 1, size - 1);
    return 0;
}
