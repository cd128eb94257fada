#include "lib/error.h"

#include <string.h>

#include "base/error.h"

struct stead_error {
    GError *problem;
    stead_error *next;
};

/* The public codes are ours, counted from one. */
G_STATIC_ASSERT((int)STEAD_E_FAILED == (int)STEAD_ERROR_FAILED + 1);
G_STATIC_ASSERT((int)STEAD_E_CONFIG == (int)STEAD_ERROR_CONFIG + 1);
G_STATIC_ASSERT((int)STEAD_E_IO == (int)STEAD_ERROR_IO + 1);
G_STATIC_ASSERT((int)STEAD_E_NOT_FOUND == (int)STEAD_ERROR_NOT_FOUND + 1);
G_STATIC_ASSERT((int)STEAD_E_EXISTS == (int)STEAD_ERROR_EXISTS + 1);
G_STATIC_ASSERT((int)STEAD_E_REFUSED == (int)STEAD_ERROR_REFUSED + 1);
G_STATIC_ASSERT((int)STEAD_E_LIMIT == (int)STEAD_ERROR_LIMIT + 1);
G_STATIC_ASSERT((int)STEAD_E_TIMEOUT == (int)STEAD_ERROR_TIMEOUT + 1);
G_STATIC_ASSERT((int)STEAD_E_CANCELLED == (int)STEAD_ERROR_CANCELLED + 1);
G_STATIC_ASSERT((int)STEAD_E_UNPREDICTABLE == (int)STEAD_ERROR_UNPREDICTABLE + 1);
G_STATIC_ASSERT((int)STEAD_E_UNSUPPORTED == (int)STEAD_ERROR_UNSUPPORTED + 1);
G_STATIC_ASSERT((int)STEAD_E_DAMAGED == (int)STEAD_ERROR_DAMAGED + 1);

static stead_error *error_new(GError *problem) {
    stead_error *error = g_new0(stead_error, 1);
    error->problem = problem;
    return error;
}

bool error_give(stead_error **error, GError *problem) {
    g_assert(problem);
    if (error)
        *error = error_new(problem);
    else
        g_error_free(problem);
    return false;
}

bool error_give_all(stead_error **error, GPtrArray *problems) {
    g_assert(problems->len > 0);
    stead_error *first = NULL;
    for (unsigned i = problems->len; i > 0; i--) {
        stead_error *one = error_new(g_error_copy(g_ptr_array_index(problems, i - 1)));
        one->next = first;
        first = one;
    }
    g_ptr_array_set_size(problems, 0);
    if (error)
        *error = first;
    else
        stead_error_free(first);
    return false;
}

const char *stead_error_domain(const stead_error *error) {
    bool ours = error->problem->domain == STEAD_ERROR;
    return ours ? "stead" : g_quark_to_string(error->problem->domain);
}

int stead_error_code(const stead_error *error) {
    return error->problem->code + (error->problem->domain == STEAD_ERROR ? 1 : 0);
}

const char *stead_error_message(const stead_error *error) {
    return error->problem->message;
}

const stead_error *stead_error_next(const stead_error *error) {
    return error->next;
}

void stead_error_free(stead_error *error) {
    while (error) {
        stead_error *next = error->next;
        g_error_free(error->problem);
        g_free(error);
        error = next;
    }
}

bool options_read(const void *given, void *ret, size_t size, const char *name, GError **error) {
    size_t given_size = 0;
    memset(ret, 0, size);
    if (!given)
        return true;
    memcpy(&given_size, given, sizeof given_size);
    bool fits = given_size >= sizeof given_size;
    for (size_t i = size; fits && i < given_size; i++)
        fits = ((const char *)given)[i] == 0;
    if (!fits) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED, "refuse %s of %zu bytes: %s", name,
                    given_size,
                    given_size < sizeof given_size
                        ? "set their member 'size'"
                        : "they ask for what this version of libstead does not have");
        return false;
    }
    memcpy(ret, given, MIN(size, given_size));
    return true;
}

void options_write(void *ret, const void *from, size_t size) {
    size_t known;
    memcpy(&known, ret, sizeof known);
    g_assert(known >= sizeof known); /* the caller did not set its size */
    memcpy((char *)ret + sizeof known, (const char *)from + sizeof known,
           MIN(known, size) - sizeof known);
}

const char *stead_version(void) {
    return STEAD_VERSION;
}

void stead_free(char *text) {
    g_free(text);
}
