#pragma once
/* A copy of all keys of the store that begin with a prefix, kept current. While the store is out of
 * reach it stays as it was. */
#include "state/store.h"

typedef struct Mirror Mirror;

typedef struct {
    /* One key was put (after), or is gone (after NULL); before NULL: it was not there. */
    void (*entry)(void *data, const char *key, const StoreEntry *before, const StoreEntry *after);
    /* All of a change, or of the first reading, was told. */
    void (*changed)(void *data);
    /* Reading did not work; it is tried again. */
    void (*failed)(void *data, const GError *error);
    void *data;
} MirrorListener;

Mirror *mirror_new(Loop *loop, Store *state, const char *prefix, const MirrorListener *listener);
/* Of this key alone, for those who may not read what else begins with it. */
Mirror *mirror_new_key(Loop *loop, Store *state, const char *key, const MirrorListener *listener);
void mirror_free(Mirror *mirror); /* accepts NULL; not inside a callback of it */

bool mirror_is_loaded(const Mirror *mirror);
int64_t mirror_revision(const Mirror *mirror); /* all up to it is in the copy */
const StoreEntry *mirror_get(const Mirror *mirror, const char *key);
char **mirror_keys(const Mirror *mirror); /* in byte order; caller frees with g_strfreev() */
