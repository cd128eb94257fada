#include "lang/facts.h"

#include <string.h>

#include "base/json.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "lang/test-kinds.h"

static void add(Host *host, const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(host, path, &error));
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    host_write(host, path, content, &(FileAttributes){ .set = 0 }, &error);
    g_assert_no_error(error);
}

static void expect(Host *host, const char *name, const char *json) {
    g_assert_true(facts_exists(name));
    g_autoptr(Value) value = facts_read(host, name);
    g_autofree char *shown = value ? json_print(value, JSON_COMPACT) : NULL;
    g_assert_cmpstr(shown, ==, json);
}

static void test_nothing(void) {
    g_autoptr(Host) host = host_fake_new();
    for (size_t i = 0; i < facts_count(); i++) {
        g_assert_null(facts_read(NULL, facts_name(i)));
        g_autoptr(Value) value = facts_read(host, facts_name(i));
        g_assert_cmpint(strlen(facts_help(i)), >, 10);
        if (i > 0)
            g_assert_cmpint(strcmp(facts_name(i - 1), facts_name(i)), <, 0);
    }
    expect(host, "memory", NULL);
    expect(host, "efi", "false");
    g_assert_false(facts_exists("uptime"));
    g_autofree char *near = facts_unknown("memry"), *member = facts_unknown("os_family");
    g_autofree char *bare = facts_unknown("codename"), *far = facts_unknown("colour");
    g_assert_cmpstr(near, ==, "no such fact 'memry', did you mean 'memory'?");
    g_assert_cmpstr(member, ==, "no such fact 'os_family', did you mean 'os.family'?");
    g_assert_cmpstr(bare, ==, "no such fact 'codename', did you mean 'os.codename'?");
    g_assert_cmpstr(far, ==, "no such fact 'colour'; 'stead facts' lists them all");
}

static void test_os(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/usr/lib/os-release", "ID=wrong\n");
    add(host, "/etc/os-release",
        "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\n"
        "VERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n");
    expect(host, "os",
           "{\"codename\":\"noble\",\"family\":\"debian\",\"id\":\"ubuntu\",\"name\":\"Ubuntu\","
           "\"pretty_name\":\"Ubuntu 24.04 LTS\",\"version\":\"24.04\"}");
    g_autoptr(Host) other = host_fake_new();
    add(other, "/usr/lib/os-release", "ID='opensuse-leap'\nID_LIKE=\"suse opensuse\"\n");
    expect(other, "os", "{\"family\":\"suse\",\"id\":\"opensuse-leap\"}");
}

