/* Random calls on the real host, on a fake one, and on overlays: each must answer as the real one
 * does and leave the same tree. A seed that fails is printed and can be run again with --seed. */
#include <unistd.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "host/test-host.h"

#define RUNS          60
#define CALLS         400
#define COMPARE_TREES 50 /* calls between two comparisons of the whole trees */
#define NAMES         "abc"
#define LIMIT         64

/* --- paths and calls --- */

static char *random_path(GRand *rand, bool absolute) {
    GString *path = g_string_new(NULL);
    int depth = g_rand_int_range(rand, 1, 5);
    for (int i = 0; i < depth; i++) {
        if (i > 0 || absolute)
            g_string_append_c(path, '/');
        int name = g_rand_int_range(rand, 0, 20);
        if (name == 0)
            g_string_append(path, "..");
        else if (name == 1)
            g_string_append(path, ".");
        else
            g_string_append_c(path, NAMES[name % strlen(NAMES)]);
    }
    return g_string_free(path, FALSE);
}

/* One call, drawn once and made on several hosts. */
typedef struct {
    int which;
    char *path, *target;
    FileAttributes attributes;
    size_t size;
} Call;

static void call_clear(Call *call) {
    g_free(call->path);
    g_free(call->target);
}

static Call random_call(GRand *rand) {
    static const mode_t modes[] = { 0644, 0600, 0755, 02750, 04711 };
    return (Call){
        .which = g_rand_int_range(rand, 0, 14),
        .path = random_path(rand, true),
        .target = random_path(rand, g_rand_boolean(rand)),
        .attributes = { .set = g_rand_boolean(rand) ? FILE_SET_MODE : 0,
                        .mode = modes[g_rand_int_range(rand, 0, G_N_ELEMENTS(modes))] },
        .size = (size_t)g_rand_int_range(rand, 0, LIMIT + 10),
    };
}

static const char *const call_names[] = { "write", "write",     "write",      "mkdir",      "mkdir",
                                          "link",  "link",      "attributes", "remove",     "stat",
                                          "read",  "read_link", "list",       "remove_tree" };

static bool call_write(Host *host, const Call *call, GError **error) {
    g_autofree char *text = g_strnfill(call->size, 'x');
    g_autoptr(GBytes) content = g_bytes_new(text, call->size);
    return host_write(host, call->path, content, &call->attributes, error);
}

static char *show_stat(Host *host, const char *path, GError **error) {
    FileInfo info, glance;
    bool glanced = host_glance(host, path, &glance, NULL);
    if (!host_stat(host, path, &info, error)) {
        g_assert_false(glanced);
        return NULL;
    }
    g_assert_true(glanced && glance.inode == info.inode && glance.mode == info.mode);
    guint64 size = info.type == FILE_DIRECTORY ? 0 : info.size;
    return g_strdup_printf("%d %04o %" G_GUINT64_FORMAT, info.type, info.mode, size);
}

static char *show_read(Host *host, const char *path, GError **error) {
    g_autoptr(GBytes) content = host_read(host, path, LIMIT, error);
    char hex[DIGEST_HEX_SIZE];
    if (content == NULL || !host_digest(host, path, NULL, hex, error))
        return NULL;
    return g_strdup_printf("%zu %s", g_bytes_get_size(content), hex);
}

static char *show_list(Host *host, const char *path, GError **error) {
    g_auto(GStrv) names = host_list(host, path, error);
    return names != NULL ? g_strjoinv(" ", names) : NULL;
}

static bool call_change(Host *host, const Call *call, GError **error) {
    switch (call->which) {
    case 3:
    case 4:
        return host_make_directory(host, call->path, &call->attributes, error);
    case 5:
    case 6:
        return host_make_link(host, call->path, call->target, error);
    case 7:
        return host_set_attributes(host, call->path, &call->attributes, error);
    case 8:
        return host_remove(host, call->path, error);
    case 13:
        return host_remove_tree(host, call->path, NULL, error);
    default:
        return call_write(host, call, error);
    }
}

/* The answer as text: what was found, "done", or the code of the error. */
static char *make_call(Host *host, const Call *call) {
    g_autoptr(GError) error = NULL;
    char *answer;
    switch (call->which) {
    case 9:
        answer = show_stat(host, call->path, &error);
        break;
    case 10:
        answer = show_read(host, call->path, &error);
        break;
    case 11:
        answer = host_read_link(host, call->path, &error);
        break;
    case 12:
        answer = show_list(host, call->path, &error);
        break;
    default:
        answer = call_change(host, call, &error) ? g_strdup("done") : NULL;
    }
    g_assert_true((answer == NULL) == (error != NULL));
    return answer != NULL ? answer : g_strdup_printf("error %d", error->code);
}

/* --- runs --- */

static Host *new_fake(void) {
    Host *fake = host_fake_new();
    g_assert_true(host_remove_tree(fake, "/etc", NULL, NULL));
    g_assert_true(host_remove_tree(fake, "/var", NULL, NULL));
    g_assert_true(host_remove_tree(fake, "/tmp", NULL, NULL));
    return fake;
}

static void compare_trees(Host *real, Host *other, guint32 seed, int number) {
    g_autofree char *wanted = test_snapshot(real);
    g_autofree char *found = test_snapshot(other);
    if (strcmp(wanted, found) != 0)
        g_error("seed %u, after call %d the trees differ; real:\n%s\nother:\n%s", seed, number,
                wanted, found);
}

static void compare_call(Host *real, Host *other, const Call *call, guint32 seed, int number) {
    g_autofree char *wanted = make_call(real, call);
    g_autofree char *found = make_call(other, call);
    if (strcmp(wanted, found) != 0)
        g_error("seed %u, call %d, %s '%s' (target '%s'): '%s', but the real host says '%s'", seed,
                number, call_names[call->which], call->path, call->target, found, wanted);
}

/* overlay: the second half of the calls is a prediction over what the first half made. */
static void run(guint32 seed, bool overlay) {
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(Host) real = host_real_new(test_root_new(), NULL, NULL);
    g_autoptr(Host) fake = new_fake();
    g_autoptr(Host) prediction = NULL;
    g_autofree char *base = NULL;
    Host *other = fake;
    for (int number = 0; number < CALLS; number++) {
        if (overlay && number == CALLS / 2) {
            base = test_snapshot(fake);
            other = prediction = host_overlay_new(fake);
        }
        Call call = random_call(rand);
        compare_call(real, other, &call, seed, number);
        call_clear(&call);
        if (number % COMPARE_TREES == COMPARE_TREES - 1)
            compare_trees(real, other, seed, number);
    }
    if (base != NULL) {
        g_autofree char *after = test_snapshot(fake);
        g_assert_cmpstr(base, ==, after);
    }
    test_root_free();
}

static void test_runs(const void *overlay) {
    if (geteuid() != 0) {
        g_test_skip("an ordinary user meets modes that keep it out, which hosts in memory ignore");
        return;
    }
    guint32 first = (guint32)g_test_rand_int();
    for (guint32 i = 0; i < RUNS; i++)
        run(first + i, overlay != NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/differential/fake", NULL, test_runs);
    g_test_add_data_func("/differential/overlay", "", test_runs);
    return g_test_run();
}
