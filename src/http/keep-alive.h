#pragma once
/* How both ends find out that the other machine is gone without a word. */

/* An idle connection is asked every KEEP_IDLE_S; who does not answer KEEP_PROBES times is gone,
 * after 11 s. Of ten thousand that is 1430 packets a second each way: a percent of a core or so,
 * in the kernel. */
#define KEEP_IDLE_S     7
#define KEEP_INTERVAL_S 2
#define KEEP_PROBES     2

void socket_keep_alive(int fd);
