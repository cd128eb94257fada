/* stead state: the store of a fleet, looked at and changed by hand. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plural.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/printer.h"
#include "cli/store-option.h"
#include "cli/verbs.h"
#include "state/store.h"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    Loop *loop;
    Store *state;
    int told;        /* changes, by watch */
    GError *problem; /* of the watch */
} Context;

/* --- words */

static GBytes *bytes_of(const char *text) {
    return g_bytes_new(text, strlen(text));
}

static bool read_lease(const char *text, int64_t *ret_lease, GError **error) {
    guint64 lease;
    if (!g_ascii_string_to_unsigned(text, 16, 1, G_MAXINT64, &lease, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead state: '%s' is no lease; write what 'stead state lease grant' printed",
                    text);
        return false;
    }
    *ret_lease = (int64_t)lease;
    return true;
}

/* "-" is standard input. */
static GBytes *read_value(const char *word, GError **error) {
    if (strcmp(word, "-") != 0)
        return bytes_of(word);
    char block[8192];
    size_t size;
    g_autoptr(GByteArray) value = g_byte_array_new();
    while (value->len <= STORE_LIMIT_VALUE && (size = fread(block, 1, sizeof block, stdin)) > 0)
        g_byte_array_append(value, (guint8 *)block, (guint)size);
    return g_byte_array_free_to_bytes(g_steal_pointer(&value)); /* too much is refused there */
}

/* --- showing */

static Value *bytes_value(GBytes *bytes) {
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    return value_new_bytes(size > 0 ? data : "", size);
}

/* As it is when it can be told from the others; else quoted. */
static char *show_bytes(GBytes *bytes) {
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    GString *shown = g_string_new(NULL);
    printable_append(shown, size > 0 ? text : "", size, PRINTABLE_QUOTED);
    bool plain = size > 0 && shown->len == size && memchr(text, ' ', size) == NULL;
    if (!plain) {
        g_string_prepend_c(shown, '"');
        g_string_append_c(shown, '"');
    }
    return g_string_free(shown, FALSE);
}

static void print_json(const Context *context, const char *event, const StoreEntry *entry) {
    Value *map = value_new_map();
    value_map_set(map, "key", bytes_value(entry->key));
    value_map_set(map, "mod_revision", value_new_int(entry->mod_revision));
    if (entry->version > 0) {
        value_map_set(map, "create_revision", value_new_int(entry->create_revision));
        value_map_set(map, "version", value_new_int(entry->version));
    }
    if (entry->value != NULL)
        value_map_set(map, "value", bytes_value(entry->value));
    if (entry->lease != 0) {
        g_autofree char *lease = g_strdup_printf(STORE_LEASE_FORMAT, entry->lease);
        value_map_set(map, "lease", value_new_string(lease));
    }
    printer_json(context->printer, event, map);
}

static void print_entry(const Context *context, const StoreEntry *entry) {
    if (printer_is_json(context->printer)) {
        print_json(context, "pair", entry);
        return;
    }
    g_autofree char *key = show_bytes(entry->key);
    g_autofree char *value = entry->value != NULL ? show_bytes(entry->value) : NULL;
    printer_line(context->printer, STYLE_PLAIN, "%s%s%s", key, value != NULL ? " " : "",
                 value != NULL ? value : "");
}

/* What a write did. */
static void print_revision(const Context *context, const StoreAnswer *answer, int64_t deleted) {
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "revision", value_new_int(answer->revision));
        if (deleted >= 0)
            value_map_set(map, "deleted", value_new_int(deleted));
        printer_json(context->printer, "revision", map);
    } else if (!printer_is_quiet(context->printer) && deleted >= 0) {
        printer_line(context->printer, STYLE_PLAIN,
                     "%" G_GINT64_FORMAT " %s deleted, revision %" G_GINT64_FORMAT, deleted,
                     plural((unsigned long)deleted, "key", "keys"), answer->revision);
    } else if (!printer_is_quiet(context->printer)) {
        printer_line(context->printer, STYLE_PLAIN, "revision %" G_GINT64_FORMAT, answer->revision);
    }
}

