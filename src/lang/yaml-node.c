#include "lang/yaml-node.h"

#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/limits.h"

typedef struct {
    yaml_parser_t yaml;
    const char *where;
    const char *text;
    size_t size;
    GHashTable *anchors; /* char * -> YamlNode, referenced */
    unsigned depth;
    GError *error;
} Reader;

static YamlNode *yaml_node_ref(YamlNode *node) {
    node->refs++;
    return node;
}

void yaml_node_unref(YamlNode *node) {
    if (!node || --node->refs > 0)
        return;
    g_free(node->text);
    g_clear_pointer(&node->index, g_hash_table_unref);
    g_clear_pointer(&node->keys, g_ptr_array_unref);
    g_clear_pointer(&node->items, g_ptr_array_unref);
    g_free(node);
}

static void unref_item(void *node) {
    yaml_node_unref(node);
}

static YamlNode *node_new(YamlNodeType type, yaml_mark_t mark) {
    YamlNode *node = g_new0(YamlNode, 1);
    node->type = type;
    node->refs = node->values = 1;
    node->line = (unsigned)mark.line + 1;
    node->column = (unsigned)mark.column + 1;
    if (type != YAML_NODE_SCALAR)
        node->items = g_ptr_array_new_with_free_func(unref_item);
    if (type == YAML_NODE_MAP)
        node->keys = g_ptr_array_new_with_free_func(unref_item);
    return node;
}

static void *fail_at(Reader *reader, yaml_mark_t mark, const char *text) {
    if (!reader->error)
        reader->error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "%s:%u:%u: %s", reader->where,
                                    (unsigned)mark.line + 1, (unsigned)mark.column + 1, text);
    return NULL;
}

/* Whether a tab is among the blanks that begin this line, counted from 0. */
static bool is_indented_by_tab(const Reader *reader, size_t line) {
    const char *at = reader->text, *end = reader->text + reader->size;
    for (; line > 0; line--) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            return false;
        at = line_end + 1;
    }
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == '\t';
}

static bool next_event(Reader *reader, yaml_event_t *event) {
    if (yaml_parser_parse(&reader->yaml, event))
        return true;
    const char *problem = reader->yaml.problem ? reader->yaml.problem : "unreadable";
    const char *context = reader->yaml.context;
    bool may_be_tab = strstr(problem, "cannot start any token") || strstr(problem, "tab character");
    if (may_be_tab && is_indented_by_tab(reader, reader->yaml.problem_mark.line)) {
        fail_at(reader, reader->yaml.problem_mark,
                "tabs are not allowed as indentation, use spaces");
        return false;
    }
    g_autofree char *text =
        g_strdup_printf("%s%s%s", problem, context ? " " : "", context ? context : "");
    fail_at(reader, reader->yaml.problem_mark, text);
    return false;
}

/* Tags of the core schema only say again what the node is. */
static bool known_tag(const yaml_char_t *tag, const char *name) {
    return !tag || strcmp((const char *)tag, name) == 0;
}

static YamlNode *keep_anchor(Reader *reader, const yaml_char_t *anchor, YamlNode *node) {
    if (anchor && node)
        g_hash_table_insert(reader->anchors, g_strdup((const char *)anchor), yaml_node_ref(node));
    return node;
}

static YamlNode *read_node(Reader *reader, const yaml_event_t *event);

static YamlNode *read_scalar(Reader *reader, const yaml_event_t *event) {
    const yaml_char_t *tag = event->data.scalar.tag;
    bool is_string = tag && strcmp((const char *)tag, YAML_STR_TAG) == 0;
    if (tag && !is_string)
        return fail_at(reader, event->start_mark, "tags other than !!str are not used here");
    YamlNode *node = node_new(YAML_NODE_SCALAR, event->start_mark);
    node->is_string = is_string;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->size = event->data.scalar.length;
    node->text = g_memdup2(event->data.scalar.value, node->size + 1);
    return keep_anchor(reader, event->data.scalar.anchor, node);
}

static YamlNode *read_alias(Reader *reader, const yaml_event_t *event) {
    YamlNode *target = g_hash_table_lookup(reader->anchors, event->data.alias.anchor);
    return target ? yaml_node_ref(target)
                  : fail_at(reader, event->start_mark, "an alias without its anchor");
}

static bool find_key(const YamlNode *map, const char *text, unsigned *ret_number);

static YamlNode *read_key(Reader *reader, const YamlNode *map, const yaml_event_t *event) {
    g_autoptr(YamlNode) key = read_node(reader, event);
    if (!key)
        return NULL;
    if (key->type != YAML_NODE_SCALAR)
        return fail_at(reader, event->start_mark, "a key must be plain text");
    if (strlen(key->text) != key->size)
        return fail_at(reader, event->start_mark, "a key holds a NUL character");
    unsigned number;
    if (!find_key(map, key->text, &number))
        return g_steal_pointer(&key);
    g_autofree char *text = g_strdup_printf("key '%s' is there twice", key->text);
    return fail_at(reader, event->start_mark, text);
}

