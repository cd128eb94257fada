#include "http/keep-alive.h"

#include <glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void socket_keep_alive(int fd) {
    static const struct {
        int level, name, value;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S },
        { IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) /* fails when it is closed already */
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}
