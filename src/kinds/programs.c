#include "kinds/programs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds/kinds.h"
#include "kinds/program-kind.h"
#include "kinds/program-talk.h"

const char *const programs_directories[] = { "/etc/stead/kinds", "/usr/lib/stead/kinds", NULL };

/* What tells one version of a file from another. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec mtime, ctime;
} Stamp;

/* One description that a program gave of itself. Resources of an older one may be in a graph that
 * still runs: it is kept, and so is the way to talk with what describes itself so. */
typedef struct {
    Stamp stamp; /* of the newest file that described itself so */
    Talk *talk;
    ProgramKind *kind;
} Version;

typedef struct {
    char *name, *path;
    char *other; /* path of another program with that name; NULL: none */
    GMutex lock; /* what follows */
    int look;    /* of the programs, when its file was looked at last */
    bool asked;
    Stamp stamp;         /* of the file when it was asked last */
    GPtrArray *versions; /* of Version *, once there, they stay */
    Version *current;    /* NULL: none yet */
    GError *error;       /* what is wrong with the file of now */
} Program;

struct Programs {
    KindSource source; /* first: what the callbacks get */
    KindSet set;
    gatomicrefcount refs;
    char *root;
    int look; /* atomic: so often it was said that files may have changed */
    GMutex lock;
    GPtrArray *directories; /* of char * */
    GHashTable *by_name;    /* name -> Program; once there, they stay */
    GPtrArray *names;       /* of char *, borrowed, sorted, NULL-terminated; as last listed */
};

static void version_free(void *data) {
    Version *version = data;
    talk_free(version->talk);
    program_kind_free(version->kind);
    g_free(version);
}

static void program_free(void *data) {
    Program *program = data;
    g_ptr_array_unref(program->versions);
    g_clear_error(&program->error);
    g_mutex_clear(&program->lock);
    g_free(program->name);
    g_free(program->path);
    g_free(program->other);
    g_free(program);
}

/* --- trust */

static bool trust_one(const char *path, bool directory, GError **error) {
    struct stat info;
    const char *what = directory ? "directory" : "program";
    if (stat(path, &info) != 0)
        return set_io_error(error, errno, "look at the %s '%s'", what, path);
    if (!directory && (!S_ISREG(info.st_mode) || access(path, X_OK) != 0)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse the program '%s': it is no executable file; chmod +x it", path);
        return false;
    }
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse the %s '%s': it belongs to user %u, neither to root nor to who runs "
                    "stead; chown it",
                    what, path, info.st_uid);
        return false;
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse the %s '%s': others than its owner may write it (mode %04o); "
                    "chmod go-w it",
                    what, path, info.st_mode & 07777);
        return false;
    }
    return true;
}

/* A link may lead to where others could put something else in the place of the program. */
bool programs_trust(const char *path, GError **error) {
    char *real = realpath(path, NULL);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *target = g_path_get_dirname(real ? real : path);
    free(real);
    return trust_one(directory, true, error) && trust_one(target, true, error) &&
           trust_one(path, false, error);
}

/* --- listing */

static bool is_kind_name(const char *name) {
    if (!g_ascii_islower(*name))
        return false;
    for (; *name != '\0'; name++)
        if (!g_ascii_islower(*name) && !g_ascii_isdigit(*name) && *name != '_')
            return false;
    return true;
}

static Program *program_new(const char *name, char *path) {
    Program *program = g_new0(Program, 1);
    program->name = g_strdup(name);
    program->path = path;
    program->versions = g_ptr_array_new_with_free_func(version_free);
    g_mutex_init(&program->lock);
    return program;
}

/* Libraries, notes and what else lies beside programs has other names or is not executable. */
static void list_one(Programs *programs, const char *directory, const char *name) {
    if (!is_kind_name(name))
        return;
    g_autofree char *path = g_build_filename(directory, name, NULL);
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0)
        return;
    Program *known = g_hash_table_lookup(programs->by_name, name);
    if (!known) {
        known = program_new(name, g_steal_pointer(&path));
        g_hash_table_insert(programs->by_name, known->name, known);
    } else if (strcmp(known->path, path) != 0 && !known->other && access(known->path, F_OK) == 0) {
        known->other = g_steal_pointer(&path);
    }
    for (unsigned i = 0; i < programs->names->len; i++)
        if (strcmp(programs->names->pdata[i], name) == 0)
            return;
    g_ptr_array_add(programs->names, known->name);
}

