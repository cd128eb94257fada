#include "hub/usage.h"

#include <string.h>

#include "fleet/layout.h"

#define PAGE_MAX   512u /* keys of one look at the store; less where these are large */
#define SHOWN_FROM 2u   /* metrics tell of hosts that have 1/2 of their share */
#define SHOWN_MAX  100u /* and of so many */

/* A part of the layout that hosts write, below its root. */
typedef struct {
    const char *prefix;
    enum { FIRST, SECOND, AFTER_AT, OF_SCHEDULE } place; /* of the host's name */
    bool always; /* one key of each host, that it may write when its share is used up */
} Part;

static const Part parts[] = {
    { "data/", AFTER_AT, false },
    { "export/", SECOND, false },
    { "schedule/", OF_SCHEDULE, false },
    { "host/", FIRST, true },
    { "kv/", FIRST, false },
    { "fleet/reported/", FIRST, true },
    { "fleet/facts/", FIRST, true },
    { "fleet/run/", FIRST, true },
    { "fleet/drift/", FIRST, false },
    { "fleet/answer/", FIRST, false },
};

typedef struct {
    UsageCount has, coming;
    char name[];
} Account;

/* A key. One that was deleted while the store is read has no account. */
typedef struct {
    Account *account;
    int64_t revision;
    uint64_t bytes;
    char key[];
} Holding;

typedef struct {
    Account *account;
    UsageCount more;
} Share;

struct Claim {
    int64_t revision; /* of the write; it counts until that was heard of */
    unsigned n;
    Share shares[];
};

struct Usage {
    Store *state;
    UsageCount limit;
    GHashTable *accounts; /* name -> Account */
    GHashTable *holdings; /* key of a Holding -> it */
    GQueue written;       /* of Claim */
    int64_t heard;
    uint64_t refused;

    /* while the store is read */
    bool reading;
    StoreCall *call;
    unsigned part, page;
    GBytes *from;
};

/* --- whose a key is --------------------------------------------------------------------------- */

static const char *below_root(GBytes *key, size_t *ret_size) {
    size_t size, root = strlen(LAYOUT_ROOT);
    const char *text = g_bytes_get_data(key, &size);
    if (size <= root || memcmp(text, LAYOUT_ROOT, root) != 0 || memchr(text, '\0', size))
        return NULL;
    *ret_size = size - root;
    return text + root;
}

static const Part *part_of(const char *key) {
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (g_str_has_prefix(key, parts[i].prefix))
            return &parts[i];
    return NULL;
}

static char *word_at(const char *text, unsigned index) {
    for (; text && index > 0; index--)
        text = (text = strchr(text, '/')) ? text + 1 : NULL;
    return text ? g_strndup(text, strcspn(text, "/")) : NULL;
}

/* Who holds a seat is in its value; who stands in a pool, in the key. */
static char *owner_in_schedule(const char *text, GBytes *value) {
    g_autofree char *what = word_at(text, 1);
    if (g_strcmp0(what, "pool") == 0)
        return word_at(text, 2);
    size_t size = 0;
    const char *name = value ? g_bytes_get_data(value, &size) : NULL;
    return name ? g_strndup(name, size) : NULL;
}

/* The host whose key it is; of kv/, the first word, which may be what several were granted. NULL:
 * nobody's. Caller frees. */
static char *owner_of(const Part *part, const char *key, GBytes *value) {
    const char *text = key + strlen(part->prefix), *at = strrchr(text, '@');
    switch (part->place) {
    case FIRST:
        return word_at(text, 0);
    case SECOND:
        return word_at(text, 1);
    case AFTER_AT:
        return at ? g_strdup(at + 1) : NULL;
    case OF_SCHEDULE:
        return owner_in_schedule(text, value);
    }
    return NULL;
}

/* --- counting --------------------------------------------------------------------------------- */

static Account *account_of(Usage *usage, const char *name) {
    Account *account = g_hash_table_lookup(usage->accounts, name);
    if (account)
        return account;
    size_t size = strlen(name) + 1;
    account = g_malloc0(sizeof *account + size);
    memcpy(account->name, name, size);
    g_hash_table_insert(usage->accounts, account->name, account);
    return account;
}

