#include "host/memory-units.h"

#include <string.h>

struct MemoryUnits {
    MemoryTree *tree;
    GHashTable *records; /* key_new() -> Record */
    /* For the system's manager and the session's: */
    bool reloaded[2];
    uint64_t reload_stamp[2]; /* of the tree, when unit files were last read again */
};

typedef struct {
    UnitInfo info;
    uint64_t mask_stamp;    /* of the tree, when the unit was last masked or unmasked; 0: never */
    uint64_t loaded_stamp;  /* of the tree, when the record was made; info knows what was before */
    uint64_t started_stamp; /* of the tree, when the unit was last started */
    bool from_file;         /* exists as long as its file does */
} Record;

/* What the tree keeps of the files of one unit. */
typedef struct {
    bool found; /* there is one */
    bool is_static, can_reload, ends;
    bool masked;         /* /etc has a link to /dev/null instead */
    uint64_t mask_stamp; /* of the latest change of the file in /etc; 0: none */
    uint64_t newest;     /* of the latest change of any of its files and drop-ins, 0: none */
} UnitFiles;

static const char *const system_directories[] = {
    "/etc/systemd/system", "/run/systemd/system",     "/usr/local/lib/systemd/system",
    "/lib/systemd/system", "/usr/lib/systemd/system", NULL
};
static const char *const session_directories[] = { "/etc/systemd/user", "/run/systemd/user",
                                                   "/usr/local/lib/systemd/user",
                                                   "/usr/lib/systemd/user", NULL };

MemoryUnits *memory_units_new(MemoryTree *tree) {
    MemoryUnits *units = g_new0(MemoryUnits, 1);
    units->tree = tree;
    units->records = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return units;
}

void memory_units_free(MemoryUnits *units) {
    if (units == NULL)
        return;
    g_hash_table_unref(units->records);
    g_free(units);
}

static char *key_new(const char *name, bool session) {
    return g_strconcat(session ? "user:" : "", name, NULL);
}

static Record *record_find(MemoryUnits *units, const char *name, bool session) {
    g_autofree char *key = key_new(name, session);
    return g_hash_table_lookup(units->records, key);
}

void memory_units_set(MemoryUnits *units, const char *name, bool session, const UnitInfo *info) {
    Record *record = g_new0(Record, 1);
    record->info = *info;
    record->mask_stamp = record->loaded_stamp = record->started_stamp =
        memory_tree_stamp(units->tree);
    g_hash_table_replace(units->records, key_new(name, session), record);
}

bool memory_units_has(MemoryUnits *units, const char *name, bool session) {
    return record_find(units, name, session) != NULL;
}

/* --- unit files --- */

static bool has_line(const char *text, const char *start) {
    for (const char *at = text; (at = strstr(at, start)) != NULL; at++)
        if (at == text || at[-1] == '\n')
            return true;
    return false;
}

static void file_read(MemoryUnits *units, const char *path, UnitFiles *files) {
    g_auto(MemoryView) view = { 0 };
    if (memory_tree_look(units->tree, "read", path, true, &view, NULL) != MEMORY_HERE ||
        view.content == NULL)
        return;
    size_t size;
    const char *data = g_bytes_get_data(view.content, &size);
    g_autofree char *text = g_strndup(data != NULL ? data : "", size);
    files->is_static = !has_line(text, "[Install]");
    files->can_reload = has_line(text, "ExecReload=");
    files->ends = has_line(text, "Type=oneshot") && !has_line(text, "RemainAfterExit=yes") &&
                  !has_line(text, "RemainAfterExit=true");
}