static int compare_names(gconstpointer a, gconstpointer b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Under the lock. Some system calls for each directory, so it is done each time. */
static void list(Programs *programs) {
    g_ptr_array_set_size(programs->names, 0);
    for (unsigned i = 0; i < programs->directories->len; i++) {
        const char *directory = programs->directories->pdata[i];
        g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));)
            list_one(programs, directory, name);
    }
    g_ptr_array_sort(programs->names, compare_names);
}

static const char *const *names(const KindSource *source, unsigned *ret_count) {
    Programs *programs = (Programs *)(uintptr_t)source;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&programs->lock);
    list(programs);
    *ret_count = programs->names->len;
    return (const char *const *)programs->names->pdata;
}

/* --- finding */

static Stamp stamp_of(const char *path) {
    struct stat info = { 0 };
    if (stat(path, &info) != 0)
        return (Stamp){ 0 };
    return (Stamp){ info.st_dev, info.st_ino, info.st_size, info.st_mtim, info.st_ctim };
}

static bool stamp_equal(const Stamp *a, const Stamp *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

static bool check_single(const Program *program, GError **error) {
    if (!program->other || access(program->other, F_OK) != 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                "refuse kind '%s': two programs have this name, '%s' and '%s'; rename or remove "
                "one",
                program->name, program->path, program->other);
    return false;
}

static Version *version_new(const Program *program, Talk *talk, const Value *described,
                            GError **error) {
    ProgramKind *kind = program_kind_new(program->name, program->path, described, error);
    if (!kind)
        return NULL;
    kind->talk = talk;
    talk_set_parallel(talk, kind->parallel);
    Version *version = g_new0(Version, 1);
    *version = (Version){ .stamp = program->stamp, .talk = talk, .kind = kind };
    return version;
}

static Version *find_described(const Program *program, const Value *described) {
    for (unsigned i = 0; i < program->versions->len; i++) {
        Version *version = program->versions->pdata[i];
        if (value_equal(version->kind->described, described))
            return version;
    }
    return NULL;
}

/* By a process of its own: what runs goes on with the file of before until it is known that this
 * one can be used. */
static bool ask(const Programs *programs, Program *program, GError **error) {
    if (!check_single(program, error) || !programs_trust(program->path, error))
        return false;
    g_autoptr(Talk) talk = talk_new(program->path, programs->root);
    g_autoptr(Value) described = talk_describe(talk, error);
    if (!described)
        return false;
    Version *version = find_described(program, described);
    if (version) {
        talk_kill(talk);
        talk_renew(version->talk);
        version->stamp = program->stamp;
    } else if ((version = version_new(program, talk, described, error))) {
        (void)g_steal_pointer(&talk);
        g_ptr_array_add(program->versions, version);
    } else {
        return false;
    }
    program->current = version;
    return true;
}

/* That the file is again what it was needs no question: a configuration was refused, or reverted.
 */
static Version *find_stamped(const Program *program) {
    for (unsigned i = 0; i < program->versions->len; i++) {
        Version *version = program->versions->pdata[i];
        if (stamp_equal(&version->stamp, &program->stamp))
            return version;
    }
    return NULL;
}

static void look(const Programs *programs, Program *program) {
    Stamp stamp = stamp_of(program->path);
    if (program->asked && stamp_equal(&stamp, &program->stamp))
        return;
    g_clear_error(&program->error);
    program->stamp = stamp;
    program->asked = true;
    Version *known = find_stamped(program);
    if (known)
        program->current = known;
    else
        (void)ask(programs, program, &program->error);
}

/* Asked once for each version of its file, and one version for all of an evaluation. */
static const Kind *program_kind(Programs *programs, Program *program, GError **error) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&program->lock);
    int now = g_atomic_int_get(&programs->look);
    if (!program->asked || program->look != now)
        look(programs, program);
    program->look = now;
    if (program->error) {
        g_propagate_error(error, g_error_copy(program->error));
        return NULL;
    }
    return &program->current->kind->kind;
}

