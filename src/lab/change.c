#include "lab/change.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "lab/addresses.h"
#include "lab/base.h"
#include "lab/disk.h"
#include "lab/join.h"
#include "lab/room.h"
#include "lab/talk.h"
#include "lab/tree.h"

/* --- what differs ----------------------------------------------------------------------------- */

static bool refuse(const Lab *lab, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool refuse(const Lab *lab, GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                "lab '%s' is up already, and %s: only hosts can come and go; 'stead lab down %s' "
                "ends it",
                lab->name, text, lab->name);
    return false;
}

static bool check_networks(const Lab *now, const Lab *wanted, GError **error) {
    bool same = now->networks->len == wanted->networks->len;
    for (unsigned i = 0; same && i < now->networks->len; i++)
        same = strcmp(lab_network(now, i)->name, lab_network(wanted, i)->name) == 0 &&
               strcmp(lab_network(now, i)->prefix, lab_network(wanted, i)->prefix) == 0;
    return same || refuse(now, error, "the file has other networks now");
}

static bool check_frame(const Lab *now, const Lab *wanted, GError **error) {
    const LabHost *hub = lab_hub(now), *other = lab_hub(wanted);
    bool any = false;
    for (unsigned i = 0; i < now->hosts->len; i++)
        any |= lab_find_host(wanted, lab_host(now, i)->name) >= 0;
    if (!any)
        return refuse(now, error, "none of its hosts is in the file");
    if (!check_networks(now, wanted, error))
        return false;
    if (strcmp(now->release, wanted->release) != 0 || g_strcmp0(now->mirror, wanted->mirror) != 0)
        return refuse(now, error, "the file has another release or mirror now");
    if (g_strcmp0(now->deploy_key, wanted->deploy_key) != 0)
        return refuse(now, error, "the file has another deploy key now");
    if (g_strcmp0(hub ? hub->name : NULL, other ? other->name : NULL) != 0)
        return refuse(now, error, "its hub is %s%s%s, and would be %s%s%s", hub ? "'" : "",
                      hub ? hub->name : "none", hub ? "'" : "", other ? "'" : "",
                      other ? other->name : "none", other ? "'" : "");
    return true;
}

static bool check_ports(const Lab *now, const LabHost *host, const LabHost *wanted,
                        GError **error) {
    bool same = host->ports->len == wanted->ports->len;
    for (unsigned i = 0; same && i < host->ports->len; i++)
        same = lab_port(host, i)->network == lab_port(wanted, i)->network;
    if (!same)
        return refuse(now, error, "host '%s' has other networks in the file", host->name);
    for (unsigned i = 0; i < host->ports->len; i++)
        if (lab_port(wanted, i)->is_fixed &&
            strcmp(lab_port(host, i)->address, lab_port(wanted, i)->address) != 0)
            return refuse(now, error, "host '%s' has the address %s, not %s", host->name,
                          lab_port(host, i)->address, lab_port(wanted, i)->address);
    return true;
}

static bool check_host(const Lab *now, const LabHost *host, const LabHost *wanted, GError **error) {
    static const char *const parts[] = { "packages", "configuration", "values",       "labels",
                                         "join",     "may-publish",   "exchange-ttl", "hub" };
    g_autoptr(Value) one = lab_host_to_value(host), other = lab_host_to_value(wanted);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        const Value *is = value_map_get(one, parts[i]), *be = value_map_get(other, parts[i]);
        if (is && be ? !value_equal(is, be) : is || be)
            return refuse(now, error, "'%s' of host '%s' differs in the file", parts[i],
                          host->name);
    }
    return check_ports(now, host, wanted, error);
}

/* --- what is new ------------------------------------------------------------------------------ */

static unsigned free_slot(const bool *taken) {
    unsigned slot = 0;
    while (taken[slot])
        slot++;
    return slot;
}

