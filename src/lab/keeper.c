#include "lab/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "lab/cgroups.h"
#include "lab/container.h"
#include "lab/cut.h"
#include "lab/talk.h"
#include "lab/wires.h"

#define FIRST_CLIENT 3 /* descriptor */
#define NSPAWN_FILES "/run/systemd/nspawn"

typedef struct Keeper Keeper;

/* A connection. It asks for one thing at a time. */
typedef struct {
    Keeper *keeper;
    int fd;
    LoopSource *source;
    bool is_first;    /* the command that sets the lab up */
    bool waits_all;   /* for all containers to run */
    Container *waits; /* for this one to be in state; NULL: it does not wait */
    ContainerState goal;
    bool enters; /* it is then given the container's first process */
} Client;

struct Keeper {
    Record *record;
    Loop *loop;
    GPtrArray *containers; /* of Container, as the lab's hosts */
    GPtrArray *clients;    /* of Client */
    GArray *cuts;          /* of Cut */
    LoopSource *listening, *children, *ending;
    int listener;
    bool is_kept; /* it goes on without its first client */
    int exit_code;
};

static void client_free(void *data) {
    Client *client = data;
    loop_source_free(client->source);
    (void)close(client->fd);
    g_free(client);
}

static void free_container(void *data) {
    container_free(data);
}

