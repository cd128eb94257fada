/* What is found to be healthy, and why it is not: over a fake host, and over sockets of our own. */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/health.h"
#include "base/json.h"
#include "host/host-fake.h"
#include "loop/cancel.h"

#define PATIENCE_US (30 * (uint64_t)G_USEC_PER_SEC)

typedef struct {
    Loop *loop;
    Host *host;
    Health *health;
    LoopTimer *late, *rest;
    bool runs;
    unsigned changes, awaited; /* calls of changed; at so many run() ends */

    int server;       /* -1: none */
    GThread *serving; /* NULL: nobody */
    char *answer;     /* borrowed: of the server; NULL: it says nothing */
    GArray *silent;   /* connections without an answer: of int */
} World;

static void on_changed(void *data) {
    World *world = data;
    if (++world->changes >= world->awaited && world->runs)
        loop_quit(world->loop);
}

static void on_late(void *data) {
    const World *world = data;
    g_error("waited in vain for change %u, there were %u", world->awaited, world->changes);
}

static void setup(World *world, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    world->loop = loop_new(&error);
    g_assert_no_error(error);
    world->host = host_fake_new();
    world->health = health_new(world->loop, world->host, on_changed, world);
    world->server = -1;
    world->silent = g_array_new(FALSE, FALSE, sizeof(int));
}

static void teardown(World *world, gconstpointer data) {
    health_free(world->health);
    if (world->serving) {
        (void)shutdown(world->server, SHUT_RDWR); /* ends accept() */
        g_thread_join(world->serving);
    }
    if (world->server >= 0)
        close(world->server);
    for (unsigned i = 0; i < world->silent->len; i++)
        close(g_array_index(world->silent, int, i));
    g_array_unref(world->silent);
    host_free(world->host);
    loop_free(world->loop);
}

/* Until changed was called so often from now on. */
static void run(World *world, unsigned changes) {
    g_autoptr(GError) error = NULL;
    world->awaited = world->changes + changes;
    loop_timer_set(world->loop, &world->late, loop_now(world->loop) + PATIENCE_US, on_late, world);
    world->runs = true;
    g_assert_true(loop_run(world->loop, &error));
    world->runs = false;
    loop_timer_clear(&world->late);
}

/* checks: JSON; times in it in microseconds. The first call of changed says that they are there. */
static void set(World *world, const char *checks) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse(checks, strlen(checks), "checks", &error);
    g_assert_no_error(error);
    health_set(world->health, value);
}

static void expect(const World *world, ReportHealth state, const char *why) {
    const char *found;
    g_assert_cmpint(health_state(world->health, &found), ==, state);
    g_assert_cmpstr(found, ==, why);
}

/* --- commands and units ----------------------------------------------------------------------- */

static void test_none(World *world, gconstpointer data) {
    expect(world, REPORT_UNCHECKED, NULL);
    set(world, "{}");
    g_assert_cmpuint(world->changes, ==, 0); /* as before */
    expect(world, REPORT_UNCHECKED, NULL);
}

static void be_killed(Host *fake, const HostCommand *command, HostCommandResult *ret_result,
                      void *data) {
    ret_result->exit_status = -1;
    ret_result->signal_number = 9;
}

