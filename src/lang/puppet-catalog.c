#include "lang/puppet-catalog.h"

#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/printable.h"
#include "base/suggest.h"
#include "lang/name.h"
#include "lang/puppet-loader.h"

/* What has no effect, told once however often it is there. */
typedef struct {
    char *text;
    Origin first;
    unsigned count;
} Warning;

static void warning_free(void *data) {
    Warning *warning = data;
    g_free(warning->text);
    g_free(warning);
}

static void item_free(void *data) {
    PuppetItem *item = data;
    g_free(item->ref);
    if (item->children)
        g_array_unref(item->children);
    g_free(item);
}

/* Shared by the parts */

char *puppet_shown(const char *text) {
    return printable_text(text, PRINTABLE_PLAIN);
}

void puppet_problem(PuppetLoader *loader, const PuppetItem *item, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    problems_add_format(loader->problems, item->origin, "%s: %s", item->ref, text);
}

void puppet_warn(PuppetLoader *loader, const PuppetItem *item, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    for (unsigned i = 0; i < loader->warnings->len; i++) {
        Warning *known = g_ptr_array_index(loader->warnings, i);
        if (strcmp(known->text, text) == 0) {
            known->count++;
            return;
        }
    }
    Warning *warning = g_new0(Warning, 1);
    *warning = (Warning){ g_steal_pointer(&text), item->origin, 1 };
    g_ptr_array_add(loader->warnings, warning);
}

char *puppet_hint(const char *name, const char *const *names, size_t n_names) {
    const char *nearest = suggest_nearest(name, names, n_names);
    return nearest ? g_strdup_printf(", did you mean '%s'?", nearest) : g_strdup("");
}

char *puppet_key(const char *type, const char *title) {
    g_autofree char *kind = g_ascii_strdown(type, -1);
    bool is_class = strcmp(kind, "class") == 0;
    g_autofree char *text = is_class ? g_ascii_strdown(title, -1) : g_strdup(title);
    const char *start = is_class && g_str_has_prefix(text, "::") ? text + 2 : text;
    size_t size = strlen(text);
    while (strcmp(kind, "file") == 0 && size > 1 && text[size - 1] == '/')
        text[--size] = '\0';
    return g_strconcat(kind, "\x1f", start, NULL);
}

/* The document */

static void report(PuppetLoader *loader, const char *text) {
    problems_add(loader->problems, (Origin){ .file = loader->file, .line = 1 }, text);
}

/* `puppet catalog compile` prints messages to its standard output as well: their lines become
 * blanks, so that places stay right. */
static bool is_message(const char *line) {
    static const char *const words[] = { "Notice: ", "Warning: ", "Info: ", "Debug: " };
    if (*line == '\x1b') {
        const char *end = strchr(line, 'm');
        line = end ? end + 1 : line;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_has_prefix(line, words[i]))
            return true;
    return false;
}

static void blank_messages(char *text) {
    for (;;) {
        size_t size = strcspn(text, "\n");
        g_autofree char *line = g_strndup(text, size);
        if (!is_message(line) || text[size] == '\0')
            break;
        memset(text, ' ', size);
        text += size + 1;
    }
    if (g_str_has_prefix(text, "\x1b[0m"))
        memset(text, ' ', strlen("\x1b[0m"));
}

static Value *parse(PuppetLoader *loader, GBytes *content) {
    size_t size;
    const char *bytes = sources_bytes(content, &size);
    g_autofree char *text = g_strndup(bytes, size);
    GError *error = NULL;
    if (strlen(text) == size)
        blank_messages(text);
    Value *document = json_parse(strlen(text) == size ? text : bytes, size, loader->file, &error);
    if (!document)
        problems_add_error(loader->problems, error);
    return document;
}

/* Whether the document has the shape of a catalog. */
static bool check_shape(PuppetLoader *loader, const Value *document) {
    bool is_map = value_type(document) == VALUE_MAP;
    bool is_catalog = is_map && value_type(value_map_get(document, "resources")) == VALUE_LIST &&
                      value_type(value_map_get(document, "edges")) == VALUE_LIST;
    int64_t format = is_catalog ? value_map_int(document, "catalog_format", 1) : 1;
    if (is_catalog && (value_has_unknown(document) || value_is_secret(document))) {
        report(loader, "there are '$unknown' or '$secret' values in it, which only files that "
                       "stead wrote have");
    } else if (is_catalog && (format < 1 || format > 2)) {
        report(loader, "stead reads the catalog formats 1 and 2 only");
    } else if (!is_catalog && is_map && value_map_get(document, "format_version") &&
               value_map_get(document, "graph")) {
        report(loader, "this is a saved plan, no configuration: `stead apply` takes it");
    } else if (!is_catalog) {
        report(loader, "neither a Puppet catalog ('resources', 'edges': from `puppet catalog "
                       "compile NODE`) nor a saved plan ('format_version', 'graph': from `stead "
                       "plan --out`)");
    } else {
        return true;
    }
    return false;
}