static Container *container_at(const Keeper *keeper, unsigned index) {
    return g_ptr_array_index(keeper->containers, index);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* A client that does not listen any more is found when its descriptor says so. */
static void say(Client *client, Value *message, int attached) {
    (void)lab_talk_send(client->fd, message, attached, NULL);
}

static Value *done(void) {
    Value *message = value_new_map();
    value_map_set(message, "done", value_new_bool(true));
    return message;
}

static void refuse(Client *client, const char *text) {
    Value *message = value_new_map();
    value_map_set(message, "error", value_new_string(text));
    client->waits = NULL;
    client->waits_all = false;
    say(client, message, -1);
}

static void refuse_format(Client *client, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void refuse_format(Client *client, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    refuse(client, text);
}

static void tell_event(Client *client, const Container *container) {
    Value *message = value_new_map();
    value_map_set(message, "event", value_new_string("host"));
    value_map_set(message, "host", value_new_string(container_host(container)->name));
    value_map_set(message, "state",
                  value_new_string(container_state_name(container_state(container))));
    say(client, message, -1);
}

static bool all_run(const Keeper *keeper) {
    for (unsigned i = 0; i < keeper->containers->len; i++)
        if (container_state(container_at(keeper, i)) != CONTAINER_RUNNING)
            return false;
    return true;
}

static void tell_change(Client *client, Container *container, const char *problem) {
    const char *name = container_host(container)->name;
    if (!client->waits_all && client->waits != container)
        return;
    tell_event(client, container);
    if (container_state(container) == CONTAINER_OFF &&
        (client->waits_all || client->goal != CONTAINER_OFF)) {
        refuse_format(client, "host '%s' is off: %s", name, problem ? problem : "it was ended");
        return;
    }
    if (client->waits_all ? !all_run(client->keeper) : container_state(container) != client->goal)
        return;
    client->waits = NULL;
    client->waits_all = false;
    say(client, done(), client->enters ? container_leader(container) : -1);
}

static void changed(void *data, Container *container, const char *problem) {
    const Keeper *keeper = data;
    for (unsigned i = 0; i < keeper->clients->len; i++)
        tell_change(g_ptr_array_index(keeper->clients, i), container, problem);
}

/* --- requests --------------------------------------------------------------------------------- */

static void wait_for(Client *client, Container *container, ContainerState goal) {
    client->waits = container;
    client->goal = goal;
}

static void do_start(Client *client, Container *container, const Value *request) {
    g_autoptr(GError) error = NULL;
    const char *name = container_host(container)->name;
    if (container_state(container) != CONTAINER_OFF) {
        refuse_format(client, "host '%s' is %s already", name,
                      container_state_name(container_state(container)));
        return;
    }
    wait_for(client, container, CONTAINER_RUNNING);
    if (!container_start(container, &error))
        refuse(client, error->message);
}

static void do_kill(Client *client, Container *container, const Value *request) {
    if (container_state(container) == CONTAINER_OFF) {
        refuse_format(client, "host '%s' is off already; 'stead lab start %s' starts it",
                      container_host(container)->name, container_host(container)->name);
        return;
    }
    wait_for(client, container, CONTAINER_OFF);
    container_kill(container);
}

static void do_reboot(Client *client, Container *container, const Value *request) {
    g_autoptr(GError) error = NULL;
    const char *name = container_host(container)->name;
    ContainerState state = container_state(container);
    if (state != CONTAINER_RUNNING) {
        refuse_format(
            client, "host '%s' is %s, so it cannot reboot%s%s%s", name, container_state_name(state),
            state == CONTAINER_OFF ? "; 'stead lab start " : "", state == CONTAINER_OFF ? name : "",
            state == CONTAINER_OFF ? "' starts it" : "");
        return;
    }
    wait_for(client, container, CONTAINER_RUNNING);
    if (!container_reboot(container, &error))
        refuse(client, error->message);
}

/* One that has only just begun to start is waited for. */
static void do_enter(Client *client, Container *container, const Value *request) {
    const char *name = container_host(container)->name;
    if (container_leader(container) >= 0) {
        say(client, done(), container_leader(container));
    } else if (container_state(container) == CONTAINER_OFF) {
        refuse_format(client, "host '%s' is off; 'stead lab start %s' starts it", name, name);
    } else {
        wait_for(client, container, CONTAINER_RUNNING);
        client->enters = true;
    }
}

static Value *cut_to_value(const Keeper *keeper, const Cut *cut) {
    const Lab *lab = keeper->record->lab;
    Value *pair = value_new_list();
    value_list_append(pair, value_new_string(lab_host(lab, cut->a)->name));
    value_list_append(pair, value_new_string(cut->is_network ? lab_network(lab, cut->b)->name
                                                             : lab_host(lab, cut->b)->name));
    return pair;
}

static void do_status(Client *client, Container *container, const Value *request) {
    const Keeper *keeper = client->keeper;
    Value *answer = done(), *hosts = value_new_list(), *cuts = value_new_list();
    for (unsigned i = 0; i < keeper->containers->len; i++) {
        const Container *one = container_at(keeper, i);
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(container_host(one)->name));
        value_map_set(map, "state", value_new_string(container_state_name(container_state(one))));
        value_map_set(map, "since", value_new_int(container_since(one)));
        value_list_append(hosts, map);
    }
    for (unsigned i = 0; i < keeper->cuts->len; i++)
        value_list_append(cuts, cut_to_value(keeper, &g_array_index(keeper->cuts, Cut, i)));
    value_map_set(answer, "hosts", hosts);
    value_map_set(answer, "cuts", cuts);
    say(client, answer, -1);
}

/* -1: it is not cut. */
static int find_cut(const Keeper *keeper, const Cut *cut) {
    for (unsigned i = 0; i < keeper->cuts->len; i++)
        if (cut_equal(cut, &g_array_index(keeper->cuts, Cut, i)))
            return (int)i;
    return -1;
}

/* Becomes what is cut once the kernel has taken it. Takes cuts over. */
static void set_cuts(Client *client, GArray *cuts) {
    g_autoptr(GError) error = NULL;
    Keeper *keeper = client->keeper;
    if (!cut_apply(keeper->record->lab, cuts, &error)) {
        g_array_unref(cuts);
        refuse(client, error->message);
        return;
    }
    Value *answer = done();
    value_map_set(answer, "changed", value_new_bool(cuts->len != keeper->cuts->len));
    g_array_unref(keeper->cuts);
    keeper->cuts = cuts;
    say(client, answer, -1);
}

static bool read_cut(Client *client, const Value *request, Cut *ret_cut) {
    g_autoptr(GError) error = NULL;
    if (cut_parse(client->keeper->record->lab, value_map_string(request, "a", ""),
                  value_map_string(request, "b", ""), ret_cut, &error))
        return true;
    refuse(client, error->message);
    return false;
}

static void do_cut(Client *client, Container *container, const Value *request) {
    Cut cut;
    if (!read_cut(client, request, &cut))
        return;
    GArray *cuts = g_array_copy(client->keeper->cuts);
    if (find_cut(client->keeper, &cut) < 0)
        g_array_append_val(cuts, cut);
    set_cuts(client, cuts);
}

static void do_heal(Client *client, Container *container, const Value *request) {
    Cut cut;
    if (!value_map_get(request, "a")) {
        set_cuts(client, g_array_new(FALSE, FALSE, sizeof(Cut)));
        return;
    }
    if (!read_cut(client, request, &cut))
        return;
    GArray *cuts = g_array_copy(client->keeper->cuts);
    int index = find_cut(client->keeper, &cut);
    if (index >= 0)
        g_array_remove_index(cuts, (unsigned)index);
    set_cuts(client, cuts);
}

static void do_up(Client *client, Container *container, const Value *request) {
    const Keeper *keeper = client->keeper;
    for (unsigned i = 0; i < keeper->containers->len; i++)
        if (container_state(container_at(keeper, i)) != CONTAINER_OFF) {
            refuse(client, "the lab is up already");
            return;
        }
    client->waits_all = true;
    for (unsigned i = 0; i < keeper->containers->len && client->waits_all; i++) {
        g_autoptr(GError) error = NULL;
        if (!container_start(container_at(keeper, i), &error))
            refuse(client, error->message);
    }
}

/* --- other hosts ------------------------------------------------------------------------------ */

/* The container of that name now; NULL: none. */
static Container *find_container(const GPtrArray *containers, const char *name) {
    for (unsigned i = 0; i < containers->len; i++)
        if (strcmp(container_host(g_ptr_array_index(containers, i))->name, name) == 0)
            return g_ptr_array_index(containers, i);
    return NULL;
}

/* NULL with error. Those that are there are in it too, and as they were. */
static GPtrArray *containers_of(Keeper *keeper, const Lab *lab, GError **error) {
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    bool ok = true;
    for (unsigned i = 0; ok && i < lab->hosts->len; i++) {
        Container *container = find_container(keeper->containers, lab_host(lab, i)->name);
        bool is_new = !container;
        if (is_new)
            container = container_new(keeper->record, i, keeper->loop, changed, keeper);
        g_ptr_array_add(all, container);
        ok = !is_new || container_mount(container, error);
    }
    for (unsigned i = 0; !ok && i < all->len; i++) {
        Container *container = g_ptr_array_index(all, i);
        if (!find_container(keeper->containers, container_host(container)->name)) {
            container_unmount(container);
            container_free(container);
        }
    }
    return ok ? g_steal_pointer(&all) : NULL;
}

/* The same cuts, without those of hosts that are gone. */
static GArray *cuts_of(const Keeper *keeper, const Lab *before, const Lab *lab) {
    GArray *cuts = g_array_new(FALSE, FALSE, sizeof(Cut));
    for (unsigned i = 0; i < keeper->cuts->len; i++) {
        Cut cut = g_array_index(keeper->cuts, Cut, i);
        int a = lab_find_host(lab, lab_host(before, cut.a)->name);
        int b = cut.is_network ? (int)cut.b : lab_find_host(lab, lab_host(before, cut.b)->name);
        if (a < 0 || b < 0)
            continue;
        cut.a = (unsigned)a;
        cut.b = (unsigned)b;
        g_array_append_val(cuts, cut);
    }
    return cuts;
}

static bool write_lab(const Keeper *keeper, Lab *lab, GError **error) {
    g_autoptr(Record) record = NULL;
    bool ok = record_read(keeper->record->data, keeper->record->name, &record, error);
    if (!ok)
        return false;
    Lab *before = record->lab;
    record->lab = lab;
    ok = record_write(record, error);
    record->lab = before;
    return ok;
}

/* Nothing can fail any more. */
static void go_on_with(Keeper *keeper, Lab *before, GPtrArray *containers) {
    const Lab *lab = keeper->record->lab;
    GArray *cuts = cuts_of(keeper, before, lab);
    (void)cut_apply(lab, cuts, NULL); /* fewer than before, of which the kernel took all */
    g_array_unref(keeper->cuts);
    keeper->cuts = cuts;
    for (unsigned i = keeper->containers->len; i-- > 0;) {
        Container *container = container_at(keeper, i);
        if (g_ptr_array_find(containers, container, NULL))
            continue;
        container_unmount(container);
        container_free(container);
    }
    g_ptr_array_set_free_func(keeper->containers, NULL);
    g_ptr_array_set_size(keeper->containers, 0);
    g_ptr_array_set_free_func(keeper->containers, free_container);
    for (unsigned i = 0; i < containers->len; i++) {
        g_ptr_array_add(keeper->containers, g_ptr_array_index(containers, i));
        container_set_host(g_ptr_array_index(containers, i), i);
    }
    lab_free(before);
}

/* Whose host is not in the lab must be off; NULL: all are. */
static const char *find_running(const Keeper *keeper, const Lab *lab) {
    for (unsigned i = 0; i < keeper->containers->len; i++) {
        const char *name = container_host(container_at(keeper, i))->name;
        if (lab_find_host(lab, name) < 0 &&
            container_state(container_at(keeper, i)) != CONTAINER_OFF)
            return name;
    }
    return NULL;
}

static void do_change(Client *client, Container *container, const Value *request) {
    Keeper *keeper = client->keeper;
    g_autoptr(GError) error = NULL;
    Lab *lab = lab_from_value(value_map_get(request, "lab"), &error), *before = keeper->record->lab;
    const char *running = lab ? find_running(keeper, lab) : NULL;
    if (running) {
        refuse_format(client, "host '%s' runs again", running);
        lab_free(lab);
        return;
    }
    if (lab)
        keeper->record->lab = lab;
    g_autoptr(GPtrArray) containers = lab ? containers_of(keeper, lab, &error) : NULL;
    if (containers && write_lab(keeper, lab, &error)) {
        go_on_with(keeper, before, containers);
        say(client, done(), -1);
        return;
    }
    for (unsigned i = 0; containers && i < containers->len; i++)
        if (!g_ptr_array_find(keeper->containers, g_ptr_array_index(containers, i), NULL)) {
            container_unmount(g_ptr_array_index(containers, i));
            container_free(g_ptr_array_index(containers, i));
        }
    keeper->record->lab = before;
    lab_free(lab);
    refuse(client, error->message);
}

static void do_keep(Client *client, Container *container, const Value *request) {
    client->keeper->is_kept = true;
    say(client, done(), -1);
}

static const struct {
    const char *name;
    bool of_host;
    void (*run)(Client *client, Container *container, const Value *request);
} verbs[] = {
    { "status", false, do_status }, { "enter", true, do_enter },   { "start", true, do_start },
    { "kill", true, do_kill },      { "reboot", true, do_reboot }, { "cut", false, do_cut },
    { "heal", false, do_heal },     { "up", false, do_up },        { "keep", false, do_keep },
    { "change", false, do_change },
};

static void serve(Client *client, const Value *request) {
    const char *verb = value_map_string(request, "do", "");
    const char *name = value_map_string(request, "host", "");
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        int host = verbs[i].of_host ? lab_find_host(client->keeper->record->lab, name) : 0;
        if (host < 0)
            refuse_format(client, "lab '%s' has no host '%s'", client->keeper->record->name, name);
        else
            verbs[i].run(client, container_at(client->keeper, (unsigned)host), request);
        return;
    }
    refuse_format(client, "the lab was set up by another stead, which has no '%s'", verb);
}