/* Beyond this number of keys they are looked up by hash. */
enum { INDEXED_KEYS = 16 };

static void index_key(YamlNode *map, unsigned number) {
    const YamlNode *key = g_ptr_array_index(map->keys, number);
    g_hash_table_insert(map->index, key->text, GUINT_TO_POINTER(number + 1));
}

static void add_key(YamlNode *map, YamlNode *key) {
    g_ptr_array_add(map->keys, key);
    if (map->keys->len == INDEXED_KEYS) {
        map->index = g_hash_table_new(g_str_hash, g_str_equal);
        for (unsigned i = 0; i < map->keys->len; i++)
            index_key(map, i);
    } else if (map->index) {
        index_key(map, map->keys->len - 1);
    }
}

/* An alias is cheap to write and dear to expand: counted here, so that nothing needs to be built.
 */
static bool count_child(Reader *reader, YamlNode *node, const YamlNode *child,
                        const yaml_event_t *event) {
    node->values += child->values;
    node->repeated += event->type == YAML_ALIAS_EVENT ? child->values : child->repeated;
    if (node->repeated <= YAML_MAX_REPEATED)
        return true;
    g_autofree char *text = g_strdup_printf(
        "aliases stand for more than %u values (YAML_MAX_REPEATED)", YAML_MAX_REPEATED);
    fail_at(reader, event->start_mark, text);
    reader->error->code = STEAD_ERROR_LIMIT;
    return false;
}

/* Reads children up to the end event; for maps keys and items take turns. */
static bool read_children(Reader *reader, YamlNode *node) {
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return false;
        bool ends = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        bool is_key = node->keys && node->keys->len == node->items->len;
        YamlNode *child = ends     ? NULL
                          : is_key ? read_key(reader, node, &event)
                                   : read_node(reader, &event);
        bool counted = child && count_child(reader, node, child, &event);
        yaml_event_delete(&event);
        if (!counted) {
            yaml_node_unref(child);
            return ends;
        }
        if (is_key)
            add_key(node, child);
        else
            g_ptr_array_add(node->items, child);
    }
}

static YamlNode *read_collection(Reader *reader, const yaml_event_t *event) {
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag =
        is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    if (!known_tag(tag, is_map ? YAML_MAP_TAG : YAML_SEQ_TAG))
        return fail_at(reader, event->start_mark, "tags other than !!str are not used here");
    if (reader->depth == LIMIT_NESTING)
        return fail_at(reader, event->start_mark, "nested deeper than 100 (LIMIT_NESTING)");
    g_autoptr(YamlNode) node = node_new(is_map ? YAML_NODE_MAP : YAML_NODE_LIST, event->start_mark);
    reader->depth++;
    bool fine = read_children(reader, node);
    reader->depth--;
    /* Known only when complete: a node cannot contain itself. */
    return fine ? keep_anchor(reader, anchor, g_steal_pointer(&node)) : NULL;
}

static YamlNode *read_node(Reader *reader, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_ALIAS_EVENT:
        return read_alias(reader, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return read_collection(reader, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        break;
    }
    return fail_at(reader, event->start_mark, "expected a value");
}

static YamlNode *read_stream(Reader *reader) {
    g_autoptr(YamlNode) root = NULL;
    unsigned documents = 0;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return NULL;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && documents++ > 0)
            fail_at(reader, event.start_mark, "only one document is read from a file");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                 type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT)
            root = read_node(reader, &event);
        yaml_event_delete(&event);
        if (reader->error)
            return NULL;
        if (type == YAML_STREAM_END_EVENT)
            return g_steal_pointer(&root);
    }
}

bool yaml_parse(const char *text, size_t size, const char *where, YamlNode **ret_root,
                GError **error) {
    Reader reader = { .where = where, .text = text, .size = size };
    gboolean started = yaml_parser_initialize(&reader.yaml);
    g_assert(started);
    yaml_parser_set_input_string(&reader.yaml, (const unsigned char *)text, size);
    reader.anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_item);
    g_autoptr(YamlNode) root = read_stream(&reader);
    g_hash_table_unref(reader.anchors);
    yaml_parser_delete(&reader.yaml);
    if (reader.error) {
        g_propagate_error(error, reader.error);
        return false;
    }
    *ret_root = g_steal_pointer(&root);
    return true;
}

static bool find_key(const YamlNode *map, const char *text, unsigned *ret_number) {
    if (map->index) {
        *ret_number = GPOINTER_TO_UINT(g_hash_table_lookup(map->index, text)) - 1;
        return *ret_number != G_MAXUINT;
    }
    for (unsigned i = 0; i < map->keys->len; i++) {
        *ret_number = i;
        if (strcmp(((const YamlNode *)g_ptr_array_index(map->keys, i))->text, text) == 0)
            return true;
    }
    return false;
}

const YamlNode *yaml_node_get(const YamlNode *map, const char *key) {
    unsigned number;
    return find_key(map, key, &number) ? g_ptr_array_index(map->items, number) : NULL;
}