static void test_hardware(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/proc/sys/kernel/ostype", "Linux\n");
    add(host, "/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    add(host, "/proc/sys/kernel/arch", "x86_64\n");
    add(host, "/sys/devices/system/cpu/present", "0-3,8\n");
    add(host, "/proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nflags\t\t: fpu vme\n");
    add(host, "/proc/meminfo", "MemTotal:       16384 kB\nSwapTotal:          8 kB\n");
    add(host, "/sys/block/sda/device/model", "DISK 1    \n");
    add(host, "/sys/block/sda/size", "2048\n");
    add(host, "/sys/block/sda/queue/rotational", "0\n");
    add(host, "/sys/block/loop0/size", "1\n");
    add(host, "/sys/class/dmi/id/sys_vendor", "ACME\n");
    expect(host, "kernel", "{\"name\":\"Linux\",\"release\":\"6.1.0-18-amd64\"}");
    expect(host, "arch", "\"x86_64\"");
    expect(host, "cpus", "5");
    expect(host, "cpu_model", "\"Fast CPU @ 3 GHz\"");
    expect(host, "memory", "16777216");
    expect(host, "swap", "8192");
    expect(host, "disks", "{\"sda\":{\"model\":\"DISK 1\",\"rotational\":false,\"size\":1048576}}");
    expect(host, "dmi", "{\"vendor\":\"ACME\"}");
    expect(host, "virtualisation", "\"none\"");
}

static void test_virtualisation(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/proc/cpuinfo", "flags : fpu hypervisor\n");
    expect(host, "virtualisation", "\"vm\"");
    add(host, "/sys/class/dmi/id/sys_vendor", "QEMU\n");
    expect(host, "virtualisation", "\"qemu\"");
    add(host, "/sys/class/dmi/id/product_name", "KVM\n");
    expect(host, "virtualisation", "\"kvm\"");
    add(host, "/run/systemd/container", "systemd-nspawn\n");
    expect(host, "virtualisation", "\"systemd-nspawn\"");
}

static void test_names(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/etc/hostname", "web1\n");
    expect(host, "hostname", "\"web1\"");
    expect(host, "fqdn", "\"web1\"");
    expect(host, "domain", NULL);
    add(host, "/etc/hosts",
        "127.0.0.1 localhost\n# web1.wrong web1\n127.0.1.1\tweb1.example.com web1 www # x\n");
    expect(host, "fqdn", "\"web1.example.com\"");
    expect(host, "domain", "\"example.com\"");
    expect(host, "dns_names", "[\"web1.example.com\",\"web1\",\"www\"]");
    add(host, "/proc/sys/kernel/hostname", "db.example.net\n");
    expect(host, "hostname", "\"db\"");
    expect(host, "fqdn", "\"db.example.net\"");
    add(host, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    expect(host, "machine_id", "\"0123456789abcdef0123456789abcdef\"");
    add(host, "/etc/timezone", "Europe/Paris\n");
    expect(host, "timezone", "\"Europe/Paris\"");
    g_assert_true(
        host_make_link(host, "/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin", NULL));
    expect(host, "timezone", "\"Europe/Berlin\"");
}

static void test_network(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/sys/class/net/lo/mtu", "65536\n");
    add(host, "/sys/class/net/lo/address", "00:00:00:00:00:00\n");
    add(host, "/sys/class/net/eth0/mtu", "1500\n");
    add(host, "/sys/class/net/eth0/address", "52:54:00:12:34:56\n");
    add(host, "/sys/class/net/eth1/mtu", "9000\n");
    add(host, "/proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n");
    add(host, "/proc/net/fib_trie",
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n"
        "     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n"
        "     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link "
        "BROADCAST\n"
        "Local:\n     |-- 192.0.2.2\n        /32 host LOCAL\n");
    add(host, "/proc/net/if_inet6",
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe80000000000000505400fffe123456 02 40 20 80     eth0\n"
        "fd000000000000000000000000000002 02 40 00 82     eth0\n");
    expect(
        host, "interfaces",
        "{\"eth0\":{\"addresses\":[\"192.0.2.2/24\",\"fd00::2/64\",\"fe80::5054:ff:fe12:3456/64\"],"
        "\"mac\":\"52:54:00:12:34:56\",\"mtu\":1500},"
        "\"eth1\":{\"addresses\":[\"10.1.2.3/8\"],\"mtu\":9000},"
        "\"lo\":{\"addresses\":[\"127.0.0.1/8\",\"::1/128\"],\"mac\":\"00:00:00:00:00:00\",\"mtu\":"
        "65536}}");
    expect(host, "addresses", "[\"10.1.2.3\",\"192.0.2.2\",\"fd00::2\"]");
}

/* Bytes nobody expects in such files. */
static void test_garbage(void) {
    static const char *const paths[] = {
        "/etc/os-release",
        "/proc/meminfo",
        "/proc/cpuinfo",
        "/proc/net/route",
        "/proc/net/fib_trie",
        "/proc/net/if_inet6",
        "/sys/devices/system/cpu/present",
        "/etc/hostname",
        "/etc/hosts",
        "/sys/class/net/x/mtu",
        "/etc/machine-id",
        "/proc/sys/kernel/hostname",
    };
    static const char *const texts[] = { "",
                                         "\xff\xfe",
                                         "===",
                                         ":",
                                         "|-- x\n/32 host LOCAL",
                                         "-,-,",
                                         "a b c d e f g h",
                                         "ID='",
                                         "zz 04 40 00 82 eth0" };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Host) host = host_fake_new();
        for (unsigned j = 0; j < G_N_ELEMENTS(paths); j++)
            add(host, paths[j], texts[i]);
        g_autoptr(Value) all = lang_facts(host);
        g_assert_cmpint(value_type(all), ==, VALUE_MAP);
    }
}

