#include "lab/visit.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "lab/disk.h"

/* On the host's disk, from outside. Caller frees. */
static char *hub_file(const Record *record, const LabHost *host, const char *name) {
    g_autofree char *upper = disk_path(record->directory, host, "upper");
    return g_build_filename(upper, DISK_HUB, name, NULL);
}

/* Of several hubs over one store, one has made the first admin. */
static const LabHost *hub_with_admin(const Record *record) {
    for (unsigned i = 0; i < record->lab->hosts->len; i++) {
        const LabHost *host = lab_host(record->lab, i);
        g_autofree char *token = host->hub ? hub_file(record, host, "admin-token") : NULL;
        if (token && g_file_test(token, G_FILE_TEST_IS_REGULAR))
            return host;
    }
    return NULL;
}

static void know_hub(const Record *record) {
    const LabHost *hub = hub_with_admin(record);
    if (!hub || hub->ports->len == 0)
        return;
    g_autofree char *token = hub_file(record, hub, "admin-token");
    g_autofree char *authority = hub_file(record, hub, "ca.pem");
    g_autofree char *url = g_strdup_printf("https://%s:8440", lab_port(hub, 0)->address);
    (void)g_setenv("STEAD_HUB", url, TRUE);
    (void)g_setenv("STEAD_HUB_CA", authority, TRUE);
    (void)g_setenv("STEAD_HUB_TOKEN_FILE", token, TRUE);
}

void visit_exec(const Record *record, char *const *words, GError **error) {
    int keeper = process_open(&record->keeper);
    if (keeper < 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "lab '%s' is not up; 'stead lab gc' removes what is left of it", record->name);
        return;
    }
    bool entered = setns(keeper, CLONE_NEWNET) == 0;
    int number = errno;
    (void)close(keeper); /* it only refers to a process */
    if (!entered) {
        set_io_error(error, number, "enter the networks of lab '%s'", record->name);
        return;
    }
    know_hub(record);
    (void)execvp(words[0], words);
    set_io_error(error, errno, "run '%s'", words[0]);
}