static bool fix_one(Addresses *addresses, const LabHost *host, unsigned port, GError **error) {
    const LabPort *place = lab_port(host, port);
    if (addresses_fix(addresses, place->network, place->address, host->name, error))
        return true;
    g_prefix_error(error, "host '%s': ", host->name);
    return false;
}

/* Those that stay keep theirs; then what the file says of the others. */
static Addresses *known_addresses(const Lab *now, const Lab *wanted, GError **error) {
    g_autoptr(Addresses) addresses = addresses_new();
    for (unsigned i = 0; i < now->networks->len; i++)
        if (!addresses_add_network(addresses, lab_network(now, i)->name,
                                   lab_network(now, i)->prefix, error))
            return NULL;
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < wanted->hosts->len; i++) {
            const LabHost *host = lab_host(wanted, i);
            int old = lab_find_host(now, host->name);
            if ((old >= 0) != (pass == 0))
                continue;
            const LabHost *source = old >= 0 ? lab_host(now, (unsigned)old) : host;
            for (unsigned j = 0; j < source->ports->len; j++)
                if ((old >= 0 || lab_port(source, j)->is_fixed) &&
                    !fix_one(addresses, source, j, error))
                    return NULL;
        }
    return g_steal_pointer(&addresses);
}

static Value *new_host(const LabHost *host, unsigned slot, Addresses *addresses, GError **error) {
    g_autoptr(Value) map = lab_host_to_value(host);
    Value *ports = value_new_list();
    value_map_set(map, "ports", ports);
    value_map_set(map, "slot", value_new_int(slot));
    for (unsigned i = 0; i < host->ports->len; i++) {
        const LabPort *port = lab_port(host, i);
        g_autofree char *address =
            port->is_fixed ? g_strdup(port->address)
                           : addresses_take(addresses, port->network, host->name, error);
        if (!address)
            return NULL;
        Value *place = value_new_map();
        value_map_set(place, "network", value_new_int(port->network));
        value_map_set(place, "address", value_new_string(address));
        value_list_append(ports, place);
    }
    return g_steal_pointer(&map);
}

Lab *change_plan(const Lab *now, const Lab *wanted, GError **error) {
    bool taken[2 * LAB_HOSTS_MAX + 1] = { false }; /* slots; those of hosts that go rest a while */
    if (!check_frame(now, wanted, error))
        return NULL;
    g_autoptr(Addresses) addresses = known_addresses(now, wanted, error);
    if (!addresses)
        return NULL;
    for (unsigned i = 0; i < now->hosts->len; i++)
        if (lab_host(now, i)->slot < G_N_ELEMENTS(taken) - 1)
            taken[lab_host(now, i)->slot] = true;
    g_autoptr(Value) map = lab_to_value(wanted);
    Value *hosts = value_new_list();
    value_map_set(map, "hosts", hosts);
    for (unsigned i = 0; i < wanted->hosts->len; i++) {
        const LabHost *host = lab_host(wanted, i);
        int old = lab_find_host(now, host->name);
        if (old >= 0 && !check_host(now, lab_host(now, (unsigned)old), host, error))
            return NULL;
        unsigned slot = free_slot(taken);
        Value *value = old >= 0 ? lab_host_to_value(lab_host(now, (unsigned)old))
                                : new_host(host, slot, addresses, error);
        if (!value)
            return NULL;
        taken[slot] |= old < 0;
        value_list_append(hosts, value);
    }
    return lab_from_value(map, error);
}

/* --- doing it --------------------------------------------------------------------------------- */

typedef struct {
    Record *record; /* as it is: its lab is replaced */
    UpProgress progress;
    void *data;
    sigset_t asked, before;
} Change;

static void watch_signals(Change *change) {
    sigemptyset(&change->asked);
    sigaddset(&change->asked, SIGINT);
    sigaddset(&change->asked, SIGTERM);
    sigaddset(&change->asked, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &change->asked, &change->before);
}

/* What came meanwhile was heard, and ends nobody later. */
static void unwatch_signals(const Change *change) {
    const struct timespec none = { 0 };
    while (sigtimedwait(&change->asked, NULL, &none) > 0)
        continue;
    (void)sigprocmask(SIG_SETMASK, &change->before, NULL);
}