static void test_command(World *world, gconstpointer data) {
    static const struct {
        int status;
        const char *output;
        FakeCommand run;
        const char *why;
    } cases[] = {
        { 0, "fine\n", NULL, NULL },
        { 3, "", NULL, "health 'web': 'look' exits with 3" },
        { 3, " it is\ndown \n", NULL, "health 'web': 'look' exits with 3: it is down" },
        { 3, "\xff", NULL, "health 'web': 'look' exits with 3: \xef\xbf\xbd" },
        { 0, "", be_killed, "health 'web': 'look' was ended by signal 9" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        host_fake_set_command(world->host, "look at", cases[i].status, cases[i].output,
                              cases[i].run, NULL);
        set(world, "{\"web\":{\"exec\":[\"look\",\"at\"],\"interval\":60000000}}");
        expect(world, REPORT_UNCHECKED, NULL);
        run(world, 1);
        expect(world, cases[i].why ? REPORT_UNHEALTHY : REPORT_HEALTHY, cases[i].why);
        set(world, "{}");
    }
}

static void test_command_that_is_not_there(World *world, gconstpointer data) {
    const char *why;
    set(world, "{\"web\":{\"exec\":[\"none\"]}}");
    run(world, 1);
    g_assert_cmpint(health_state(world->health, &why), ==, REPORT_UNHEALTHY);
    g_assert_true(g_str_has_prefix(why, "health 'web': ") && strstr(why, "none"));
}

/* As a program does that hangs. */
static void hang(Host *fake, const HostCommand *command, HostCommandResult *ret_result,
                 void *data) {
    struct pollfd asked = { .fd = cancel_fd(command->cancel), .events = POLLIN };
    gint64 begun = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    while (cancel_check(command->cancel, &error)) {
        (void)poll(&asked, 1, cancel_poll_timeout_ms(command->cancel)); /* looks again */
        g_assert_cmpint(g_get_monotonic_time() - begun, <, (gint64)PATIENCE_US);
    }
    ret_result->exit_status = 124;
    ret_result->output = g_bytes_new(error->message, strlen(error->message));
}

static void test_command_that_hangs(World *world, gconstpointer data) {
    const char *why;
    host_fake_set_command(world->host, "hang", 0, "", hang, NULL);
    set(world, "{\"web\":{\"exec\":[\"hang\"],\"timeout\":50000}}");
    run(world, 1);
    g_assert_cmpint(health_state(world->health, &why), ==, REPORT_UNHEALTHY);
    g_assert_nonnull(strstr(why, "'hang' exits with 124: "));
    /* One that is under way ends with those who want it. */
    set(world, "{\"web\":{\"exec\":[\"hang\"],\"timeout\":3600000000}}");
    while (host_fake_count(world->host, "run") < 2)
        (void)loop_turn(world->loop);
}

static void test_unit(World *world, gconstpointer data) {
    static const struct {
        UnitInfo info;
        const char *why;
    } cases[] = {
        { { .exists = false }, "health 'web': there is no unit 'web.service'" },
        { { .exists = true, .active = true }, NULL },
        { { .exists = true }, "health 'web': unit 'web.service' is not active" },
        { { .exists = true, .failed = true }, "health 'web': unit 'web.service' has failed" },
        { { .exists = true, .active = true, .restarting = true },
          "health 'web': unit 'web.service' is not active" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (cases[i].info.exists)
            host_fake_set_unit(world->host, "web.service", &cases[i].info);
        set(world, "{\"web\":{\"unit\":\"web.service\"}}");
        run(world, 1);
        expect(world, cases[i].why ? REPORT_UNHEALTHY : REPORT_HEALTHY, cases[i].why);
        set(world, "{}");
    }
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* In a thread of its own, as the client waits in the loop. */
static void *answer_all(void *data) {
    World *world = data;
    for (int connection; (connection = accept(world->server, NULL, NULL)) >= 0;) {
        const char *answer = g_atomic_pointer_get(&world->answer);
        if (!answer) {
            g_array_append_val(world->silent, connection);
            continue;
        }
        char request[4096];
        (void)!read(connection, request, sizeof request); /* whatever it says */
        g_assert_cmpint(write(connection, answer, strlen(answer)), ==, (ssize_t)strlen(answer));
        close(connection);
    }
    return NULL;
}

/* Its port. */
static unsigned listen_at_loopback(World *world) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    world->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(world->server, (struct sockaddr *)&address, size), ==, 0);
    g_assert_cmpint(listen(world->server, 16), ==, 0);
    g_assert_cmpint(getsockname(world->server, (struct sockaddr *)&address, &size), ==, 0);
    return ntohs(address.sin_port);
}

static void serve(World *world, const char *answer) {
    g_atomic_pointer_set(&world->answer, (char *)(uintptr_t)answer);
    if (!world->serving)
        world->serving = g_thread_new("serve", answer_all, world);
}

static void test_port(World *world, gconstpointer data) {
    unsigned port = listen_at_loopback(world);
    g_autofree char *checks = g_strdup_printf("{\"web\":{\"tcp\":\"127.0.0.1:%u\"}}", port);
    g_autofree char *refused =
        g_strdup_printf("health 'web': connect to '127.0.0.1:%u': Connection refused", port);
    set(world, checks);
    run(world, 1);
    expect(world, REPORT_HEALTHY, NULL);
    set(world, "{}");
    close(world->server);
    world->server = -1;
    set(world, checks);
    run(world, 1);
    expect(world, REPORT_UNHEALTHY, refused);
}

static void test_port_of_nobody(World *world, gconstpointer data) {
    const char *why;
    set(world, "{\"web\":{\"tcp\":\"[not an address]:80\"}}");
    run(world, 1);
    g_assert_cmpint(health_state(world->health, &why), ==, REPORT_UNHEALTHY);
    g_assert_true(g_str_has_prefix(why, "health 'web': connect to '[not an address]:80': "));
}

#define REPLY(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static void test_http(World *world, gconstpointer data) {
    static const struct {
        const char *answer, *more, *why;
    } cases[] = {
        { REPLY("200 OK"), "", NULL },
        { REPLY("302 Found"), "", NULL },
        { REPLY("404 Not Found"), "", "it answers with 404" },
        { REPLY("503 Busy"), "", "it answers with 503" },
        { REPLY("404 Not Found"), ",\"status\":404", NULL },
        { REPLY("200 OK"), ",\"status\":404", "it answers with 200" },
    };
    unsigned port = listen_at_loopback(world);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *checks = g_strdup_printf(
            "{\"web\":{\"http\":\"http://127.0.0.1:%u/x\"%s}}", port, cases[i].more);
        g_autofree char *why = g_strdup_printf("health 'web': get 'http://127.0.0.1:%u/x': %s",
                                               port, cases[i].why ? cases[i].why : "");
        serve(world, cases[i].answer);
        set(world, checks);
        run(world, 1);
        expect(world, cases[i].why ? REPORT_UNHEALTHY : REPORT_HEALTHY, cases[i].why ? why : NULL);
        set(world, "{}");
    }
}