/* Items */

/* Manifests are not read, only known by name, so that problems come in their order. */
static Origin origin_of(PuppetLoader *loader, const Value *map) {
    const Value *file = value_map_get(map, "file");
    g_autofree char *path = value_type(file) == VALUE_STRING ? puppet_text_of(file) : NULL;
    int64_t line = value_map_int(map, "line", 0);
    if (!path || name_refusal(path, strlen(path)))
        return (Origin){ .file = loader->file };
    sources_add_text(loader->sources, path, "", 0);
    return (Origin){ .file = g_intern_string(path),
                     .line = line > 0 && line <= G_MAXINT ? (unsigned)line : 0 };
}

static GHashTable *edge_sources(const Value *edges) {
    GHashTable *sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (size_t i = 0; i < value_size(edges); i++) {
        const Value *edge = value_list_at(edges, i);
        if (value_type(edge) == VALUE_MAP)
            g_hash_table_add(sources, g_strdup(value_map_string(edge, "source", "")));
    }
    return sources;
}

/* A type without a row is a defined type when the catalog says so, or when something is in it. */
static PuppetRole role_of(const PuppetItem *item, const Value *map, GHashTable *sources) {
    const char *kind = value_map_string(map, "kind", "");
    g_autofree char *ref = g_strdup_printf("%s[%s]", item->type, item->title);
    if (value_map_bool(map, "virtual", false))
        return PUPPET_VIRTUAL;
    if (strcmp(kind, "class") == 0 || strcmp(kind, "defined_type") == 0 ||
        strstr(item->type, "::") || /* native types have no such name */
        g_ascii_strcasecmp(item->type, "Class") == 0 ||
        g_ascii_strcasecmp(item->type, "Stage") == 0)
        return PUPPET_CONTAINER;
    if (item->row)
        return item->row->kind ? PUPPET_RESOURCE : PUPPET_SKIPPED;
    bool is_native = strcmp(kind, "compilable_type") == 0;
    return !is_native && g_hash_table_contains(sources, ref) ? PUPPET_CONTAINER : PUPPET_SKIPPED;
}

static void report_type(PuppetLoader *loader, const PuppetItem *item) {
    if (item->row && item->row->refusal) {
        puppet_problem(loader, item, "the type is not supported: %s", item->row->refusal);
        return;
    }
    if (item->row)
        return;
    g_autofree const char **names = g_new(const char *, puppet_types_count);
    for (unsigned i = 0; i < puppet_types_count; i++)
        names[i] = puppet_types[i].name;
    g_autofree char *hint = puppet_hint(item->type, names, puppet_types_count);
    puppet_problem(loader, item, "stead does not know this Puppet type%s%s", hint,
                   *hint ? "" : ": write it as files and execs, or leave it to another tool");
}

static void remember(PuppetLoader *loader, PuppetItem *item, const char *title, const char *what) {
    char *key = puppet_key(item->type, title);
    const PuppetItem *other = g_hash_table_lookup(loader->by_ref, key);
    if (!other) {
        g_hash_table_insert(loader->by_ref, key, item);
        return;
    }
    g_free(key);
    if (other == item)
        return;
    item->role = PUPPET_SKIPPED; /* one message is enough */
    g_autofree char *shown = puppet_shown(title);
    g_autofree char *place = origin_show(other->origin);
    puppet_problem(loader, item, "its %s '%s' is that of %s%s%s too", what, shown, other->ref,
                   place ? " at " : "", place ? place : "");
}

static void remember_aliases(PuppetLoader *loader, PuppetItem *item) {
    const Value *alias = item->parameters ? value_map_get(item->parameters, "alias") : NULL;
    bool is_list = value_type(alias) == VALUE_LIST;
    for (size_t i = 0; alias && i < (is_list ? value_size(alias) : 1); i++) {
        g_autofree char *text = puppet_text_of(is_list ? value_list_at(alias, i) : alias);
        if (text)
            remember(loader, item, text, "alias");
    }
    if (!item->parameters || !item->row || !item->row->namevar || item->row->several)
        return;
    g_autofree char *name = puppet_text_of(value_map_get(item->parameters, item->row->namevar));
    if (name)
        remember(loader, item, name, item->row->namevar);
}

