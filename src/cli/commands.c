#include <string.h>

#include "cli/commands.h"

const Command *const commands[] = {
    &command_check,  &command_plan,  &command_apply,   &command_agent, &command_status,
    &command_why,    &command_drift, &command_ledger,  &command_graph, &command_adopt,
    &command_bundle, &command_key,   &command_hub,     &command_token, &command_host,
    &command_deploy, &command_fleet, &command_cluster, &command_state, &command_lab,
    &command_kinds,  &command_facts, &command_test,    &command_types, &command_completion,
    &command_docs,   NULL,
};

const Command *command_find(const char *name) {
    for (const Command *const *command = commands; *command; command++)
        if (strcmp((*command)->name, name) == 0)
            return *command;
    return NULL;
}
