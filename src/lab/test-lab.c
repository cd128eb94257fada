/* What needs no containers: files, addresses, names, trees. Messages about wrong files are in
 * test/lab/errors. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "lab/change.h"
#include "lab/cut.h"
#include "lab/disk.h"
#include "lab/lab.h"
#include "lab/process.h"
#include "lab/record.h"
#include "lab/tree.h"

static char *scratch_new(void) {
    char *path = g_dir_make_tmp("stead-lab-XXXXXX", NULL);
    g_assert_nonnull(path);
    return path;
}

static Lab *load(const char *text) {
    g_autofree char *directory = scratch_new();
    g_autofree char *path = g_build_filename(directory, "file.yaml", NULL);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    Lab *lab = lab_load(path, problems);
    if (!lab)
        g_test_message("%s", ((GError *)g_ptr_array_index(problems, 0))->message);
    g_assert_true(tree_remove(directory, NULL));
    return lab;
}

static const char two_networks[] = "networks: { lan: , side: 'fd00::/64' }\n"
                                   "defaults: { packages: [curl], values: { a: 1, b: 2 } }\n"
                                   "hosts:\n"
                                   "  web[08-10]:\n"
                                   "  db:\n"
                                   "    networks: { side: 'fd00::c', lan: }\n"
                                   "    packages: [bash, curl]\n"
                                   "    values: { b: [3] }\n"
                                   "  out: { networks: [side] }\n";

static void test_ranges_and_addresses(void) {
    static const struct {
        const char *host, *lan, *side;
    } expected[] = {
        { "web08", "10.1.0.11", "fd00::b" }, { "web09", "10.1.0.12", "fd00::d" },
        { "web10", "10.1.0.13", "fd00::e" }, { "db", "10.1.0.14", "fd00::c" },
        { "out", NULL, "fd00::f" },
    };
    g_autoptr(Lab) lab = load(two_networks);
    g_assert_nonnull(lab);
    g_assert_cmpstr(lab->name, ==, "file");
    g_assert_cmpuint(lab->hosts->len, ==, G_N_ELEMENTS(expected));
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        const LabHost *host = lab_host(lab, i);
        const LabPort *lan = lab_port_in(host, 0), *side = lab_port_in(host, 1);
        g_assert_cmpstr(host->name, ==, expected[i].host);
        g_assert_cmpstr(lan ? lan->address : NULL, ==, expected[i].lan);
        g_assert_cmpstr(side ? side->address : NULL, ==, expected[i].side);
    }
    g_assert_cmpuint(lab_port(lab_host(lab, 3), 0)->network, ==, 1); /* as the file orders them */
}

static void test_settings_are_merged(void) {
    g_autoptr(Lab) lab = load(two_networks);
    g_assert_nonnull(lab);
    const LabHost *web = lab_host(lab, 0), *db = lab_host(lab, 3);
    g_assert_cmpuint(web->packages->len, ==, 1);
    g_assert_cmpuint(db->packages->len, ==, 2);
    g_assert_cmpstr(g_ptr_array_index(db->packages, 0), ==, "bash");
    g_assert_cmpint(value_map_int(web->values, "b", 0), ==, 2);
    g_assert_cmpint(value_map_int(db->values, "a", 0), ==, 1);
    g_assert_cmpint(value_type(value_map_get(db->values, "b")), ==, VALUE_LIST);
}

static void test_value_returns(void) {
    g_autoptr(Lab) lab = load(two_networks);
    g_assert_nonnull(lab);
    g_autoptr(Value) value = lab_to_value(lab);
    g_autoptr(Lab) back = lab_from_value(value, NULL);
    g_assert_nonnull(back);
    g_autoptr(Value) again = lab_to_value(back);
    g_assert_true(value_equal(value, again));
}

/* Each host's own way to the others. */
static void test_hosts_of_a_host(void) {
    g_autoptr(Lab) lab = load(two_networks);
    g_assert_nonnull(lab);
    g_autofree char *of_web = disk_hosts(lab, lab_host(lab, 0));
    g_autofree char *of_out = disk_hosts(lab, lab_host(lab, 4));
    g_assert_nonnull(strstr(of_web, "\n10.1.0.14\tdb db.lan\n"));
    g_assert_nonnull(strstr(of_web, "\nfd00::c\tdb.side\n"));
    g_assert_nonnull(strstr(of_web, "\nfd00::f\tout out.side\n"));
    g_assert_nonnull(strstr(of_out, "\nfd00::c\tdb db.side\n"));
    g_assert_nonnull(strstr(of_out, "\n10.1.0.14\tdb.lan\n"));
}