static bool is_stopped(void *data) {
    sigset_t pending;
    sigemptyset(&pending);
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
            sigismember(&pending, SIGHUP) == 1);
}

static void tell_base(void *data, bool is_detail, const char *text) {
    const Change *change = data;
    change->progress(change->data, NULL, is_detail, text);
}

static bool ask(const Change *change, Value *request, GError **error) {
    g_autoptr(Value) answer = lab_talk_ask(change->record->directory, request, NULL, error);
    return answer != NULL;
}

/* The keeper goes on with this lab, and writes that down. */
static bool take_up(Change *change, Lab *lab, GError **error) {
    Value *request = lab_talk_request("change", NULL);
    value_map_set(request, "lab", lab_to_value(lab));
    if (!ask(change, request, error)) {
        lab_free(lab);
        return false;
    }
    lab_free(change->record->lab);
    change->record->lab = lab;
    return true;
}

/* With the hosts alone that are in other, or those that are not. */
static Lab *lab_part(const Lab *lab, const Lab *other, bool is_in, GError **error) {
    g_autoptr(Value) map = lab_to_value(lab);
    Value *hosts = value_new_list();
    value_map_set(map, "hosts", hosts);
    for (unsigned i = 0; i < lab->hosts->len; i++)
        if ((lab_find_host(other, lab_host(lab, i)->name) >= 0) == is_in)
            value_list_append(hosts, lab_host_to_value(lab_host(lab, i)));
    return lab_from_value(map, error);
}

static Lab *lab_copy(const Lab *lab, GError **error) {
    return lab_part(lab, lab, true, error);
}

/* A host that is coming or going has a mark on the disk. Where it is found later, whoever changed
 * the lab was killed. */
static char *mark_path(const Record *record, const LabHost *host) {
    return disk_path(record->directory, host, "unfinished");
}

