#pragma once
/* Every command; the order of the list in commands.c is that of `stead --help`. */
#include "cli/command.h"

extern const Command command_adopt;
extern const Command command_agent;
extern const Command command_apply;
extern const Command command_bundle;
extern const Command command_check;
extern const Command command_cluster;
extern const Command command_completion;
extern const Command command_deploy;
extern const Command command_docs;
extern const Command command_drift;
extern const Command command_facts;
extern const Command command_fleet;
extern const Command command_graph;
extern const Command command_key;
extern const Command command_host;
extern const Command command_hub;
extern const Command command_kinds;
extern const Command command_lab;
extern const Command command_ledger;
extern const Command command_plan;
extern const Command command_state;
extern const Command command_status;
extern const Command command_test;
extern const Command command_token;
extern const Command command_types;
extern const Command command_why;
