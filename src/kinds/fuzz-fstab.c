/*
 * The first byte chooses fstab or sysctl.d; the rest is that file. Every line that is read prints
 * and reads back as the same; setting an entry and removing it leaves all other lines as they were.
 * Only a file with zero bytes may be refused.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/host-fake.h"
#include "kinds/fstab.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/sysctl-conf.h"

#define TEXT_MAX 4096 /* bytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const EditLine *text) {
    g_auto(FstabLine) line = { 0 }, again = { 0 }, third = { 0 };
    if (!fstab_line_parse(text, &line))
        return;
    g_autofree char *printed = fstab_line_print(&line, NULL);
    EditLine second = { .start = printed, .size = strlen(printed) - 1, .whole = strlen(printed) };
    g_assert_true(fstab_line_parse(&second, &again));
    g_autofree char *kept = fstab_line_print(&line, text);
    EditLine same = { .start = kept, .size = strlen(kept) - 1, .whole = strlen(kept) };
    g_assert_true(fstab_line_parse(&same, &third));
    for (int i = 0; i < N_FSTAB; i++) {
        g_assert_true(line.fields[i] == NULL || strcmp(line.fields[i], again.fields[i]) == 0);
        g_assert_cmpstr(again.fields[i], ==, third.fields[i]);
    }
}

static void check_sysctl_line(const EditLine *text) {
    g_autofree char *key = NULL, *value = NULL;
    if (!sysctl_line_parse(text, &key, &value))
        return;
    g_autofree char *name = sysctl_name(key);
    g_autofree char *back = sysctl_key(name);
    g_assert_true(strpbrk(name, "./") == NULL || *strpbrk(name, "./") == '/' ||
                  strcmp(back, key) == 0);
    g_assert_true(value == NULL || sysctl_same(value, value));
}

static GBytes *other_lines(Host *host, const char *path, const char *mark) {
    g_autoptr(GBytes) bytes = host_read(host, path, TEXT_MAX * 2, NULL);
    GString *out = g_string_new(NULL);
    g_auto(EditText) text = { 0 };
    if (bytes != NULL)
        edit_text_init(&text, bytes);
    for (size_t i = 0; i < text.n_lines; i++)
        if (memmem(text.lines[i].start, text.lines[i].size, mark, strlen(mark)) == NULL)
            g_string_append_len(out, text.lines[i].start, (gssize)text.lines[i].size);
    return g_string_free_to_bytes(out);
}

static void check_edit(const Resource *resource, const char *path, const char *mark,
                       GBytes *content) {
    g_autoptr(Host) host = host_fake_new();
    host_fake_set_sysctl(host, "net/x-mark", "1", FAKE_SYSCTL_ANY);
    FileAttributes plain = { .set = FILE_SET_MODE, .mode = 0644 };
    g_assert_true(host_make_parents(host, path, NULL));
    g_assert_true(host_write(host, path, content, &plain, NULL));
    g_autoptr(GBytes) before = other_lines(host, path, mark);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(KindRound) round = kind_test_round(test, resource);
    if (g_error_matches(round->error, STEAD_ERROR, STEAD_ERROR_REFUSED)) { /* no text */
        g_assert_nonnull(memchr(g_bytes_get_data(content, NULL), '\0', g_bytes_get_size(content)));
        return;
    }
    g_assert_no_error(round->error);
    g_autoptr(GBytes) after = other_lines(host, path, mark);
    g_assert_true(g_bytes_equal(before, after));
    test->reason = REASON_POLL;
    g_autoptr(KindRound) second = kind_test_round(test, resource);
    g_assert_cmpint(second->changes->action, ==, ACTION_NONE);
    if (round->changes->action != ACTION_NONE)
        kind_test_undo(test, resource, ON_REMOVE_REMOVE);
    g_autoptr(GBytes) undone = other_lines(host, path, mark);
    g_assert_true(g_bytes_equal(before, undone));
}

/* kind-test ends by g_error(), whose trap a fuzzer does not catch. */
static void abort_on_error(const char *domain, GLogLevelFlags level, const char *text, void *data) {
    g_printerr("%s\n", text);
    if (level & G_LOG_FLAG_FATAL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > TEXT_MAX)
        return 0;
    (void)g_log_set_default_handler(abort_on_error, NULL);
    bool fstab = data[0] % 2 == 'f' % 2;
    g_autoptr(GBytes) content = g_bytes_new(data + 1, size - 1);
    g_auto(EditText) text;
    edit_text_init(&text, content);
    for (size_t i = 0; i < text.n_lines; i++) {
        check_line(&text.lines[i]);
        check_sysctl_line(&text.lines[i]);
    }
    g_autoptr(Resource) mount = kind_test_resource(&kind_mount, "/x-mark", "device=tmpfs",
                                                   "fstype=tmpfs", "options=nodev,size=1m", NULL);
    g_autoptr(Resource) sysctl = kind_test_resource(&kind_sysctl, "net.x-mark", "value=7", NULL);
    if (fstab)
        check_edit(mount, FSTAB, "mark", content);
    else
        check_edit(sysctl, "/etc/sysctl.d/90-stead.conf", "mark", content);
    return 0;
}
