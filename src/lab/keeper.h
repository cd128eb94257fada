#pragma once
/*
 * The keeper: the process that a lab lives in. `stead lab up` starts it as process 1 of a process
 * namespace, with mounts and networks of its own, and is its first client, on descriptor 3. It
 * makes what only namespaces hold, starts the machines, and serves commands until it is killed:
 * everything ends with it.
 *
 * A hub would be one more process that it starts in its own network namespace, with number 1 of
 * every network, which no host gets.
 */

/* Returns an exit code. directory: of the lab, with its record. */
int keeper_run(const char *directory);
