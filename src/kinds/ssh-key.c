#include "kinds/ssh-key.h"

#include <string.h>

#include "base/error.h"

#define KEY_MAX (16 * 1024) /* bytes of a key in base64: RSA with 65536 bits has 11 KiB */

const char *const ssh_key_types[] = { "ssh-ed25519",
                                      "ssh-rsa",
                                      "ssh-dss",
                                      "ecdsa-sha2-nistp256",
                                      "ecdsa-sha2-nistp384",
                                      "ecdsa-sha2-nistp521",
                                      "sk-ssh-ed25519@openssh.com",
                                      "sk-ecdsa-sha2-nistp256@openssh.com",
                                      "ed25519",
                                      "rsa",
                                      "dsa",
                                      "ed25519-sk",
                                      "ecdsa-sk",
                                      NULL };

static const struct {
    const char *name, *full;
} short_names[] = {
    { "ed25519", "ssh-ed25519" },
    { "rsa", "ssh-rsa" },
    { "dsa", "ssh-dss" },
    { "ed25519-sk", "sk-ssh-ed25519@openssh.com" },
    { "ecdsa-sk", "sk-ecdsa-sha2-nistp256@openssh.com" },
};

const char *ssh_key_full_type(const char *type) {
    for (size_t i = 0; i < G_N_ELEMENTS(short_names); i++)
        if (strcmp(short_names[i].name, type) == 0)
            return short_names[i].full;
    return type;
}

void ssh_key_line_clear(SshKeyLine *line) {
    g_clear_pointer(&line->options, g_free);
    g_clear_pointer(&line->type, g_free);
    g_clear_pointer(&line->key, g_free);
    g_clear_pointer(&line->comment, g_free);
}

/* --- lines */

/* Bytes up to a blank or a comma (with commas) that is not in quotes. */
static size_t option_size(const char *text, bool at_comma) {
    bool quoted = false;
    size_t i = 0;
    for (; text[i] != '\0'; i++) {
        if (text[i] == '\\' && text[i + 1] == '"')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == ' ' || text[i] == '\t' || (at_comma && text[i] == ',')))
            break;
    }
    return i;
}

/* Any word of the right shape (RFC 4250, 4.6.1): types to come, and certificates, are keys too. */
static bool is_type(const char *word, size_t size) {
    static const char *const starts[] = { "ssh-", "ecdsa-", "sk-" };
    for (size_t i = 0; i < size; i++)
        if (!g_ascii_isgraph(word[i]) || word[i] == '=' || word[i] == ',')
            return false;
    for (size_t i = 0; i < G_N_ELEMENTS(starts); i++)
        if (size > strlen(starts[i]) && strncmp(word, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t");
}

bool ssh_key_line_parse(const EditLine *text, SshKeyLine *ret_line) {
    *ret_line = (SshKeyLine){ 0 };
    if (memchr(text->start, '\0', text->size) != NULL)
        return false;
    g_autofree char *copy = g_strndup(text->start, text->size);
    const char *at = skip_blanks(copy);
    size_t size = strcspn(at, " \t"), options = 0;
    if (*at == '#' || *at == '\0')
        return false;
    const char *start = at;
    if (!is_type(at, size)) {
        options = option_size(at, false);
        at = skip_blanks(at + options);
        size = strcspn(at, " \t");
    }
    const char *key = skip_blanks(at + size);
    size_t key_size = strcspn(key, " \t");
    if (!is_type(at, size) || key_size == 0)
        return false;
    *ret_line = (SshKeyLine){
        .options = g_strndup(start, options),
        .type = g_strndup(at, size),
        .key = g_strndup(key, key_size),
        .comment = g_strchomp(g_strdup(skip_blanks(key + key_size))),
    };
    return true;
}

char **ssh_key_split_options(const char *options) {
    GPtrArray *list = g_ptr_array_new();
    for (const char *at = options; *at != '\0';) {
        size_t size = option_size(at, true);
        if (size > 0)
            g_ptr_array_add(list, g_strndup(at, size));
        at += size + (at[size] != '\0');
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

/* --- checks */

const char *ssh_key_option_problem(const char *option) {
    size_t name = strspn(option, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    if (strpbrk(option, "\r\n") != NULL)
        return "it must be one line";
    if (name == 0)
        return "it does not start with the name of an option";
    if (option[name] == '\0')
        return NULL;
    if (option[name] == ',')
        return "give each option as an item of its own";
    if (option[name] != '=' || option[name + 1] != '"')
        return "a value follows as NAME=\"VALUE\", in double quotes";
    size_t size = option_size(option, true), length = strlen(option);
    if (size < length && option[size] == ',')
        return "give each option as an item of its own";
    if (size < length || option[length - 1] != '"' || length == name + 2)
        return "its quotes do not match; a quote inside is written \\\"";
    return NULL;
}

/* The first field of a key (RFC 4253, 6.6): a length in four bytes, and its type. */
static char *type_of(const unsigned char *bytes, size_t size) {
    if (size < 4)
        return NULL;
    size_t length =
        (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | (size_t)bytes[3];
    if (length == 0 || length > 64 || length + 4 >= size)
        return NULL;
    return g_strndup((const char *)bytes + 4, length);
}

char *ssh_key_check(const char *key, GError **error) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(key), good = strspn(key, letters), padding = strspn(key + good, "=");
    const char *problem = NULL;
    g_autofree char *type = NULL;
    if (length == 0)
        problem = "it is empty";
    else if (strpbrk(key, " \t\r\n") != NULL)
        problem = "it holds blanks; give only the part in base64 that starts with 'AAAA', the "
                  "type and comment are parameters of their own";
    else if (length > KEY_MAX)
        problem = "it is longer than any key";
    else if (good + padding != length || padding > 2 || length % 4 != 0)
        problem = "it is not base64, or a part of it is missing";
    if (problem == NULL) {
        size_t size;
        g_autofree guchar *bytes = g_base64_decode(key, &size);
        type = type_of(bytes, size);
        if (type == NULL || !is_type(type, strlen(type)))
            problem = "it is base64, but not a public key of ssh";
    }
    if (problem == NULL)
        return g_steal_pointer(&type);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse the key: %s", problem);
    return NULL;
}
