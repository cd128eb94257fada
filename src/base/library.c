#include "base/library.h"

#include <dlfcn.h>

#include "base/error.h"

static bool take_functions(const Library *library, void *handle) {
    for (const LibraryFunction *f = library->functions; f->name; f++) {
        void *found = dlsym(handle, f->name);
        if (!found)
            return false;
        *(void **)(void *)((char *)library->table + f->offset) = found;
    }
    return true;
}

bool library_need(Library *library, GError **error) {
    static GMutex lock;
    if (g_atomic_int_get(&library->loaded))
        return true;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    if (library->loaded)
        return true;
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (handle && take_functions(library, handle)) {
        g_atomic_int_set(&library->loaded, true);
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "load '%s': %s; install it: apt install %s", library->file, dlerror(),
                library->package);
    if (handle)
        dlclose(handle);
    return false;
}
