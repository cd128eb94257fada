#include "agent/health.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/client.h"
#include "loop/worker.h"

#define WORKERS_MAX  4u
#define OUTPUT_SHOWN 200 /* bytes of what a command said */
#define REPLY_LIMIT  (1u << 20)
#define INTERVAL_US  (10 * (int64_t)G_USEC_PER_SEC)
#define TIMEOUT_US   (5 * (int64_t)G_USEC_PER_SEC)

typedef struct Look Look;

typedef struct {
    Health *health;
    char *name;
    const Value *check; /* borrowed of health->checks */
    LoopTimer *timer;
    Look *look;     /* in a worker; NULL: none */
    HttpCall *call; /* NULL: none */
    unsigned of, passes;
    GArray *seen; /* of bool: the last looks, the newest last, at most of */
    char *why;    /* of the last look that was not right; NULL: it was */
} Check;

/* Of a check, in a worker. */
struct Look {
    Check *check; /* NULL: nobody waits for it */
    Host *host;
    Value *what; /* the check */
    Cancel *cancel;
    char *why; /* NULL: it is right */
};

struct Health {
    Loop *loop;
    Host *host;
    LoopCallback changed;
    void *data;
    Value *checks;  /* NULL: none */
    GPtrArray *all; /* of Check */
    WorkerPool *pool;
    HttpClient *client; /* NULL until it is needed */
};

static void begin(void *data);

/* --- verdicts --------------------------------------------------------------------------------- */

static unsigned count_right(const Check *check) {
    unsigned right = 0;
    for (unsigned i = 0; i < check->seen->len; i++)
        right += g_array_index(check->seen, bool, i);
    return right;
}

static ReportHealth verdict_of(const Check *check) {
    unsigned right = count_right(check), wrong = check->seen->len - right;
    if (wrong > check->of - check->passes)
        return REPORT_UNHEALTHY;
    return right >= check->passes ? REPORT_HEALTHY : REPORT_UNCHECKED;
}

ReportHealth health_state(const Health *health, const char **ret_why) {
    ReportHealth state = health->all->len > 0 ? REPORT_HEALTHY : REPORT_UNCHECKED;
    *ret_why = NULL;
    for (unsigned i = 0; i < health->all->len; i++) {
        const Check *check = g_ptr_array_index(health->all, i);
        ReportHealth verdict = verdict_of(check);
        if (verdict == REPORT_UNHEALTHY && state != REPORT_UNHEALTHY) {
            *ret_why = check->why;
            state = REPORT_UNHEALTHY;
        } else if (verdict == REPORT_UNCHECKED && state == REPORT_HEALTHY) {
            state = REPORT_UNCHECKED;
        }
    }
    return state;
}

static uint64_t interval_of(const Check *check) {
    return (uint64_t)value_map_int(check->check, "interval", INTERVAL_US);
}

static uint64_t timeout_of(const Value *check) {
    return (uint64_t)value_map_int(check, "timeout", TIMEOUT_US);
}

/* why NULL: it is right. */
static void conclude(Check *check, const char *why) {
    Health *health = check->health;
    bool right = why == NULL;
    g_array_append_val(check->seen, right);
    if (check->seen->len > check->of)
        g_array_remove_index(check->seen, 0);
    if (!right) {
        g_free(check->why);
        check->why = g_strdup_printf("health '%s': %s", check->name, why);
    }
    loop_timer_set(health->loop, &check->timer, loop_now(health->loop) + interval_of(check), begin,
                   check);
    health->changed(health->data);
}

/* --- in a worker ------------------------------------------------------------------------------ */

