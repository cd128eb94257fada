#include "bundle/sign-keys.h"

#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/sign-text.h"

#define KIND "stead keys 1\n"

struct KeyList {
    gatomicrefcount refs;
    uint64_t number;
    GPtrArray *keys;                /* of ListedKey */
    char digest[DIGEST_HEX_SIZE];   /* of its text; "" without one */
    char previous[DIGEST_HEX_SIZE]; /* of the list before it; "" without one */
    char *chain;                    /* NULL: none */
    PublicKey signer;
};

static void listed_key_free(void *data) {
    ListedKey *key = data;
    g_free(key->comment);
    g_free(key);
}

static KeyList *list_new(void) {
    KeyList *list = g_new0(KeyList, 1);
    g_atomic_ref_count_init(&list->refs);
    list->keys = g_ptr_array_new_with_free_func(listed_key_free);
    return list;
}

KeyList *key_list_ref(KeyList *list) {
    g_atomic_ref_count_inc(&list->refs);
    return list;
}

void key_list_unref(KeyList *list) {
    if (list == NULL || !g_atomic_ref_count_dec(&list->refs))
        return;
    g_ptr_array_unref(list->keys);
    g_free(list->chain);
    g_free(list);
}

uint64_t key_list_number(const KeyList *list) {
    return list->number;
}

const char *key_list_chain(const KeyList *list) {
    return list->chain != NULL ? list->chain : "";
}

unsigned key_list_size(const KeyList *list) {
    return list->keys->len;
}

const ListedKey *key_list_at(const KeyList *list, unsigned index) {
    return list->keys->pdata[index];
}

static ListedKey *find(const KeyList *list, const PublicKey *key) {
    for (unsigned i = 0; i < list->keys->len; i++) {
        ListedKey *listed = list->keys->pdata[i];
        if (public_key_equal(&listed->key, key))
            return listed;
    }
    return NULL;
}

static ListedKey *append(KeyList *list, const PublicKey *key, const char *comment) {
    ListedKey *listed = g_new0(ListedKey, 1);
    listed->key = *key;
    listed->comment = g_strdup(comment);
    g_ptr_array_add(list->keys, listed);
    return listed;
}

bool key_list_accepts(const KeyList *list, const PublicKey *key, uint64_t record, const char *what,
                      GError **error) {
    const ListedKey *listed = find(list, key);
    if (listed != NULL && (!listed->retired || record <= listed->last_record))
        return true;
    char text[PUBLIC_KEY_BASE64_SIZE];
    public_key_base64(key, text);
    if (listed == NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse %s: it is signed by the key '%s', which does not count here", what,
                    text);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse %s: it is signed by the key '%s' (%s), which was retired after record "
                    "%" G_GUINT64_FORMAT,
                    what, text, listed->comment, listed->last_record);
    return false;
}

/* --- reading */

static bool has_room(const KeyList *list, GError **error) {
    if (list->keys->len < KEY_LIST_KEYS_MAX)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "a list has at most %u keys",
                KEY_LIST_KEYS_MAX);
    return false;
}

KeyList *key_list_of_lines(const char *text, GError **error) {
    g_autoptr(KeyList) list = list_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i] != NULL; i++) {
        PublicKey key;
        g_autofree char *comment = NULL;
        g_strstrip(lines[i]);
        if (*lines[i] == '\0' || *lines[i] == '#')
            continue;
        if (!has_room(list, error) || !public_key_parse(lines[i], &key, &comment, error)) {
            g_prefix_error(error, "line %u: ", i + 1);
            return NULL;
        }
        if (find(list, &key) == NULL)
            (void)append(list, &key, comment); /* owned by the list */
    }
    if (list->keys->len == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "it has no public key");
        return NULL;
    }
    return g_steal_pointer(&list);
}

/* "BASE64 comment" or "BASE64 12 comment" */
static bool take_key(SignText *text, KeyList *list, bool retired, GError **error) {
    PublicKey key;
    uint64_t record = 0;
    g_autofree char *value = sign_text_take(text, retired ? "retired" : "listed", error);
    if (value == NULL || !has_room(list, error))
        return false;
    unsigned wanted = retired ? 3 : 2;
    g_auto(GStrv) words = g_strsplit(value, " ", (int)wanted);
    unsigned n = g_strv_length(words);
    const char *comment = n == wanted ? words[wanted - 1] : "";
    if (n < wanted || !public_key_of_base64(words[0], &key) ||
        !sign_text_is_line(comment, KEY_COMMENT_MAX) || *comment == '\0' ||
        (retired && !sign_text_parse_number(words[1], &record)))
        return sign_text_fail(text, "expected a key and who has it", error);
    if (find(list, &key) != NULL)
        return sign_text_fail(text, "the key is there twice", error);
    ListedKey *listed = append(list, &key, comment);
    listed->retired = retired;
    listed->last_record = record;
    return true;
}

