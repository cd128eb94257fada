/* systemd_timer on the fake service manager; the real one is in test/container/. */
#include <string.h>

#include "host/host-fake.h"
#include "kinds/calendar.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define SERVICE "/etc/systemd/system/backup.service"
#define TIMER   "/etc/systemd/system/backup.timer"

static Host *machine(void) {
    return host_fake_new();
}

static char *text_of(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, &error);
    g_assert_no_error(error);
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data, size);
}

static UnitInfo timer_of(Host *host) {
    UnitInfo info;
    g_assert_true(host_unit_query(host, "backup.timer", false, &info, NULL));
    return info;
}

static Resource *backup(const char *calendar) {
    return kind_test_resource(&kind_systemd_timer, "backup", "command=/bin/backup --quiet",
                              calendar, "user=root", "environment:=[\"A=b c\\\"%\", \"B=1\"]",
                              "persistent:=true", "random_delay=10min", "description=Backup",
                              "settings:={\"Service\":{\"Nice\":10},\"Install\":{}}", NULL);
}

static void test_comes_changes_and_goes(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) timer = backup("on_calendar=Mon..Fri 02:30");
    g_autoptr(KindRound) round = kind_test_converge(test, timer, ACTION_CREATE);
    g_autofree char *service = text_of(host, SERVICE), *text = text_of(host, TIMER);
    g_assert_cmpstr(service, ==,
                    "# Kept by stead as systemd_timer 'backup': edit its configuration instead.\n"
                    "\n[Unit]\nDescription=Backup\n"
                    "\n[Service]\nEnvironment=\"A=b c\\\"%%\"\nEnvironment=\"B=1\"\n"
                    "ExecStart=/bin/backup --quiet\nNice=10\nType=oneshot\nUser=root\n"
                    "\n[Install]\n");
    g_assert_cmpstr(text, ==,
                    "# Kept by stead as systemd_timer 'backup': edit its configuration instead.\n"
                    "\n[Unit]\nDescription=Backup\n"
                    "\n[Timer]\nOnCalendar=Mon..Fri 02:30\nPersistent=true\n"
                    "RandomizedDelaySec=10min\n"
                    "\n[Install]\nWantedBy=timers.target\n");
    g_assert_true(timer_of(host).active && timer_of(host).enabled);
    g_autoptr(Resource) later = backup("on_calendar=daily");
    g_autoptr(KindRound) changed = kind_test_converge(test, later, ACTION_CHANGE);
    g_assert_nonnull(strstr(changes_find(changed->changes, "timer")->diff, "+OnCalendar=daily"));
    g_assert_null(changes_find(changed->changes, "service"));
    g_assert_false(timer_of(host).needs_daemon_reload || timer_of(host).outdated);
    kind_test_undo(test, timer, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, SERVICE) || host_exists(host, TIMER));
    g_assert_false(timer_of(host).exists);
}

static void test_repairs(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) timer = backup("on_calendar=daily");
    kind_test_expect(test, timer, ACTION_CREATE);
    g_autofree char *before = text_of(host, TIMER);
    host_fake_tamper_write(host, TIMER, "[Timer]\nOnCalendar=weekly\n");
    host_fake_tamper_mode(host, SERVICE, 0666);
    g_assert_true(host_unit_apply(host, "backup.timer", false, UNIT_STOP, NULL, NULL));
    g_autoptr(KindRound) round = kind_test_converge(test, timer, ACTION_CHANGE);
    g_assert_nonnull(changes_find(round->changes, "timer"));
    g_assert_nonnull(changes_find(round->changes, "service mode"));
    g_assert_nonnull(changes_find(round->changes, "enabled"));
    g_autofree char *after = text_of(host, TIMER);
    g_assert_cmpstr(after, ==, before);
    g_assert_true(timer_of(host).active);
    g_assert_true(host_unit_apply(host, "backup.timer", false, UNIT_DISABLE, NULL, NULL));
    kind_test_expect(test, timer, ACTION_CHANGE);
    g_autoptr(Resource) off = kind_test_resource(&kind_systemd_timer, "backup", "enabled:=false",
                                                 "command=/bin/true", "on_boot=1min", NULL);
    kind_test_expect(test, off, ACTION_CHANGE);
    g_assert_false(timer_of(host).active || timer_of(host).enabled);
}