static bool is_marked(const Record *record, const LabHost *host) {
    g_autofree char *path = mark_path(record, host);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static bool mark(const Record *record, const LabHost *host, GError **error) {
    g_autofree char *path = mark_path(record, host);
    return disk_replace(path, "", 0, 0600, error);
}

/* Without hosts that somebody left when they were coming or going. */
static Lab *lab_finished(const Record *record, GError **error) {
    g_autoptr(Value) map = lab_to_value(record->lab);
    Value *hosts = value_new_list();
    value_map_set(map, "hosts", hosts);
    for (unsigned i = 0; i < record->lab->hosts->len; i++) {
        const LabHost *host = lab_host(record->lab, i);
        if (!is_marked(record, host))
            value_list_append(hosts, lab_host_to_value(host));
    }
    return lab_from_value(map, error);
}

/* It is there, or stays. */
static void unmark(const Record *record, const LabHost *host) {
    g_autofree char *path = mark_path(record, host);
    (void)unlink(path); /* most have none; with one that stays the host is made anew next time */
}

/* Calls visit for each host with its state. */
static bool visit_states(const Change *change,
                         void (*visit)(void *data, const char *host, const char *state), void *data,
                         GError **error) {
    g_autoptr(Value) answer =
        lab_talk_ask(change->record->directory, lab_talk_request("status", NULL), NULL, error);
    const Value *states = answer ? value_map_get(answer, "hosts") : NULL;
    for (size_t i = 0; states && i < value_size(states); i++) {
        const Value *one = value_list_at(states, i);
        visit(data, value_map_string(one, "name", ""), value_map_string(one, "state", ""));
    }
    return answer != NULL;
}

typedef struct {
    const char *host;
    bool runs;
} Look;

static void look_at_one(void *data, const char *host, const char *state) {
    Look *look = data;
    if (strcmp(host, look->host) == 0)
        look->runs = strcmp(state, "off") != 0;
}

/* One that ended by itself, or never began, is as good as killed. */
static bool end_host(const Change *change, const LabHost *host, GError **error) {
    Look look = { host->name, false };
    if (!visit_states(change, look_at_one, &look, error) ||
        (look.runs && !ask(change, lab_talk_request("kill", host->name), error)))
        return false;
    change->progress(change->data, host->name, false, "off");
    return true;
}

static void count_off(void *data, const char *host, const char *state) {
    ChangeCounts *counts = data;
    if (strcmp(state, "off") == 0 && counts->off++ == 0)
        g_strlcpy(counts->one_off, host, sizeof counts->one_off);
}

/* Ends those that are not in `stays`, and removes what they have written. */
static bool end_hosts(Change *change, const Lab *stays, GError **error) {
    g_autoptr(Lab) before = lab_copy(change->record->lab, error);
    for (unsigned i = 0; before && i < before->hosts->len; i++)
        if (lab_find_host(stays, lab_host(before, i)->name) < 0 &&
            !end_host(change, lab_host(before, i), error))
            return false;
    Lab *rest = before ? lab_part(before, stays, true, error) : NULL;
    if (!rest || !take_up(change, rest, error))
        return false;
    for (unsigned i = 0; i < before->hosts->len; i++) {
        const LabHost *host = lab_host(before, i);
        g_autofree char *path =
            g_build_filename(change->record->directory, "hosts", host->name, NULL);
        if (lab_find_host(stays, host->name) < 0 && !tree_remove(path, error))
            return false;
    }
    return true;
}

static bool has_joined(const Record *record, const LabHost *host) {
    g_autofree char *path = disk_path(record->directory, host, "upper" DISK_MEMBERSHIP);
    return lab_joins(record->lab, host) && g_file_test(path, G_FILE_TEST_EXISTS);
}

static bool revoke_one(const Record *record, const LabHost *host, GError **error) {
    bool was_marked = is_marked(record, host);
    if (!was_marked && !mark(record, host, error))
        return false;
    if (!has_joined(record, host) || join_revoke(record, host, error))
        return true;
    if (!was_marked)
        unmark(record, host);
    return false;
}

/* What the hub knows of them counts no more. */
static bool revoke_hosts(const Change *change, const Lab *stays, GError **error) {
    const Lab *lab = change->record->lab;
    for (unsigned i = 0; i < lab->hosts->len; i++)
        if (lab_find_host(stays, lab_host(lab, i)->name) < 0 &&
            !revoke_one(change->record, lab_host(lab, i), error))
            return false;
    return true;
}

/* They may be anything between nothing and complete: they come anew, or are gone. */
static bool end_unfinished(Change *change, GError **error) {
    g_autoptr(Lab) finished = lab_finished(change->record, error);
    return finished &&
           (finished->hosts->len == change->record->lab->hosts->len ||
            (revoke_hosts(change, finished, error) && end_hosts(change, finished, error)));
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool make_disks(const Change *change, const Lab *lab, GError **error) {
    const Record *record = change->record;
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        const LabHost *host = lab_host(lab, i);
        g_autofree char *path = g_build_filename(record->directory, "hosts", host->name, NULL);
        /* Of one that was interrupted. */
        if (lab_find_host(record->lab, host->name) < 0 &&
            (!tree_remove(path, error) || !disk_make(record->directory, lab, host, error) ||
             !mark(record, host, error)))
            return false;
    }
    return true;
}

static bool start_host(Change *change, const LabHost *host, GError **error) {
    if (is_stopped(NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED, "interrupted");
        return false;
    }
    change->progress(change->data, host->name, false, "starting");
    if (!ask(change, lab_talk_request("start", host->name), error))
        return false;
    change->progress(change->data, host->name, false, "running");
    return !lab_joins(change->record->lab, host) ||
           join_host(change->record, host, is_stopped, NULL, error);
}

/* All have their disks, then the keeper knows them, then they start. */
static bool add_hosts(Change *change, const Lab *before, Lab *lab, GError **error) {
    if (!make_disks(change, lab, error)) {
        lab_free(lab);
        return false;
    }
    if (!take_up(change, lab, error))
        return false;
    for (unsigned i = 0; i < lab->hosts->len; i++)
        if (lab_find_host(before, lab_host(lab, i)->name) < 0 &&
            !start_host(change, lab_host(lab, i), error))
            return false;
    return true;
}

static bool add_or_undo(Change *change, const Lab *before, Lab *lab, GError **error) {
    if (add_hosts(change, before, lab, error))
        return true;
    if (error && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_CANCELLED)) {
        g_clear_error(error);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED,
                    "interrupted: the lab has the hosts that it had");
    }
    g_autoptr(GError) problem = NULL;
    if (!end_hosts(change, before, &problem))
        g_prefix_error(error, "%s; then: ", problem->message);
    return false;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void count(const Lab *now, const Lab *then, ChangeCounts *ret_counts) {
    *ret_counts = (ChangeCounts){ 0 };
    for (unsigned i = 0; i < then->hosts->len; i++)
        ret_counts->added += lab_find_host(now, lab_host(then, i)->name) < 0;
    for (unsigned i = 0; i < now->hosts->len; i++)
        ret_counts->removed += lab_find_host(then, lab_host(now, i)->name) < 0;
}

