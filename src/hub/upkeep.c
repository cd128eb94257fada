/* Now and then, at the hub that leads: bundles that nobody needs, repairs and audit records that
 * are old, and tokens that have expired are forgotten. */
#include <string.h>

#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "hub/hub-private.h"

#define EVERY_US        (3600 * (uint64_t)G_USEC_PER_SEC)
#define DAY_US          (86400 * (uint64_t)G_USEC_PER_SEC)
#define KEEP_TOKEN_DAYS 1u    /* that have expired: until then it is told why they are of no use */
#define BATCH           100u  /* keys of one transaction */
#define PAGE            5000u /* keys of one look */

/* Keys whose last part begins with the time, in microseconds since 1970. */
typedef struct {
    const char *prefix;
    unsigned base; /* of the digits; 0: the time is the value's "expires", in seconds */
    unsigned days; /* that are kept */
    bool of_hosts; /* their clocks say the time */
} Part;

struct Upkeep {
    Hub *hub;
    LoopTimer *timer;
    DeployCall *collecting;
    StoreCall *call;
    Part parts[3];
    unsigned part;  /* under way */
    GBytes *from;   /* of it, the first key of the next look; NULL: all */
    GPtrArray *old; /* of GBytes: to be deleted */
};

static void look(Upkeep *upkeep);

static void run(void *data) {
    Upkeep *upkeep = data;
    if (rollout_leads(upkeep->hub->rollout))
        upkeep_run(upkeep);
    loop_timer_set(upkeep->hub->loop, &upkeep->timer, loop_now(upkeep->hub->loop) + EVERY_US, run,
                   upkeep);
}

/* What did not work is tried again the next time. */
static void on_deleted(void *data, StoreAnswer *answer, const GError *error) {
    Upkeep *upkeep = data;
    upkeep->call = NULL;
    if (!error)
        look(upkeep);
}

static void delete_some(Upkeep *upkeep) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    for (unsigned i = 0; i < BATCH && upkeep->old->len > 0; i++) {
        g_autoptr(GBytes) key = g_ptr_array_steal_index(upkeep->old, upkeep->old->len - 1);
        store_txn_delete(txn, STORE_THEN, key, false);
    }
    upkeep->call = store_commit(upkeep->hub->state, txn, on_deleted, upkeep);
}

/* 0: never. */
static uint64_t expiry_of(const StoreEntry *entry) {
    g_autoptr(Value) value = entry_value(entry);
    int64_t expires = value ? value_map_int(value, "expires", 0) : 0;
    return (uint64_t)CLAMP(expires, 0, INT32_MAX * INT64_C(2)) * G_USEC_PER_SEC;
}

static bool is_old(const Upkeep *upkeep, const StoreEntry *entry) {
    const Part *part = &upkeep->parts[upkeep->part];
    uint64_t expiry = part->base == 0 ? expiry_of(entry) : 0;
    if (part->base == 0)
        return expiry > 0 && expiry + part->days * DAY_US < loop_wall_now(upkeep->hub->loop);
    g_autofree char *name = entry_name(entry, part->prefix);
    const char *slash = strrchr(name, '/');
    uint64_t time = g_ascii_strtoull(slash ? slash + 1 : name, NULL, part->base);
    uint64_t now = loop_wall_now(upkeep->hub->loop);
    /* A host that says what is to come would keep it here for ever. */
    return time + part->days * DAY_US < now || (part->of_hosts && time > now + DAY_US);
}

static void on_page(void *data, StoreAnswer *answer, const GError *error) {
    Upkeep *upkeep = data;
    upkeep->call = NULL;
    if (error)
        return;
    const StoreResult *result = store_answer_result(answer, 0);
    for (unsigned i = 0; i < result->entries->len; i++) {
        const StoreEntry *entry = result->entries->pdata[i];
        if (is_old(upkeep, entry))
            g_ptr_array_add(upkeep->old, g_bytes_ref(entry->key));
    }
    g_clear_pointer(&upkeep->from, g_bytes_unref);
    if (result->more) {
        const StoreEntry *last = result->entries->pdata[result->entries->len - 1];
        g_autofree char *key = entry_name(last, "");
        upkeep->from = g_bytes_new(key, strlen(key) + 1); /* the next: a zero byte more */
    } else {
        upkeep->part++;
    }
    look(upkeep);
}

static void look(Upkeep *upkeep) {
    if (upkeep->old->len > 0) {
        delete_some(upkeep);
        return;
    }
    if (upkeep->part == G_N_ELEMENTS(upkeep->parts))
        return;
    g_autoptr(GBytes) key = key_of(upkeep->parts[upkeep->part].prefix, "");
    StoreRange range = { .key = key,
                         .prefix = true,
                         .from = upkeep->from,
                         .limit = PAGE,
                         .keys_only = upkeep->parts[upkeep->part].base > 0 };
    upkeep->call = store_range(upkeep->hub->state, &range, on_page, upkeep);
}

static void on_collected(void *data, const GError *error) {
    Upkeep *upkeep = data;
    upkeep->collecting = NULL;
    look(upkeep);
}

void upkeep_run(Upkeep *upkeep) {
    Hub *hub = upkeep->hub;
    if (upkeep->collecting || upkeep->call || !roster_is_loaded(rollout_roster(hub->rollout)))
        return;
    upkeep->part = 0;
    g_clear_pointer(&upkeep->from, g_bytes_unref);
    upkeep->collecting = deploy_collect(hub->state, rollout_roster(hub->rollout), wall_seconds(hub),
                                        on_collected, upkeep);
}

Upkeep *upkeep_new(Hub *hub, unsigned keep_drift_days, unsigned keep_audit_days) {
    Upkeep *upkeep = g_new0(Upkeep, 1);
    upkeep->hub = hub;
    upkeep->parts[0] =
        (Part){ LAYOUT_DRIFT, 10, keep_drift_days ? keep_drift_days : HUB_KEEP_DRIFT_DAYS, true };
    upkeep->parts[1] =
        (Part){ KEY_AUDIT, 16, keep_audit_days ? keep_audit_days : HUB_KEEP_AUDIT_DAYS, false };
    upkeep->parts[2] = (Part){ KEY_TOKENS, 0, KEEP_TOKEN_DAYS, false };
    upkeep->old = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    loop_timer_set(hub->loop, &upkeep->timer, loop_now(hub->loop) + EVERY_US / 60, run, upkeep);
    return upkeep;
}

void upkeep_free(Upkeep *upkeep) {
    if (!upkeep)
        return;
    loop_timer_clear(&upkeep->timer);
    if (upkeep->collecting)
        deploy_cancel(upkeep->collecting);
    if (upkeep->call)
        store_call_cancel(upkeep->call);
    g_clear_pointer(&upkeep->from, g_bytes_unref);
    g_ptr_array_unref(upkeep->old);
    g_free(upkeep);
}