static void test_cuts_by_name(void) {
    g_autoptr(Lab) lab = load(two_networks);
    Cut one, other;
    g_assert_nonnull(lab);
    g_assert_true(cut_parse(lab, "web08", "db", &one, NULL));
    g_assert_true(cut_parse(lab, "db", "web08", &other, NULL));
    g_assert_true(cut_equal(&one, &other));
    g_assert_true(cut_parse(lab, "side", "web08", &one, NULL));
    g_assert_true(one.is_network && one.a == 0 && one.b == 1);
    g_assert_false(cut_equal(&one, &other));
    g_assert_true(cut_parse(lab, "web08", "web09", &other, NULL)); /* the same numbers */
    g_assert_false(cut_equal(&one, &other));
    static const char *const wrong[][2] = {
        { "web08", "web08" }, { "web08", "nope" }, { "nope", "lan" },
        { "lan", "side" },    { "out", "lan" },    { "", "" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(cut_parse(lab, wrong[i][0], wrong[i][1], &one, &error));
        g_assert_nonnull(error);
    }
}

/* --- trees ------------------------------------------------------------------------------------ */

enum { DEEP = 1500 };

/* A chain of directories deeper than there are descriptors, with a file at its end. */
static void make_deep(const char *path) {
    int at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < DEEP; i++) {
        g_assert_cmpint(mkdirat(at, "d", 0700), ==, 0);
        int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        close(at);
        at = next;
    }
    g_assert_cmpint(mkdirat(at, "end", 0), ==, 0);
    close(at);
}

static void test_tree_is_removed(void) {
    g_autofree char *outside = scratch_new(), *tree = scratch_new();
    g_autofree char *kept = g_build_filename(outside, "kept", NULL);
    g_autofree char *link = g_build_filename(tree, "link", NULL);
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents(kept, "kept", -1, NULL));
    g_assert_cmpint(symlink(outside, link), ==, 0);
    make_deep(tree);
    g_assert_true(tree_remove(tree, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(tree, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
    g_assert_true(tree_remove(tree, &error)); /* it is not there */
    g_assert_true(tree_remove(outside, NULL));
}

static void test_tree_that_is_a_link_stays(void) {
    g_autofree char *outside = scratch_new(), *link = g_strconcat(outside, ".link", NULL);
    g_assert_cmpint(symlink(outside, link), ==, 0);
    g_assert_false(tree_remove(link, NULL));
    g_assert_true(g_file_test(outside, G_FILE_TEST_IS_DIR));
    g_assert_cmpint(unlink(link), ==, 0);
    g_assert_true(tree_remove(outside, NULL));
}

/* --- processes and records -------------------------------------------------------------------- */

static void test_process_identity(void) {
    ProcessId id, reused;
    g_assert_true(process_identify(getpid(), &id));
    g_assert_true(process_is_alive(&id));
    reused = (ProcessId){ id.pid, id.start + 1 };
    g_assert_false(process_is_alive(&reused));    /* another process has the number now */
    g_assert_true(process_end(&reused, 1, NULL)); /* and is left alone */
    g_assert_false(process_identify(0, &id));
}

static void test_record_claims_a_name(void) {
    g_autofree char *data = scratch_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Record) record = record_create(data, load(two_networks), &error);
    g_assert_no_error(error);
    g_assert_null(record_create(data, load(two_networks), &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS);
    g_assert_nonnull(strstr(error->message, "is up already"));
    g_clear_error(&error);
    g_assert_true(record_is_live(record));
    record->owner.start++; /* that command has ended */
    g_assert_true(record_write(record, NULL));
    g_assert_null(record_create(data, load(two_networks), &error));
    g_assert_nonnull(strstr(error->message, "was interrupted"));
    g_clear_error(&error);
    g_autoptr(Record) read = NULL;
    g_assert_true(record_read(data, "file", &read, NULL));
    g_assert_false(record_is_live(read));
    g_assert_cmpuint(read->lab->hosts->len, ==, 5);
    g_assert_true(tree_remove(data, NULL));
}

static void test_damaged_records_are_told(void) {
    static const char *const texts[] = { "", "{", "[]", "{\"lab\": 7}",
                                         "{\"lab\": {\"hosts\": [[]]}}" };
    g_autofree char *data = scratch_new();
    g_autofree char *directory = g_build_filename(data, "labs", "x", NULL);
    g_autofree char *path = g_build_filename(directory, "record.json", NULL);
    g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Record) record = NULL;
        g_assert_true(g_file_set_contents(path, texts[i], -1, NULL));
        g_assert_false(record_read(data, "x", &record, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED);
        g_assert_nonnull(record);
        g_assert_false(record_is_live(record));
    }
    g_assert_false(record_read(data, "../x", &(Record *){ NULL }, NULL));
    g_assert_true(tree_remove(data, NULL));
}

/* What comes of it, as "web1 0 10.1.0.11, ..." with slots; or the error. Caller frees. */
static char *plan(const char *now, const char *wanted) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Lab) one = load(now), other = load(wanted);
    g_assert_true(one && other);
    g_autoptr(Lab) lab = change_plan(one, other, &error);
    if (!lab)
        return g_strdup(error->message);
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < lab->hosts->len; i++)
        g_string_append_printf(text, "%s%s %u %s", i ? ", " : "", lab_host(lab, i)->name,
                               lab_host(lab, i)->slot, lab_port(lab_host(lab, i), 0)->address);
    return g_string_free(text, FALSE);
}

