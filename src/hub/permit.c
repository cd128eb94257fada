#include "hub/permit.h"

#include <string.h>

#include "base/exchange-key.h"
#include "fleet/layout.h"

typedef enum {
    READ = 1,
    WRITE = 2,
    SEAT = 4,   /* to be written where it is free or the host's own */
    LEASED = 8, /* is put with a lease only: it is not there for longer than the host */
} Right;

/* Below stead/1/. "{host}" is the host's name, "{key}" what it may publish, "*" a word without
 * slashes, "#" the number of a seat, and "**", at the end only, all keys that go on so. */
typedef struct {
    const char *pattern;
    unsigned rights;
} Rule;

static const Rule rules[] = {
    { "data/**", READ },
    { "data/{key}@{host}", WRITE | LEASED },
    { "export/**", READ },
    { "export/*/{host}/**", WRITE | LEASED },
    { "schedule/**", READ },
    { "schedule/*/pool/{host}", WRITE | LEASED },
    { "schedule/*/seat/#", SEAT },
    { "host/**", READ },
    { "host/{host}", WRITE | LEASED },
    { "kv/**", READ },
    { "kv/{key}", WRITE },
    { "fleet/keys", READ },
    { "fleet/member/{host}", READ },
    { "fleet/desired/{host}", READ },
    { "fleet/record/**", READ },
    { "fleet/reported/{host}", READ | WRITE | LEASED },
    { "fleet/facts/{host}", READ | WRITE },
    { "fleet/run/{host}", READ | WRITE },
    { "fleet/drift/{host}/**", READ | WRITE },
    { "fleet/ask/{host}/**", READ },
    { "fleet/answer/{host}/**", READ | WRITE | LEASED },
    { "bundle/head/**", READ },
    { "bundle/chunk/*/*/*", READ },
};

#define ALL_BELOW "**"

/* --- one key ---------------------------------------------------------------------------------- */

/* Takes the part of text that the sign at the begin of pattern stands for; returns its bytes, or 0.
 * A sign is never empty. */
static size_t take_key(const Permit *permit, const char *pattern, const char *text) {
    const char *end = pattern[strlen("{key}")] == '@' ? strrchr(text, '@') : text + strlen(text);
    g_autofree char *key = g_strndup(text, end ? (size_t)(end - text) : 0);
    return exchange_may_publish(permit->host, permit->grants, key, NULL) ? strlen(key) : 0;
}

static size_t take_seat(const char *text) {
    size_t size = strspn(text, "0123456789");
    bool plain = size == 1 || (size == 2 && *text != '0');
    return plain && g_ascii_strtoull(text, NULL, 10) < EXCHANGE_LIMIT_SEATS ? size : 0;
}

static bool fits(const Permit *permit, const char *pattern, const char *text) {
    while (*pattern != '\0') {
        size_t sign = 1, taken = *pattern == *text ? 1 : 0;
        if (strcmp(pattern, ALL_BELOW) == 0)
            return *text != '\0';
        if (g_str_has_prefix(pattern, "{host}")) {
            sign = strlen("{host}");
            taken = g_str_has_prefix(text, permit->host) ? strlen(permit->host) : 0;
        } else if (g_str_has_prefix(pattern, "{key}")) {
            sign = strlen("{key}");
            taken = take_key(permit, pattern, text);
        } else if (*pattern == '*') {
            taken = strcspn(text, "/");
        } else if (*pattern == '#') {
            taken = take_seat(text);
        }
        if (taken == 0)
            return false;
        pattern += sign, text += taken;
    }
    return *text == '\0';
}

/* NULL: no text, or not below stead/1/. */
static char *text_of(GBytes *key) {
    g_autofree char *text = layout_text(key);
    return text && g_str_has_prefix(text, LAYOUT_ROOT) ? g_strdup(text + strlen(LAYOUT_ROOT))
                                                       : NULL;
}

/* --- all keys of an interval ------------------------------------------------------------------ */

