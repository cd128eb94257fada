/* What the machine and others are called: hostname, /etc/hosts. */
#include <string.h>

#include "adopt/adopt-private.h"

static const char *const usual_names[] = {
    "localhost",       "ip6-localhost", "ip6-loopback",   "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes",  "ip6-allrouters", "ip6-allhosts",
};

static bool is_usual(const char *name) {
    for (size_t i = 0; i < G_N_ELEMENTS(usual_names); i++)
        if (strcmp(name, usual_names[i]) == 0)
            return true;
    return false;
}

/* --- hostname */

static char *pretty_name(Adopt *adopt) {
    g_autofree char *text = adopt_read(adopt, "/etc/machine-info");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, "PRETTY_HOSTNAME="))
            return g_shell_unquote(*line + strlen("PRETTY_HOSTNAME="), NULL);
    return NULL;
}

static bool take_hostname(Adopt *adopt, const char *name, const char *pretty,
                          const char *transient) {
    g_autoptr(Form) form = form_new("hostname", name);
    if (pretty != NULL && *pretty != '\0')
        form_string(form, "pretty_hostname", pretty);
    if (transient != NULL)
        form_string(form, "transient_hostname", transient);
    return adopt_take(adopt, form);
}

static void write_hostname(Adopt *adopt) {
    g_autofree char *text = adopt_read(adopt, "/etc/hostname");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    const char *name = "";
    for (char **line = lines; *line != NULL && *name == '\0'; line++)
        if (*g_strstrip(*line) != '#')
            name = *line;
    g_autofree char *pretty = pretty_name(adopt);
    g_autofree char *running = host_running_name(adopt->host, NULL);
    (void)adopt_claim(adopt, "/etc/hostname");
    (void)adopt_claim(adopt, "/etc/machine-info");
    if (*name != '\0' && !take_hostname(adopt, name, pretty, NULL) &&
        !take_hostname(adopt, name, pretty, running) && !take_hostname(adopt, name, NULL, ""))
        page_comment(adopt->page, "/etc/hostname says '%s', which is no name that Linux takes.",
                     name);
}

/* --- /etc/hosts */

static bool take_host(Adopt *adopt, char **words, const char *comment) {
    const char *ip = words[0], *name = words[1];
    bool v6 = strchr(ip, ':') != NULL, again = adopt_is_declared(adopt, "host", name);
    g_autofree char *title =
        again ? g_strdup_printf("%s over %s", name, v6 ? "IPv6" : "IPv4") : g_strdup(name);
    g_autoptr(Form) form = form_new("host", title);
    if (again)
        form_string(form, "hostname", name);
    form_string(form, "ip", ip);
    if (again)
        form_string(form, "family", v6 ? "ipv6" : "ipv4");
    if (words[2] != NULL)
        form_list(form, "host_aliases", (const char *const *)words + 2);
    if (comment != NULL)
        form_string(form, "comment", comment);
    return adopt_take(adopt, form);
}

static char **split_words(const char *text) {
    GPtrArray *words = g_ptr_array_new();
    g_auto(GStrv) parts = g_strsplit_set(text, " \t\r", -1);
    for (char **part = parts; *part != NULL; part++)
        if (**part != '\0')
            g_ptr_array_add(words, g_strdup(*part));
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* False: the line is an entry that cannot be said. */
static bool take_host_line(Adopt *adopt, const char *line, unsigned *usual) {
    g_autofree char *copy = g_strdup(line);
    char *hash = strchr(copy, '#');
    if (hash != NULL)
        *hash++ = '\0';
    g_auto(GStrv) words = split_words(copy);
    if (words[0] == NULL || words[1] == NULL)
        return words[0] == NULL;
    if (is_usual(words[1])) {
        (*usual)++;
        return true;
    }
    return take_host(adopt, words, hash != NULL ? g_strstrip(hash) : NULL);
}

static void write_hosts(Adopt *adopt) {
    g_autofree char *text = adopt_read(adopt, "/etc/hosts");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    g_autoptr(GPtrArray) odd = g_ptr_array_new();
    unsigned usual = 0;
    (void)adopt_claim(adopt, "/etc/hosts");
    for (char **line = lines; *line != NULL; line++)
        if (!take_host_line(adopt, *line, &usual))
            g_ptr_array_add(odd, *line);
    if (odd->len > 0) {
        page_comment(adopt->page, "Also in /etc/hosts, and not said here (a name that has an entry "
                                  "already, or is none):");
        page_comment_list(adopt->page, (const char *const *)odd->pdata, odd->len);
        adopt_note(adopt, "lines of /etc/hosts only told: %u", odd->len);
    }
}

void section_names_write(Adopt *adopt) {
    write_hostname(adopt);
    write_hosts(adopt);
}
