/* A table of mounts: what is read prints and reads back as the same; options are equal to
 * themselves, and what was mounted with them holds them. */
#include <stdint.h>
#include <string.h>

#include "host/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_options(const Mount *mount) {
    MountTable table = { g_ptr_array_new() };
    Mount copy = *mount;
    g_autofree char *given = mount_options_for_kernel(mount->super_options);
    g_autofree char *wanted = NULL, *found = NULL;
    g_assert_true(mount_options_equal(mount->super_options, mount->super_options));
    copy.options = copy.super_options = NULL;
    mount_options_apply(&copy, mount->super_options, false);
    (void)mount_options_hold(mount->super_options, &copy, mount, &wanted, &found);
    g_ptr_array_add(table.mounts, &copy);
    g_assert_true(mount_table_at(&table, mount->point) == &copy);
    g_ptr_array_unref(table.mounts);
    g_free(copy.options);
    g_free(copy.super_options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(MountTable) table = mount_table_parse((const char *)data, size, NULL);
    if (table == NULL)
        return 0;
    g_autofree char *printed = mount_table_print(table);
    g_autoptr(MountTable) again = mount_table_parse(printed, strlen(printed), NULL);
    g_assert_nonnull(again);
    g_autofree char *second = mount_table_print(again);
    g_assert_cmpstr(second, ==, printed);
    for (guint i = 0; i < table->mounts->len && i < 16; i++)
        check_options(table->mounts->pdata[i]);
    return 0;
}
