#pragma once
/* The parts of the kind tar: table and what both ways share (tar.c), packing (tar-pack.c),
 * unpacking (tar-unpack.c). Only tar*.c includes this. */
#include "kinds/kinds.h"
#include "kinds/tarball.h"

enum {
    TAR_PATH,
    TAR_STATE,
    TAR_INPUTS,
    TAR_FORMAT,
    TAR_COMPRESSION,
    TAR_ATTRIBUTES,
    TAR_SOURCE,
    TAR_STRIP,
    TAR_OWNER,
    TAR_GROUP,
    TAR_FORCE,
};

#define TAR_KEPT_TREE "tree" /* kept: map of the unpacked paths that we made */

/* The resource, decoded. */
typedef struct {
    const Resource *resource;
    char *path; /* without a trailing slash */
    bool absent, unpacks;
    bool local;   /* the source is beside the configuration */
    char *source; /* NULL: packs */
    TarballOptions options;
} TarSpec;

const char *tar_text(const Resource *resource, unsigned param); /* NULL when empty */
void tar_digest(GBytes *bytes, char ret_hex[DIGEST_HEX_SIZE]);
const Value *tar_owned(const KindRun *run);

bool tar_diff_packed(KindRun *run, const TarSpec *spec, const State *actual, Changes *changes,
                     GError **error);
bool tar_apply_packed(KindRun *run, const TarSpec *spec, GError **error);
bool tar_diff_unpacked(KindRun *run, const TarSpec *spec, const State *actual, Changes *changes,
                       GError **error);
bool tar_apply_unpacked(KindRun *run, const TarSpec *spec, const State *actual, GError **error);