static void forget_empty(Usage *usage, const Account *account) {
    if (account->has.keys == 0 && account->coming.keys == 0 && account->coming.bytes == 0)
        g_hash_table_remove(usage->accounts, account->name);
}

static void take_back(Usage *usage, const Holding *holding) {
    Account *account = holding->account;
    if (!account)
        return;
    account->has.bytes -= holding->bytes;
    account->has.keys--;
    forget_empty(usage, account);
}

static void drop(Usage *usage, const Holding *holding) {
    take_back(usage, holding);
    g_hash_table_remove(usage->holdings, holding->key);
}

/* owner NULL: it is deleted. */
static void put(Usage *usage, const char *key, const char *owner, uint64_t bytes,
                int64_t revision) {
    Holding *holding = g_hash_table_lookup(usage->holdings, key);
    if (!holding) {
        size_t size = strlen(key) + 1;
        holding = g_malloc0(sizeof *holding + size);
        memcpy(holding->key, key, size);
        g_hash_table_insert(usage->holdings, holding->key, holding);
    }
    Account *before = holding->account, *account = owner ? account_of(usage, owner) : NULL;
    if (account) {
        account->has.bytes += bytes;
        account->has.keys++;
    }
    if (before)
        take_back(usage, holding);
    holding->account = account;
    holding->bytes = bytes;
    holding->revision = revision;
}

void usage_hear(Usage *usage, const StoreEntry *entry) {
    size_t size;
    const char *text = below_root(entry->key, &size);
    g_autofree char *key = text ? g_strndup(text, size) : NULL;
    const Part *part = key ? part_of(key) : NULL;
    const Holding *holding = part ? g_hash_table_lookup(usage->holdings, key) : NULL;
    if (!part || (holding && holding->revision >= entry->mod_revision))
        return;
    g_autofree char *owner = entry->value ? owner_of(part, key, entry->value) : NULL;
    if (owner)
        put(usage, key, owner, size + g_bytes_get_size(entry->value), entry->mod_revision);
    else if (usage->reading) /* or an older page would bring it back */
        put(usage, key, NULL, 0, entry->mod_revision);
    else if (holding)
        drop(usage, holding);
}

/* --- what is about to come -------------------------------------------------------------------- */

static void settle(Usage *usage, Claim *claim) {
    for (unsigned i = 0; i < claim->n; i++) {
        Account *account = claim->shares[i].account;
        account->coming.bytes -= claim->shares[i].more.bytes;
        account->coming.keys -= claim->shares[i].more.keys;
        forget_empty(usage, account);
    }
    g_free(claim);
}

void usage_settle(Usage *usage, Claim *claim, int64_t revision) {
    if (!claim)
        return;
    claim->revision = revision;
    if (revision <= usage->heard)
        settle(usage, claim);
    else
        g_queue_push_tail(&usage->written, claim);
}

void usage_heard(Usage *usage, int64_t revision) {
    usage->heard = MAX(usage->heard, revision);
    for (GList *link = usage->written.head, *next; link; link = next) {
        next = link->next;
        if (((Claim *)link->data)->revision > usage->heard)
            continue;
        settle(usage, link->data);
        g_queue_delete_link(&usage->written, link);
    }
}

static bool fits(const Usage *usage, const Account *account, const UsageCount *more) {
    const UsageCount *has = &account->has, *coming = &account->coming;
    return (more->bytes == 0 || has->bytes + coming->bytes + more->bytes <= usage->limit.bytes) &&
           (more->keys == 0 || has->keys + coming->keys + more->keys <= usage->limit.keys);
}

static void refuse(Usage *usage, const char *host, const Account *account, GError **error) {
    bool own = strcmp(host, account->name) == 0;
    g_autofree char *whose =
        own ? g_strdup("it") : g_strdup_printf("what is below 'kv/%s'", account->name);
    usage->refused++;
    g_set_error(error, STORE_ERROR, STORE_ERROR_TOO_LARGE,
                "host '%s' may not write more: %s has %" G_GUINT64_FORMAT
                " bytes in %" G_GUINT64_FORMAT " keys of the store, of %" G_GUINT64_FORMAT
                " and %" G_GUINT64_FORMAT "; delete some, or start the hub with a larger "
                "--host-bytes or --host-keys",
                host, whose, account->has.bytes, account->has.keys, usage->limit.bytes,
                usage->limit.keys);
}

