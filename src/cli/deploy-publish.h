#pragma once
/* stead deploy DIR: packed, planned, signed, published; or signed alone. */
#include "cli/hub-call.h"
#include "cli/printer.h"

/* An ExitCode; *error may be set with it. */
int deploy_publish_directory(const Arguments *arguments, Printer *printer, const HubLink *link,
                             const char *directory, GError **error);
/* The same, but signed into a file of the directory, for a hub that follows its branch. */
int deploy_sign_directory(const Arguments *arguments, Printer *printer, const char *directory,
                          GError **error);