/* --- verbs */

static bool get(Context *context, char **words, GError **error) {
    g_autoptr(GBytes) key = bytes_of(words[0]);
    StoreRange range = { .key = key, .revision = context->arguments->revision };
    g_autoptr(StoreAnswer) answer =
        store_wait(store_range(context->state, &range, NULL, NULL), error);
    if (answer == NULL)
        return false;
    const StoreEntry *entry = store_answer_entry(answer);
    if (entry == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "get '%s': there is no such key",
                    words[0]);
        return false;
    }
    if (printer_is_json(context->printer)) {
        print_json(context, "pair", entry);
        return true;
    }
    /* As it is, so that it can be sent to a file; people want to see where it ends. */
    gsize size;
    const void *data = g_bytes_get_data(entry->value, &size);
    (void)fwrite(data, 1, size, stdout);
    if (isatty(STDOUT_FILENO))
        (void)fputc('\n', stdout);
    return fflush(stdout) == 0 || set_io_error(error, EIO, "write to standard output");
}

static bool put(Context *context, char **words, GError **error) {
    g_autoptr(GBytes) key = bytes_of(words[0]), value = read_value(words[1], error);
    int64_t lease = 0;
    if (value == NULL || (context->arguments->lease != NULL &&
                          !read_lease(context->arguments->lease, &lease, error)))
        return false;
    g_autoptr(StoreAnswer) answer =
        store_wait(store_put(context->state, key, value, lease, NULL, NULL), error);
    if (answer != NULL)
        print_revision(context, answer, -1);
    return answer != NULL;
}

static bool del(Context *context, char **words, GError **error) {
    g_autoptr(GBytes) key = bytes_of(words[0]);
    g_autoptr(StoreAnswer) answer = store_wait(
        store_delete(context->state, key, context->arguments->prefix, NULL, NULL), error);
    if (answer != NULL)
        print_revision(context, answer, (int64_t)store_answer_result(answer, 0)->count);
    return answer != NULL;
}

static bool range(Context *context, char **words, GError **error) {
    g_autoptr(GBytes) key = words[0] != NULL ? bytes_of(words[0]) : NULL;
    StoreRange asked = { .key = key,
                         .prefix = true,
                         .revision = context->arguments->revision,
                         .limit = (unsigned)MAX(0, context->arguments->limit),
                         .keys_only = context->arguments->keys_only };
    g_autoptr(StoreAnswer) answer =
        store_wait(store_range(context->state, &asked, NULL, NULL), error);
    if (answer == NULL)
        return false;
    const StoreResult *result = store_answer_result(answer, 0);
    for (unsigned i = 0; i < result->entries->len; i++)
        print_entry(context, g_ptr_array_index(result->entries, i));
    if (result->more && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_DIM, "%u of %" G_GUINT64_FORMAT " keys",
                     result->entries->len, result->count);
    return true;
}

static void print_change(const Context *context, const StoreEntry *entry) {
    if (printer_is_json(context->printer)) {
        print_json(context, entry->version > 0 ? "put" : "deleted", entry);
        return;
    }
    g_autofree char *key = show_bytes(entry->key);
    g_autofree char *value = entry->value != NULL ? show_bytes(entry->value) : NULL;
    printer_line(context->printer, value != NULL ? STYLE_PLAIN : STYLE_DIM,
                 "%" G_GINT64_FORMAT " %s %s%s%s", entry->mod_revision,
                 value != NULL ? "put" : "del", key, value != NULL ? " " : "",
                 value != NULL ? value : "");
}

static void on_change(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Context *context = data;
    int limit = context->arguments->limit;
    if (error != NULL)
        context->problem = g_error_copy(error);
    for (unsigned i = 0; i < events->len && (limit <= 0 || context->told < limit); i++) {
        print_change(context, g_ptr_array_index(events, i));
        context->told++;
    }
    (void)fflush(stdout);
    if (error != NULL || (limit > 0 && context->told >= limit))
        loop_quit(context->loop);
}