/* One place where the unit's file may be. The first that has it counts. */
static void file_look(MemoryUnits *units, const char *path, bool first, UnitFiles *files) {
    g_autofree char *drop_ins = g_strconcat(path, ".d", NULL);
    uint64_t newest = memory_tree_newest(units->tree, path);
    files->newest = MAX(files->newest, newest);
    files->newest = MAX(files->newest, memory_tree_newest(units->tree, drop_ins));
    if (first)
        files->mask_stamp = newest;
    g_auto(MemoryView) view = { 0 };
    if (files->found ||
        memory_tree_look(units->tree, "read", path, false, &view, NULL) != MEMORY_HERE)
        return;
    bool masks = view.target != NULL && strcmp(view.target, "/dev/null") == 0;
    files->masked = first && masks;
    files->found = !masks;
    if (files->found)
        file_read(units, path, files);
}

/* "getty@.service" for "getty@tty1.service"; NULL when name is no instance. */
static char *template_of(const char *name) {
    const char *at = strchr(name, '@');
    const char *dot = strrchr(name, '.');
    if (at == NULL || dot == NULL || dot <= at + 1)
        return NULL;
    return g_strdup_printf("%.*s%s", (int)(at + 1 - name), name, dot);
}

static void files_look(MemoryUnits *units, const char *name, bool session, UnitFiles *ret_files) {
    *ret_files = (UnitFiles){ 0 };
    if (!memory_tree_is_touched(units->tree))
        return;
    g_autofree char *template = template_of(name);
    const char *const *directories = session ? session_directories : system_directories;
    for (const char *const *directory = directories; *directory != NULL; directory++) {
        g_autofree char *path = g_build_filename(*directory, name, NULL);
        file_look(units, path, directory == directories, ret_files);
    }
    for (const char *const *directory = directories; template != NULL && *directory != NULL;
         directory++) {
        g_autofree char *path = g_build_filename(*directory, template, NULL);
        file_look(units, path, false, ret_files);
    }
}

/* Whether a unit that the base has lost its file. */
static bool file_is_gone(MemoryUnits *units, const char *name, bool session) {
    const char *const *directories = session ? session_directories : system_directories;
    g_autofree char *template = template_of(name);
    for (; *directories != NULL; directories++) {
        g_autofree char *path = g_build_filename(*directories, name, NULL);
        g_autofree char *of_all = g_build_filename(*directories, template, NULL);
        if (memory_tree_exists(units->tree, path) ||
            (template != NULL && memory_tree_exists(units->tree, of_all)))
            return false;
    }
    return true;
}

/* --- units --- */

static bool needs_reload(const MemoryUnits *units, bool session, const Record *record,
                         const UnitFiles *files, const UnitInfo *info) {
    uint64_t read_stamp = units->reload_stamp[session];
    if (record != NULL)
        read_stamp = MAX(read_stamp, record->loaded_stamp);
    return files->newest > read_stamp ||
           (info->needs_daemon_reload && (record != NULL || !units->reloaded[session]));
}

void memory_units_query(MemoryUnits *units, const char *name, bool session, const UnitInfo *base,
                        UnitInfo *ret_info) {
    const Record *record = record_find(units, name, session);
    UnitInfo info = record != NULL ? record->info : *base;
    UnitFiles files;
    files_look(units, name, session, &files);
    bool may_be_lost = record != NULL ? record->from_file : files.newest > 0;
    bool lost = !info.active && !files.found && may_be_lost && file_is_gone(units, name, session);
    if (files.mask_stamp > (record != NULL ? record->mask_stamp : 0))
        info.masked = files.masked;
    if (info.exists && lost && !info.masked)
        info = (UnitInfo){ 0 };
    info.needs_daemon_reload = info.exists && needs_reload(units, session, record, &files, &info);
    uint64_t started_stamp = record != NULL ? record->started_stamp : 0;
    info.outdated = info.active && (info.outdated || files.newest > started_stamp);
    if (!info.exists && files.found) {
        info.exists = true;
        info.is_static = files.is_static;
        info.can_reload = files.can_reload;
        info.ends = files.ends;
    }
    *ret_info = info;
    if (info.masked)
        ret_info->enabled = false;
}

typedef struct {
    const char *text;
    bool needs_unit, needs_unmasked, needs_reloadable;
} VerbRule;