static char *look_at_command(Look *look, const Value *words) {
    g_autoptr(GError) error = NULL;
    g_auto(HostCommandResult) result = { 0 };
    g_autofree const char **argv = g_new0(const char *, value_size(words) + 1);
    for (size_t i = 0; i < value_size(words); i++)
        argv[i] = value_string(value_list_at(words, i));
    HostCommand command = { .argv = argv, .cancel = look->cancel };
    if (!host_run(look->host, &command, &result, &error))
        return g_strdup(error->message);
    if (result.exit_status == 0)
        return NULL;
    gsize size = 0;
    const char *data = result.output ? g_bytes_get_data(result.output, &size) : NULL;
    g_autofree char *raw = g_strndup(data ? data : "", MIN(size, OUTPUT_SHOWN));
    g_autofree char *text = g_utf8_make_valid(raw, -1);
    g_strdelimit(g_strstrip(text), "\n", ' ');
    g_autofree char *said = *text ? g_strconcat(": ", text, NULL) : g_strdup("");
    return result.exit_status < 0
               ? g_strdup_printf("'%s' was ended by signal %d%s", argv[0], result.signal_number,
                                 said)
               : g_strdup_printf("'%s' exits with %d%s", argv[0], result.exit_status, said);
}

static char *look_at_unit(Look *look, const char *name) {
    g_autoptr(GError) error = NULL;
    UnitInfo info = { 0 };
    if (!host_unit_query(look->host, name, false, &info, &error))
        return g_strdup(error->message);
    if (!info.exists)
        return g_strdup_printf("there is no unit '%s'", name);
    if (info.active && !info.restarting)
        return NULL;
    return g_strdup_printf("unit '%s' %s", name, info.failed ? "has failed" : "is not active");
}

/* 0, or errno. */
static int connect_within(const struct addrinfo *address, uint64_t timeout) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int problem = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (problem == EINPROGRESS) {
        struct pollfd poller = { .fd = fd, .events = POLLOUT };
        socklen_t size = sizeof problem;
        problem = ETIMEDOUT;
        if (poll(&poller, 1, (int)(timeout / 1000)) > 0)
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size); /* of a socket of ours */
    }
    close(fd);
    return problem;
}

static char *look_at_port(Look *look, const char *where) {
    const char *colon = strrchr(where, ':');
    g_autofree char *name = g_strndup(where, colon ? (size_t)(colon - where) : 0);
    bool bracketed = *name == '[' && g_str_has_suffix(name, "]");
    if (bracketed)
        name[strlen(name) - 1] = '\0';
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int unknown = getaddrinfo(name + bracketed, colon ? colon + 1 : "0", &hints, &found);
    if (unknown)
        return g_strdup_printf("connect to '%s': %s", where, gai_strerror(unknown));
    int problem = ECONNREFUSED;
    for (const struct addrinfo *one = found; one && problem != 0; one = one->ai_next)
        problem = connect_within(one, timeout_of(look->what));
    freeaddrinfo(found);
    return problem ? g_strdup_printf("connect to '%s': %s", where, g_strerror(problem)) : NULL;
}

static void work(void *data) {
    Look *look = data;
    const Value *command = value_map_get(look->what, "exec");
    const char *unit = value_map_string(look->what, "unit", NULL);
    if (command)
        look->why = look_at_command(look, command);
    else if (unit)
        look->why = look_at_unit(look, unit);
    else
        look->why = look_at_port(look, value_map_string(look->what, "tcp", ""));
}

static void on_worked(void *data) {
    Look *look = data;
    if (look->check) {
        look->check->look = NULL;
        conclude(look->check, look->why);
    }
    value_unref(look->what);
    cancel_unref(look->cancel);
    g_free(look->why);
    g_free(look);
}

/* --- over the loop ---------------------------------------------------------------------------- */

static void on_reply(void *data, const HttpReply *reply, const GError *error) {
    Check *check = data;
    check->call = NULL;
    int64_t wanted = value_map_int(check->check, "status", 0);
    bool right = wanted ? reply->status == wanted : reply->status >= 200 && reply->status < 400;
    const char *url = value_map_string(check->check, "http", "");
    g_autofree char *why = NULL;
    if (error)
        why = g_strdup_printf("get '%s': %s", url, error->message);
    else if (!right)
        why = g_strdup_printf("get '%s': it answers with %u", url, reply->status);
    conclude(check, why);
}