static void on_signal(void *data, int number) {
    loop_quit(data);
}

static bool watch(Context *context, char **words, GError **error) {
    g_autoptr(GBytes) key = words[0] != NULL ? bytes_of(words[0]) : NULL;
    g_autoptr(LoopSource) on_int =
        loop_watch_signal(context->loop, SIGINT, on_signal, context->loop, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(context->loop, SIGTERM, on_signal, context->loop, error) : NULL;
    if (on_term == NULL)
        return false;
    g_autoptr(StoreWatch) started =
        store_watch(context->state, key, true, context->arguments->revision, on_change, context);
    if (!loop_run(context->loop, error))
        return false;
    if (context->problem != NULL)
        g_propagate_error(error, g_steal_pointer(&context->problem));
    return *error == NULL;
}

static bool compact(Context *context, char **words, GError **error) {
    gint64 revision;
    if (!g_ascii_string_to_signed(words[0], 10, 1, G_MAXINT64, &revision, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead state compact: '%s' is no revision; write a number above 0", words[0]);
        return false;
    }
    g_autoptr(StoreAnswer) answer =
        store_wait(store_compact(context->state, revision, NULL, NULL), error);
    if (answer != NULL)
        print_revision(context, answer, -1);
    return answer != NULL;
}

static void print_lease(const Context *context, const StoreAnswer *answer, const char *what) {
    g_autofree char *lease = g_strdup_printf(STORE_LEASE_FORMAT, answer->lease);
    if (printer_is_json(context->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "lease", value_new_string(lease));
        value_map_set(map, "ttl", value_new_int(answer->ttl));
        printer_json(context->printer, "lease", map);
    } else if (printer_is_quiet(context->printer)) {
        printer_line(context->printer, STYLE_PLAIN, "%s", lease);
    } else {
        printer_line(context->printer, STYLE_PLAIN, "lease %s %s%" G_GINT64_FORMAT " s", lease,
                     what, answer->ttl);
    }
}

static bool grant(Context *context, const char *word, GError **error) {
    gint64 ttl;
    if (!g_ascii_string_to_signed(word, 10, 1, STORE_LIMIT_TTL, &ttl, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead state lease grant: '%s' is no time; write 1 to %d seconds", word,
                    STORE_LIMIT_TTL);
        return false;
    }
    g_autoptr(StoreAnswer) answer =
        store_wait(store_lease_grant(context->state, ttl, NULL, NULL), error);
    if (answer != NULL)
        print_lease(context, answer, "for ");
    return answer != NULL;
}

static bool revoke_lease(Context *context, int64_t lease, GError **error) {
    g_autoptr(StoreAnswer) answer =
        store_wait(store_lease_revoke(context->state, lease, NULL, NULL), error);
    if (answer != NULL)
        print_revision(context, answer, -1);
    return answer != NULL;
}

static bool lease(Context *context, char **words, GError **error) {
    int64_t id;
    const char *verb = words[0];
    bool keep = strcmp(verb, "keep") == 0;
    if (strcmp(verb, "grant") == 0)
        return grant(context, words[1], error);
    if (!keep && strcmp(verb, "show") != 0 && strcmp(verb, "revoke") != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead state lease: no such verb '%s': use grant, keep, show or revoke", verb);
        return false;
    }
    if (!read_lease(words[1], &id, error))
        return false;
    if (strcmp(verb, "revoke") == 0)
        return revoke_lease(context, id, error);
    g_autoptr(StoreAnswer) answer = store_wait(
        (keep ? store_lease_keep : store_lease_look)(context->state, id, NULL, NULL), error);
    if (answer != NULL)
        print_lease(context, answer, keep ? "for " : "has ");
    return answer != NULL;
}

static const struct {
    Verb verb;
    bool (*run)(Context *context, char **words, GError **error);
} verbs[] = {
    { { "get", "KEY", 1, 1 }, get },
    { { "put", "KEY VALUE", 2, 2 }, put },
    { { "del", "KEY", 1, 1 }, del },
    { { "range", "[PREFIX]", 0, 1 }, range },
    { { "watch", "[PREFIX]", 0, 1 }, watch },
    { { "lease", "grant SECONDS | keep LEASE | show LEASE | revoke LEASE", 2, 2 }, lease },
    { { "compact", "REVISION", 1, 1 }, compact },
};

/* --- the store */

static bool open_store(Context *context, GError **error) {
    const char *where =
        context->arguments->store != NULL ? context->arguments->store : g_getenv("STEAD_STORE");
    if (where == NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "stead state: no store is named: say --store sqlite=FILE or "
                            "etcd=URL[,URL...], or set STEAD_STORE");
        return false;
    }
    context->loop = loop_new(error);
    context->state = context->loop != NULL
                         ? store_open_named(context->loop, where, context->arguments, error)
                         : NULL;
    return context->state != NULL;
}

static int exit_code(const GError *error) {
    bool store_failed = error->domain == STORE_ERROR && error->code != STORE_ERROR_INVALID;
    return store_failed ? EXIT_FAILURES : EXIT_REFUSED;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    Context context = { .arguments = arguments, .printer = printer };
    int result = EXIT_DONE;
    int verb = VERB_FIND("state", verbs, words, &error);
    if (verb < 0 || !open_store(&context, &error) ||
        !verbs[verb].run(&context, words + 1, &error)) {
        printer_error(printer, error);
        result = exit_code(error);
    }
    g_clear_error(&context.problem);
    store_free(context.state);
    loop_free(context.loop);
    return result;
}

#define TO(member) offsetof(Arguments, member)

static const Option option_revision = {
    "revision",   0,   G_OPTION_ARG_INT64,
    TO(revision), "N", "get, range: as it was at revision N; watch: all changes from revision N on",
};
static const Option option_prefix = {
    "prefix", 0, G_OPTION_ARG_NONE, TO(prefix), NULL, "del: all keys that begin with KEY",
};
static const Option option_keys_only = {
    "keys-only", 0, G_OPTION_ARG_NONE, TO(keys_only), NULL, "range: without the values",
};
static const Option option_lease = {
    "lease", 0, G_OPTION_ARG_STRING, TO(lease), "LEASE", "put: delete KEY when LEASE ends",
};

static const Option *const options[] = {
    &option_store,     &option_store_ca,   &option_store_cert,
    &option_store_key, &option_store_user, &option_store_password_file,
    &option_revision,  &option_limit,      &option_prefix,
    &option_keys_only, &option_lease,      &option_json,
    &option_quiet,     &option_no_color,   NULL,
};

const Command command_state = {
    .name = "state",
    .arguments = "get KEY | put KEY VALUE | del KEY | range [PREFIX] | watch [PREFIX] | lease VERB "
                 "ARGUMENT | compact REVISION",
    .min_arguments = 1,
    .max_arguments = 3,
    .summary = "Look at and change the store of a fleet by hand",
    .help = "A store has keys and values, any bytes, and a revision that grows with each change. "
            "get prints a\n"
            "value as it is; put takes one from the command line, or from standard input for '-'. "
            "range lists the\n"
            "keys that begin with PREFIX, watch prints their changes until it is interrupted, or "
            "--limit of them.\n"
            "A lease deletes the keys that were put with it unless it is kept in time: lease grant "
            "SECONDS, keep,\n"
            "show and revoke LEASE. compact forgets the history before REVISION. A file of SQLite "
            "is open in one\n"
            "process at a time. Exit code 4: the store failed or refused. See doc/state.md.",
    .example = "stead state range web/ --store etcd=https://10.0.0.5:2379 --store-ca ca.pem",
    .options = options,
    .run = run,
};
