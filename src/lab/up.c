#include "lab/up.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "lab/disk.h"
#include "lab/join.h"
#include "lab/program.h"
#include "lab/remove.h"
#include "lab/room.h"
#include "lab/talk.h"

typedef struct {
    Record *record;
    UpProgress progress;
    void *data;
    int talk;    /* with the keeper */
    int signals; /* signalfd: we are asked to stop */
} Up;

/* --- before anything is made ------------------------------------------------------------------ */

static bool find_program(const char *name, const char *package, GError **error) {
    g_autofree char *path = g_find_program_in_path(name);
    if (path)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "%s is missing: install the package %s", name, package);
    return false;
}

static bool has_all_bases(const char *data, const Lab *lab) {
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        g_autofree char *base = base_path(data, lab, lab_host(lab, i));
        if (!g_file_test(base, G_FILE_TEST_IS_DIR))
            return false;
    }
    return true;
}

bool up_check(const char *data, const Lab *lab, GError **error) {
    if (!find_program("systemd-nspawn", "systemd-container", error))
        return false;
    if (strpbrk(data, ":,\\")) { /* they mean something in the options of an overlay */
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "keep labs in '%s': its path must not have ':', ',' or '\\'", data);
        return false;
    }
    return (has_all_bases(data, lab) || find_program("mmdebstrap", "mmdebstrap", error)) &&
           room_check(lab, error);
}

static void tell_base(void *data, bool is_detail, const char *text) {
    const Up *up = data;
    up->progress(up->data, NULL, is_detail, text);
}

static bool provide_bases(Up *up, const char *data, const Lab *lab, GError **error) {
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        g_autofree char *tree = base_provide(data, lab, lab_host(lab, i), tell_base, up, error);
        if (!tree)
            return false;
    }
    return true;
}

/* --- the keeper ------------------------------------------------------------------------------- */

static bool make_disks(const Record *record, GError **error) {
    g_autofree char *common = disk_path(record->directory, NULL, "common");
    if (!program_copy(common, lab_hub(record->lab), error))
        return false;
    for (unsigned i = 0; i < record->lab->hosts->len; i++)
        if (!disk_make(record->directory, record->lab, lab_host(record->lab, i), error))
            return false;
    return true;
}

/* Its number is on disk before it does anything. */
static bool release(Record *record, SealedProcess *process, GError **error) {
    bool ok = process_identify(process->pid, &record->keeper) && record_write(record, error);
    if (ok)
        process_release(process);
    else if (error && !*error)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "start the keeper: it ended at once");
    process_let_go(process);
    return ok;
}

static bool start_keeper(Up *up, GError **error) {
    Record *record = up->record;
    const char *argv[] = { "stead", "lab", "keep", record->directory, NULL };
    g_autofree char *path = disk_path(record->directory, NULL, "keeper");
    int pair[2];
    if (!lab_talk_pair(pair, error))
        return false;
    SealedProgram program = {
        .argv = (char *const *)(uintptr_t)argv,
        .own_network = true,
        .output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
        .kept = pair[1],
    };
    SealedProcess process;
    bool ok = program.output >= 0 || set_io_error(error, errno, "write '%s'", path);
    ok = ok && process_start_sealed(&program, &process, error) && release(record, &process, error);
    if (program.output >= 0)
        (void)close(program.output); /* the keeper's own now */
    (void)close(pair[1]);
    up->talk = pair[0];
    return ok;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static bool explain_silence(const Up *up, GError **error) {
    g_autofree char *path = disk_path(up->record->directory, NULL, "keeper"), *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL); /* then there is nothing to tell */
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "the keeper ended: %s",
                text && *text ? g_strchomp(text) : "it was killed");
    return false;
}

/* False: we are asked to stop. */
static bool wait_for_message(const Up *up) {
    for (;;) {
        struct pollfd wanted[] = { { .fd = up->talk, .events = POLLIN },
                                   { .fd = up->signals, .events = POLLIN } };
        if (poll(wanted, G_N_ELEMENTS(wanted), -1) < 0)
            continue;
        if (wanted[1].revents) {
            struct signalfd_siginfo taken;
            (void)!read(up->signals, &taken, sizeof taken); /* or it would end us later */
            return false;
        }
        if (wanted[0].revents)
            return true;
    }
}

static bool hear_until_done(const Up *up, GError **error) {
    for (;;) {
        if (!wait_for_message(up)) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED,
                        "interrupted: nothing of the lab is left");
            return false;
        }
        g_autoptr(GError) problem = NULL;
        g_autoptr(Value) message = lab_talk_receive(up->talk, NULL, &problem);
        if (!message)
            return explain_silence(up, error);
        const char *refusal = value_map_string(message, "error", NULL);
        if (refusal) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s", refusal);
            return false;
        }
        if (value_map_bool(message, "done", false))
            return true;
        up->progress(up->data, value_map_string(message, "host", "?"), false,
                     value_map_string(message, "state", "?"));
    }
}

static bool is_stopped(void *data) {
    const Up *up = data;
    struct pollfd asked = { .fd = up->signals, .events = POLLIN };
    return poll(&asked, 1, 0) > 0;
}

/* The record says that it is up before the keeper is told that it may stay. */
static bool set_up(Up *up, GError **error) {
    if (!make_disks(up->record, error) || !start_keeper(up, error) ||
        !lab_talk_send(up->talk, lab_talk_request("up", NULL), -1, error) ||
        !hear_until_done(up, error) || !join_all(up->record, is_stopped, up, error))
        return false;
    up->record->is_up = true;
    return record_write(up->record, error) &&
           lab_talk_send(up->talk, lab_talk_request("keep", NULL), -1, error) &&
           hear_until_done(up, error);
}

static void watch_signals(Up *up, sigset_t *ret_before) {
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &asked, ret_before);
    up->signals = signalfd(-1, &asked, SFD_CLOEXEC); /* -1: polled as if it never came */
}

static bool set_up_or_remove(Up *up, GError **error) {
    if (set_up(up, error))
        return true;
    g_autoptr(GError) problem = NULL;
    if (!remove_lab(up->record, &problem))
        g_prefix_error(error, "%s; then: ", problem->message);
    return false;
}

bool up_run(const char *data, Lab *lab, UpProgress progress, void *progress_data, GError **error) {
    g_autoptr(Lab) owned = lab;
    Up up = { .progress = progress, .data = progress_data, .talk = -1, .signals = -1 };
    if (!provide_bases(&up, data, lab, error))
        return false;
    sigset_t before;
    watch_signals(&up, &before);
    up.record = record_create(data, g_steal_pointer(&owned), error);
    bool ok = up.record && set_up_or_remove(&up, error);
    if (up.talk >= 0)
        (void)close(up.talk); /* all was heard */
    if (up.signals >= 0)
        (void)close(up.signals); /* it was watched only */
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    record_free(up.record);
    return ok;
}