static char *with_host(const char *pattern, const char *host) {
    g_auto(GStrv) parts = g_strsplit(pattern, "{host}", -1);
    return g_strjoinv(host, parts);
}

static bool is_inside(const char *prefix, GBytes *key, GBytes *end) {
    g_autoptr(GBytes) first = layout_bytes(prefix), last = prefix_end(first);
    return keys_hold(first, last, key) &&
           (!end || (g_bytes_get_size(end) > 0 && g_bytes_compare(end, last) <= 0));
}

/* Of a rule that has no other signs. */
static bool holds(const Permit *permit, const Rule *rule, GBytes *key, GBytes *end) {
    g_autofree char *own = with_host(rule->pattern, permit->host);
    g_autofree char *full = g_strconcat(LAYOUT_ROOT, own, NULL);
    if (g_str_has_suffix(full, ALL_BELOW)) {
        full[strlen(full) - strlen(ALL_BELOW)] = '\0';
        return is_inside(full, key, end);
    }
    g_autoptr(GBytes) only = layout_bytes(full);
    return !end && g_bytes_equal(only, key);
}

static bool has_other_signs(const char *pattern) {
    const char *star = strchr(pattern, '*');
    return strstr(pattern, "{key}") || strchr(pattern, '#') ||
           (star && strcmp(star, ALL_BELOW) != 0);
}

/* --- refusing --------------------------------------------------------------------------------- */

static char *shown(GBytes *key) {
    gsize size;
    const char *data = g_bytes_get_data(key, &size);
    g_autofree char *text = g_strndup(data ? data : "", MIN(size, 200));
    return g_utf8_make_valid(text, -1);
}

/* What the host may do in the part of the layout that text is in, for people. */
static char *allowed_beside(const Permit *permit, const char *text, unsigned rights) {
    GString *list = g_string_new(NULL);
    size_t area = strcspn(text, "/");
    for (unsigned i = 0; i < G_N_ELEMENTS(rules); i++) {
        const char *pattern = rules[i].pattern;
        if (!(rules[i].rights & rights) || strcspn(pattern, "/") != area ||
            strncmp(pattern, text, area) != 0)
            continue;
        g_autofree char *own = with_host(pattern, permit->host);
        g_string_append_printf(list, "%s'%s'", list->len ? ", " : "", own);
    }
    return g_string_free(list, FALSE);
}

static bool refuse(const Permit *permit, const char *verb, GBytes *key, GBytes *end,
                   unsigned rights, GError **error) {
    g_autofree char *name = shown(key), *text = text_of(key);
    g_autofree char *who =
        permit->host ? g_strdup_printf("host '%s'", permit->host) : g_strdup("an admin");
    g_autofree char *what =
        end ? g_strdup_printf("the keys from '%s' on", name) : g_strdup_printf("'%s'", name);
    g_autofree char *list = text && permit->host ? allowed_beside(permit, text, rights) : NULL;
    if (!list)
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED,
                    "%s may not %s %s: only keys below '" LAYOUT_ROOT "' are served here", who,
                    verb, what);
    else if (*list == '\0')
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED, "%s may not %s %s: no host may there",
                    who, verb, what);
    else
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED, "%s may not %s %s: only %s%s", who,
                    verb, what, list,
                    strstr(list, "{key}") ? ", {key} being its name or granted to it" : "");
    return false;
}

/* --- judging ---------------------------------------------------------------------------------- */

static bool serves_admin(const Permit *permit, GBytes *key, GBytes *end) {
    return permit->everything || is_inside(LAYOUT_ROOT, key, end);
}

static bool may(const Permit *permit, unsigned right, GBytes *key, GBytes *end) {
    g_autofree char *text = end ? NULL : text_of(key);
    if (!permit->host)
        return serves_admin(permit, key, end);
    for (unsigned i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (!(rules[i].rights & right))
            continue;
        if (has_other_signs(rules[i].pattern) ? text && fits(permit, rules[i].pattern, text)
                                              : holds(permit, &rules[i], key, end))
            return true;
    }
    return false;
}

