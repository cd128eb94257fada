#pragma once
/* The verbs of commands that ask a hub: each finds its verb, opens the link to the hub, runs it,
 * and ends with the exit code of that. */
#include "cli/hub-call.h"
#include "cli/printer.h"
#include "cli/verbs.h"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    HubLink link;
    int code; /* of a verb that is done */
} HubContext;

typedef bool (*HubWork)(HubContext *context, char **words, GError **error);

typedef struct {
    Verb verb;
    HubWork run; /* words: those behind the verb */
} HubVerb;

/* What a command ends with: the code of work, once it is done. Where it is not, the error has been
 * told, or work has told it and set none. */
int hub_run(const Arguments *arguments, char **words, HubWork work);

/* The verb that words begin with, with the link open. */
bool hub_verbs_work(HubContext *context, const char *command, const HubVerb *verbs, unsigned n,
                    char **words, GError **error);
#define HUB_VERBS_WORK(context, command, table, words, error)                                      \
    hub_verbs_work(context, command, table, G_N_ELEMENTS(table), words, error)
