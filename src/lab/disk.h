#pragma once
/*
 * What is on a host's disk when it starts for the first time: its names and addresses, the names of
 * all others, its values, and the unit of its agent. Directories of a lab:
 *
 *   DATA/labs/NAME/record.json      record.h
 *                  control          the keeper's socket: talk.h
 *                  keeper           what the keeper prints
 *                  common           stead itself: program.h
 *                  hosts/HOST/upper what the host writes, above common and the base
 *                             work, root, console
 *                             unfinished       there while the host comes or goes: change.c
 */
#include "lab/lab.h"

#define DISK_SITE                                                                                  \
    "/etc/stead/site" /* in a host: the directory of its configuration, from outside */
#define DISK_AGENT      "stead-agent.service"
#define DISK_MEMBERSHIP "/var/lib/stead/hub/certificate.pem" /* there once a host has joined */
#define DISK_HUB        "/var/lib/stead-hub"                 /* what a hub keeps */

/* A directory of the lab or, with host, of that host. Caller frees. */
char *disk_path(const char *directory, const LabHost *host, const char *part);
bool disk_make(const char *directory, const Lab *lab, const LabHost *host, GError **error);
/* Lines for every host as this one reaches it; caller frees. */
char *disk_hosts(const Lab *lab, const LabHost *host);
