/* Tables of mounts, and what mount options mean. */
#include <string.h>

#include "base/error.h"
#include "host/mounts.h"

static const char lines[] =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "30 22 0:26 / /mnt/a\\040b rw,nosuid - tmpfs tmp\\011fs rw,size=1024k\n"
    "31 30 0:27 / /mnt/a\\040b/c ro,noexec,noatime shared:5 master:2 - tmpfs none rw\n"
    "32 22 254:1 /srv/x /mnt rw,relatime - ext4 /dev/vda1 rw\n";

static MountTable *parse(const char *text) {
    g_autoptr(GError) error = NULL;
    MountTable *table = mount_table_parse(text, strlen(text), &error);
    g_assert_no_error(error);
    return table;
}

static void test_parse(void) {
    g_autoptr(MountTable) table = parse(lines);
    g_assert_cmpuint(table->mounts->len, ==, 4);
    const Mount *mount = mount_table_at(table, "/mnt/a b");
    g_assert_cmpstr(mount->source, ==, "tmp\tfs");
    g_assert_cmpstr(mount->extra, ==, "");
    g_assert_cmpuint(mount->device, ==, 26);
    g_assert_cmpstr(mount_table_at(table, "/mnt/a b/c")->extra, ==, "shared:5 master:2");
    g_assert_cmpstr(mount_table_at(table, "/mnt")->root, ==, "/srv/x");
    g_assert_cmpuint(mount_table_at(table, "/")->device, ==, (uint64_t)254 << 32 | 1);
    g_assert_null(mount_table_at(table, "/mnt/"));
    g_autofree char *printed = mount_table_print(table);
    g_assert_cmpstr(printed, ==, lines);
    g_assert_cmpstr(mount_table_of(table, "/mnt/a b/d")->point, ==, "/mnt/a b");
    g_assert_cmpstr(mount_table_of(table, "/mntx")->point, ==, "/");
    g_assert_cmpstr(mount_table_below(table, "/mnt/a b")->point, ==, "/mnt/a b/c");
    g_assert_null(mount_table_below(table, "/mnt/a b/c"));
}

