#include "host/host-real-private.h"
bool real_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                     GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED, "query unit '%s'", name);
    return false;
}
bool real_unit_apply(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                     GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED, "change unit '%s'", name);
    return false;
}