static char *text_member(const Value *map, const char *key) {
    const Value *value = value_map_get(map, key);
    return value_type(value) == VALUE_STRING ? puppet_text_of(value) : NULL;
}

static void add_item(PuppetLoader *loader, const Value *map, size_t index, GHashTable *sources) {
    bool is_map = value_type(map) == VALUE_MAP;
    g_autofree char *type = is_map ? text_member(map, "type") : NULL;
    g_autofree char *title = is_map ? text_member(map, "title") : NULL;
    const Value *parameters = is_map ? value_map_get(map, "parameters") : NULL;
    if (!type || !*type || !title || !*title ||
        (parameters && value_type(parameters) != VALUE_MAP)) {
        problems_add_format(loader->problems, (Origin){ .file = loader->file },
                            "resource %zu of the catalog needs a type, a title and a map of "
                            "parameters",
                            index + 1);
        return;
    }
    PuppetItem *item = g_new0(PuppetItem, 1);
    g_ptr_array_add(loader->items, item);
    item->type = value_map_string(map, "type", NULL);
    item->title = value_map_string(map, "title", NULL);
    g_autofree char *ref = g_strdup_printf("%s[%s]", type, title);
    item->ref = puppet_shown(ref);
    item->parameters = parameters;
    item->sensitive = value_map_get(map, "sensitive_parameters");
    item->tags = value_map_get(map, "tags");
    item->origin = origin_of(loader, map);
    item->vertex = -1;
    item->row = puppet_type_find(type);
    item->role = role_of(item, map, sources);
    if (item->role == PUPPET_SKIPPED)
        report_type(loader, item);
    remember(loader, item, item->title, "title");
}

static void load_document(PuppetLoader *loader, const Value *document) {
    const Value *resources = value_map_get(document, "resources");
    g_autoptr(GHashTable) sources = edge_sources(value_map_get(document, "edges"));
    if (value_size(resources) > LIMIT_RESOURCES) {
        report(loader, "refuse more than LIMIT_RESOURCES resources");
        return;
    }
    for (size_t i = 0; i < value_size(resources); i++)
        add_item(loader, value_list_at(resources, i), i, sources);
    for (unsigned i = 0; i < loader->items->len; i++)
        remember_aliases(loader, g_ptr_array_index(loader->items, i));
    puppet_load_containment(loader);
    for (unsigned i = 0; i < loader->items->len; i++) {
        PuppetItem *item = g_ptr_array_index(loader->items, i);
        if (item->role == PUPPET_RESOURCE)
            puppet_load_resource(loader, item);
    }
    puppet_load_edges(loader);
}

static void tell_warnings(const PuppetLoader *loader, GPtrArray *warnings) {
    for (unsigned i = 0; i < loader->warnings->len; i++) {
        const Warning *warning = g_ptr_array_index(loader->warnings, i);
        g_autofree char *place = origin_show(warning->first);
        g_autoptr(GString) text = g_string_new(NULL);
        g_string_printf(text, "%s: %s", place, warning->text);
        if (warning->count > 1)
            g_string_append_printf(text, " (%u times in this catalog)", warning->count);
        g_ptr_array_add(warnings, g_string_free(g_steal_pointer(&text), FALSE));
    }
}

void puppet_catalog_load(const char *file, const LangInputs *inputs, Sources *sources,
                         Problems *problems, GPtrArray *warnings, Graph *graph) {
    GError *error = NULL;
    GBytes *content = sources_load(sources, file, &error);
    PuppetLoader loader = { .file = g_intern_string(file),
                            .inputs = inputs,
                            .sources = sources,
                            .problems = problems,
                            .graph = graph };
    if (!content) {
        problems_add_error(problems, error);
        return;
    }
    g_autoptr(Value) document = parse(&loader, content);
    if (!document || !check_shape(&loader, document))
        return;
    loader.document = document;
    loader.items = g_ptr_array_new_with_free_func(item_free);
    loader.by_ref = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    loader.warnings = g_ptr_array_new_with_free_func(warning_free);
    load_document(&loader, document);
    tell_warnings(&loader, warnings);
    g_ptr_array_unref(loader.items);
    g_hash_table_unref(loader.by_ref);
    g_ptr_array_unref(loader.warnings);
}
