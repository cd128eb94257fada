#include "http/curl-lib.h"

#include "base/error.h"

CurlLib curl;

bool curl_need(GError **error) {
    static const LibraryFunction functions[] = {
#define ROW(name) { "curl_" #name, offsetof(CurlLib, name) },
        CURL_FUNCTIONS(ROW)
#undef ROW
            { NULL },
    };
    static Library library = { "libcurl.so.4", "libcurl4", functions, &curl };
    static gsize started;
    if (!library_need(&library, error))
        return false;
    if (g_once_init_enter(&started))
        g_once_init_leave(&started, curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 1 : 2);
    if (started == 1)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED, "start libcurl");
    return false;
}
