/*
 * Replays a corpus through a fuzz target, as a test: `fuzz-NAME DIRECTORY...` calls
 * LLVMFuzzerTestOneInput() with each file, with each file cut short, and with single bits flipped.
 * To search for new inputs, link the same fuzz-NAME.c with clang's own driver instead:
 *     clang -g -fsanitize=fuzzer,address,undefined ... && ./fuzz-NAME CORPUS
 */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Cuts and flips of one file: as many as this, evenly spread. */
#define VARIANTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly that size, so that a sanitizer sees the first byte read too far. */
static void feed(const char *data, size_t size) {
    g_autofree uint8_t *copy = g_malloc(MAX(size, 1));
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
}

static void feed_variants(char *data, size_t size) {
    feed(data, size);
    size_t step = size / VARIANTS + 1;
    for (size_t i = 0; i < size; i += step) {
        feed(data, i);
        char bit = (char)(1 << (i % 8));
        data[i] ^= bit;
        feed(data, size);
        data[i] ^= bit;
    }
}

/* Returns the number of files fed. */
static unsigned replay(const char *directory) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(directory, 0, &error);
    g_assert_no_error(error);
    unsigned count = 0;
    for (const char *name; (name = g_dir_read_name(dir)); count++) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_autofree char *data = NULL;
        size_t size;
        g_file_get_contents(path, &data, &size, &error);
        g_assert_no_error(error);
        feed_variants(data, size);
    }
    return count;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        unsigned count = replay(argv[i]);
        g_print("%s: %u files\n", argv[i], count);
        g_assert_cmpuint(count, >, 0);
    }
    return argc > 1 ? 0 : 1;
}
