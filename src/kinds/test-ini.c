/* ini: values set, removed and restored, everything else byte for byte. */
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/ini-text.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define INI(...) kind_test_resource(&kind_ini, "i", "path=/etc/f", __VA_ARGS__, NULL)

typedef struct {
    const char *before;       /* NULL: no file */
    const char *arguments[5]; /* besides path */
    const char *after;
    Action action;
    const char *undone; /* after undoing; NULL: as before */
} Case;

static const Case cases[] = {
    { NULL, { "section=S", "key=k", "value=v" }, "[S]\nk = v\n", ACTION_CREATE, NULL },
    { "[S]\nk=1\n", { "section=S", "key=k", "value=2" }, "[S]\nk=2\n", ACTION_CHANGE, NULL },
    { "[S]\nk=1\n", { "section=S", "key=k", "value=1" }, "[S]\nk=1\n", ACTION_NONE, NULL },
    { "[S]\nk  :=  1\n",
      { "section=S", "key=k", "value=2", "separator= := " },
      "[S]\nk  :=  2\n",
      ACTION_CHANGE,
      NULL },
    /* layout is kept */
    { "; c\n[A]\n  a = 1\n\n# d\n[S]\n\tk\t=\told # why\n\tz=1\n",
      { "section=S", "key=k", "value=new" },
      "; c\n[A]\n  a = 1\n\n# d\n[S]\n\tk\t=\tnew\n\tz=1\n",
      ACTION_CHANGE,
      NULL },
    { "[S]\r\nk = 1\r\n",
      { "section=S", "key=k", "value=2" },
      "[S]\r\nk = 2\r\n",
      ACTION_CHANGE,
      NULL },
    { "[S]\nk=1", { "section=S", "key=k", "value=2" }, "[S]\nk=2", ACTION_CHANGE, NULL },
    { "[S]\nk =\n",
      { "section=S", "key=k", "value=2" },
      "[S]\nk = 2\n",
      ACTION_CHANGE,
      "[S]\nk = \n" },
    /* a new key copies separator and indentation of its neighbours */
    { "[A]\na : 1\n[S]\n\tx=1\n\n[T]\n",
      { "section=S", "key=k", "value=v" },
      "[A]\na : 1\n[S]\n\tx=1\n\tk=v\n\n[T]\n",
      ACTION_CREATE,
      NULL },
    { "[S]\nx = 1",
      { "section=S", "key=k", "value=v" },
      "[S]\nx = 1\nk = v\n",
      ACTION_CREATE,
      "[S]\nx = 1\n" },
    { "[S]\n#k=default\n#z=1\nx=1\n",
      { "section=S", "key=k", "value=v" },
      "[S]\n#k=default\nk=v\n#z=1\nx=1\n",
      ACTION_CREATE,
      NULL },
    { "[A]\na=1\n",
      { "section=S", "key=k", "value=v" },
      "[A]\na=1\n\n[S]\nk=v\n",
      ACTION_CREATE,
      NULL },
    { "[S]\n[T]\n",
      { "section=S", "key=k", "value=v" },
      "[S]\nk = v\n[T]\n",
      ACTION_CREATE,
      "[T]\n" },
    /* before the first section */
    { "# head\n\na=1\n[S]\nk=2\n",
      { "key=k", "value=v" },
      "# head\n\na=1\nk=v\n[S]\nk=2\n",
      ACTION_CREATE,
      NULL },
    { "# head\n\n[S]\n", { "key=k", "value=v" }, "# head\nk = v\n\n[S]\n", ACTION_CREATE, NULL },
    { "# of S\n[S]\n", { "key=k", "value=v" }, "k = v\n# of S\n[S]\n", ACTION_CREATE, NULL },
    /* the last one counts, absent removes all; sections in pieces */
    { "[S]\nk=1\nk=2\n",
      { "section=S", "key=k", "value=2" },
      "[S]\nk=1\nk=2\n",
      ACTION_NONE,
      NULL },
    { "[S]\nk=1\n[T]\n[S]\nk=2\n",
      { "section=S", "key=k", "value=3" },
      "[S]\nk=1\n[T]\n[S]\nk=3\n",
      ACTION_CHANGE,
      NULL },
    { "[S]\nk=1\na=1\nk=2\n",
      { "section=S", "key=k", "state=absent" },
      "[S]\na=1\n",
      ACTION_REMOVE,
      "[S]\na=1\nk=2\n" },
    { "[A]\na=1\n\n[S]\nk=1\n",
      { "section=S", "key=k", "state=absent" },
      "[A]\na=1\n",
      ACTION_REMOVE,
      NULL },
    { "[S]\n# c\nk=1\n",
      { "section=S", "key=k", "state=absent" },
      "[S]\n# c\n",
      ACTION_REMOVE,
      "[S]\nk = 1\n# c\n" },
    { "[S]\na=1\n", { "section=S", "key=k", "state=absent" }, "[S]\na=1\n", ACTION_NONE, NULL },
    /* values over several lines */
    { "[S]\nk = a\n    b\nz = 1\n",
      { "section=S", "key=k", "value=c" },
      "[S]\nk = c\nz = 1\n",
      ACTION_CHANGE,
      NULL },
    { "k = \"a\"\r\n\tb\r\n",
      { "key=k", "value=c" },
      "k = c\r\n",
      ACTION_CHANGE,
      "k = \"a\"\r\n    b\r\n" },
    /* bare keys */
    { "[S]\nskip\n", { "section=S", "key=skip" }, "[S]\nskip\n", ACTION_NONE, NULL },
    { "[S]\n", { "section=S", "key=skip" }, "[S]\nskip\n", ACTION_CREATE, "" },
    { "[S]\nskip=1\n",
      { "section=S", "key=skip" },
      "[S]\nskip\n",
      ACTION_CHANGE,
      "[S]\nskip = 1\n" },
    { "[S]\nskip\n",
      { "section=S", "key=skip", "value=1" },
      "[S]\nskip = 1\n",
      ACTION_CHANGE,
      NULL },
    /* quotes */
    { "k=\"1\"\n", { "key=k", "value=1" }, "k=\"1\"\n", ACTION_NONE, NULL },
    { "k='1'\n", { "key=k", "value=2" }, "k='2'\n", ACTION_CHANGE, NULL },
    { "k=1\n", { "key=k", "value=1", "quote=double" }, "k=\"1\"\n", ACTION_CHANGE, NULL },
    { "k=\"1\"\n", { "key=k", "value=1", "quote=none" }, "k=1\n", ACTION_CHANGE, NULL },
    { "k=x\n", { "key=k", "value='y'" }, "k='y'\n", ACTION_CHANGE, "k='x'\n" },
    { "[S]\nk=1\n",
      { "section=S", "key=k", "value=" },
      "[S]\nk=\n",
      ACTION_CHANGE,
      "[S]\nk = 1\n" },
    /* blanks separate */
    { "Port 22\n#Listen x\n",
      { "key=Port", "value=2222", "separator= " },
      "Port 2222\n#Listen x\n",
      ACTION_CHANGE,
      NULL },
    { "[remote \"origin\"]\n\turl = a\n",
      { "section=remote \"origin\"", "key=url", "value=b" },
      "[remote \"origin\"]\n\turl = b\n",
      ACTION_CHANGE,
      NULL },
};