/* A service of that name was there, its timer was not. */
static void test_restores_half(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    static const char theirs[] = "[Service]\nExecStart=/bin/theirs\nWhatever\n";
    g_assert_true(host_make_parents(host, SERVICE, NULL));
    host_fake_tamper_write(host, SERVICE, theirs);
    g_autoptr(Resource) timer = backup("on_calendar=daily");
    kind_test_expect(test, timer, ACTION_CHANGE);
    kind_test_undo(test, timer, ON_REMOVE_RESTORE);
    g_autofree char *service = text_of(host, SERVICE);
    g_assert_cmpstr(service, ==, theirs);
    g_assert_false(host_exists(host, TIMER));
}

static void test_interval(void) {
    static const struct {
        const char *boot, *timer;
    } cases[] = {
        { NULL, "[Timer]\nOnActiveSec=15min\nOnUnitActiveSec=15min\n" },
        { "on_boot=1min", "[Timer]\nOnBootSec=1min\nOnUnitActiveSec=15min\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Host) host = machine();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) timer =
            kind_test_resource(&kind_systemd_timer, "backup", "command=/bin/true", "interval=15min",
                               cases[i].boot, NULL);
        kind_test_expect(test, timer, ACTION_CREATE);
        g_autofree char *text = text_of(host, TIMER);
        g_assert_nonnull(strstr(text, cases[i].timer));
    }
}

static void test_systemd_has_the_last_word(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_set_command(host, "systemd-analyze calendar -- daily Nowhere/City", 1,
                          "Failed to parse calendar expression\n", NULL, NULL);
    g_autoptr(Resource) timer = backup("on_calendar=daily Nowhere/City");
    g_autoptr(KindRound) round = kind_test_round(test, timer);
    g_assert_nonnull(strstr(round->error->message, "systemd-analyze says: Failed to parse"));
    g_assert_false(host_exists(host, TIMER));
}

static void test_secret(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) timer =
        kind_test_resource(&kind_systemd_timer, "backup", "command=/bin/true", "interval=1h", NULL);
    g_autoptr(Value) list = value_new_list(), text = value_new_string("TOKEN=geheim");
    value_list_append(list, value_as_secret(text, "token"));
    resource_put(timer, (unsigned)kind_param_index(&kind_systemd_timer, "environment"),
                 value_ref(list));
    g_autoptr(KindRound) round = kind_test_converge(test, timer, ACTION_CREATE);
    FileInfo info;
    g_assert_true(host_stat(host, SERVICE, &info, NULL));
    g_assert_cmpuint(info.mode, ==, 0600);
    const Change *change = changes_find(round->changes, "service");
    g_assert_true(change->diff == NULL || strstr(change->diff, "geheim") == NULL);
    g_assert_true(
        value_is_secret(round->after->props[kind_param_index(&kind_systemd_timer, "service")]));
}

static void test_who_and_what_runs(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eve = kind_test_resource(
        &kind_systemd_timer, "backup", "command=/bin/backup", "interval=1h", "user=eve", NULL);
    kind_test_expect_error(test, eve, "no such user 'eve'; declare user 'eve', or let ");
    g_autoptr(Resource) timer = backup("on_calendar=daily");
    g_autoptr(KindRound) plan = kind_test_plan(test, timer);
    g_assert_nonnull(strstr(plan->note, "its program '/bin/backup' does not exist"));
    g_autoptr(KindRound) round = kind_test_converge(test, timer, ACTION_CREATE);
    g_assert_nonnull(strstr(round->note, "declare file '/bin/backup' or what brings it"));
    g_autoptr(GBytes) program = g_bytes_new_static("x", 1);
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 0755 };
    g_assert_true(host_make_parents(host, "/bin/backup", NULL));
    g_assert_true(host_write(host, "/bin/backup", program, &attributes, NULL));
    g_autoptr(KindRound) again = kind_test_round(test, timer);
    g_assert_null(again->note);
}

