#pragma once
/* Commands of apt and dpkg one after the other: others who change packages are waited for, and what
 * an earlier dpkg left is mended when a command complains about it. */
#include "host/package-database.h"

/* One run of stead's, of several commands. */
typedef struct {
    RealHost *self;
    const char *const *env;
    Cancel *cancel;
    int64_t began, lock_timeout;          /* us */
    bool configured, repaired, refreshed; /* done already: not again */
    bool mended;                          /* what an earlier dpkg left, maybe all that is wanted */
} AptJob;

AptJob apt_job_new(RealHost *self, const PackageAction *actions, size_t n_actions, Cancel *cancel);
/* Only one transaction of our own at a time: it would have to wait for itself. */
bool apt_job_begin(AptJob *job, GError **error);
void apt_job_end(const AptJob *job);
/* Runs a command; once more after something was mended. */
bool apt_job_run(AptJob *job, char **argv, GError **error);
bool apt_job_configure(const AptJob *job, GError **error); /* dpkg --configure -a */
bool apt_job_repair(const AptJob *job, GError **error);    /* apt-get --fix-broken install */