/* --- connections ------------------------------------------------------------------------------ */

static void hang_up(Client *client) {
    Keeper *keeper = client->keeper;
    if (client->is_first && !keeper->is_kept) {
        keeper->exit_code = 1;
        loop_quit(keeper->loop); /* the command was ended: so is all it has begun */
    }
    g_ptr_array_remove_fast(keeper->clients, client);
}

static void hear(void *data, int fd, uint32_t events) {
    Client *client = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) request = lab_talk_receive(fd, NULL, &error);
    if (request)
        serve(client, request);
    else
        hang_up(client);
}

static bool add_client(Keeper *keeper, int fd, bool is_first, GError **error) {
    Client *client = g_new0(Client, 1);
    client->keeper = keeper;
    client->fd = fd;
    client->is_first = is_first;
    /* Hosts do not inherit it, and one that does not listen holds nobody up. */
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    client->source = loop_watch_fd(keeper->loop, fd, EPOLLIN, hear, client, error);
    if (!client->source) {
        client_free(client);
        return false;
    }
    g_ptr_array_add(keeper->clients, client);
    return true;
}

static void take_connection(void *data, int fd, uint32_t events) {
    int connection = lab_talk_accept(fd);
    if (connection >= 0)
        (void)add_client(data, connection, false, NULL); /* it sees the end of its connection */
}

