#include "http/mhd-lib.h"

Mhd mhd;
struct GnutlsFunctions gnutls;

bool mhd_need(GError **error) {
    static const LibraryFunction mhd_functions[] = {
#define ROW(name) { "MHD_" #name, offsetof(Mhd, name) },
        MHD_FUNCTIONS(ROW)
#undef ROW
            { NULL },
    };
    static const LibraryFunction gnutls_functions[] = {
        { "gnutls_certificate_get_peers", offsetof(struct GnutlsFunctions, certificate_get_peers) },
        { "gnutls_transport_set_pull_function",
          offsetof(struct GnutlsFunctions, transport_set_pull_function) },
        { NULL },
    };
    static Library mhd_library = { "libmicrohttpd.so.12", "libmicrohttpd12", mhd_functions, &mhd };
    static Library gnutls_library = { "libgnutls.so.30", "libgnutls30", gnutls_functions, &gnutls };
    return library_need(&mhd_library, error) && library_need(&gnutls_library, error);
}
