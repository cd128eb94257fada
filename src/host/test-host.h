#pragma once
/* Short forms for the tests of hosts: each ends the test when it does not hold. */
#include <string.h>

#include "host/host.h"

void write_text(Host *host, const char *path, const char *text);
void write_mode(Host *host, const char *path, const char *text, mode_t mode);
void directory(Host *host, const char *path);
void make_link(Host *host, const char *path, const char *target);
void remove_path(Host *host, const char *path);
void set_mode(Host *host, const char *path, mode_t mode);
FileInfo info_of(Host *host, const char *path);
void expect_text(Host *host, const char *path, const char *text);
void expect_list(Host *host, const char *path, const char *names);
void expect_target(Host *host, const char *path, const char *target);

/* A new empty directory below /tmp for a real host, one at a time. It goes with test_root_free(),
 * and also when the test ends by a failed assertion. */
const char *test_root_new(void);
void test_root_free(void); /* with everything in it; nothing when there is none */

/* Puts this thread, and those it makes from now on, into a network that ends with them, where
 * /proc/sys may be written. False: namespaces cannot be made here. */
bool test_own_network(void);

/* Everything below the root as text, a line each, for comparing. Caller frees. */
char *test_snapshot(Host *host);

/* The expression, which reports to &problem, returned false or NULL and set an error of this code
 * that names the path. */
#define expect_error(expression, code_wanted, path)                                                \
    G_STMT_START {                                                                                 \
        g_autoptr(GError) problem = NULL;                                                          \
        g_assert_true(!(expression));                                                              \
        g_assert_error(problem, STEAD_ERROR, code_wanted);                                         \
        g_assert_nonnull(strstr(problem->message, path));                                          \
    }                                                                                              \
    G_STMT_END