/* It may take minutes, in which others may do what they want with their labs. */
static bool provide_bases(Change *change, const char *data, const Lab *wanted, GError **error) {
    g_autoptr(Record) record = NULL;
    if (!record_read(data, wanted->name, &record, error))
        return false;
    g_autoptr(Lab) now = lab_finished(record, error);
    g_autoptr(Lab) lab = now ? change_plan(now, wanted, error) : NULL;
    for (unsigned i = 0; lab && i < lab->hosts->len; i++) {
        g_autofree char *tree = base_provide(data, lab, lab_host(lab, i), tell_base, change, error);
        if (!tree)
            return false;
    }
    return lab != NULL;
}

/* Those that run have what they need. */
static bool check_room(const Lab *lab, const Lab *before, GError **error) {
    g_autoptr(Lab) more = lab_part(lab, before, false, error);
    return more && room_check(more, error);
}

static bool change_to(Change *change, Lab *lab, const ChangeCounts *counts, GError **error) {
    g_autoptr(Lab) then = lab;
    g_autoptr(Lab) before = lab_copy(change->record->lab, error);
    if (!before || (counts->added > 0 && !check_room(then, before, error)))
        return false;
    if (counts->removed > 0 &&
        (!revoke_hosts(change, then, error) || !end_hosts(change, then, error)))
        return false;
    g_autoptr(Lab) rest = lab_copy(change->record->lab, error);
    if (!rest || (counts->added > 0 && !add_or_undo(change, rest, g_steal_pointer(&then), error)))
        return false;
    if (counts->added + counts->removed == 0)
        return true;
    bool ok = join_tell_names(change->record, before, error);
    for (unsigned i = 0; i < change->record->lab->hosts->len; i++)
        unmark(change->record, lab_host(change->record->lab, i));
    return ok;
}

bool change_run(const char *data, const Lab *wanted, UpProgress progress, void *progress_data,
                ChangeCounts *ret_counts, GError **error) {
    Change change = { .progress = progress, .data = progress_data };
    int lock = provide_bases(&change, data, wanted, error) ? record_lock(data, error) : -1;
    if (lock < 0)
        return false;
    watch_signals(&change);
    bool ok =
        record_read(data, wanted->name, &change.record, error) && end_unfinished(&change, error);
    Lab *lab = ok ? change_plan(change.record->lab, wanted, error) : NULL;
    if (lab)
        count(change.record->lab, lab, ret_counts);
    ok = lab && change_to(&change, lab, ret_counts, error) &&
         visit_states(&change, count_off, ret_counts, error);
    unwatch_signals(&change);
    (void)close(lock); /* nothing was written through it */
    record_free(change.record);
    return ok;
}
