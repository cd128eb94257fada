#pragma once
/* Making a Lab: by the reader of files and by lab_from_value() only. What is added belongs to the
 * lab, or to the host. */
#include "lab/lab.h"

Lab *lab_new(void);
LabHost *lab_add_host(Lab *lab, const char *name);
LabNetwork *lab_add_network(Lab *lab, const char *name, const char *prefix);
LabPort *lab_add_port(LabHost *host, unsigned network, const char *address);