static bool take_keys(SignText *text, KeyList *list, GError **error) {
    unsigned n_listed = 0;
    for (; sign_text_peek(text, "listed"); n_listed++)
        if (!take_key(text, list, false, error))
            return false;
    while (sign_text_peek(text, "retired"))
        if (!take_key(text, list, true, error))
            return false;
    return n_listed > 0 || sign_text_fail(text, "no key is left, so nothing could follow", error);
}

/* One list, which ends where the text does. */
static KeyList *read_one(const char *start, size_t size, GError **error) {
    g_autoptr(KeyList) list = list_new();
    SignText text = { .next = start, .end = start + size, .line = 1, .what = "list of keys" };
    if (size > KEY_LIST_MAX || size < strlen(KIND) || memcmp(start, KIND, strlen(KIND)) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "this is no list of keys of a version that this stead knows");
        return NULL;
    }
    text.next += strlen(KIND);
    if (!sign_text_take_number(&text, "number", &list->number, error) ||
        !sign_text_take_name(&text, "previous", list->previous, error) ||
        !take_keys(&text, list, error) || !sign_text_verify(&text, start, &list->signer, error))
        return NULL;
    digest_bytes(start, size, list->digest);
    return g_steal_pointer(&list);
}

/* Whether next goes on from last; NULL: is a first one, signed by a key of its own. */
static bool links(const KeyList *next, const KeyList *last, GError **error) {
    bool fits = last == NULL
                    ? next->number == 1 && *next->previous == '\0'
                    : next->number == last->number + 1 && strcmp(next->previous, last->digest) == 0;
    const ListedKey *signer = find(last != NULL ? last : next, &next->signer);
    if (fits && signer != NULL && !signer->retired)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse list %" G_GUINT64_FORMAT " of the keys: %s", next->number,
                fits ? "it is not signed by a key of the list before it"
                     : "it does not go on from the list before it");
    return false;
}

/* Where the next list begins; end when there is none. */
static const char *end_of_list(const char *start, const char *end) {
    const char *next = memmem(start + 1, (size_t)(end - start) - 1, "\n" KIND, strlen("\n" KIND));
    return next != NULL ? next + 1 : end;
}

typedef bool (*ListVisit)(void *data, const KeyList *list);

/* Calls visit (may be NULL) with each list on the way. */
static KeyList *read_chain(const char *text, size_t size, ListVisit visit, void *data,
                           GError **error) {
    g_autoptr(KeyList) last = NULL;
    const char *end = text + size;
    if (size == 0 || size > KEY_CHAIN_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "lists of keys have 1 to %u bytes together", KEY_CHAIN_MAX);
        return NULL;
    }
    for (const char *at = text; at < end;) {
        const char *next = end_of_list(at, end);
        g_autoptr(KeyList) list = read_one(at, (size_t)(next - at), error);
        if (list == NULL || !links(list, last, error))
            return NULL;
        if (visit != NULL)
            (void)visit(data, list); /* it looks at each */
        g_clear_pointer(&last, key_list_unref);
        last = g_steal_pointer(&list);
        at = next;
    }
    last->chain = g_strndup(text, size);
    return g_steal_pointer(&last);
}

KeyList *key_list_of_chain(const char *text, size_t size, GError **error) {
    return read_chain(text, size, NULL, NULL, error);
}

KeyList *key_list_of_text(const char *text, GError **error) {
    return g_str_has_prefix(text, KIND) ? key_list_of_chain(text, strlen(text), error)
                                        : key_list_of_lines(text, error);
}

KeyList *key_list_load(const char *file_or_line, GError **error) {
    PublicKey key;
    if (public_key_parse(file_or_line, &key, NULL, NULL))
        return key_list_of_lines(file_or_line, error);
    g_autoptr(GBytes) bytes = disk_read(file_or_line, KEY_CHAIN_MAX, error);
    if (bytes == NULL) {
        g_prefix_error(error, "public keys: ");
        return NULL;
    }
    size_t size;
    const char *text = g_bytes_get_data(bytes, &size);
    KeyList *list = g_str_has_prefix(text, KIND) ? key_list_of_chain(text, size, error)
                                                 : key_list_of_lines(text, error);
    if (list == NULL)
        g_prefix_error(error, "public keys '%s': ", file_or_line);
    return list;
}

