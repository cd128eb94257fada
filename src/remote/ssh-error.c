#include "remote/ssh-error.h"

#include <string.h>

#include "base/error.h"
#include "base/printable.h"

/* The first that is found in what ssh said counts: a changed key also fails the verification. */
static const struct {
    const char *part, *what, *remedy;
} reasons[] = {
    { "REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is another one than in known_hosts",
      "if it was installed anew, remove the old key with 'ssh-keygen -R HOST' and connect once "
      "with "
      "'ssh HOST'; else somebody else answers in its place" },
    { "Host key verification failed", "its host key is not known",
      "connect once with 'ssh HOST' and compare the key, or add it to known_hosts" },
    { "Permission denied", "it does not let us in",
      "'ssh HOST' must work without a password: install your key there with 'ssh-copy-id HOST', or "
      "load it with ssh-add" },
    { "Too many authentication failures", "it does not let us in",
      "name the right key in ~/.ssh/config with IdentityFile and IdentitiesOnly" },
    { "forwarding failed", "its sshd lets no socket lead back here, which --exchange takes",
      "set 'AllowStreamLocalForwarding yes' in its sshd_config and reload it" },
    { "Could not resolve hostname", "nobody knows this name", "check the name, or ~/.ssh/config" },
    { "Connection refused", "nothing listens for ssh there",
      "check that sshd runs, and the port in ~/.ssh/config" },
    { "timed out", "it does not answer", "check that it runs and can be reached" },
    { "No route to host", "it cannot be reached", "check that it runs, and the network" },
    { "Network is unreachable", "it cannot be reached", "check the network" },
};

static char *for_host(const char *remedy, const char *host) {
    g_auto(GStrv) parts = g_strsplit(remedy, "HOST", -1);
    return g_strjoinv(host, parts);
}

/* The last line that says something. */
static char *last_line(const char *said) {
    g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
    const char *last = "";
    for (char **line = lines; *line != NULL; line++)
        if (*g_strstrip(*line) != '\0')
            last = *line;
    return printable_text(last, PRINTABLE_PLAIN);
}

void ssh_explain(const char *host, const char *said, const char *ended, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++) {
        if (strstr(said, reasons[i].part) == NULL)
            continue;
        g_autofree char *remedy = for_host(reasons[i].remedy, host);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: %s", reasons[i].what, remedy);
        return;
    }
    g_autofree char *last = last_line(said);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "ssh %s%s%s; try 'ssh %s'", ended,
                *last != '\0' ? ": " : "", last, host);
}
