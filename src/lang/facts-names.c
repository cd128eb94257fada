#include <string.h>

#include "lang/facts-private.h"

static char *hostname_of(Host *host) {
    char *name = facts_text(host, "/proc/sys/kernel/hostname");
    if (name && *name)
        return name;
    g_free(name);
    return facts_text(host, "/etc/hostname");
}

Value *facts_hostname(Host *host) {
    g_autofree char *name = hostname_of(host);
    return name ? facts_text_value(g_strndup(name, strcspn(name, "."))) : NULL;
}

/* The names on the first line of /etc/hosts that has the short name; NULL-terminated. */
static char **hosts_names(Host *host, const char *short_name) {
    g_autofree char *text = facts_text(host, "/etc/hosts");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        lines[i][strcspn(lines[i], "#")] = '\0';
        g_auto(GStrv) words = g_strsplit_set(lines[i], " \t", -1);
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        bool found = false;
        for (unsigned j = 0; words[j]; j++)
            if (*words[j] && j > 0) { /* the first is the address */
                found = found || strcmp(words[j], short_name) == 0;
                g_ptr_array_add(names, g_strdup(words[j]));
            }
        g_ptr_array_add(names, NULL);
        if (found)
            return (char **)g_ptr_array_free(names, FALSE);
        g_ptr_array_unref(names);
    }
    return NULL;
}

/* As hostname --fqdn finds it without asking a name server. */
static char *fqdn_of(Host *host) {
    g_autofree char *name = hostname_of(host);
    if (!name || !*name)
        return NULL;
    if (strchr(name, '.'))
        return g_steal_pointer(&name);
    g_auto(GStrv) names = hosts_names(host, name);
    for (unsigned i = 0; names && names[i]; i++)
        if (strchr(names[i], '.'))
            return g_strdup(names[i]);
    return g_steal_pointer(&name);
}

Value *facts_fqdn(Host *host) {
    return facts_text_value(fqdn_of(host));
}

Value *facts_domain(Host *host) {
    g_autofree char *fqdn = fqdn_of(host);
    const char *dot = fqdn ? strchr(fqdn, '.') : NULL;
    return dot ? facts_text_value(g_strdup(dot + 1)) : NULL;
}

static void append_once(Value *list, const char *text) {
    for (size_t i = 0; i < value_size(list); i++)
        if (strcmp(value_string(value_list_at(list, i)), text) == 0)
            return;
    value_list_append(list, value_new_string(text));
}

Value *facts_dns_names(Host *host) {
    g_autofree char *fqdn = fqdn_of(host);
    if (!fqdn)
        return NULL;
    Value *list = value_new_list();
    append_once(list, fqdn);
    g_autofree char *name = g_strndup(fqdn, strcspn(fqdn, "."));
    append_once(list, name);
    g_auto(GStrv) names = hosts_names(host, name);
    for (unsigned i = 0; names && names[i]; i++)
        append_once(list, names[i]);
    return list;
}

Value *facts_machine_id(Host *host) {
    return facts_text_value(facts_text(host, "/etc/machine-id"));
}

Value *facts_timezone(Host *host) {
    g_autofree char *target = host_read_link(host, "/etc/localtime", NULL);
    const char *name = target ? strstr(target, "zoneinfo/") : NULL;
    if (name)
        return value_new_string(name + strlen("zoneinfo/"));
    return facts_text_value(facts_text(host, "/etc/timezone"));
}