/* More than there is of the key; 0 where it does not grow. */
static UsageCount growth(const Usage *usage, const char *key, uint64_t bytes) {
    const Holding *holding = g_hash_table_lookup(usage->holdings, key);
    if (!holding || !holding->account)
        return (UsageCount){ bytes, 1 };
    return (UsageCount){ bytes > holding->bytes ? bytes - holding->bytes : 0, 0 };
}

static bool claim_op(Usage *usage, const char *host, const Op *op, Claim *claim, GError **error) {
    size_t size = 0;
    const char *text = op->kind == OP_PUT ? below_root(op->key, &size) : NULL;
    g_autofree char *key = text ? g_strndup(text, size) : NULL;
    const Part *part = key ? part_of(key) : NULL;
    g_autofree char *owner = part ? owner_of(part, key, op->value) : NULL;
    if (!owner)
        return true;
    UsageCount more = growth(usage, key, size + g_bytes_get_size(op->value));
    Account *account = account_of(usage, owner);
    if (!part->always && !fits(usage, account, &more)) {
        refuse(usage, host, account, error);
        forget_empty(usage, account);
        return false;
    }
    account->coming.bytes += more.bytes;
    account->coming.keys += more.keys;
    if (more.bytes > 0) /* as each new key has */
        claim->shares[claim->n++] = (Share){ account, more };
    else
        forget_empty(usage, account);
    return true;
}

bool usage_claim(Usage *usage, const char *host, const StoreTxn *txn, Claim **ret_claim,
                 GError **error) {
    unsigned n = txn->branches[STORE_THEN]->len + txn->branches[STORE_ELSE]->len;
    Claim *claim = g_malloc0(sizeof *claim + n * sizeof(Share));
    bool fit = true;
    for (unsigned branch = STORE_THEN; branch <= STORE_ELSE; branch++)
        for (unsigned i = 0; fit && i < txn->branches[branch]->len; i++)
            fit = claim_op(usage, host, g_ptr_array_index(txn->branches[branch], i), claim, error);
    if (fit && claim->n > 0)
        *ret_claim = g_steal_pointer(&claim);
    else
        settle(usage, claim);
    return fit;
}

/* --- reading the store ------------------------------------------------------------------------ */

static void read_on(Usage *usage);

static gboolean is_tombstone(void *key, void *value, void *data) {
    return !((Holding *)value)->account;
}

static void end_reading(Usage *usage) {
    usage->reading = false;
    g_hash_table_foreach_remove(usage->holdings, is_tombstone, NULL);
}

/* What it does not tell now is heard of when it changes, and read at the next start. */
static void on_page(void *data, StoreAnswer *answer, const GError *error) {
    Usage *usage = data;
    usage->call = NULL;
    if (error && g_error_matches(error, STORE_ERROR, STORE_ERROR_TOO_LARGE) && usage->page > 1) {
        usage->page /= 8;
        read_on(usage);
        return;
    }
    const StoreResult *result = error ? NULL : store_answer_result(answer, 0);
    g_clear_pointer(&usage->from, g_bytes_unref);
    for (unsigned i = 0; result && i < result->entries->len; i++)
        usage_hear(usage, result->entries->pdata[i]);
    if (result && result->more) {
        const StoreEntry *last = result->entries->pdata[result->entries->len - 1];
        g_autofree char *key = layout_text(last->key);
        /* The next: a zero byte more. A key that has one is none of ours. */
        usage->from = key ? g_bytes_new(key, strlen(key) + 1) : NULL;
    }
    if (!usage->from)
        usage->part++;
    read_on(usage);
}

static void read_on(Usage *usage) {
    if (usage->part == G_N_ELEMENTS(parts)) {
        end_reading(usage);
        return;
    }
    g_autofree char *prefix = g_strconcat(LAYOUT_ROOT, parts[usage->part].prefix, NULL);
    g_autoptr(GBytes) key = layout_bytes(prefix);
    StoreRange range = { .key = key, .prefix = true, .from = usage->from, .limit = usage->page };
    usage->call = store_range(usage->state, &range, on_page, usage);
}

