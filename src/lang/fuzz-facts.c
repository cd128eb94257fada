/*
 * A machine's own files as facts: blocks of a path, a line break, text, a NUL. What is told of them
 * can be shown and compared.
 */
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "host/host-fake.h"
#include "lang/facts.h"
#include "lang/lang.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_block(Host *host, const char *block, size_t size) {
    const char *line_end = memchr(block, '\n', size);
    if (!line_end || *block != '/')
        return;
    g_autofree char *path = g_strndup(block, (size_t)(line_end - block));
    g_autofree char *text = g_strndup(line_end + 1, size - strlen(path) - 1);
    (void)host_make_parents(host, path, NULL); /* a path that cannot be is left out */
    (void)host_fake_tamper_write(host, path, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(Host) host = host_fake_new();
    for (const uint8_t *at = data, *end = data + size; at < end;) {
        const uint8_t *stop = memchr(at, '\0', (size_t)(end - at));
        size_t block = (size_t)((stop ? stop : end) - at);
        if (block > 0)
            write_block(host, (const char *)at, block);
        at += block + 1;
    }
    g_autoptr(Value) facts = lang_facts(host);
    g_autofree char *json = json_print(facts, JSON_COMPACT);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) again = json_parse(json, strlen(json), "facts", &error);
    g_assert_no_error(error);
    g_assert_true(value_equal(facts, again));
    return 0;
}
