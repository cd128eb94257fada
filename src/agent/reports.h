#pragma once
/*
 * What a machine tells its fleet, in the store (fleet/roster.h says under which keys): its report
 * and its answers under its lease; its facts, its last run and its newest repairs, which stay.
 * While the store is out of reach the newest of it waits.
 */
#include "base/value.h"
#include "fleet/report.h"

#define REPORTS_DRIFT_KEPT   100u /* repairs in the store */
#define REPORTS_DRIFT_MINUTE 20u  /* told one by one in a minute; the others are counted */

typedef struct Reports Reports;

typedef struct {
    void (*reached)(void *data, const GError *error); /* as of Reporter */
    void (*failed)(void *data, const GError *error);  /* the store does not take it */
    /* Appends what is to be said about a resource; false: there is none. */
    bool (*why)(void *data, const char *kind, const char *name, GString *answer);
    void *data;
} ReportsListener;

/* store is borrowed. */
Reports *reports_new(Loop *loop, Store *store, const char *host, unsigned ttl_s,
                     const ReportsListener *listener);
void reports_free(Reports *reports); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reports, reports_free)

/* Each is written when it differs from what was said last. */
void reports_state(Reports *reports, const Report *report);
void reports_facts(Reports *reports, const Value *facts);
void reports_run(Reports *reports, const Value *run); /* "time" does not count as a difference */
void reports_drift(Reports *reports, const char *resource, const char *what);
