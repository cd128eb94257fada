#include "state/test-etcd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *client, *peer, *name, *dir;
    pid_t pid; /* 0: it does not run */
} Member;

struct EtcdServers {
    unsigned n;
    Member *members;
    char *urls, *cluster, *dir;
};

static bool is_free(unsigned port) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = bind(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0;
    close(fd);
    return free;
}

/* Free at this moment: etcd takes no port 0. Of those that connections do not get: who is killed
 * finds its port again. */
static unsigned free_port(void) {
    unsigned port;
    do
        port = (unsigned)g_random_int_range(10000, 32768);
    while (!is_free(port));
    return port;
}

static void run_etcd(const EtcdServers *servers, const Member *member, pid_t parent) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    g_autofree char *log = g_build_filename(servers->dir, "log", NULL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    execlp("etcd", "etcd", "--name", member->name, "--data-dir", member->dir,
           "--listen-client-urls", member->client, "--advertise-client-urls", member->client,
           "--listen-peer-urls", member->peer, "--initial-advertise-peer-urls", member->peer,
           "--initial-cluster", servers->cluster, "--log-level", "error", "--quota-backend-bytes",
           "8589934592", NULL);
    _exit(127);
}

void etcd_servers_restart(EtcdServers *servers, unsigned i) {
    Member *member = &servers->members[i];
    g_assert_cmpint(member->pid, ==, 0);
    pid_t parent = getpid();
    member->pid = fork();
    g_assert_cmpint(member->pid, >=, 0);
    if (member->pid == 0)
        run_etcd(servers, member, parent);
}

void etcd_servers_kill(EtcdServers *servers, unsigned i) {
    Member *member = &servers->members[i];
    if (member->pid == 0)
        return;
    (void)kill(member->pid, SIGKILL);
    (void)waitpid(member->pid, NULL, 0);
    member->pid = 0;
}

void etcd_servers_freeze(EtcdServers *servers, unsigned i, bool frozen) {
    if (servers->members[i].pid > 0)
        (void)kill(servers->members[i].pid, frozen ? SIGSTOP : SIGCONT);
}

EtcdServers *etcd_servers_start(unsigned n) {
    g_autofree char *program = g_find_program_in_path("etcd");
    if (program == NULL)
        return NULL;
    EtcdServers *servers = g_new0(EtcdServers, 1);
    g_autoptr(GString) urls = g_string_new(NULL), cluster = g_string_new(NULL);
    servers->n = n;
    servers->members = g_new0(Member, n);
    servers->dir = g_dir_make_tmp("stead-etcd-XXXXXX", NULL);
    g_assert_nonnull(servers->dir);
    for (unsigned i = 0; i < n; i++) {
        Member *member = &servers->members[i];
        member->name = g_strdup_printf("m%u", i);
        member->dir = g_build_filename(servers->dir, member->name, NULL);
        member->client = g_strdup_printf("http://127.0.0.1:%u", free_port());
        member->peer = g_strdup_printf("http://127.0.0.1:%u", free_port());
        g_string_append_printf(urls, "%s%s", i > 0 ? "," : "", member->client);
        g_string_append_printf(cluster, "%s%s=%s", i > 0 ? "," : "", member->name, member->peer);
    }
    servers->urls = g_strdup(urls->str);
    servers->cluster = g_strdup(cluster->str);
    for (unsigned i = 0; i < n; i++)
        etcd_servers_restart(servers, i);
    return servers;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    return remove(path);
}

void etcd_servers_free(EtcdServers *servers) {
    if (servers == NULL)
        return;
    for (unsigned i = 0; i < servers->n; i++) {
        Member *member = &servers->members[i];
        etcd_servers_kill(servers, i);
        g_free(member->client);
        g_free(member->peer);
        g_free(member->name);
        g_free(member->dir);
    }
    (void)nftw(servers->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    g_free(servers->members);
    g_free(servers->urls);
    g_free(servers->cluster);
    g_free(servers->dir);
    g_free(servers);
}

const char *etcd_servers_urls(const EtcdServers *servers) {
    return servers->urls;
}

const char *etcd_servers_url(const EtcdServers *servers, unsigned member) {
    return servers->members[member].client;
}