static const Kind *find(const KindSource *source, const char *name, GError **error) {
    Programs *programs = (Programs *)(uintptr_t)source;
    g_mutex_lock(&programs->lock);
    Program *program = g_hash_table_lookup(programs->by_name, name);
    if (!program && is_kind_name(name)) {
        list(programs);
        program = g_hash_table_lookup(programs->by_name, name);
    }
    g_mutex_unlock(&programs->lock);
    if (program)
        return program_kind(programs, program, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no program speaks for a kind '%s'",
                name);
    return NULL;
}

/* --- life */

Programs *programs_new(const char *root) {
    Programs *programs = g_new0(Programs, 1);
    programs->source = (KindSource){ .names = names, .find = find };
    programs->set = builtin_kinds;
    programs->set.more = &programs->source;
    g_atomic_ref_count_init(&programs->refs);
    programs->root = g_strdup(root);
    g_mutex_init(&programs->lock);
    programs->directories = g_ptr_array_new_with_free_func(g_free);
    programs->names = g_ptr_array_new();
    programs->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, program_free);
    return programs;
}

Programs *programs_ref(Programs *programs) {
    g_atomic_ref_count_inc(&programs->refs);
    return programs;
}

void programs_unref(Programs *programs) {
    if (!programs || !g_atomic_ref_count_dec(&programs->refs))
        return;
    g_ptr_array_unref(programs->names);
    g_ptr_array_unref(programs->directories);
    g_hash_table_unref(programs->by_name);
    g_mutex_clear(&programs->lock);
    g_free(programs->root);
    g_free(programs);
}

void programs_add(Programs *programs, const char *directory) {
    g_autofree char *path = g_canonicalize_filename(directory, NULL);
    Stamp stamp = stamp_of(path);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&programs->lock);
    for (unsigned i = 0; i < programs->directories->len; i++) {
        const char *known = programs->directories->pdata[i];
        Stamp other = stamp_of(known);
        bool same = stamp.inode != 0 && other.device == stamp.device && other.inode == stamp.inode;
        if (same || strcmp(known, path) == 0)
            return;
    }
    g_ptr_array_add(programs->directories, g_steal_pointer(&path));
}

static bool check_one(const Program *program, bool (*is_word)(const char *name), GError **error) {
    bool built_in = kind_set_find(&builtin_kinds, program->name);
    if (built_in || (is_word && is_word(program->name))) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "refuse the program '%s': %s '%s' already; rename it", program->path,
                    built_in ? "there is a built-in kind" : "the language has a word",
                    program->name);
        return false;
    }
    return check_single(program, error);
}

bool programs_check(Programs *programs, bool (*is_word)(const char *name), GError **error) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&programs->lock);
    (void)g_atomic_int_add(&programs->look, 1);
    list(programs);
    for (unsigned i = 0; i < programs->names->len; i++) {
        const Program *program = g_hash_table_lookup(programs->by_name, programs->names->pdata[i]);
        if (!check_one(program, is_word, error))
            return false;
    }
    return true;
}

/* Calls do_it with all ways to talk with a program, or only with those of former versions. */
static void for_each_talk(Programs *programs, bool former, void (*do_it)(Talk *talk)) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&programs->lock);
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, programs->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Program *program = value;
        g_autoptr(GMutexLocker) inner G_GNUC_UNUSED = g_mutex_locker_new(&program->lock);
        for (unsigned i = 0; i < program->versions->len; i++) {
            const Version *version = program->versions->pdata[i];
            if (!former || version != program->current)
                do_it(version->talk);
        }
    }
}

void programs_stop(Programs *programs) {
    for_each_talk(programs, false, talk_stop);
}

void programs_retire(Programs *programs) {
    for_each_talk(programs, true, talk_retire);
}

const KindSet *programs_kinds(const Programs *programs) {
    return &programs->set;
}

const char *programs_path(Programs *programs, const char *name) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&programs->lock);
    const Program *program = g_hash_table_lookup(programs->by_name, name);
    return program ? program->path : NULL;
}