static void assert_file(Host *host, size_t row, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, "/etc/f", 1000, NULL);
    g_autofree char *found =
        bytes == NULL ? NULL : g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (g_strcmp0(found, text) != 0)
        g_error("row %zu: expected '%s', found '%s'", row, text, found);
}

static void test_cases(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *row = &cases[i];
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        if (row->before != NULL)
            host_fake_tamper_write(host, "/etc/f", row->before);
        g_autoptr(Resource) ini =
            INI(row->arguments[0], row->arguments[1], row->arguments[2], row->arguments[3]);
        kind_test_expect(test, ini, row->action);
        assert_file(host, i, row->after);
        if (row->action == ACTION_NONE || g_strcmp0(row->undone, "") == 0)
            continue;
        kind_test_undo(test, ini, ON_REMOVE_DEFAULT);
        assert_file(host, i, row->undone != NULL ? row->undone : row->before);
    }
}

/* Several keys of one file in any order give the same values. */
static void test_order(void) {
    static const unsigned orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 } };
    for (size_t i = 0; i < G_N_ELEMENTS(orders); i++) {
        g_autoptr(Host) host = host_fake_new();
        g_autoptr(KindTest) test = kind_test_new(host);
        for (size_t j = 0; j < 3; j++) {
            g_autofree char *name = g_strdup_printf("key %u", orders[i][j]);
            g_autofree char *key = g_strdup_printf("key=k%u", orders[i][j]);
            g_autoptr(Resource) ini = kind_test_resource(&kind_ini, name, "path=/etc/f",
                                                         "section=S", key, "value=v", NULL);
            kind_test_expect(test, ini, ACTION_CREATE);
        }
        g_autoptr(GBytes) bytes = host_read(host, "/etc/f", 1000, NULL);
        for (unsigned j = 0; j < 3; j++) {
            g_autofree char *key = g_strdup_printf("k%u", j);
            g_autofree char *value = NULL;
            IniEntry entry = { .section = "S", .key = key };
            g_assert_cmpint(ini_find(bytes, &entry, &value), ==, INI_VALUE);
            g_assert_cmpstr(value, ==, "v");
        }
    }
}