static void test_http_without_an_answer(World *world, gconstpointer data) {
    const char *why;
    g_autofree char *checks =
        g_strdup_printf("{\"web\":{\"http\":\"http://127.0.0.1:%u/\",\"timeout\":100000}}",
                        listen_at_loopback(world));
    serve(world, NULL);
    set(world, checks);
    gint64 begun = g_get_monotonic_time();
    run(world, 1);
    g_assert_cmpint(g_get_monotonic_time() - begun, >=, 100000);
    g_assert_cmpint(health_state(world->health, &why), ==, REPORT_UNHEALTHY);
    g_assert_true(g_str_has_prefix(why, "health 'web': get 'http://127.0.0.1:"));
    /* One that is under way ends with those who want it. */
    set(world, "{\"web\":{\"http\":\"http://127.0.0.1:1/\",\"timeout\":3600000000}}");
    (void)loop_turn(world->loop);
}

/* --- several looks, several checks ------------------------------------------------------------ */

/* Looks one after the other: "r" right, "w" wrong; then what is said of the last so many. */
static void test_k_of_n(World *world, gconstpointer data) {
    static const struct {
        const char *looks;
        ReportHealth state;
    } cases[] = {
        { "r", REPORT_UNCHECKED },  { "rr", REPORT_HEALTHY },      { "w", REPORT_UNCHECKED },
        { "wr", REPORT_UNCHECKED }, { "ww", REPORT_UNHEALTHY },    { "rw", REPORT_UNCHECKED },
        { "rwr", REPORT_HEALTHY },  { "wrr", REPORT_HEALTHY },     { "rww", REPORT_UNHEALTHY },
        { "rrrw", REPORT_HEALTHY }, { "rrrww", REPORT_UNHEALTHY }, { "wwr", REPORT_UNHEALTHY },
        { "wwrr", REPORT_HEALTHY }, { "wwwwrr", REPORT_HEALTHY },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *looks = cases[i].looks;
        host_fake_set_command(world->host, "look", *looks == 'w', "", NULL, NULL);
        set(world, "{\"web\":{\"exec\":[\"look\"],\"interval\":100,\"of\":3,\"passes\":2}}");
        for (; *looks; looks++) {
            host_fake_set_command(world->host, "look", *looks == 'w', "", NULL, NULL);
            run(world, 1);
        }
        const char *why;
        if (health_state(world->health, &why) != cases[i].state)
            g_error("after %s it is %d", cases[i].looks, health_state(world->health, &why));
        g_assert_cmpint(why != NULL, ==, cases[i].state == REPORT_UNHEALTHY);
        set(world, "{}");
    }
}