static void begin_reading(Usage *usage) {
    usage->reading = true;
    usage->part = 0;
    usage->page = PAGE_MAX;
    g_clear_pointer(&usage->from, g_bytes_unref);
    read_on(usage);
}

static void stop_reading(Usage *usage) {
    if (usage->call)
        store_call_cancel(g_steal_pointer(&usage->call));
    g_clear_pointer(&usage->from, g_bytes_unref);
}

void usage_reset(Usage *usage) {
    stop_reading(usage);
    GHashTableIter iter;
    void *holding;
    g_hash_table_iter_init(&iter, usage->holdings);
    while (g_hash_table_iter_next(&iter, NULL, &holding)) {
        take_back(usage, holding);
        g_hash_table_iter_remove(&iter);
    }
    usage_heard(usage, INT64_MAX - 1);
    usage->heard = 0;
    begin_reading(usage);
}

/* --- telling ---------------------------------------------------------------------------------- */

UsageCount usage_of(const Usage *usage, const char *host) {
    const Account *account = g_hash_table_lookup(usage->accounts, host);
    return account ? account->has : (UsageCount){ 0, 0 };
}

static void add_row(GString *text, const char *name, const char *type, const char *help,
                    uint64_t value) {
    g_string_append_printf(text,
                           "# HELP stead_hub_%s %s\n# TYPE stead_hub_%s %s\n"
                           "stead_hub_%s %" G_GUINT64_FORMAT "\n",
                           name, help, name, type, name, value);
}

static bool is_shown(const Usage *usage, const Account *account) {
    return account->has.bytes >= usage->limit.bytes / SHOWN_FROM ||
           account->has.keys >= usage->limit.keys / SHOWN_FROM;
}

/* Of those who have much. Names are checked where hosts join, those below kv/ where they are
 * granted. */
static void add_hosts(const Usage *usage, GString *text, const char *name, bool bytes) {
    GHashTableIter iter;
    void *value;
    unsigned n = 0;
    g_string_append_printf(text,
                           "# HELP stead_hub_%s Of each host that has half of its share or more.\n"
                           "# TYPE stead_hub_%s gauge\n",
                           name, name);
    g_hash_table_iter_init(&iter, usage->accounts);
    while (n < SHOWN_MAX && g_hash_table_iter_next(&iter, NULL, &value)) {
        const Account *account = value;
        g_autofree char *label = g_strescape(account->name, NULL);
        if (!is_shown(usage, account))
            continue;
        g_string_append_printf(text, "stead_hub_%s{host=\"%s\"} %" G_GUINT64_FORMAT "\n", name,
                               label, bytes ? account->has.bytes : account->has.keys);
        n++;
    }
}

void usage_metrics(const Usage *usage, GString *text) {
    UsageCount all = { 0, 0 };
    GHashTableIter iter;
    void *account;
    g_hash_table_iter_init(&iter, usage->accounts);
    while (g_hash_table_iter_next(&iter, NULL, &account)) {
        all.bytes += ((Account *)account)->has.bytes;
        all.keys += ((Account *)account)->has.keys;
    }
    add_row(text, "hosts_bytes", "gauge", "Bytes of the store that hosts have.", all.bytes);
    add_row(text, "hosts_keys", "gauge", "Keys of the store that hosts have.", all.keys);
    add_row(text, "host_bytes_limit", "gauge", "The share of each host.", usage->limit.bytes);
    add_row(text, "host_keys_limit", "gauge", "The share of each host.", usage->limit.keys);
    add_row(text, "host_full_total", "counter", "Writes refused because a share was used up.",
            usage->refused);
    add_hosts(usage, text, "host_bytes", true);
    add_hosts(usage, text, "host_keys", false);
}

/* --- life ------------------------------------------------------------------------------------- */

Usage *usage_new(Store *state, UsageCount limit) {
    Usage *usage = g_new0(Usage, 1);
    usage->state = state;
    usage->limit = limit;
    usage->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    usage->holdings = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_queue_init(&usage->written);
    begin_reading(usage);
    return usage;
}

void usage_free(Usage *usage) {
    if (!usage)
        return;
    stop_reading(usage);
    g_queue_clear_full(&usage->written, g_free);
    g_hash_table_unref(usage->holdings);
    g_hash_table_unref(usage->accounts);
    g_free(usage);
}
