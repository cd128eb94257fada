/* Whole machines in memory. */
#include <string.h>

#include "adopt/adopt.h"
#include "adopt/inventory.h"
#include "host/host-fake.h"
#include "host/host-real.h"

static const char status[] =
    "Package: dpkg\nEssential: yes\nStatus: install ok installed\nPriority: required\n"
    "Architecture: amd64\nVersion: 1.21\nPre-Depends: libc6 (>= 2.36), tar | star\n\n"
    "Package: libc6\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\n"
    "Version: 2.36\n\n"
    "Package: shop\nStatus: install ok installed\nPriority: optional\nArchitecture: all\n"
    "Version: 1.0\nDepends: shop-data\nConffiles:\n"
    " /etc/shop.conf d41d8cd98f00b204e9800998ecf8427e\n"
    " /etc/shop/same.conf 60b725f10c9c85c70d97880dfe8191b3\n"
    " /etc/shop/gone.conf 60b725f10c9c85c70d97880dfe8191b3\n"
    " /etc/shop/old.conf 60b725f10c9c85c70d97880dfe8191b3 obsolete\n\n"
    "Package: shop-data\nStatus: install ok installed\nPriority: optional\nArchitecture: all\n"
    "Version: 1.0\n\n"
    "Package: tool\nStatus: hold ok installed\nPriority: optional\nArchitecture: i386\n"
    "Version: 2\n\n"
    "Package: broken\nStatus: install ok half-configured\nPriority: optional\nArchitecture: all\n"
    "Version: 2\n\n"
    "Package: removed\nStatus: deinstall ok config-files\nPriority: optional\nArchitecture: all\n"
    "Version: 2\n\n";

static const char extended[] = "Package: shop-data\nArchitecture: all\nAuto-Installed: 1\n";

static void put(Host *host, const char *path, const char *text, mode_t mode) {
    g_assert_true(host_make_parents(host, path, NULL));
    g_assert_true(host_fake_tamper_write(host, path, text));
    g_assert_true(host_fake_tamper_mode(host, path, mode));
}

static Host *machine(void) {
    Host *host = host_fake_new();
    put(host, "/var/lib/dpkg/status", status, 0644);
    put(host, "/var/lib/apt/extended_states", extended, 0644);
    put(host, "/var/lib/dpkg/info/shop.list", "/.\n/etc\n/etc/shop\n/etc/shop.conf\n", 0644);
    put(host, "/var/lib/dpkg/info/shop.postinst",
        "#!/bin/sh\nadduser --system shopd\necho x >/etc/made-by-shop\n", 0755);
    put(host, "/etc/hostname", "web1\n", 0644);
    put(host, "/etc/hosts", "127.0.0.1 localhost\n192.0.2.1 db # main\n192.0.2.2 db\n", 0644);
    put(host, "/etc/shop.conf", "port = 1\n", 0644);
    put(host, "/etc/shop/same.conf", "a\n", 0644);
    put(host, "/etc/shop/added.conf", "b\n", 0640);
    put(host, "/etc/shop/local.conf", "b\n", 0644);
    put(host, "/etc/made-by-shop", "x\n", 0644);
    put(host, "/etc/unknown.conf", "x\n", 0644);
    put(host, "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nshopd:x:100:100::/srv:/bin/false\n"
        "ada:x:1000:1000:Ada:/home/ada:/bin/bash\nown:x:200:200::/nonexistent:/bin/false\n",
        0644);
    put(host, "/etc/group",
        "root:x:0:\nshopd:x:100:\nada:x:1000:\nown:x:200:\nops:x:2000:ada,shopd\n", 0644);
    put(host, "/etc/shadow", "root:*:1::::::\nada:$y$hash:19000:0:99999:7:::\nown:!:1::::::\n",
        0600);
    put(host, "/etc/login.defs", "PASS_MIN_DAYS\t0\nPASS_MAX_DAYS 99999\nPASS_WARN_AGE 7\n", 0644);
    static const struct {
        const char *name, *version;
    } packages[] = { { "dpkg", "1.21" }, { "libc6", "2.36" }, { "shop", "1.0" } };
    for (size_t i = 0; i < G_N_ELEMENTS(packages); i++)
        host_fake_set_package(host, packages[i].name, packages[i].version, packages[i].version);
    return host;
}