/* This machine: whatever it is, it has a kernel, memory and processors. */
static void test_real(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(Value) all = lang_facts(host);
    g_assert_cmpint(value_map_int(all, "memory", 0), >, 1024 * 1024);
    g_assert_cmpint(value_map_int(all, "cpus", 0), >=, 1);
    g_assert_nonnull(value_map_get(value_map_get(all, "kernel"), "release"));
    g_assert_nonnull(value_map_get(all, "arch"));
}

static void expect_members(const char *fact, const Value *table) {
    bool of_each;
    g_auto(GStrv) members = g_strsplit(facts_members(fact, &of_each), " ", -1);
    for (size_t i = 0; i < value_size(table); i++) {
        const char *name;
        const Value *item = value_map_at(table, i, &name);
        if (of_each)
            for (size_t j = 0; j < value_size(item); j++) {
                value_map_at(item, j, &name);
                g_assert_true(g_strv_contains((const char *const *)members, name));
            }
        else
            g_assert_true(g_strv_contains((const char *const *)members, name));
    }
}

/* The members that may be asked for are those that are documented and those that are read. */
static void test_members(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(Value) all = lang_facts(host);
    unsigned tables = 0;
    for (size_t i = 0; i < facts_count(); i++) {
        bool of_each;
        const char *members = facts_members(facts_name(i), &of_each);
        g_assert_cmpint(members != NULL, ==, strchr(facts_help(i), '{') != NULL);
        if (!members)
            continue;
        const char *braces = strchr(facts_help(i), '{') + 1;
        g_autofree char *list = g_strndup(braces, strcspn(braces, "}"));
        g_auto(GStrv) documented = g_strsplit(list, ", ", -1);
        g_auto(GStrv) known = g_strsplit(members, " ", -1);
        g_assert_cmpuint(g_strv_length(documented), ==, g_strv_length(known));
        for (unsigned j = 0; documented[j]; j++)
            g_assert_true(g_strv_contains((const char *const *)known, documented[j]));
        if (value_map_get(all, facts_name(i)))
            expect_members(facts_name(i), value_map_get(all, facts_name(i)));
        tables++;
    }
    g_assert_cmpuint(tables, ==, 5);
}

/* A program reads what it asks for and nothing else. */
static void test_lazy(void) {
    g_autoptr(Host) host = host_fake_new();
    add(host, "/proc/meminfo", "MemTotal: 4 kB\n");
    g_autoptr(Value) exchange = value_new_map();
    value_map_set(exchange, "host", value_new_string("web1"));
    const LangInputs inputs = { .kinds = &test_kinds, .host = host };
    g_autoptr(TestRun) empty = test_run("site.lua", "noop 'a' {}", &inputs, NULL);
    g_assert_cmpstr(empty->messages, ==, "");
    unsigned before = host_fake_count(host, "read");
    g_assert_cmpuint(before, <=, 2); /* its name, for exchange.host */
    const LangInputs named = { .kinds = &test_kinds, .host = host, .exchange = exchange };
    g_autoptr(TestRun) none = test_run("site.lua", "noop 'a' {}", &named, NULL);
    g_assert_cmpstr(none->messages, ==, "");
    g_assert_cmpuint(host_fake_count(host, "read"), ==, before);
    g_autoptr(TestRun) run =
        test_run("site.lua", "value 'a' { any = facts.memory + facts.memory + 2 * facts.memory }",
                 &named, NULL);
    g_assert_cmpuint(host_fake_count(host, "read"), ==, before + 1);
    g_autofree char *shown = test_value_of(run, "a");
    g_assert_cmpstr(shown, ==, "16384");
    g_autofree char *reads = json_print(run->result.reads, JSON_COMPACT);
    g_assert_cmpstr(reads, ==, "{\"facts.memory\":4096}");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/facts/nothing", test_nothing);
    g_test_add_func("/facts/os", test_os);
    g_test_add_func("/facts/hardware", test_hardware);
    g_test_add_func("/facts/virtualisation", test_virtualisation);
    g_test_add_func("/facts/names", test_names);
    g_test_add_func("/facts/network", test_network);
    g_test_add_func("/facts/garbage", test_garbage);
    g_test_add_func("/facts/real", test_real);
    g_test_add_func("/facts/members", test_members);
    g_test_add_func("/facts/lazy", test_lazy);
    return g_test_run();
}