static void ask(Check *check, const char *url) {
    Health *health = check->health;
    g_autoptr(GError) error = NULL;
    if (!health->client)
        health->client = http_client_new(health->loop, NULL, &error);
    if (!health->client) {
        conclude(check, error->message);
        return;
    }
    HttpAsk question = { .url = url,
                         .timeout = timeout_of(check->check),
                         .reply_limit = REPLY_LIMIT };
    check->call = http_client_send(health->client, &question, on_reply, check);
}

static void begin(void *data) {
    Check *check = data;
    const char *url = value_map_string(check->check, "http", NULL);
    if (url) {
        ask(check, url);
        return;
    }
    Look *look = check->look = g_new0(Look, 1);
    look->check = check;
    look->host = check->health->host;
    look->what = value_ref(check->check);
    look->cancel = cancel_new(timeout_of(check->check));
    worker_pool_push(check->health->pool, work, on_worked, look);
}

/* --- which there are -------------------------------------------------------------------------- */

/* What is under way is of no interest any more. */
static void stop(Check *check) {
    loop_timer_clear(&check->timer);
    g_clear_pointer(&check->call, http_call_cancel);
    if (check->look) {
        check->look->check = NULL;
        cancel_request(check->look->cancel);
        check->look = NULL;
    }
}

static void check_free(void *data) {
    Check *check = data;
    stop(check);
    g_array_unref(check->seen);
    g_free(check->name);
    g_free(check->why);
    g_free(check);
}

static void look_soon(Check *check) {
    loop_timer_set(check->health->loop, &check->timer, loop_now(check->health->loop), begin, check);
}

static void add(Health *health, const char *name, const Value *what) {
    Check *check = g_new0(Check, 1);
    check->health = health;
    check->name = g_strdup(name);
    check->check = what;
    check->of = (unsigned)value_map_int(what, "of", 1);
    check->passes = (unsigned)value_map_int(what, "passes", check->of);
    check->seen = g_array_new(FALSE, FALSE, sizeof(bool));
    g_ptr_array_add(health->all, check);
    look_soon(check);
}

void health_set(Health *health, const Value *checks) {
    size_t count = checks ? value_size(checks) : 0;
    if (count == 0 ? health->all->len == 0 : health->checks && value_equal(health->checks, checks))
        return;
    g_ptr_array_set_size(health->all, 0);
    value_unref(health->checks);
    health->checks = value_ref(checks);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const Value *what = value_map_at(health->checks, i, &name);
        add(health, name, what);
    }
    health->changed(health->data);
}

void health_reset(Health *health) {
    for (unsigned i = 0; i < health->all->len; i++) {
        Check *check = g_ptr_array_index(health->all, i);
        stop(check);
        g_array_set_size(check->seen, 0);
        look_soon(check);
    }
}

void health_look_now(Health *health) {
    for (unsigned i = 0; i < health->all->len; i++) {
        Check *check = g_ptr_array_index(health->all, i);
        if (verdict_of(check) == REPORT_UNHEALTHY && !check->look && !check->call)
            look_soon(check);
    }
}

Health *health_new(Loop *loop, Host *host, LoopCallback changed, void *data) {
    Health *health = g_new0(Health, 1);
    health->loop = loop;
    health->host = host;
    health->changed = changed;
    health->data = data;
    health->all = g_ptr_array_new_with_free_func(check_free);
    health->pool = worker_pool_new(loop, WORKERS_MAX);
    return health;
}

void health_free(Health *health) {
    if (!health)
        return;
    g_ptr_array_unref(health->all);
    worker_pool_free(health->pool);
    http_client_free(health->client);
    value_unref(health->checks);
    g_free(health);
}