static AdoptResult *collect(Host *host, const AdoptOptions *options) {
    g_autoptr(GError) error = NULL;
    AdoptResult *result = adopt_collect(host, options, &error);
    g_assert_no_error(error);
    return result;
}

static GBytes *file_bytes(const AdoptResult *result, const char *path) {
    for (unsigned i = 0; i < result->files->len; i++) {
        const AdoptFile *file = result->files->pdata[i];
        if (strcmp(file->path, path) == 0)
            return file->content;
    }
    return NULL;
}

static bool has(const AdoptResult *result, const char *path, const char *part) {
    GBytes *content = file_bytes(result, path);
    size_t size = 0;
    const char *text = content != NULL ? g_bytes_get_data(content, &size) : NULL;
    return text != NULL && memmem(text, size, part, strlen(part)) != NULL;
}

#define assert_has(result, part)   g_assert_true(has(result, "site.lua", part))
#define assert_lacks(result, part) g_assert_false(has(result, "site.lua", part))

static void test_inventory(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(Inventory) inventory = inventory_new(host, NULL);
    g_assert_true(inventory->has_dpkg);
    g_assert_cmpuint(inventory->packages->len, ==, 7);
    g_assert_cmpuint(inventory->conffiles->len, ==, 3);
    g_assert_true(inventory_package(inventory, "libc6")->base); /* dpkg needs it */
    g_assert_false(inventory_package(inventory, "shop")->base);
    g_assert_true(inventory_package(inventory, "shop-data")->automatic);
    g_assert_cmpstr(inventory_package(inventory, "tool")->id, ==, "tool:i386");
    g_assert_false(inventory_package(inventory, "broken")->installed);
    g_assert_null(inventory_package(inventory, "removed"));
    g_assert_cmpstr(inventory_owner(inventory, "/etc/shop.conf"), ==, "shop");
    g_assert_null(inventory_owner(inventory, "/etc/shop/added.conf"));
    g_assert_true(inventory_mentions(inventory, "shopd"));
    g_assert_true(inventory_mentions(inventory, "/etc/made-by-shop"));
    g_assert_false(inventory_mentions(inventory, "shop"));
}

static void test_whole(void) {
    g_autoptr(Host) host = machine();
    AdoptOptions options = { 0 };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_has(result, "\npkg \"shop\" {}\n");
    assert_has(result, "`dpkg --audit`):\n--   broken, tool:i386\n");
    assert_has(result, "host \"db\" { ip = \"192.0.2.1\", comment = \"main\" }\n");
    assert_has(result, "--   192.0.2.2 db\n");
    assert_has(result, "group \"ops\" { gid = 2000, members = { \"shopd\" } }\n");
    assert_has(result,
               "-- ada has a password.\nuser \"ada\" { uid = 1000, comment = \"Ada\", groups "
               "= { \"ops\" }, shell = \"/bin/bash\" }\n");
    assert_has(result, "user \"own\" { uid = 200, ");
    assert_has(result, "-- shop\nfile \"/etc/shop.conf\" { content = \"port = 1\\n\" }\n");
    assert_has(result, "file \"/etc/shop/gone.conf\" { state = \"absent\" }\n");
    assert_has(result, "file \"/etc/shop/local.conf\" { content = \"b\\n\" }\n");
    assert_has(result, "secrets.yaml):\n--   /etc/shop/added.conf\n");
    assert_has(result, "takes them.\n--   /etc/login.defs, /etc/unknown.conf\n");
    static const char *const never[] = {
        "libc6",    "dpkg\"",       "\"shopd\" {", "same.conf",
        "old.conf", "made-by-shop", "$y$",         "user \"root\""
    };
    for (size_t i = 0; i < G_N_ELEMENTS(never); i++)
        assert_lacks(result, never[i]);
    g_assert_null(file_bytes(result, "secrets.yaml"));
    g_assert_cmpuint(result->unread->len, ==, 0);
}