char *key_comment_beside(const char *file, const PublicKey *key) {
    g_autofree char *path = g_strconcat(file, ".pub", NULL);
    g_autoptr(KeyList) list = key_list_load(path, NULL);
    const ListedKey *first = list != NULL ? key_list_at(list, 0) : NULL;
    return first != NULL && public_key_equal(&first->key, key) ? g_strdup(first->comment)
                                                               : g_path_get_basename(file);
}

/* --- going on */

typedef struct {
    const KeyList *from;
    bool met;
} Meeting;

static bool meet(void *data, const KeyList *list) {
    Meeting *meeting = data;
    const KeyList *from = meeting->from;
    bool same = *from->digest != '\0' ? strcmp(list->digest, from->digest) == 0
                                      : list->number == 1 && find(from, &list->signer) != NULL;
    meeting->met = meeting->met || same;
    return same;
}

KeyList *key_list_advance(KeyList *list, const char *chain, size_t size, GError **error) {
    Meeting meeting = { .from = list };
    g_autoptr(KeyList) newest = read_chain(chain, size, meet, &meeting, error);
    if (newest == NULL)
        return NULL;
    if (meeting.met)
        return g_steal_pointer(&newest);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse the list of keys %" G_GUINT64_FORMAT
                ": it does not go on from list %" G_GUINT64_FORMAT " that is trusted here",
                newest->number, list->number);
    return NULL;
}

/* --- making */

static gint compare_keys(gconstpointer a, gconstpointer b) {
    const ListedKey *const *left = a, *const *right = b;
    char one[PUBLIC_KEY_BASE64_SIZE], other[PUBLIC_KEY_BASE64_SIZE];
    if ((*left)->retired != (*right)->retired)
        return (*left)->retired ? 1 : -1;
    public_key_base64(&(*left)->key, one);
    public_key_base64(&(*right)->key, other);
    return strcmp(one, other);
}

/* The same keys under the next number. */
static KeyList *successor(const KeyList *list) {
    KeyList *next = list_new();
    next->number = list != NULL ? list->number + 1 : 1;
    for (unsigned i = 0; list != NULL && i < list->keys->len; i++) {
        const ListedKey *old = list->keys->pdata[i];
        ListedKey *copy = append(next, &old->key, old->comment);
        copy->retired = old->retired;
        copy->last_record = old->last_record;
    }
    return next;
}

static void print_keys(GString *text, const KeyList *list) {
    g_ptr_array_sort(list->keys, compare_keys);
    for (unsigned i = 0; i < list->keys->len; i++) {
        const ListedKey *key = list->keys->pdata[i];
        char base64[PUBLIC_KEY_BASE64_SIZE];
        const char *comment = *key->comment != '\0' ? key->comment : "nobody";
        public_key_base64(&key->key, base64);
        if (key->retired)
            g_string_append_printf(text, "retired %s %" G_GUINT64_FORMAT " %s\n", base64,
                                   key->last_record, comment);
        else
            g_string_append_printf(text, "listed %s %s\n", base64, comment);
    }
}

/* The chain of before with list at its end, read back: what we make is what others accept. */
static KeyList *sign_list(const KeyList *before, const KeyList *list, const SigningKey *key,
                          GError **error) {
    const char *previous = before != NULL ? before->digest : "";
    g_autoptr(GString) text = g_string_new(KIND);
    g_string_append_printf(text, "number %" G_GUINT64_FORMAT "\nprevious %s%s\n", list->number,
                           *previous != '\0' ? BUNDLE_NAME_PREFIX : "none", previous);
    print_keys(text, list);
    if (!sign_text_sign(text, key, error))
        return NULL;
    if (before != NULL)
        g_string_prepend(text, key_list_chain(before));
    return key_list_of_chain(text->str, text->len, error);
}

KeyList *key_list_add(const KeyList *list, const PublicKey *added, const char *comment,
                      const SigningKey *key, GError **error) {
    g_autoptr(KeyList) next = successor(list);
    if (find(next, added) != NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "the list has this key already; a retired one never comes back");
        return NULL;
    }
    (void)append(next, added, comment); /* owned by the list */
    return sign_list(list, next, key, error);
}

KeyList *key_list_retire(const KeyList *list, const PublicKey *removed, uint64_t last_record,
                         const SigningKey *key, GError **error) {
    g_autoptr(KeyList) next = successor(list);
    ListedKey *listed = find(next, removed);
    if (listed == NULL || listed->retired) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "the list has no such key in use");
        return NULL;
    }
    listed->retired = true;
    listed->last_record = last_record;
    return sign_list(list, next, key, error);
}
