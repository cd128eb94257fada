#pragma once
/* A scratch directory below /tmp and two real hosts on it: one with the scratch directory as its
 * root, one on "/" that reaches it by its whole path. Removed with the fixture. */
#include "host/host-real.h"

typedef struct {
    char *scratch;
    FingerprintCache *fingerprints;
    Host *host;
    bool has_root; /* paths are below the scratch directory */
} RealFixture;

void real_fixture_set_up(RealFixture *fixture, gconstpointer has_root);
void real_fixture_tear_down(RealFixture *fixture, gconstpointer has_root);

/* What the host calls a path of the scratch directory, and where that really is. Caller frees. */
char *scratch_path(RealFixture *fixture, const char *path);
char *scratch_local(RealFixture *fixture, const char *path);

/* Somebody else's hands. */
void scratch_put(RealFixture *fixture, const char *path, const char *text);
char *scratch_get(RealFixture *fixture, const char *path);
void scratch_run(RealFixture *fixture, const char *shell_command); /* in the scratch directory */

/* Through the host. */
bool put(RealFixture *fixture, const char *path, const char *text, const FileAttributes *attributes,
         GError **error);

/* Adds a test twice: "<path>/root" and "<path>/machine". */
void add_real_test(const char *path, void (*test)(RealFixture *fixture, gconstpointer has_root));

#define assert_code(error, error_code) g_assert_error(error, STEAD_ERROR, error_code)
