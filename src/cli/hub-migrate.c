/*
 * The file stays what it is until etcd has all of it and was read back; then a note says where the
 * state is (migrated.json), the file gets another name, and etcd is declared whole. Each step may
 * be the last: the next run goes on with it.
 */
#include "cli/hub-migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "base/plural.h"
#include "cli/hub-call.h"
#include "cli/printer.h"
#include "cli/store-option.h"
#include "cluster/dump.h"

#define NOTE       "migrated.json"
#define NOTE_LIMIT 65536u

typedef struct {
    const Arguments *arguments;
    const char *data;
    char *file, *moved, *note;
    Loop *loop;
    Store *source, *target;
} Migration;

static char *noted_target(const char *data) {
    g_autofree char *path = g_build_filename(data, NOTE, NULL);
    g_autoptr(GBytes) bytes = disk_read_own(path, NOTE_LIMIT, NULL);
    size_t size = 0;
    const char *text = bytes ? g_bytes_get_data(bytes, &size) : NULL;
    g_autoptr(Value) note = size > 0 ? json_parse(text, size, path, NULL) : NULL;
    if (!bytes)
        return NULL;
    return g_strdup(value_type(note) == VALUE_MAP ? value_map_string(note, "to", "?") : "?");
}

bool hub_check_not_migrated(const char *data, GError **error) {
    g_autofree char *to = noted_target(data);
    if (!to)
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "start the hub of '%s': its state went to %s: add --store %s; (to begin anew with a "
        "file, remove %s/" NOTE ")",
        data, to, to, data);
    return false;
}

static bool write_note(const Migration *migration, GError **error) {
    g_autoptr(Value) note = value_new_map();
    value_map_set(note, "to", value_new_string(migration->arguments->to));
    value_map_set(note, "at", value_new_int(g_get_real_time() / G_USEC_PER_SEC));
    g_autofree char *text = json_print(note, JSON_COMPACT);
    return disk_replace(migration->note, text, strlen(text), 0600, error);
}

/* With what SQLite keeps beside it, if it does. */
static bool move_file(const Migration *migration, GError **error) {
    static const char *const parts[] = { "-wal", "-shm", "" };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *from = g_strconcat(migration->file, parts[i], NULL);
        g_autofree char *to = g_strconcat(migration->moved, parts[i], NULL);
        if (rename(from, to) < 0 && errno != ENOENT)
            return set_io_error(error, errno, "rename '%s' to '%s'", from, to);
    }
    return disk_sync_parent(migration->moved, error);
}

static bool open_stores(Migration *migration, bool moved, GError **error) {
    const Arguments *arguments = migration->arguments;
    migration->loop = loop_new(error);
    if (!migration->loop)
        return false;
    if (!moved && !g_file_test(migration->file, G_FILE_TEST_EXISTS)) {
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
            "migrate the hub of '%s': it has no state.db; --data DIR names the directory of "
            "the hub",
            migration->data);
        return false;
    }
    migration->target = store_open_named(migration->loop, arguments->to, arguments, error);
    if (!migration->target || moved)
        return migration->target != NULL;
    migration->source = store_open_sqlite(migration->loop, migration->file, error);
    if (!migration->source && g_error_matches(*error, STORE_ERROR, STORE_ERROR_IN_USE))
        g_prefix_error(error, "stop the hub first: ");
    return migration->source != NULL;
}

static void tell(Printer *printer, const Migration *migration, const DumpTotals *totals) {
    const char *to = migration->arguments->to;
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "to", value_new_string(to));
        value_map_set(map, "keys", value_new_int((int64_t)totals->keys));
        value_map_set(map, "leased", value_new_int((int64_t)totals->leased));
        value_map_set(map, "digest", value_new_string(totals->digest));
        printer_json(printer, "migrated", map);
        return;
    }
    printer_line(printer, STYLE_GOOD,
                 "migrated %" G_GUINT64_FORMAT " %s and %" G_GUINT64_FORMAT
                 " under leases to %s, read back and compared",
                 totals->keys, plural(totals->keys, "key", "keys"), totals->leased, to);
    printer_line(printer, STYLE_PLAIN, "next: stead hub --data %s --store %s", migration->data, to);
}

static bool migrate(Migration *migration, Printer *printer, GError **error) {
    g_autofree char *to = noted_target(migration->data);
    bool moved = to && !g_file_test(migration->file, G_FILE_TEST_EXISTS);
    if (to && strcmp(to, migration->arguments->to) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "migrate the hub of '%s': its state went to %s before", migration->data, to);
        return false;
    }
    DumpTotals totals = { 0 };
    if (!open_stores(migration, moved, error))
        return false;
    if (!moved && (!dump_fill_from_store(migration->target, migration->source, &totals, error) ||
                   !write_note(migration, error)))
        return false;
    g_clear_pointer(&migration->source, store_free);
    if (!moved && !move_file(migration, error))
        return false;
    if (!dump_finish(migration->target, error))
        return false;
    if (!moved)
        tell(printer, migration, &totals);
    else if (!printer_is_json(printer))
        printer_line(printer, STYLE_PLAIN, "the state of this hub is in %s already", to);
    return true;
}

int hub_migrate(const Arguments *arguments, const char *data) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    Migration migration = { .arguments = arguments, .data = data };
    migration.file = g_build_filename(data, "state.db", NULL);
    migration.moved = g_build_filename(data, "state.db.migrated", NULL);
    migration.note = g_build_filename(data, NOTE, NULL);
    bool done = false;
    if (!arguments->to || !g_str_has_prefix(arguments->to, "etcd="))
        g_set_error_literal(&error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "stead hub migrate: say where to: --to etcd=URL[,URL...]");
    else
        done = migrate(&migration, printer, &error);
    store_free(migration.source);
    store_free(migration.target);
    loop_free(migration.loop);
    g_free(migration.file);
    g_free(migration.moved);
    g_free(migration.note);
    if (done)
        return EXIT_DONE;
    printer_error(printer, error);
    return error->domain == STORE_ERROR ? EXIT_FAILURES : EXIT_REFUSED;
}
