#include "cli/agent-pin.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/sign-keys.h"
#include "cli/agent-join.h"
#include "cli/printer.h"

static char *read_pinned(const char *path, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = disk_read(path, KEY_CHAIN_MAX, &problem);
    if (bytes)
        return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return g_strdup("");
    g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

static void add_lines(GString *text, const KeyList *list) {
    for (unsigned i = 0; i < key_list_size(list); i++) {
        const ListedKey *key = key_list_at(list, i);
        g_autofree char *line = public_key_line(&key->key, key->comment);
        char base64[PUBLIC_KEY_BASE64_SIZE];
        public_key_base64(&key->key, base64);
        if (!strstr(text->str, base64))
            g_string_append_printf(text, "%s\n", line);
    }
}

static bool refuse_list(const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "pin a key: '%s' is, or would become, a signed list of keys, which only its keys "
                "add to: 'stead key add'; to begin anew, remove the file",
                path);
    return false;
}

/* One more key, or a list, for text. */
static bool add(GString *text, const char *path, const char *key, GError **error) {
    g_autoptr(KeyList) list = key_list_load(key, error);
    if (!list)
        return false;
    const char *chain = key_list_chain(list);
    if (text->len > 0 && strcmp(text->str, chain) == 0)
        return true;
    if (text->len > 0 && (*chain || g_str_has_prefix(text->str, "stead keys ")))
        return refuse_list(path, error);
    if (*chain)
        g_string_append(text, chain);
    else
        add_lines(text, list);
    return true;
}

bool pin_keys(const char *directory, const char *const *keys, GError **error) {
    g_autofree char *path = g_build_filename(directory, PIN_FILE, NULL);
    g_autofree char *before = read_pinned(path, error);
    if (!before)
        return false;
    g_autoptr(GString) text = g_string_new(before);
    for (; keys && *keys; keys++)
        if (!add(text, path, *keys, error))
            return false;
    return strcmp(text->str, before) == 0 || disk_replace(path, text->str, text->len, 0600, error);
}

int agent_pin(const Arguments *arguments, const char *key) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = join_directory(arguments);
    const char *const keys[] = { key, NULL };
    if (g_mkdir_with_parents(directory, 0700) < 0)
        (void)set_io_error(&error, errno, "make '%s'", directory);
    if (error || !pin_keys(directory, keys, &error)) {
        printer_error(printer, error);
        return EXIT_REFUSED;
    }
    printer_line(printer, STYLE_GOOD, "pinned: deploys that its owner signs are accepted here");
    return EXIT_DONE;
}

const Option option_deploy_key = {
    "deploy-key",
    0,
    G_OPTION_ARG_STRING_ARRAY,
    offsetof(Arguments, deploy_keys),
    "KEY",
    "join: whose deploys are accepted: a public key or a file of them; may be repeated",
};