/* Nothing was written, and the same machine gives the same bytes. */
static void test_twice(void) {
    g_autoptr(Host) host = machine();
    AdoptOptions options = { .with_secrets = true, .all_files = true };
    unsigned writes = host_fake_count(host, "write");
    g_autoptr(AdoptResult) one = collect(host, &options), other = collect(host, &options);
    g_assert_cmpuint(host_fake_count(host, "write"), ==, writes);
    g_assert_cmpuint(one->files->len, ==, other->files->len);
    for (unsigned i = 0; i < one->files->len; i++) {
        const AdoptFile *a = one->files->pdata[i], *b = other->files->pdata[i];
        g_assert_cmpstr(a->path, ==, b->path);
        g_assert_true(g_bytes_equal(a->content, b->content));
    }
}

static void test_secrets(void) {
    g_autoptr(Host) host = machine();
    AdoptOptions options = { .with_secrets = true };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_has(result, "password = secret \"password of ada\"");
    assert_has(result, "content = secret \"/etc/shop/added.conf\", mode = \"0640\"");
    assert_lacks(result, "$y$");
    g_assert_cmpuint(result->secrets, ==, 2);
    g_assert_true(has(result, "secrets.yaml",
                      "\"password of ada\": \"$y$hash\"\n\"/etc/shop/added.conf\": \"b\\n\"\n"));
}

static void test_private(void) {
    g_autoptr(Host) host = machine();
    put(host, "/etc/shop/tls.pem", "-----BEGIN RSA PRIVATE KEY-----\nAA\n", 0644);
    put(host, "/etc/shop/x.key", "k\n", 0644);
    put(host, "/etc/apt/sources.list", "deb https://me:pass@example.com/ x main\n", 0644);
    put(host, "/etc/apt/sources.list.d/open.list", "deb https://example.com/a:b x main\n", 0644);
    put(host, "/etc/sudoers.d/ops", "%ops ALL=(ALL) ALL\n", 0440);
    AdoptOptions options = { .all_files = true };
    g_autoptr(AdoptResult) result = collect(host, &options);
    static const char *const never[] = { "PRIVATE KEY", "\"/etc/shop/x.key\"", "me:pass" };
    for (size_t i = 0; i < G_N_ELEMENTS(never); i++)
        for (unsigned f = 0; f < result->files->len; f++)
            g_assert_false(has(result, ((AdoptFile *)result->files->pdata[f])->path, never[i]));
    assert_has(result, "https://example.com/a:b");
    assert_has(result, "file \"/etc/sudoers.d/ops\" { content = \"%ops ALL=(ALL) ALL\\n\", mode = "
                       "\"0440\" }\n");
}

static void test_large(void) {
    g_autoptr(Host) host = machine();
    g_autofree char *text = g_strnfill(5000, 'a');
    put(host, "/etc/shop.conf", text, 0644);
    AdoptOptions options = { 0 };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_has(result, "file \"/etc/shop.conf\" { source = \"files/etc/shop.conf\" }\n");
    g_assert_true(has(result, "files/etc/shop.conf", text));
}

static void test_sections(void) {
    g_autoptr(Host) host = machine();
    AdoptOptions only = { .only = "packages, files" }, except = { .except = "users" };
    g_autoptr(AdoptResult) two = collect(host, &only), most = collect(host, &except);
    g_assert_cmpuint(two->sections->len, ==, 2);
    assert_has(two, "pkg \"shop\" {}");
    assert_lacks(two, "shop.conf"); /* it is dealt with, though not shown */
    assert_has(two, "/etc/unknown.conf\n");
    assert_lacks(most, "user \"ada\"");
    assert_has(most, "hostname");
    AdoptOptions wrong = { .only = "package" };
    g_autoptr(GError) error = NULL;
    g_assert_null(adopt_collect(host, &wrong, &error));
    g_assert_nonnull(strstr(error->message, "did you mean 'packages'?"));
}

static void test_directories(void) {
    g_autoptr(Host) host = machine();
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *path = g_strdup_printf("/etc/many/sub%u/file", i);
        put(host, path, "x\n", 0644);
    }
    put(host, "/etc/few/a", "x\n", 0644);
    put(host, "/etc/.git/config", "x\n", 0644);
    AdoptOptions options = { 0 };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_has(result,
               "--   /etc/few/a, /etc/login.defs, /etc/many/ (20 files), /etc/unknown.conf\n");
    assert_lacks(result, ".git");
}

