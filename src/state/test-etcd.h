#pragma once
/* For tests: real members of etcd on free ports of 127.0.0.1, in a directory of their own. They end
 * with the process that started them. */
#include <glib.h>
#include <stdbool.h>

typedef struct EtcdServers EtcdServers;

/* NULL where there is no etcd. */
EtcdServers *etcd_servers_start(unsigned n);
void etcd_servers_free(EtcdServers *servers); /* accepts NULL; removes what they wrote */

const char *etcd_servers_urls(const EtcdServers *servers); /* "URL,URL" */
const char *etcd_servers_url(const EtcdServers *servers, unsigned member);

void etcd_servers_kill(EtcdServers *servers, unsigned member); /* -9, and waits for its end */
void etcd_servers_restart(EtcdServers *servers,
                          unsigned member); /* does not wait until it serves */
/* Stops it without an end (SIGSTOP), and lets it go on. */
void etcd_servers_freeze(EtcdServers *servers, unsigned member, bool frozen);
