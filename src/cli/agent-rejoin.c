#include "cli/agent-rejoin.h"

#include <string.h>

#include "cli/joined.h"
#include "host/host-real.h"

struct Rejoin {
    Store *store;
    char *directory, *host;
    RejoinTell tell;
    void *data;
    Host *local; /* this machine, whatever root is managed */
    HostWatch *watch;
    char *authority, *certificate; /* that are used; NULL: could not be read */
};

static char *read_text(const Rejoin *rejoin, const char *name) {
    g_autofree char *path = g_build_filename(rejoin->directory, name, NULL);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL); /* NULL: it is being replaced, or gone */
    return text;
}

static void tell(const Rejoin *rejoin, bool failed, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void tell(const Rejoin *rejoin, bool failed, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    rejoin->tell(rejoin->data, failed, text);
}

/* As another host, or at another hub, everything that is known and published is another's. */
static bool is_same(const Rejoin *rejoin) {
    g_autoptr(GError) error = NULL;
    g_autofree char *host = joined_name(rejoin->directory, &error);
    g_autofree char *authority = read_text(rejoin, "ca.pem");
    if (!host)
        tell(rejoin, true, "go on as a member of the hub: %s", error->message);
    else if (strcmp(host, rejoin->host) != 0)
        tell(rejoin, true,
             "this machine joined its hub as '%s' and was '%s': start its agent again, as by "
             "'systemctl restart stead-agent'",
             host, rejoin->host);
    else if (g_strcmp0(authority, rejoin->authority) != 0)
        tell(rejoin, true,
             "this machine joined another hub: start its agent again, as by 'systemctl restart "
             "stead-agent'");
    else
        return true;
    return false;
}

bool rejoin_renewed(Rejoin *rejoin, GError **error) {
    g_free(rejoin->certificate);
    rejoin->certificate = read_text(rejoin, "certificate.pem");
    return store_renew_joined(rejoin->store, rejoin->directory, error);
}

/* The certificate is what a join writes last. */
static void on_file(void *data, HostEvent event, const char *detail) {
    Rejoin *rejoin = data;
    g_autoptr(GError) error = NULL;
    if (event == HOST_EVENT_FAILED)
        tell(rejoin, true, "%s; when this machine joins its hub again, start its agent again",
             detail);
    g_autofree char *certificate = read_text(rejoin, "certificate.pem");
    if (event != HOST_EVENT_CHANGED || !certificate ||
        g_strcmp0(certificate, rejoin->certificate) == 0)
        return;
    g_free(rejoin->certificate);
    rejoin->certificate = g_steal_pointer(&certificate);
    if (!is_same(rejoin))
        return;
    if (rejoin_renewed(rejoin, &error))
        tell(rejoin, false, "this machine joined its hub again as '%s'", rejoin->host);
    else
        tell(rejoin, true, "use the new certificate: %s", error->message);
}

Rejoin *rejoin_new(Loop *loop, Store *store, const char *directory, const char *host,
                   RejoinTell tell_one, void *data) {
    g_autoptr(GError) error = NULL;
    Rejoin *rejoin = g_new0(Rejoin, 1);
    *rejoin = (Rejoin){ .store = store, .tell = tell_one, .data = data };
    rejoin->directory = g_strdup(directory);
    rejoin->host = g_strdup(host);
    rejoin->authority = read_text(rejoin, "ca.pem");
    rejoin->certificate = read_text(rejoin, "certificate.pem");
    g_autofree char *path = g_build_filename(directory, "certificate.pem", NULL);
    g_autofree char *whole = g_canonicalize_filename(path, NULL);
    rejoin->local = host_real_new(NULL, NULL, &error);
    rejoin->watch = rejoin->local ? host_watch(rejoin->local, loop, HOST_WATCH_FILE, whole, 0,
                                               on_file, rejoin, &error)
                                  : NULL;
    if (error)
        on_file(rejoin, HOST_EVENT_FAILED, error->message);
    return rejoin;
}

void rejoin_free(Rejoin *rejoin) {
    if (!rejoin)
        return;
    host_watch_free(rejoin->watch);
    host_free(rejoin->local);
    g_free(rejoin->directory);
    g_free(rejoin->host);
    g_free(rejoin->authority);
    g_free(rejoin->certificate);
    g_free(rejoin);
}
