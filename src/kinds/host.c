/* host: one entry of /etc/hosts. */
#include <arpa/inet.h>
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/entry.h"
#include "kinds/host-name.h"
#include "kinds/kinds.h"

enum { P_HOSTNAME, P_STATE, P_IP, P_ALIASES, P_COMMENT, P_FAMILY, P_TARGET, N_PARAMS };

static const char *const states[] = { "exists", "absent", "present", NULL };
static const char *const families[] = { "auto", "ipv4", "ipv6", "any", NULL };

static const Param params[N_PARAMS] = {
    [P_HOSTNAME] = { "hostname", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY,
                     "Canonical name of the entry: the first one behind the address." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the entry is there or not.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_IP] = { "ip", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
               "Address, IPv4 or IPv6, in numbers. Needed unless the state is absent." },
    [P_ALIASES] = { "host_aliases", PARAM_STRINGS, PARAM_PROPERTY,
                    "Further names, in this order, and no others. Unset: an entry that is there "
                    "keeps its own.",
                    .aliases = "aliases" },
    [P_COMMENT] = { "comment", PARAM_STRING, PARAM_PROPERTY,
                    "What follows a '#' behind the names; empty for none. Unset: left as it is." },
    [P_FAMILY] = { "family", PARAM_ENUM, PARAM_IDENTITY,
                   "Which lines of the name are meant. auto: those of the same family as `ip`, or "
                   "all when there is no ip. Say it where a name has an entry of each family.",
                   .fallback = "auto", .choices = families },
    [P_TARGET] = { "target", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH,
                   "The hosts file. A link is followed to the file it points to.",
                   .fallback = "/etc/hosts" },
};

/* --- lines */

typedef struct {
    unsigned char bytes[16];
    int family; /* AF_INET or AF_INET6; 0: not an address */
} Address;

/* An interface behind '%' is part of the text only. */
static Address parse_address(const char *text) {
    Address address = { .family = AF_INET };
    if (inet_pton(AF_INET, text, address.bytes) == 1)
        return address;
    g_autofree char *plain = g_strndup(text, strcspn(text, "%"));
    address.family = inet_pton(AF_INET6, plain, address.bytes) == 1 ? AF_INET6 : 0;
    return address;
}

static bool same_address(const char *a, const char *b) {
    Address one = parse_address(a), other = parse_address(b);
    const char *zone_a = strchr(a, '%'), *zone_b = strchr(b, '%');
    return one.family != 0 && one.family == other.family &&
           memcmp(one.bytes, other.bytes, sizeof one.bytes) == 0 && g_strcmp0(zone_a, zone_b) == 0;
}

/* A line taken apart: ip, canonical name, aliases; NULL when it is none. */
typedef struct {
    char **words;
    char *comment; /* NULL: none */
} HostLine;

