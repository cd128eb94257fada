#pragma once
/* libmicrohttpd, and what of GnuTLS below it the server needs; loaded when the first server starts.
 */
#include <microhttpd.h>

#include <gnutls/gnutls.h>

#include "base/library.h"

#define MHD_FUNCTIONS(X)                                                                           \
    X(add_response_header)                                                                         \
    X(create_response_from_buffer_with_free_callback_cls)                                          \
    X(create_response_from_callback)                                                               \
    X(destroy_response)                                                                            \
    X(get_connection_info)                                                                         \
    X(get_connection_values)                                                                       \
    X(get_daemon_info)                                                                             \
    X(queue_response)                                                                              \
    X(quiesce_daemon)                                                                              \
    X(resume_connection)                                                                           \
    X(start_daemon)                                                                                \
    X(stop_daemon)                                                                                 \
    X(suspend_connection)

typedef struct {
#define MEMBER(name) __typeof__(MHD_##name) *name;
    MHD_FUNCTIONS(MEMBER)
#undef MEMBER
} Mhd;

extern Mhd mhd; /* complete once mhd_need() returned true */
extern struct GnutlsFunctions {
    __typeof__(gnutls_certificate_get_peers) *certificate_get_peers;
    __typeof__(gnutls_transport_set_pull_function) *transport_set_pull_function;
} gnutls;

bool mhd_need(GError **error);