/* --- life ------------------------------------------------------------------------------------- */

/* Ours, and as process 1 those whose parents have ended. */
static void reap(void *data, int signal_number) {
    const Keeper *keeper = data;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < keeper->containers->len; i++)
            if (container_ended(container_at(keeper, i), pid, status))
                break;
}

static void quit(void *data, int signal_number) {
    Keeper *keeper = data;
    loop_quit(keeper->loop);
}

/* What nspawn keeps for the whole machine is to be the lab's own. */
static bool hide_nspawn_files(GError **error) {
    if (g_mkdir_with_parents(NSPAWN_FILES, 0755) < 0)
        return set_io_error(error, errno, "make directory '%s'", NSPAWN_FILES);
    return mount("stead-lab", NSPAWN_FILES, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") == 0 ||
           set_io_error(error, errno, "mount '%s'", NSPAWN_FILES);
}

static bool watch(Keeper *keeper, GError **error) {
    keeper->children = loop_watch_signal(keeper->loop, SIGCHLD, reap, keeper, error);
    if (!keeper->children)
        return false;
    keeper->ending = loop_watch_signal(keeper->loop, SIGTERM, quit, keeper, error);
    keeper->listener = keeper->ending ? lab_talk_listen(keeper->record->directory, error) : -1;
    if (keeper->listener < 0)
        return false;
    keeper->listening =
        loop_watch_fd(keeper->loop, keeper->listener, EPOLLIN, take_connection, keeper, error);
    return keeper->listening;
}

/* With the lab's others, not with whoever set it up and may log out. */
static bool enter_group(const Record *record, GError **error) {
    g_autofree char *path = cgroups_path(record->data, record->name, "_keeper");
    GArray *groups = cgroups_make(path, error) ? cgroups_open(path, error) : NULL;
    bool ok = groups;
    for (unsigned i = 0; groups && i < groups->len; i++) {
        int fd = g_array_index(groups, int, i);
        if (ok && write(fd, "0", 1) != 1)
            ok = set_io_error(error, errno, "enter the control group '%s'", path);
        (void)close(fd); /* what was written counts already */
    }
    if (groups)
        g_array_unref(groups);
    return ok;
}

static bool prepare(Keeper *keeper, GError **error) {
    const Lab *lab = keeper->record->lab;
    if (!enter_group(keeper->record, error) || !hide_nspawn_files(error) ||
        !wires_make_bridges(lab, error) || !watch(keeper, error))
        return false;
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        Container *container = container_new(keeper->record, i, keeper->loop, changed, keeper);
        g_ptr_array_add(keeper->containers, container);
        if (!container_mount(container, error))
            return false;
    }
    return true;
}