static void host_line_clear(HostLine *line) {
    g_clear_pointer(&line->words, g_strfreev);
    g_clear_pointer(&line->comment, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HostLine, host_line_clear)

static char **split_words(const char *text) {
    GPtrArray *words = g_ptr_array_new();
    for (const char *at = text + strspn(text, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        size_t size = strcspn(at, " \t");
        g_ptr_array_add(words, g_strndup(at, size));
        at += size;
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

static bool host_line_parse(const EditLine *text, HostLine *ret_line) {
    *ret_line = (HostLine){ 0 };
    if (memchr(text->start, '\0', text->size) != NULL)
        return false;
    g_autofree char *copy = g_strndup(text->start, text->size);
    char *hash = strchr(copy, '#');
    if (hash != NULL) {
        *hash = '\0';
        ret_line->comment = g_strstrip(g_strdup(hash + 1));
    }
    ret_line->words = split_words(copy);
    return g_strv_length(ret_line->words) >= 2;
}

/* --- the entry */

typedef struct {
    const Resource *resource;
    const char *name, *ip; /* ip: NULL when unknown, or not asked for */
    int family;            /* 0: any */
} HostSpec;

static HostSpec host_spec(const Resource *resource) {
    HostSpec spec = {
        .resource = resource,
        .name = resource_string(resource, P_HOSTNAME),
        .ip = resource_string(resource, P_IP),
    };
    const char *family = resource_string(resource, P_FAMILY);
    if (strcmp(family, "auto") == 0)
        spec.family = spec.ip != NULL ? parse_address(spec.ip).family : 0;
    else if (strcmp(family, "any") != 0)
        spec.family = strcmp(family, "ipv4") == 0 ? AF_INET : AF_INET6;
    return spec;
}

/* The line at or behind `at` that is the entry, or n_lines. */
static size_t find_line(const HostSpec *spec, const EditText *text, size_t at, HostLine *ret_line) {
    for (; at < text->n_lines; at++) {
        g_auto(HostLine) line;
        if (!host_line_parse(&text->lines[at], &line) ||
            g_ascii_strcasecmp(line.words[1], spec->name) != 0)
            continue;
        int family = parse_address(line.words[0]).family;
        if (family == 0 || (spec->family != 0 && family != spec->family))
            continue;
        *ret_line = line;
        line = (HostLine){ 0 };
        return at;
    }
    return at;
}

static Value *strings_value(char *const *strings) {
    Value *list = value_new_list();
    for (; *strings != NULL; strings++)
        value_list_append(list, value_new_string(*strings));
    return list;
}

static void host_find(const void *data, GBytes *bytes, State *actual) {
    const HostSpec *spec = data;
    g_auto(EditText) text;
    g_auto(HostLine) line = { 0 };
    edit_text_init(&text, bytes);
    if (find_line(spec, &text, 0, &line) == text.n_lines)
        return;
    bool same = spec->ip != NULL && same_address(spec->ip, line.words[0]);
    actual->exists = true;
    state_set(actual, P_IP, edit_value(spec->resource, P_IP, same ? spec->ip : line.words[0]));
    state_set(actual, P_ALIASES, strings_value(line.words + 2));
    state_set(actual, P_COMMENT,
              edit_value(spec->resource, P_COMMENT, line.comment != NULL ? line.comment : ""));
}

static Value *host_wanted(const void *data, unsigned param) {
    const HostSpec *spec = data;
    const Value *value = resource_get(spec->resource, param);
    if (value == NULL && param == P_IP && resource_is_unknown(spec->resource, P_IP))
        return value_new_unknown();
    if (param == P_COMMENT && value != NULL) {
        g_autofree char *comment = g_strstrip(g_strdup(value_string(value)));
        return edit_value(spec->resource, P_COMMENT, comment);
    }
    return value_ref(value);
}

/* What is not asked for stays as the line has it. */
static char *new_line(const HostSpec *spec, const HostLine *line) {
    GString *out = g_string_new(spec->ip);
    g_string_append_printf(out, "\t%s", spec->name);
    const Value *aliases = resource_get(spec->resource, P_ALIASES);
    for (size_t i = 0; aliases != NULL && i < value_size(aliases); i++)
        g_string_append_printf(out, " %s", value_string(value_list_at(aliases, i)));
    for (char **alias = line->words; aliases == NULL && alias != NULL && *alias != NULL; alias++)
        if (alias >= line->words + 2)
            g_string_append_printf(out, " %s", *alias);
    const char *comment = resource_string(spec->resource, P_COMMENT);
    g_autofree char *text = g_strstrip(g_strdup(comment != NULL         ? comment
                                                : line->comment != NULL ? line->comment
                                                                        : ""));
    if (*text != '\0')
        g_string_append_printf(out, "\t# %s", text);
    g_string_append_c(out, '\n');
    return g_string_free(out, FALSE);
}

static void remove_all(const HostSpec *spec, const EditText *text, GString *out) {
    for (size_t at = 0; at < text->n_lines;) {
        g_auto(HostLine) line = { 0 };
        size_t found = find_line(spec, text, at, &line);
        edit_append_lines(out, text, at, found);
        at = found + 1;
    }
}

static bool host_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const HostSpec *spec = data;
    g_auto(EditText) text;
    edit_text_init(&text, before);
    if (strcmp(resource_string(spec->resource, P_STATE), "absent") == 0) {
        remove_all(spec, &text, out);
        return true;
    }
    g_auto(HostLine) line = { 0 };
    size_t at = find_line(spec, &text, 0, &line);
    g_autofree char *block = new_line(spec, &line);
    edit_splice(out, &text, at, MIN(at + 1, text.n_lines), block);
    return true;
}

static Entry entry_of(const HostSpec *spec) {
    return (Entry){
        .path = resource_string(spec->resource, P_TARGET),
        .absent = strcmp(resource_string(spec->resource, P_STATE), "absent") == 0,
        .data = spec,
        .find = host_find,
        .wanted = host_wanted,
        .edit = host_edit,
    };
}

/* --- callbacks */

static bool refuse(GError **error, const char *param, const char *text, const char *problem) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s '%s': %s", param, text, problem);
    return false;
}

static bool check_name(const char *param, const char *name, GError **error) {
    const char *problem = host_name_problem(name);
    return problem == NULL || refuse(error, param, name, problem);
}

static bool check_ip(const Resource *resource, GError **error) {
    const char *ip = resource_string(resource, P_IP);
    bool absent = strcmp(resource_string(resource, P_STATE), "absent") == 0;
    if (ip == NULL &&
        (absent || resource_is_unknown(resource, P_IP) || resource_receives(resource, P_IP)))
        return true;
    if (ip == NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'ip' is required");
        return false;
    }
    int family = parse_address(ip).family;
    HostSpec spec = host_spec(resource);
    if (family == 0 || strpbrk(ip, " \t\r\n#") != NULL)
        return refuse(error, "ip", ip, "it is no address such as '192.0.2.7' or '2001:db8::7'");
    return spec.family == 0 || spec.family == family ||
           refuse(error, "ip", ip, "it is not of the family that is asked for");
}

static bool host_validate(const Resource *resource, GError **error) {
    const char *comment = resource_string(resource, P_COMMENT);
    const Value *aliases = resource_get(resource, P_ALIASES);
    if (!check_name("hostname", resource_string(resource, P_HOSTNAME), error) ||
        !check_ip(resource, error))
        return false;
    for (size_t i = 0; aliases != NULL && i < value_size(aliases); i++)
        if (!check_name("alias", value_string(value_list_at(aliases, i)), error))
            return false;
    if (comment != NULL && strpbrk(comment, "\r\n") != NULL)
        return refuse(error, "comment", comment, "it must be one line");
    return !g_str_has_suffix(resource_string(resource, P_TARGET), "/") ||
           refuse(error, "target", resource_string(resource, P_TARGET), "it is a directory");
}

static bool host_observe(KindRun *run, State *actual, GError **error) {
    HostSpec spec = host_spec(run->resource);
    Entry entry = entry_of(&spec);
    return entry_observe(run, &entry, actual, error);
}

static bool host_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    HostSpec spec = host_spec(run->resource);
    Entry entry = entry_of(&spec);
    return entry_diff(run, &entry, actual, changes, error);
}

static bool host_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    HostSpec spec = host_spec(run->resource);
    Entry entry = entry_of(&spec);
    return entry_apply(run, &entry, changes, error);
}

