/*
 * Replays a corpus through a fuzz target, as a test: `fuzz-NAME DIRECTORY...` calls
 * LLVMFuzzerTestOneInput() with each file, with each file cut short, and with single bits flipped.
 * `make fuzz` links the same targets with libFuzzer instead, to search for new inputs.
 */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Cuts and flips of all files together: about as many as this, evenly spread. */
#define VARIANTS          4096
#define VARIANTS_PER_FILE 64

/* A corpus is small enough to be replayed by every run of the tests. */
#define LIMIT_FILES 200u
#define LIMIT_BYTES (1024u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly that size, so that a sanitizer sees the first byte read too far. */
static void feed(const char *data, size_t size) {
    g_autofree uint8_t *copy = g_malloc(MAX(size, 1));
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
}

static void feed_variants(char *data, size_t size, unsigned variants) {
    feed(data, size);
    size_t step = size / variants + 1;
    for (size_t i = 0; i < size; i += step) {
        feed(data, i);
        char bit = (char)(1 << (i % 8));
        data[i] ^= bit;
        feed(data, size);
        data[i] ^= bit;
    }
}

static GPtrArray *list(const char *directory) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(directory, 0, &error);
    g_assert_no_error(error);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    for (const char *name; (name = g_dir_read_name(dir));)
        g_ptr_array_add(paths, g_build_filename(directory, name, NULL));
    return paths;
}

static void replay(const char *directory) {
    g_autoptr(GPtrArray) paths = list(directory);
    size_t bytes = 0;
    for (unsigned i = 0; i < paths->len; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *data = NULL;
        size_t size;
        g_file_get_contents(paths->pdata[i], &data, &size, &error);
        g_assert_no_error(error);
        feed_variants(data, size, MIN(VARIANTS_PER_FILE, VARIANTS / paths->len));
        bytes += size;
    }
    g_print("%s: %u files, %zu bytes\n", directory, paths->len, bytes);
    g_assert_cmpuint(paths->len, >, 0);
    g_assert_cmpuint(paths->len, <, LIMIT_FILES);
    g_assert_cmpuint(bytes, <, LIMIT_BYTES);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    return argc > 1 ? 0 : 1;
}
