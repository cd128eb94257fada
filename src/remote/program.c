#include "remote/program.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>

#include "base/error.h"
#include "bundle/archive-out.h"

#define PROGRAM_MAX (512u * 1024 * 1024) /* bytes of all files together */

typedef struct {
    GPtrArray *paths; /* of libraries */
    uintptr_t loader_base;
    char *loader;
} Loaded;

/* The C library tells what this process was loaded with; the program itself has no name there. */
static int add_object(struct dl_phdr_info *info, size_t size, void *data) {
    Loaded *loaded = data;
    if (info->dlpi_name == NULL || *info->dlpi_name != '/')
        return 0; /* the kernel's own, linux-vdso, has no path */
    if (info->dlpi_addr == loaded->loader_base)
        loaded->loader = g_strdup(info->dlpi_name);
    else
        g_ptr_array_add(loaded->paths, g_strdup(info->dlpi_name));
    return 0;
}

static bool add_file(RemoteProgram *program, const char *path, const char *name, GError **error) {
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, error);
    if (file == NULL) {
        g_prefix_error(error, "copy this program to other machines: ");
        return false;
    }
    g_ptr_array_add(program->names, g_strdup(name));
    g_ptr_array_add(program->contents, g_mapped_file_get_bytes(file));
    return true;
}

static bool add_loaded(RemoteProgram *program, const Loaded *loaded, GError **error) {
    if (loaded->loader == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "copy this program to other machines: it is linked without a loader");
        return false;
    }
    if (!add_file(program, "/proc/self/exe", REMOTE_PROGRAM, error) ||
        !add_file(program, loaded->loader, REMOTE_LOADER, error))
        return false;
    for (unsigned i = 0; i < loaded->paths->len; i++) {
        g_autofree char *name = g_path_get_basename(loaded->paths->pdata[i]);
        if (!add_file(program, loaded->paths->pdata[i], name, error))
            return false;
    }
    return true;
}

static void take_digest(RemoteProgram *program) {
    g_autoptr(Digest) digest = digest_new();
    for (unsigned i = 0; i < program->names->len; i++) {
        size_t size;
        const char *name = program->names->pdata[i];
        const void *data = g_bytes_get_data(program->contents->pdata[i], &size);
        uint64_t length = size;
        digest_update(digest, name, strlen(name) + 1);
        digest_update(digest, &length, sizeof length);
        digest_update(digest, data, size);
    }
    digest_finish(digest, program->digest);
}

RemoteProgram *remote_program_new(GError **error) {
    struct utsname name;
    g_autoptr(RemoteProgram) program = g_new0(RemoteProgram, 1);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    Loaded loaded = { .paths = paths, .loader_base = getauxval(AT_BASE) };
    program->names = g_ptr_array_new_with_free_func(g_free);
    program->contents = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    program->machine = g_intern_string(uname(&name) == 0 ? name.machine : "unknown");
    (void)dl_iterate_phdr(add_object, &loaded); /* add_object() never ends it */
    bool done = add_loaded(program, &loaded, error);
    g_free(loaded.loader);
    if (!done)
        return NULL;
    take_digest(program);
    return g_steal_pointer(&program);
}

void remote_program_free(RemoteProgram *program) {
    if (program == NULL)
        return;
    g_ptr_array_unref(program->names);
    g_ptr_array_unref(program->contents);
    g_clear_pointer(&program->packed, g_bytes_unref);
    g_free(program);
}

GBytes *remote_program_packed(RemoteProgram *program, GError **error) {
    if (program->packed != NULL)
        return program->packed;
    g_autoptr(ArchiveOut) out =
        archive_out_new(ARCHIVE_USTAR, COMPRESS_GZIP_FAST, PROGRAM_MAX, error);
    for (unsigned i = 0; out != NULL && i < program->names->len; i++) {
        ArchiveItem item = { .type = ITEM_FILE, .name = program->names->pdata[i], .mode = 0755 };
        if (!archive_out_add(out, &item, program->contents->pdata[i], NULL, error))
            return NULL;
    }
    program->packed = out != NULL ? archive_out_finish(out, error) : NULL;
    return program->packed;
}