static bool host_kind_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_FILE, resource_string(resource, P_TARGET), error);
}

static void host_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *target = resource_string(resource, P_TARGET);
    auto_edges_am(edges, "edits", target);
    auto_edges_want(edges, "path", target, true);
    auto_edges_want_parent(edges, target);
}

static Resource *host_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    return entry_reverse(resource, P_STATE, before, how);
}

static bool host_clean(KindRun *run, GError **error) {
    return edit_clean(run, resource_string(run->resource, P_TARGET), error);
}

const Kind kind_host = {
    .name = "host",
    .summary = "Keep an entry in /etc/hosts",
    .help =
        "Keeps the line of one name in /etc/hosts: its address, further names and a comment. "
        "Everything else in the file stays byte for byte, also how lines end; a line that is right "
        "is not touched, however it is spaced. Several resources may edit one file in any order "
        "and at the same time.\n\n"
        "The entry is the first line whose canonical name, the first behind the address, is "
        "`hostname`, in the address family of `ip`: 127.0.0.1 localhost and ::1 localhost are two "
        "entries. To keep both, give one of them another title, and each its `family`. Names that "
        "are only aliases of other lines do not count. A missing entry is added at the end of the "
        "file. In a state of absent all lines of the name go.\n\n"
        "When the resource leaves the configuration the entry is removed, or becomes what it was.",
    .example = "host \"db.example.com\" {\n"
               "  ip = \"192.0.2.10\", host_aliases = { \"db\" }, comment = \"primary\",\n"
               "}\n"
               "host \"db over v6\" {\n"
               "  hostname = \"db.example.com\", ip = \"2001:db8::10\", family = \"ipv6\",\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .validate = host_validate,
    .observe = host_observe,
    .diff = host_diff,
    .apply = host_apply,
    .watch = host_kind_watch,
    .auto_edges = host_auto_edges,
    .reverse = host_reverse,
    .clean = host_clean,
};