static void test_validation(void) {
    static const struct {
        const char *arguments[3], *problem;
    } rows[] = {
        { { "value=v" }, "'key' is required" },
        { { "key= k", "value=v" }, "without blanks around it" },
        { { "key=#k", "value=v" }, "must not start like a comment" },
        { { "key=a=b", "value=v" }, "must not contain the separator" },
        { { "key=k", "value=a\nb" }, "value must be one line" },
        { { "key=k", "value= v" }, "needs quote" },
        { { "key=k", "section=a]b" }, "without brackets" },
        { { "key=k", "value=v", "separator=" }, "separator must be" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_ini, "i", "path=/etc/f", rows[i].arguments[0],
                               rows[i].arguments[1], rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

/* A file that a command makes, a value that another resource sends: known only when applied. */
static void test_unknown(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(Host) overlay = host_overlay_new(host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/etc/f");
    g_autoptr(Resource) known = INI("section=S", "key=k", "value=2");
    g_autoptr(KindRound) round = kind_test_round(test, known);
    g_assert_no_error(round->error);
    g_assert_true(round->changes->uncertain);
    g_autoptr(Resource) unknown = INI("section=S", "key=k", "value=?");
    g_autoptr(KindTest) plain = kind_test_new(host);
    g_autoptr(KindRound) plan = kind_test_plan(plain, unknown);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    host_fake_tamper_write(host, "/etc/f", "[S]\nk=1\n");
    return host;
}

static void test_faults(void) {
    g_autoptr(Resource) ini = INI("section=S", "key=k", "value=2");
    g_assert_cmpuint(kind_test_faults(set_up_fault, ini), >=, 4);
}

/* Whatever the file holds: a value that was set reads back, and setting it again changes nothing.
 */
static void test_random(void) {
    static const char *const pieces[] = { "[S]", "[T]", "k", "=",    " ",     "\t",
                                          "\n",  "\n",  "#", ";",    "v",     "\"",
                                          "'",   "]",   "[", "\r\n", "k=1\n", "\n k" };
    for (unsigned round = 0; round < 20000; round++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (int n = g_test_rand_int_range(0, 20); n > 0; n--)
            g_string_append(text, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        IniEntry entry = { .section = g_test_rand_bit() ? "S" : "", .key = "k", .value = "new" };
        g_autoptr(GBytes) before = g_bytes_new_static(text->str, text->len);
        g_autoptr(GString) once = g_string_new(NULL);
        g_autoptr(GString) twice = g_string_new(NULL);
        g_autoptr(GString) gone = g_string_new(NULL);
        g_autofree char *value = NULL;
        ini_set(before, &entry, once);
        g_autoptr(GBytes) after = g_bytes_new_static(once->str, once->len);
        if (ini_find(after, &entry, &value) != INI_VALUE || strcmp(value, "new") != 0)
            g_error("'%s' became '%s'", text->str, once->str);
        ini_set(after, &entry, twice);
        g_assert_cmpstr(twice->str, ==, once->str);
        ini_remove(after, &entry, gone);
        g_autoptr(GBytes) left = g_bytes_new_static(gone->str, gone->len);
        g_assert_cmpint(ini_find(left, &entry, &value), ==, INI_ABSENT);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/ini/cases", test_cases);
    g_test_add_func("/kinds/ini/order", test_order);
    g_test_add_func("/kinds/ini/validation", test_validation);
    g_test_add_func("/kinds/ini/unknown", test_unknown);
    g_test_add_func("/kinds/ini/faults", test_faults);
    g_test_add_func("/kinds/ini/random", test_random);
    return g_test_run();
}
