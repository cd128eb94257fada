#pragma once
/* How a service fared, and what is told of it. */
#include "host/unit-bus.h"

typedef struct {
    char *type, *result, *reload_result; /* caller frees */
    int code, status;                    /* of its main process, as in waitid(2) */
    unsigned restarts, pid;
    int remains; /* RemainAfterExit= */
} ServiceFate;

void service_fate_clear(ServiceFate *fate);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ServiceFate, service_fate_clear)

/* False, without an error, for units that are no services. */
bool service_fate_query(UnitBus *bus, const char *name, ServiceFate *fate);

/* Why a job that began at since_us (us since the epoch) ended with this result. Always false. */
bool unit_job_error(UnitBus *bus, const char *name, const char *result, uint64_t since_us,
                    GError **error);
/* Looks for a moment whether a service that was started stays. */
bool unit_check_lasts(UnitBus *bus, const char *name, uint64_t since_us, Cancel *cancel,
                      GError **error);