static void test_other_hosts(void) {
    static const struct {
        const char *now, *wanted, *expected;
    } cases[] = {
        { "hosts: { a: , b: }", "hosts: { b: , a: }", "b 1 10.1.0.12, a 0 10.1.0.11" },
        { "hosts: { a: , b: }", "hosts: { a: , c: , b: }",
          "a 0 10.1.0.11, c 2 10.1.0.13, b 1 10.1.0.12" },
        { "hosts: { a: , b: }", "hosts: { b: }", "b 1 10.1.0.12" },
        { "hosts: { a: , b: }", "hosts: { b: , c: }", "b 1 10.1.0.12, c 2 10.1.0.11" },
        { "hosts: { a: { networks: { lan: 10.1.0.40 } }, b: }",
          "hosts: { b: { networks: { lan: 10.1.0.11 } }, a: , c: { networks: { lan: 10.1.0.9 } } }",
          "b 1 10.1.0.11, a 0 10.1.0.40, c 2 10.1.0.9" },
        { "networks: { lan: }\nhosts: { a: , b: }",
          "networks: { lan: }\nhosts: { a: , b: { networks: { "
          "lan: 10.1.0.20 } } }",
          "host 'b' has the address 10.1.0.12, not 10.1.0.20" },
        { "networks: { lan: }\nhosts: { a: , b: }",
          "networks: { lan: }\nhosts: { a: , b: , c: { "
          "networks: { lan: 10.1.0.12 } } }",
          "host 'c': '10.1.0.12' is the address of host 'b' already" },
        { "networks: { lan: }\nhosts: { a: }", "networks: { lan: , side: }\nhosts: { a: , b: }",
          "other networks now" },
        { "networks: { lan: , side: }\nhosts: { a: }",
          "networks: { lan: , side: }\nhosts: { a: { networks: "
          "[lan] } }",
          "host 'a' has other networks in the file" },
        { "hosts: { a: }", "hosts: { a: { packages: [curl] } }",
          "'packages' of host 'a' differs in the file" },
        { "hosts: { a: { values: { x: 1 } } }", "hosts: { a: , b: }",
          "'values' of host 'a' differs in the file" },
        { "hosts: { a: }", "release: trixie\nhosts: { a: , b: }", "another release or mirror" },
        { "hosts: { a: }", "hosts: { a: , hub: { hub: true } }",
          "its hub is none, and would be 'hub'" },
        { "hosts: { a: , hub: { hub: true } }", "hosts: { a: }",
          "its hub is 'hub', and would be none" },
        { "hosts: { a: }", "hosts: { b: }", "none of its hosts is in the file" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = plan(cases[i].now, cases[i].wanted);
        if (!strstr(got, cases[i].expected))
            g_error("from %s to %s: %s", cases[i].now, cases[i].wanted, got);
    }
}

/* A slot is nobody else's as long as its host is there, however often others come and go. */
static void test_slots_stay(void) {
    g_autoptr(Lab) lab = load("hosts: { a: , b0: }");
    for (unsigned i = 1; i < 50; i++) {
        g_autofree char *text = g_strdup_printf("hosts: { b%u: , a: }", i);
        g_autoptr(Lab) wanted = load(text);
        Lab *next = change_plan(lab, wanted, NULL);
        g_assert_nonnull(next);
        lab_free(lab);
        lab = next;
        const LabHost *b = lab_host(lab, 0), *a = lab_host(lab, 1);
        g_assert_cmpuint(a->slot, ==, 0);
        g_assert_cmpuint(b->slot, ==, i % 2 ? 2 : 1); /* not that of the one that goes */
        g_autoptr(Value) value = lab_to_value(lab);
        g_autoptr(Lab) again = lab_from_value(value, NULL);
        g_assert_cmpuint(lab_host(again, 0)->slot, ==, b->slot);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lab/ranges-and-addresses", test_ranges_and_addresses);
    g_test_add_func("/lab/settings-are-merged", test_settings_are_merged);
    g_test_add_func("/lab/value-returns", test_value_returns);
    g_test_add_func("/lab/hosts-of-a-host", test_hosts_of_a_host);
    g_test_add_func("/lab/cuts-by-name", test_cuts_by_name);
    g_test_add_func("/lab/other-hosts", test_other_hosts);
    g_test_add_func("/lab/slots-stay", test_slots_stay);
    g_test_add_func("/lab/tree-is-removed", test_tree_is_removed);
    g_test_add_func("/lab/tree-that-is-a-link-stays", test_tree_that_is_a_link_stays);
    g_test_add_func("/lab/process-identity", test_process_identity);
    g_test_add_func("/lab/record-claims-a-name", test_record_claims_a_name);
    g_test_add_func("/lab/damaged-records-are-told", test_damaged_records_are_told);
    return g_test_run();
}
