#pragma once
/* What a host says of itself in the store, for as long as it lives: reported/HOST, under a lease.
 * An agent writes its own, or a hub does for an agent that is connected to it. */
#include "base/digest.h"
#include "base/value.h"
#include "state/store.h"

#define REPORT_TTL         60u /* seconds without a sign of life until a host counts as silent */
#define REPORT_MESSAGE_MAX 1000u

typedef enum { REPORT_CONVERGING, REPORT_CONVERGED, REPORT_FAILING } ReportState;
typedef enum { REPORT_UNCHECKED, REPORT_HEALTHY, REPORT_UNHEALTHY } ReportHealth;

typedef struct {
    char digest[DIGEST_HEX_SIZE]; /* of the bundle that it runs; "": none */
    ReportState state;
    ReportHealth health;
    int64_t since; /* seconds since 1970, by the host's clock, for people */
    char *message; /* what fails, or NULL; owned */
} Report;

void report_clear(Report *report);
void report_copy(Report *to, const Report *from);
Value *report_to_value(const Report *report);
/* False: it is none. */
bool report_read(const Value *value, Report *ret_report);
const char *report_state_name(ReportState state);
const char *report_health_name(ReportHealth health);

typedef struct Reporter Reporter;

/* Each may be NULL. */
typedef struct {
    void (*failed)(void *data, const GError *error); /* what did not work; it is tried again */
    /* Every few seconds: the store answers (NULL), or does not. */
    void (*reached)(void *data, const GError *error);
    void *data;
} ReporterListener;

Reporter *reporter_new(Loop *loop, Store *store, const char *host, unsigned ttl_s,
                       const ReporterListener *listener);
void reporter_set(Reporter *reporter, const Report *report);
/* What somebody asked of the host, while it is asked: id to a map with an answer, all there are. */
void reporter_set_answers(Reporter *reporter, GHashTable *answers);
/* The report and the answers go when their lease does; accepts NULL. */
void reporter_free(Reporter *reporter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reporter, reporter_free)
