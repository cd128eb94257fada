#include <errno.h>
#include <math.h>
#include <string.h>

#include "lang/yaml-node.h"

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_null_text(const char *text) {
    static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };
    return is_one_of(text, words);
}

bool yaml_node_is_null(const YamlNode *node) {
    return node->type == YAML_NODE_SCALAR && node->plain && !node->is_string &&
           is_null_text(node->text);
}

static size_t digits_at(const char *p) {
    return strspn(p, "0123456789");
}

/* [-+]?[0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+; what does not fit 64 bits is a float. */
static Value *integer_value(const char *text) {
    const char *digits = text + (*text == '-' || *text == '+');
    int base = 10;
    if (strncmp(text, "0o", 2) == 0 || strncmp(text, "0x", 2) == 0) {
        base = text[1] == 'o' ? 8 : 16;
        text = digits = text + 2;
        if (!g_ascii_isxdigit(*digits))
            return NULL;
    } else if (digits[digits_at(digits)] != '\0' || *digits == '\0') {
        return NULL;
    }
    char *end;
    errno = 0;
    gint64 number = g_ascii_strtoll(text, &end, base);
    if (*end)
        return NULL;
    return errno == ERANGE && base == 10 ? value_new_float(g_ascii_strtod(text, NULL))
           : errno == ERANGE             ? NULL
                                         : value_new_int(number);
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, .inf, .nan */
static Value *float_value(const char *text) {
    static const char *const infinities[] = { ".inf", ".Inf", ".INF", NULL };
    static const char *const not_numbers[] = { ".nan", ".NaN", ".NAN", NULL };
    const char *p = text + (*text == '-' || *text == '+');
    if (is_one_of(p, infinities))
        return value_new_float(*text == '-' ? -INFINITY : INFINITY);
    if (is_one_of(text, not_numbers))
        return value_new_float(NAN);
    size_t whole = digits_at(p), fraction = 0;
    p += whole;
    if (*p == '.') {
        fraction = digits_at(++p);
        p += fraction;
    }
    if (whole + fraction == 0)
        return NULL;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        if (digits_at(p) == 0)
            return NULL;
        p += digits_at(p);
    }
    return *p == '\0' ? value_new_float(g_ascii_strtod(text, NULL)) : NULL;
}

/* NULL: a string. */
static Value *plain_value(const char *text) {
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    if (is_null_text(text))
        return value_new_nil();
    if (is_one_of(text, trues) || is_one_of(text, falses))
        return value_new_bool(g_ascii_tolower(*text) == 't');
    Value *value = integer_value(text);
    return value ? value : float_value(text);
}

Value *yaml_text_to_value(const char *text) {
    Value *value = plain_value(text);
    return value ? value : value_new_string(text);
}

Value *yaml_scalar_to_value(const YamlNode *node) {
    Value *value = NULL;
    if (node->plain && !node->is_string && strlen(node->text) == node->size)
        value = plain_value(node->text);
    return value ? value : value_new_bytes(node->text, node->size);
}

Value *yaml_node_to_value(const YamlNode *node) {
    if (node->type == YAML_NODE_SCALAR)
        return yaml_scalar_to_value(node);
    Value *value = node->type == YAML_NODE_LIST ? value_new_list() : value_new_map();
    for (unsigned i = 0; i < node->items->len; i++) {
        Value *item = yaml_node_to_value(g_ptr_array_index(node->items, i));
        if (node->type == YAML_NODE_LIST)
            value_list_append(value, item);
        else
            value_map_set(value, ((const YamlNode *)g_ptr_array_index(node->keys, i))->text, item);
    }
    return value;
}

bool yaml_is_printable(const char *text) {
    for (; *text; text += g_utf8_skip[(unsigned char)*text]) {
        gunichar c = g_utf8_get_char(text);
        bool is_break = c == 0x2028 || c == 0x2029;
        if ((c < ' ' && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || is_break ||
            c == 0xfeff || c == 0xfffe || c == 0xffff)
            return false;
    }
    return true;
}

/* Also what YAML 1.1 readers take for something else is quoted when printed. */
bool yaml_is_plain(const char *text, size_t size) {
    static const char *const other_words[] = { "yes", "no", "on", "off", "y", "n", NULL };
    if (size == 0 || strlen(text) != size || !g_utf8_validate(text, (gssize)size, NULL))
        return false;
    g_autofree char *lower = g_ascii_strdown(text, -1);
    g_autoptr(Value) typed = plain_value(text);
    if (typed || is_one_of(lower, other_words))
        return false;
    if (!g_ascii_isalnum(*text) && !strchr("/_.", *text) && !((unsigned char)*text & 0x80))
        return false;
    if (g_ascii_isdigit(*text) && strspn(text, "0123456789_:.-+TtZz ") == size)
        return false; /* dates, times and numbers of other schemas */
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < ' ' || strchr("[]{},#&*!|>'\"%@`", *p))
            return false;
        if (*p == ':' && (p[1] == '\0' || p[1] == ' ' || strchr("[]{},", p[1])))
            return false;
    }
    return text[size - 1] != ' ' && !(text[0] == '.' && text[1] == '.') && yaml_is_printable(text);
}