static void test_no_table(void) {
    static const char *const bad[] = {
        "22 1 254:1 / / rw,relatime shared:1 ext4 /dev/vda1 rw", /* no dash */
        "22 1 254 / / rw - ext4 /dev/vda1 rw",
        "x 1 254:1 / / rw - ext4 /dev/vda1 rw",
        "22 1 254:1 / relative rw - ext4 /dev/vda1 rw",
        "22 1 254:1 / / rw - ext4 /dev/vda1",
        "4294967296 1 254:1 / / rw - ext4 /dev/vda1 rw",
        "-",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(mount_table_parse(bad[i], strlen(bad[i]), &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED);
        g_assert_nonnull(strstr(error->message, "line 1 is none"));
    }
}

static void test_escapes(void) {
    static const struct {
        const char *escaped, *plain;
    } rows[] = {
        { "/a\\040b", "/a b" },
        { "\\011\\012\\015\\134", "\t\n\r\\" },
        { "\\043x#", "#x#" },
        { "plain", "plain" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *plain = mount_unescape(rows[i].escaped, strlen(rows[i].escaped));
        g_autofree char *escaped = mount_escape(rows[i].plain);
        g_assert_cmpstr(plain, ==, rows[i].plain);
        g_assert_cmpstr(escaped, ==, rows[i].escaped);
    }
    static const char *const none[] = { "\\", "\\04", "\\048", "\\000", "\\777", "\\x20" };
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autofree char *plain = mount_unescape(none[i], strlen(none[i]));
        g_assert_cmpstr(plain, ==, none[i]);
    }
}

static void test_equal(void) {
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        { "defaults", "", true },
        { "noatime,nodev", "nodev,noatime", true },
        { "a,a,b", "b,a", true },
        { "defaults,ro", "ro", true },
        { "ro", "rw", false },
        { "size=1m", "size=2m", false },
        { "x=\"a,b\",c", "c,x=\"a,b\"", true },
        { "x=\"a,b\"", "x=\"a,c\"", false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_true(mount_options_equal(rows[i].a, rows[i].b) == rows[i].equal);
}

static void test_kernel(void) {
    static const struct {
        const char *options, *given;
    } rows[] = {
        { "defaults", "" },
        { "defaults,nofail,noauto,_netdev,x-systemd.automount,noatime", "noatime" },
        { "user,size=1m", "nosuid,nodev,noexec,size=1m" },
        { "bind,ro", "bind,ro" },
        { "X-mount.mkdir,comment=hello,loop", "X-mount.mkdir,loop" },
        { "lowerdir=\"/a,b\",ro", "lowerdir=\"/a,b\",ro" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *given = mount_options_for_kernel(rows[i].options);
        g_assert_cmpstr(given, ==, rows[i].given);
    }
}

/* fstype, options of the mount and of the file system as shown; what is asked for; what is wanted
 * instead, NULL: it holds. */
static const struct {
    const char *fstype, *options, *super, *asked, *wanted;
} holds[] = {
    { "ext4", "rw,relatime", "rw,seclabel", "defaults", NULL },
    { "ext4", "rw,relatime", "rw", "defaults,nofail,x-systemd.automount,noauto,_netdev", NULL },
    { "ext4", "rw,relatime", "rw", "noatime", "noatime" },
    { "ext4", "rw,noatime", "rw", "defaults", "relatime" },
    { "ext4", "rw", "rw", "defaults", NULL }, /* strictatime, not asked about */
    { "ext4", "rw,relatime", "rw", "strictatime", "strictatime" },
    { "ext4", "rw", "rw", "norelatime", NULL },
    { "ext4", "ro,relatime", "rw", "defaults", "rw" },
    { "ext4", "rw,relatime", "ro", "defaults", "rw" },
    { "ext4", "rw,relatime", "rw", "ro,rw", NULL },
    { "ext4", "rw,relatime", "rw", "ro", "ro" },
    { "ext4", "rw,nosuid,nodev,noexec,relatime", "rw", "user", NULL },
    { "ext4", "rw,nosuid,nodev,noexec,relatime", "rw", "user,exec", "exec" },
    { "ext4", "rw,nosuid,relatime", "rw", "defaults", "suid" },
    { "ext4", "rw,relatime", "rw,sync", "defaults", "async" },
    { "ext4", "rw,relatime", "rw,data=ordered", "acl,user_xattr,data=ordered", NULL },
    { "ext4", "rw,relatime", "rw,data=ordered", "data=journal", "data=journal" },
    { "ext4", "rw,relatime", "rw,nobarrier", "barrier", "barrier" },
    { "ext4", "rw,relatime", "rw,discard", "nodiscard", "nodiscard" },
    { "tmpfs", "rw,relatime", "rw,size=65536k,mode=755", "size=64m,mode=0755", NULL },
    { "tmpfs", "rw,relatime", "rw,size=65536k,mode=755", "size=64M,mode=0750", "mode=0750" },
    { "tmpfs", "rw,relatime", "rw,size=980k,nr_inodes=10k", "size=1000000,nr_inodes=10240", NULL },
    { "tmpfs", "rw,relatime", "rw,size=1024k", "size=2m", "size=2m" },
    { "tmpfs", "rw,relatime", "rw,size=1024k", "size=50%", NULL },
    { "tmpfs", "rw,relatime", "rw,uid=1000,gid=5", "uid=ada,gid=6", "gid=6" },
    { "btrfs", "rw,relatime", "rw,compress=zstd:3,subvol=/@", "compress=zstd,subvol=@", NULL },
    { "btrfs", "rw,relatime", "rw,compress=zstd:3,subvol=/@", "subvol=@home", "subvol=@home" },
    { "overlay", "rw,relatime", "rw,lowerdir=/a:/b", "lowerdir=/a", "lowerdir=/a" },
    { "nfs4", "ro,nosuid,relatime", "rw,vers=4.2,addr=192.0.2.1", "vers=4,hard", NULL },
    { "nfs4", "rw,relatime", "rw,vers=4.2", "ro,vers=4", "ro" },
    { "iso9660", "ro,relatime", "ro", "defaults", NULL },
    { "fuse.sshfs", "rw,nosuid,nodev,relatime", "rw,user_id=0", "allow_other", NULL },
};

static void test_hold(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(holds); i++) {
        g_autofree char *line = g_strdup_printf("9 1 0:9 / /m %s - %s x %s\n", holds[i].options,
                                                holds[i].fstype, holds[i].super);
        g_autoptr(MountTable) table = parse(line);
        g_autofree char *wanted = NULL, *found = NULL;
        bool held =
            mount_options_hold(holds[i].asked, mount_table_at(table, "/m"), NULL, &wanted, &found);
        if (held != (holds[i].wanted == NULL) || g_strcmp0(wanted, holds[i].wanted) != 0)
            g_error("row %zu: '%s' of '%s': wants '%s', not '%s'", i, holds[i].asked, line,
                    wanted ? wanted : "nothing", holds[i].wanted ? holds[i].wanted : "nothing");
    }
}

/* What is bound has the flags of its source, unless others are asked for. */
static void test_hold_bound(void) {
    g_autoptr(MountTable) table = parse("8 1 0:9 / /s rw,nosuid,relatime - tmpfs x rw,size=4k\n"
                                        "9 1 0:9 /d /m rw,nosuid,relatime - tmpfs x rw,size=4k\n"
                                        "9 1 0:9 /d /n rw,noexec,relatime - tmpfs x rw,size=4k\n");
    const Mount *from = mount_table_at(table, "/s");
    g_autofree char *wanted = NULL, *found = NULL;
    g_assert_true(
        mount_options_hold("bind,size=8k", mount_table_at(table, "/m"), from, &wanted, &found));
    g_assert_false(mount_options_hold("bind", mount_table_at(table, "/n"), from, &wanted, &found));
    g_assert_cmpstr(wanted, ==, "exec");
    g_assert_cmpstr(found, ==, "noexec");
}

static void test_change(void) {
    g_autoptr(MountTable) table = parse(lines);
    g_autoptr(GError) error = NULL;
    MountRequest request = { "new", "/srv/t", "tmpfs", "size=1m,nodev,nofail", false, NULL };
    g_assert_true(mount_table_mount(table, &request, &error));
    const Mount *mount = mount_table_at(table, "/srv/t");
    g_assert_cmpstr(mount->options, ==, "rw,nodev,relatime");
    g_assert_cmpstr(mount->super_options, ==, "rw,size=1m");
    g_assert_cmpuint(mount->parent, ==, 22);
    request = (MountRequest){ "new", "/srv/t", "tmpfs", "size=2m,ro", true, NULL };
    g_assert_true(mount_table_mount(table, &request, &error));
    g_assert_cmpstr(mount->options, ==, "ro,relatime");
    g_assert_cmpstr(mount->super_options, ==, "ro,size=2m");
    request = (MountRequest){ "/mnt/d", "/srv/b", "none", "bind", false, NULL };
    g_assert_true(mount_table_mount(table, &request, &error));
    g_assert_cmpstr(mount_table_at(table, "/srv/b")->root, ==, "/srv/x/d");
    g_assert_cmpuint(mount_table_at(table, "/srv/b")->device, ==, (uint64_t)254 << 32 | 1);
    g_assert_false(mount_table_unmount(table, "/mnt/a b", false, &error));
    g_assert_nonnull(strstr(error->message, "'/mnt/a b/c' is mounted below it"));
    g_clear_error(&error);
    g_assert_true(mount_table_unmount(table, "/mnt/a b", true, &error));
    g_assert_null(mount_table_at(table, "/mnt/a b/c"));
    g_assert_false(mount_table_unmount(table, "/mnt/a b", false, &error));
    g_assert_nonnull(strstr(error->message, "nothing is mounted there"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mounts/parse", test_parse);
    g_test_add_func("/mounts/no-table", test_no_table);
    g_test_add_func("/mounts/escapes", test_escapes);
    g_test_add_func("/mounts/options-equal", test_equal);
    g_test_add_func("/mounts/options-for-kernel", test_kernel);
    g_test_add_func("/mounts/options-hold", test_hold);
    g_test_add_func("/mounts/options-hold-bound", test_hold_bound);
    g_test_add_func("/mounts/change", test_change);
    return g_test_run();
}