static void test_the_worst_counts(World *world, gconstpointer data) {
    host_fake_set_command(world->host, "good", 0, "", NULL, NULL);
    host_fake_set_command(world->host, "bad", 1, "", NULL, NULL);
    set(world, "{\"a\":{\"exec\":[\"good\"]},\"b\":{\"exec\":[\"good\"],\"of\":2}}");
    run(world, 2);
    expect(world, REPORT_UNCHECKED, NULL); /* b is looked at once more, in a while */
    set(world, "{\"a\":{\"exec\":[\"good\"]},\"b\":{\"exec\":[\"bad\"]},\"c\":{\"unit\":\"x\"}}");
    run(world, 3);
    expect(world, REPORT_UNHEALTHY, "health 'b': 'bad' exits with 1"); /* the first of them */
}

static void test_the_same_again(World *world, gconstpointer data) {
    host_fake_set_command(world->host, "good", 0, "", NULL, NULL);
    set(world, "{\"a\":{\"exec\":[\"good\"],\"interval\":3600000000}}");
    run(world, 1);
    unsigned changes = world->changes;
    set(world, "{\"a\":{\"exec\":[\"good\"],\"interval\":3600000000}}");
    g_assert_cmpuint(world->changes, ==, changes);
    expect(world, REPORT_HEALTHY, NULL); /* what was seen counts */
    set(world, "{\"a\":{\"exec\":[\"good\"],\"interval\":1800000000}}");
    g_assert_cmpuint(world->changes, ==, changes + 1);
    expect(world, REPORT_UNCHECKED, NULL);
    health_set(world->health, NULL);
    g_assert_cmpuint(world->changes, ==, changes + 2);
    expect(world, REPORT_UNCHECKED, NULL);
}

/* Another configuration runs; and: what was wrong may be right before its turn comes. */
static void test_begun_anew(World *world, gconstpointer data) {
    host_fake_set_command(world->host, "look", 1, "", NULL, NULL);
    set(world, "{\"a\":{\"exec\":[\"look\"],\"interval\":3600000000}}");
    run(world, 1);
    expect(world, REPORT_UNHEALTHY, "health 'a': 'look' exits with 1");
    health_reset(world->health);
    expect(world, REPORT_UNCHECKED, NULL);
    run(world, 1);
    expect(world, REPORT_UNHEALTHY, "health 'a': 'look' exits with 1");
    host_fake_set_command(world->host, "look", 0, "", NULL, NULL);
    health_look_now(world->health);
    run(world, 1);
    expect(world, REPORT_HEALTHY, NULL);
    unsigned looks = host_fake_count(world->host, "run");
    health_look_now(world->health); /* at none */
    loop_timer_set(world->loop, &world->rest, loop_now(world->loop) + 20000, on_changed, world);
    run(world, 1);
    g_assert_cmpuint(host_fake_count(world->host, "run"), ==, looks);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/health/" name, World, NULL, setup, test, teardown)
    ADD("none", test_none);
    ADD("command", test_command);
    ADD("command-that-is-not-there", test_command_that_is_not_there);
    ADD("command-that-hangs", test_command_that_hangs);
    ADD("unit", test_unit);
    ADD("port", test_port);
    ADD("port-of-nobody", test_port_of_nobody);
    ADD("http", test_http);
    ADD("http-without-an-answer", test_http_without_an_answer);
    ADD("k-of-n", test_k_of_n);
    ADD("the-worst-counts", test_the_worst_counts);
    ADD("the-same-again", test_the_same_again);
    ADD("begun-anew", test_begun_anew);
    return g_test_run();
}
