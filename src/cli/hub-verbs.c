#include "cli/hub-verbs.h"

#include "base/error.h"

/* A hub that answers says more than that. */
static void tell(Printer *printer, const GError *error) {
    bool is_deaf = error->domain == HUB_UNREACHABLE &&
                   (error->code == STEAD_ERROR_IO || error->code == STEAD_ERROR_TIMEOUT);
    g_autofree char *hinted =
        g_strconcat(error->message, "; does a hub run there? --hub names another", NULL);
    g_autoptr(GError) told =
        g_error_new_literal(error->domain, error->code, is_deaf ? hinted : error->message);
    printer_error(printer, told);
}

int hub_run(const Arguments *arguments, char **words, HubWork work) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    HubContext context = { .arguments = arguments, .printer = printer };
    bool done = work(&context, words, &error);
    hub_link_clear(&context.link);
    if (done)
        return context.code;
    if (!error)
        return EXIT_REFUSED;
    tell(printer, error);
    return hub_exit_code(error);
}

bool hub_verbs_work(HubContext *context, const char *command, const HubVerb *verbs, unsigned n,
                    char **words, GError **error) {
    int verb = verb_find(command, &verbs->verb, sizeof *verbs, n, words, error);
    return verb >= 0 && hub_link_open(&context->link, context->arguments, error) &&
           verbs[verb].run(context, words + 1, error);
}