static void test_links(void) {
    g_autoptr(Host) host = machine();
    g_assert_true(host_make_link(host, "/etc/shop/on.conf", "../shop.conf", NULL));
    g_assert_true(host_make_link(host, "/etc/shop/ours.conf", "local.conf", NULL));
    AdoptOptions few = { 0 }, all = { .all_files = true };
    g_autoptr(AdoptResult) without = collect(host, &few), with = collect(host, &all);
    assert_has(without, "takes them):\n--   /etc/shop/ (1)\n");
    assert_has(without, "file \"/etc/shop/ours.conf\" { target = \"local.conf\" }\n");
    assert_lacks(without, "on.conf");
    assert_has(with, "file \"/etc/shop/on.conf\" { target = \"../shop.conf\" }\n");
}

/* What a kind would change is not said by it. */
static void test_unfit(void) {
    g_autoptr(Host) host = machine();
    host_fake_set_package(host, "shop", NULL, "1.0"); /* dpkg says one thing, apt another */
    put(host, "/etc/hostname", "not a name!\n", 0644);
    AdoptOptions options = { 0 };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_lacks(result, "pkg \"shop\"");
    assert_lacks(result, "hostname \"");
    assert_has(result, "-- /etc/hostname says 'not a name!'");
}

static void remove_all(const char *path) {
    g_autoptr(Host) local = host_real_new(NULL, NULL, NULL);
    g_assert_true(host_remove_tree(local, path, NULL, NULL));
}

/* Whatever names and texts there are, the page is Lua that says them, and nothing else. */
static void test_hostile(void) {
    g_autoptr(Host) host = machine();
    g_autofree char *large = g_strnfill(3000, ']');
    put(host, "/etc/a]]\nerror('out')--[[", "x\n", 0644);
    put(host, "/etc/b\"..error('out')..\"", "]]..error('out')..[[\nx\ny]", 0644);
    put(host, "/etc/c\xff", "not UTF-8\n", 0644);
    put(host, "/etc/d", "\r\n\n]=]\n\\n\"'\n", 0644);
    put(host, "/etc/e", large, 0644);
    put(host, "/etc/f", "\xff\xfe", 0644);
    put(host, "/etc/g]]--", "PRIVATE KEY-----\n\t\x01\"\\\n", 0600);
    put(host, "/etc/hosts", "192.0.2.1 db # ]] \"..error('out')..\"\n192.0.2.2 \x1b[31m\n", 0644);
    put(host, "/etc/machine-info", "PRETTY_HOSTNAME=\"a]]b'c\"\n", 0644);
    AdoptOptions options = { .all_files = true, .with_secrets = true };
    g_autoptr(AdoptResult) result = collect(host, &options);
    g_autofree char *directory = g_dir_make_tmp("stead-adopt-XXXXXX", NULL);
    g_autoptr(GPtrArray) differences = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    adopt_write(result, directory, false, &error);
    g_assert_no_error(error);
    adopt_check(host, directory, differences, &error);
    remove_all(directory);
    g_assert_no_error(error);
    g_assert_cmpuint(differences->len, ==, 0);
    assert_has(result, "source = \"files/etc/d\"");
    assert_has(result, "source = \"files/etc/e\"");
    assert_has(result, "source = \"files/etc/f\"");
    g_assert_cmpuint(result->secrets, ==, 3);
}

static void test_no_dpkg(void) {
    g_autoptr(Host) host = host_fake_new();
    put(host, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nd:x:100:100::/:/bin/false\n", 0644);
    AdoptOptions options = { 0 };
    g_autoptr(AdoptResult) result = collect(host, &options);
    assert_has(result, "-- There is no database of dpkg here: packages are not known.\n");
    assert_lacks(result, "user \"d\"");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/adopt/inventory", test_inventory);
    g_test_add_func("/adopt/whole", test_whole);
    g_test_add_func("/adopt/twice", test_twice);
    g_test_add_func("/adopt/secrets", test_secrets);
    g_test_add_func("/adopt/private", test_private);
    g_test_add_func("/adopt/large", test_large);
    g_test_add_func("/adopt/sections", test_sections);
    g_test_add_func("/adopt/directories", test_directories);
    g_test_add_func("/adopt/links", test_links);
    g_test_add_func("/adopt/unfit", test_unfit);
    g_test_add_func("/adopt/hostile", test_hostile);
    g_test_add_func("/adopt/no-dpkg", test_no_dpkg);
    return g_test_run();
}
