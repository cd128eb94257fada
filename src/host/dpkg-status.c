#include "host/dpkg-status.h"

#include <string.h>

/* The last of the three words of "Status: install ok installed". */
typedef enum {
    STATE_NOT_INSTALLED,
    STATE_CONFIG_FILES,
    STATE_BROKEN, /* half installed, unpacked, half configured */
    STATE_INSTALLED,
} State;

typedef struct Package {
    struct Package *next; /* of the same name, another architecture */
    const char *version, *architecture;
    bool held;
    bool needs_reinstallation;
    bool unfinished; /* as noted by a dpkg that did not come to its end */
    bool essential;
    bool automatic;
    State state;
} Package;

struct DpkgStatus {
    GStringChunk *strings;
    GHashTable *packages; /* name -> first Package */
    GPtrArray *all;
    const char *architecture;
};

/* A piece of the text. */
typedef struct {
    const char *at;
    size_t size;
} Span;

static bool span_is(Span span, const char *word) {
    return span.at != NULL && span.size == strlen(word) && memcmp(span.at, word, span.size) == 0;
}

static Span take_word(Span *rest) {
    while (rest->size > 0 && *rest->at == ' ')
        rest->at++, rest->size--;
    Span word = { rest->at, 0 };
    while (word.size < rest->size && rest->at[word.size] != ' ')
        word.size++;
    rest->at += word.size;
    rest->size -= word.size;
    return word;
}

/* Triggers that wait or are pending leave a package fully usable. */
static State parse_state(Span word) {
    static const struct {
        const char *word;
        State state;
    } states[] = {
        { "installed", STATE_INSTALLED },        { "triggers-awaited", STATE_INSTALLED },
        { "triggers-pending", STATE_INSTALLED }, { "config-files", STATE_CONFIG_FILES },
        { "half-installed", STATE_BROKEN },      { "unpacked", STATE_BROKEN },
        { "half-configured", STATE_BROKEN },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
        if (span_is(word, states[i].word))
            return states[i].state;
    return STATE_NOT_INSTALLED;
}

typedef struct {
    Span name, status, version, architecture, essential, protected, automatic;
} Stanza;

static const char *keep(DpkgStatus *status, Span span) {
    return span.at == NULL ? NULL
                           : g_string_chunk_insert_len(status->strings, span.at, (gssize)span.size);
}

/* Versions are many and different; names of architectures are few and the same. */
static const char *keep_once(DpkgStatus *status, Span span) {
    if (span.at == NULL)
        return "all";
    char word[64] = "";
    memcpy(word, span.at, MIN(span.size, sizeof word - 1));
    return g_string_chunk_insert_const(status->strings, word);
}

static void read_package(DpkgStatus *status, const Stanza *stanza, Package *package) {
    Span words = stanza->status;
    package->held = span_is(take_word(&words), "hold");
    package->needs_reinstallation = span_is(take_word(&words), "reinstreq");
    package->state = parse_state(take_word(&words));
    package->version = keep(status, stanza->version);
    package->architecture = keep_once(status, stanza->architecture);
    package->essential = span_is(stanza->essential, "yes") || span_is(stanza->protected, "yes");
}

static bool has_name(const Stanza *stanza) {
    return stanza->name.at != NULL && stanza->name.size > 0 &&
           memchr(stanza->name.at, '\0', stanza->name.size) == NULL;
}

static void add_package(DpkgStatus *status, const Stanza *stanza) {
    if (!has_name(stanza))
        return;
    Package *package = g_new0(Package, 1);
    read_package(status, stanza, package);
    const char *name = keep(status, stanza->name);
    package->next = g_hash_table_lookup(status->packages, name);
    g_hash_table_replace(status->packages, (gpointer)(uintptr_t)name, package);
    g_ptr_array_add(status->all, package);
    if (strcmp(name, "dpkg") == 0 && package->state != STATE_NOT_INSTALLED)
        status->architecture = package->architecture;
}

static void take_line(Stanza *stanza, Span line) {
    static const struct {
        const char *name;
        size_t size, offset;
    } fields[] = {
#define FIELD(name, member) { name ": ", sizeof name ": " - 1, G_STRUCT_OFFSET(Stanza, member) }
        FIELD("Package", name),
        FIELD("Status", status),
        FIELD("Version", version),
        FIELD("Architecture", architecture),
        FIELD("Essential", essential),
        FIELD("Protected", protected),
        FIELD("Important", protected), /* its name before dpkg 1.20.1 */
        FIELD("Auto-Installed", automatic),
#undef FIELD
    };
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (line.size < fields[i].size || memcmp(line.at, fields[i].name, fields[i].size) != 0)
            continue;
        Span *value = (Span *)(void *)((char *)stanza + fields[i].offset);
        *value = (Span){ line.at + fields[i].size, line.size - fields[i].size };
        return;
    }
}

static void visit_stanzas(DpkgStatus *status, const char *text, size_t size,
                          void (*visit)(DpkgStatus *status, const Stanza *stanza)) {
    Stanza stanza = { 0 };
    for (const char *at = text, *end = text + size; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Span line = { at, (size_t)((newline != NULL ? newline : end) - at) };
        if (line.size > 0) {
            take_line(&stanza, line);
        } else {
            visit(status, &stanza);
            stanza = (Stanza){ 0 };
        }
        at += line.size + 1;
    }
    visit(status, &stanza);
}

