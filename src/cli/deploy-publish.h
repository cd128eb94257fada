#pragma once
/* stead deploy DIR: packed, planned, signed, published. */
#include "cli/hub-call.h"
#include "cli/printer.h"

/* An ExitCode; *error may be set with it. */
int deploy_publish_directory(const Arguments *arguments, Printer *printer, const HubLink *link,
                             const char *directory, GError **error);
