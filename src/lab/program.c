#include "lab/program.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "http/curl-lib.h"
#include "http/mhd-lib.h"
#include "lab/files.h"

#define PLACE "usr/lib/stead-lab"

/* The loader has the name that ps(1) shows for the process. */
static const char wrapper[] =
    "#!/bin/sh\n"
    "exec /" PLACE "/stead --library-path /" PLACE "/lib --argv0 stead /" PLACE "/program \"$@\"\n";

typedef struct {
    GPtrArray *libraries; /* of char *: paths, by the names they are asked for */
    char *loader;
} Loaded;

static int note_library(struct dl_phdr_info *info, size_t size, void *data) {
    Loaded *loaded = data;
    const char *name = info->dlpi_name;
    if (!name || *name != '/') /* the program itself, and what the kernel brings */
        return 0;
    g_autofree char *base = g_path_get_basename(name);
    if (g_str_has_prefix(base, "ld-linux") || g_str_has_prefix(base, "ld64.") ||
        g_str_has_prefix(base, "ld.so"))
        loaded->loader = g_strdup(name);
    else
        g_ptr_array_add(loaded->libraries, g_strdup(name));
    return 0;
}

static bool copy_libraries(const Loaded *loaded, const char *place, GError **error) {
    g_autofree char *directory = g_build_filename(place, "lib", NULL);
    if (g_mkdir_with_parents(directory, 0755) < 0)
        return set_io_error(error, errno, "make directory '%s'", directory);
    for (unsigned i = 0; i < loaded->libraries->len; i++) {
        const char *from = g_ptr_array_index(loaded->libraries, i);
        g_autofree char *name = g_path_get_basename(from);
        g_autofree char *to = g_build_filename(directory, name, NULL);
        if (!files_copy(from, to, 0755, error))
            return false;
    }
    return true;
}

static bool copy_all(const Loaded *loaded, const char *directory, GError **error) {
    g_autofree char *place = g_build_filename(directory, PLACE, NULL);
    g_autofree char *program = g_build_filename(place, "program", NULL);
    g_autofree char *loader = g_build_filename(place, "stead", NULL);
    if (!loaded->loader) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "copy stead: it was loaded by nothing that has a name here");
        return false;
    }
    return copy_libraries(loaded, place, error) &&
           files_copy("/proc/self/exe", program, 0755, error) &&
           files_copy(loaded->loader, loader, 0755, error) &&
           files_write(directory, "usr/bin/stead", wrapper, 0755, error);
}

bool program_copy(const char *directory, bool with_http, GError **error) {
    if (with_http && (!curl_need(error) || !mhd_need(error)))
        return false;
    Loaded loaded = { .libraries = g_ptr_array_new_with_free_func(g_free) };
    (void)dl_iterate_phdr(note_library, &loaded); /* what note_library gave last */
    bool ok = copy_all(&loaded, directory, error);
    g_ptr_array_unref(loaded.libraries);
    g_free(loaded.loader);
    return ok;
}