static void keeper_clear(Keeper *keeper) {
    loop_source_free(keeper->listening);
    loop_source_free(keeper->children);
    loop_source_free(keeper->ending);
    g_ptr_array_unref(keeper->clients);
    g_ptr_array_unref(keeper->containers);
    g_array_unref(keeper->cuts);
    loop_free(keeper->loop);
    record_free(keeper->record);
}

static bool run(Keeper *keeper, const char *directory, GError **error) {
    g_autofree char *name = g_path_get_basename(directory);
    g_autofree char *labs = g_path_get_dirname(directory);
    g_autofree char *data = g_path_get_dirname(labs);
    if (!record_read(data, name, &keeper->record, error) || !(keeper->loop = loop_new(error)))
        return false;
    if (prepare(keeper, error))
        return add_client(keeper, FIRST_CLIENT, true, error) && loop_run(keeper->loop, error);
    Value *message = value_new_map();
    value_map_set(message, "error", value_new_string(error && *error ? (*error)->message : "?"));
    (void)lab_talk_send(FIRST_CLIENT, message, -1, NULL); /* who asked is gone: nobody to tell */
    return false;
}

int keeper_run(const char *directory) {
    g_autoptr(GError) error = NULL;
    Keeper keeper = { .containers = g_ptr_array_new_with_free_func(free_container),
                      .clients = g_ptr_array_new_with_free_func(client_free),
                      .cuts = g_array_new(FALSE, FALSE, sizeof(Cut)),
                      .listener = -1 };
    if (getpid() != 1) { /* it would mount over files of the machine */
        fputs("stead: only 'stead lab up' starts this\n", stderr);
        return 1;
    }
    (void)prctl(PR_SET_NAME, "stead-lab"); /* for ps(1) */
    if (!run(&keeper, directory, &error)) {
        fprintf(stderr, "keep '%s': %s\n", directory, error->message);
        keeper.exit_code = 1;
    }
    keeper_clear(&keeper);
    return keeper.exit_code;
}