bool permit_read(const Permit *permit, GBytes *key, GBytes *end, GError **error) {
    return may(permit, READ, key, end) || refuse(permit, "read", key, end, READ, error);
}

static bool is_seat(const Permit *permit, const Op *op) {
    return permit->host && op->kind != OP_RANGE && may(permit, SEAT, op->key, op->end);
}

static bool says_free(const Compare *compare) {
    return compare->field != STORE_VALUE && compare->field != STORE_LEASE &&
           compare->relation == STORE_EQUAL && compare->number == 0;
}

/* What the transaction compares the key with: nothing, something, that it is not there. */
typedef enum { UNCOMPARED, COMPARED, FREE } Compared;

static Compared compared(const StoreTxn *txn, GBytes *key) {
    Compared found = UNCOMPARED;
    for (unsigned i = 0; i < txn->compares->len; i++) {
        const Compare *compare = g_ptr_array_index(txn->compares, i);
        if (g_bytes_equal(compare->key, key))
            found = MAX(found, says_free(compare) ? FREE : COMPARED);
    }
    return found;
}

static bool check_seat(const Permit *permit, const StoreTxn *txn, StoreBranch branch, const Op *op,
                       GError **error) {
    g_autoptr(GBytes) me = layout_bytes(permit->host);
    const char *why = NULL;
    if (branch != STORE_THEN || compared(txn, op->key) == UNCOMPARED)
        why = "only where the transaction compares that it is free, or as it was known";
    else if (op->kind == OP_PUT && !g_bytes_equal(op->value, me))
        why = "a host takes seats for itself only";
    if (!why)
        return true;
    g_autofree char *name = shown(op->key);
    g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED, "host '%s' may not write '%s': %s",
                permit->host, name, why);
    return false;
}

/* Whoever is revoked or lost would else be there for ever. */
static bool check_lease(const Permit *permit, const Op *op, GError **error) {
    bool lasts = permit->host && op->kind == OP_PUT && op->lease == 0;
    if (!lasts || !may(permit, LEASED, op->key, NULL))
        return true;
    g_autofree char *name = shown(op->key);
    g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED,
                "host '%s' may not write '%s': only with a lease, so that it ends with the host",
                permit->host, name);
    return false;
}

static bool check_op(const Permit *permit, const StoreTxn *txn, StoreBranch branch, const Op *op,
                     GError **error) {
    if (op->kind == OP_RANGE)
        return permit_read(permit, op->key, op->end, error);
    if (is_seat(permit, op))
        return check_seat(permit, txn, branch, op, error);
    if (!may(permit, WRITE, op->key, op->end))
        return refuse(permit, "write", op->key, op->end, WRITE | SEAT, error);
    return check_lease(permit, op, error);
}

bool permit_txn(const Permit *permit, const StoreTxn *txn, GError **error) {
    for (unsigned i = 0; i < txn->compares->len; i++) {
        const Compare *compare = g_ptr_array_index(txn->compares, i);
        if (!permit_read(permit, compare->key, NULL, error))
            return false;
    }
    for (StoreBranch branch = STORE_THEN; branch <= STORE_ELSE; branch++)
        for (unsigned i = 0; i < txn->branches[branch]->len; i++)
            if (!check_op(permit, txn, branch, g_ptr_array_index(txn->branches[branch], i), error))
                return false;
    return true;
}

void permit_secure(const Permit *permit, StoreTxn *txn) {
    const GPtrArray *ops = txn->branches[STORE_THEN];
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        if (!is_seat(permit, op) || (op->kind == OP_PUT && compared(txn, op->key) == FREE))
            continue;
        g_autoptr(GBytes) me = layout_bytes(permit->host);
        store_txn_compare_value(txn, op->key, STORE_EQUAL, me);
    }
}