static const VerbRule verb_rules[] = {
    [UNIT_START] = { "start", true, true },
    [UNIT_STOP] = { "stop", true },
    [UNIT_RESTART] = { "restart", true, true },
    [UNIT_RELOAD] = { "reload", true, true, true },
    [UNIT_ENABLE] = { "enable", true, true },
    [UNIT_DISABLE] = { "disable" },
    [UNIT_MASK] = { "mask" },
    [UNIT_UNMASK] = { "unmask" },
    [UNIT_DAEMON_RELOAD] = { "read again" },
};

static bool verb_allowed(const char *name, UnitVerb verb, const UnitInfo *now, GError **error) {
    const VerbRule *rule = &verb_rules[verb];
    int code = STEAD_ERROR_FAILED;
    const char *problem = NULL;
    bool there = now->exists || (verb == UNIT_STOP && now->active); /* it outlives its file */
    if (rule->needs_unmasked && now->masked) {
        code = STEAD_ERROR_REFUSED;
        problem = "it is masked, unmask it first";
    } else if (rule->needs_unit && !there) {
        code = STEAD_ERROR_NOT_FOUND;
        problem = "no such unit";
    } else if (rule->needs_reloadable && !now->active) {
        problem = "it is not active, start it first";
    } else if (rule->needs_reloadable && !now->can_reload) {
        problem = "it cannot reload, restart it instead";
    }
    if (problem != NULL)
        g_set_error(error, STEAD_ERROR, code, "%s unit '%s': %s", rule->text, name, problem);
    return problem == NULL;
}

static void daemon_reload(MemoryUnits *units, bool session) {
    units->reloaded[session] = true;
    units->reload_stamp[session] = memory_tree_stamp(units->tree);
    GHashTableIter iter;
    void *key, *record;
    g_hash_table_iter_init(&iter, units->records);
    while (g_hash_table_iter_next(&iter, &key, &record))
        if (g_str_has_prefix(key, "user:") == session)
            ((Record *)record)->info.needs_daemon_reload = false;
}

static void info_apply(UnitInfo *info, UnitVerb verb) {
    switch (verb) {
    case UNIT_START:
    case UNIT_RESTART:
        info->active = true;
        info->failed = false;
        break;
    case UNIT_STOP:
        info->active = false;
        break;
    case UNIT_ENABLE:
    case UNIT_DISABLE:
        if (!info->is_static)
            info->enabled = verb == UNIT_ENABLE;
        break;
    case UNIT_MASK:
    case UNIT_UNMASK:
        info->masked = verb == UNIT_MASK;
        break;
    case UNIT_RELOAD:
    case UNIT_DAEMON_RELOAD:
        break;
    }
}

bool memory_units_apply(MemoryUnits *units, const char *name, bool session, UnitVerb verb,
                        const UnitInfo *base, GError **error) {
    if (verb == UNIT_DAEMON_RELOAD) {
        daemon_reload(units, session);
        return true;
    }
    Record *record = record_find(units, name, session);
    UnitInfo now;
    memory_units_query(units, name, session, base, &now);
    if (!verb_allowed(name, verb, &now, error))
        return false;
    /* What a mask hides, and a mask that a file makes, are not for the record. */
    const UnitInfo *below = record != NULL ? &record->info : base;
    bool enabled = below->enabled, masked = below->masked;
    bool known = record != NULL || base->exists;
    if (record == NULL) {
        memory_units_set(units, name, session, &now);
        record = record_find(units, name, session);
        record->from_file = !known;
        record->mask_stamp = 0;
    }
    record->info = now;
    record->info.enabled = now.exists && enabled;
    record->info.masked = masked;
    if (verb == UNIT_MASK || verb == UNIT_UNMASK)
        record->mask_stamp = memory_tree_stamp(units->tree);
    if (verb == UNIT_RESTART || (verb == UNIT_START && !now.active)) {
        record->started_stamp = memory_tree_stamp(units->tree);
        record->info.outdated = false;
    }
    info_apply(&record->info, verb);
    return true;
}