static void test_refused(void) {
    static const struct {
        const char *name, *one, *two, *text;
    } cases[] = {
        { "backup", "command=/bin/true", NULL, "say when: on_calendar, interval" },
        { "backup", "interval=1h", NULL, "'command' is required" },
        { "backup.timer", "interval=1h", "command=/x", "without suffix and '@'" },
        { "a@b", "interval=1h", "command=/x", "without suffix and '@'" },
        { "backup", "interval=soon", "command=/x", "refuse interval 'soon'" },
        { "backup", "on_calendar=Mox 02:30", "command=/x", "did you mean 'mon'?" },
        { "backup", "on_boot=1h", "environment=X", "must be 'NAME=value'" },
        { "backup", "interval=1h", "command=a\nb", "command must be one line" },
        { "backup", "interval=1h", "user=a b", "refuse user name 'a b'" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool needs = strstr(cases[i].one, "on_boot") != NULL;
        g_autofree char *problems =
            kind_test_problems(&kind_systemd_timer, cases[i].name, cases[i].one, cases[i].two,
                               needs ? "command=/x" : NULL, NULL);
        if (cases[i].two == NULL) {
            g_free(problems);
            problems = kind_test_problems(&kind_systemd_timer, cases[i].name, cases[i].one, NULL);
        }
        if (strstr(problems, cases[i].text) == NULL)
            g_error("%s, %s: %s", cases[i].name, cases[i].one, problems);
    }
    g_autofree char *missed = kind_test_problems(&kind_systemd_timer, "b", "persistent:=true",
                                                 "interval=1h", "command=/x", NULL);
    g_assert_nonnull(strstr(missed, "persistent is for on_calendar"));
}

static void test_faults(void) {
    g_autoptr(Resource) timer = backup("on_calendar=daily");
    g_assert_cmpuint(kind_test_faults(machine, timer), >, 10);
}

/* --- times --- */

static void test_calendar(void) {
    static const char *const good[] = {
        "daily",
        "Weekly",
        "minutely UTC",
        "Mon..Fri 02:30",
        "Sat,Sun 08:05:40",
        "Mon,Tue 12:00",
        "*-*-* 04:00:00",
        "*-*-01 04:00",
        "2026-02-03 10:00:00 Europe/Berlin",
        "*-*~01",
        "05-03",
        "*:0/15",
        "*:*:0/5.5",
        "Wed..Sat,Tue 12-10-15 1:2:3",
        "hourly",
        "*-*-7 0:0:0",
        "10-15",
        "Wed *-1",
        "Mon *-*-* 00:00:00",
        "@1395716396",
        "03-05 08:05:40",
        "*-1..3-* 00:00",
        "2003-03-05 05:40",
        "Fri 20:00",
        "00:05:23..27",
        "annually America/New_York",
    };
    static const char *const bad[] = {
        "",        "dayly",     "25:00", "12:60",   "Mon..Fry 02:30", "02:30 Mon",   "*-13-01",
        "*-*-32",  "a b c d e", "12",    "12:",     "*:5..1",         "12:00:00:00", "*-*-*-*",
        "12:0/0",  "@",         "@12x",  "12:00\n", "daily daily",    "1..2",        "/5:00",
        "12:1,,2",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        if (!calendar_check("on_calendar", good[i], &error))
            g_error("%s: %s", good[i], error->message);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        if (calendar_check("on_calendar", bad[i], &error))
            g_error("'%s' is taken", bad[i]);
        g_assert_nonnull(strstr(error->message, "refuse on_calendar '"));
    }
}

static void test_time_span(void) {
    static const char *const good[] = { "90",         "5min 20s", "1.5h",     "2 h",
                                        "1y 12month", "300ms",    "55s500ms", "1M" };
    static const char *const bad[] = {
        "", "0", "soon", "5 parsecs", "-1h", "1h,", "h", "infinity"
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        if (!time_span_check("interval", good[i], &error))
            g_error("%s: %s", good[i], error->message);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        if (time_span_check("interval", bad[i], NULL))
            g_error("'%s' is taken", bad[i]);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/systemd-timer/comes-changes-and-goes", test_comes_changes_and_goes);
    g_test_add_func("/kinds/systemd-timer/repairs", test_repairs);
    g_test_add_func("/kinds/systemd-timer/restores-half", test_restores_half);
    g_test_add_func("/kinds/systemd-timer/interval", test_interval);
    g_test_add_func("/kinds/systemd-timer/last-word", test_systemd_has_the_last_word);
    g_test_add_func("/kinds/systemd-timer/secret", test_secret);
    g_test_add_func("/systemd-timer/who-and-what-runs", test_who_and_what_runs);
    g_test_add_func("/kinds/systemd-timer/refused", test_refused);
    g_test_add_func("/kinds/systemd-timer/faults", test_faults);
    g_test_add_func("/kinds/systemd-timer/calendar", test_calendar);
    g_test_add_func("/kinds/systemd-timer/time-span", test_time_span);
    return g_test_run();
}