DpkgStatus *dpkg_status_parse(const char *text, size_t size) {
    DpkgStatus *status = g_new0(DpkgStatus, 1);
    status->strings = g_string_chunk_new(16 * 1024);
    status->packages = g_hash_table_new(g_str_hash, g_str_equal);
    status->all = g_ptr_array_new_with_free_func(g_free);
    visit_stanzas(status, text, size, add_package);
    return status;
}

/* One of all architectures takes the place of one of the machine's own, and the other way round. */
static bool replaces(const char *architecture, const char *other) {
    return strcmp(architecture, other) == 0 || strcmp(architecture, "all") == 0 ||
           strcmp(other, "all") == 0;
}

static void update_package(DpkgStatus *status, const Stanza *stanza) {
    if (!has_name(stanza))
        return;
    g_autofree char *name = g_strndup(stanza->name.at, stanza->name.size);
    const char *architecture = keep_once(status, stanza->architecture);
    Package *package = g_hash_table_lookup(status->packages, name);
    while (package != NULL && !replaces(architecture, package->architecture))
        package = package->next;
    if (package == NULL) {
        add_package(status, stanza);
        package = g_hash_table_lookup(status->packages, name);
    } else {
        read_package(status, stanza, package);
    }
    package->unfinished = true;
}

void dpkg_status_update(DpkgStatus *status, const char *text, size_t size) {
    visit_stanzas(status, text, size, update_package);
}

void dpkg_status_free(DpkgStatus *status) {
    if (status == NULL)
        return;
    g_hash_table_destroy(status->packages);
    g_ptr_array_unref(status->all);
    g_string_chunk_free(status->strings);
    g_free(status);
}

const char *dpkg_status_architecture(const DpkgStatus *status) {
    return status->architecture;
}

static bool fits(const DpkgStatus *status, const Package *package, const char *architecture) {
    if (architecture != NULL && strcmp(architecture, "any") == 0)
        return true;
    if (architecture != NULL && strcmp(architecture, "native") != 0)
        return strcmp(package->architecture, architecture) == 0;
    return status->architecture == NULL || strcmp(package->architecture, "all") == 0 ||
           strcmp(package->architecture, status->architecture) == 0;
}

/* apt writes the machine's own architecture for packages of all. */
static void mark_package(DpkgStatus *status, const Stanza *stanza) {
    if (stanza->name.at == NULL || !span_is(stanza->automatic, "1"))
        return;
    g_autofree char *name = g_strndup(stanza->name.at, stanza->name.size);
    const char *architecture = stanza->architecture.at != NULL ? stanza->architecture.at : "";
    size_t size = stanza->architecture.size;
    for (Package *package = g_hash_table_lookup(status->packages, name); package != NULL;
         package = package->next)
        package->automatic |= strcmp(package->architecture, "all") == 0 ||
                              (strlen(package->architecture) == size &&
                               memcmp(package->architecture, architecture, size) == 0);
}

void dpkg_status_mark(DpkgStatus *status, const char *text, size_t size) {
    for (guint i = 0; i < status->all->len; i++)
        ((Package *)status->all->pdata[i])->automatic = false;
    visit_stanzas(status, text, size, mark_package);
}

/* Of several that fit, the one that is most there. */
static const Package *find(const DpkgStatus *status, const char *name) {
    g_auto(GStrv) parts = g_strsplit(name, ":", 2);
    const char *architecture = parts[0] != NULL ? parts[1] : NULL;
    const Package *best = NULL;
    const Package *package =
        parts[0] != NULL ? g_hash_table_lookup(status->packages, parts[0]) : NULL;
    for (; package != NULL; package = package->next)
        if (fits(status, package, architecture) && (best == NULL || package->state > best->state))
            best = package;
    return best;
}

void dpkg_status_find(const DpkgStatus *status, const char *name, PackageInfo *ret_info) {
    *ret_info = (PackageInfo){ 0 };
    const Package *package = find(status, name);
    if (package == NULL)
        return;
    ret_info->held = package->held;
    ret_info->config_files = package->state == STATE_CONFIG_FILES;
    ret_info->essential = package->essential;
    ret_info->reinstall = package->needs_reinstallation;
    ret_info->automatic = package->automatic && package->state >= STATE_BROKEN;
    ret_info->broken =
        package->state == STATE_BROKEN || package->needs_reinstallation || package->unfinished;
    if (package->state == STATE_BROKEN || package->state == STATE_INSTALLED)
        ret_info->version = g_strdup(package->version);
}

void dpkg_status_list_installed(const DpkgStatus *status, GPtrArray *names) {
    GHashTableIter iter;
    gpointer name, first;
    g_hash_table_iter_init(&iter, status->packages);
    while (g_hash_table_iter_next(&iter, &name, &first))
        for (const Package *package = first; package != NULL; package = package->next)
            if (package->state == STATE_INSTALLED)
                g_ptr_array_add(names, strcmp(package->architecture, "all") == 0
                                           ? g_strdup(name)
                                           : g_strconcat(name, ":", package->architecture, NULL));
}
