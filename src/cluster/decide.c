#include "cluster/decide.h"

#include <glib.h>
#include <string.h>

#include "base/plural.h"

typedef struct {
    unsigned voters, healthy, spares;
    const ClusterMember *learner;
    const ClusterMember *lost;   /* the first voter that is */
    const ClusterMember *silent; /* the first voter that may come back */
} Tally;

bool cluster_size_is_good(unsigned size) {
    return size % 2 == 1 && size <= CLUSTER_SIZE_MAX;
}

static unsigned majority(unsigned voters) {
    return voters / 2 + 1;
}

static const ClusterHost *host_of(const ClusterView *view, const ClusterMember *member) {
    for (unsigned i = 0; i < view->n_hosts; i++)
        if (strcmp(view->hosts[i].peer, member->peer) == 0)
            return &view->hosts[i];
    return NULL;
}

/* One that was added has told its name to nobody yet. */
static const char *name_of(const ClusterView *view, const ClusterMember *member) {
    const ClusterHost *host = host_of(view, member);
    return *member->name ? member->name : host ? host->name : member->peer;
}

/* One that has data of a member that is none any more has not looked since, and may be gone. */
static bool is_spare(const ClusterView *view, const ClusterHost *host) {
    for (unsigned i = 0; i < view->n_members; i++)
        if (strcmp(view->members[i].peer, host->peer) == 0)
            return false;
    return !*host->data;
}

/* Its host has no data of it, or none that etcd runs on: it will not come back. One that has not
 * started yet has nothing to lose. */
static bool has_lost_data(const ClusterView *view, const ClusterMember *member) {
    const ClusterHost *host = host_of(view, member);
    return host && *member->name && !member->healthy &&
           (host->broken || strcmp(host->data, member->id) != 0);
}

static bool is_lost(const ClusterView *view, const ClusterMember *member) {
    return has_lost_data(view, member) || (!member->healthy && member->silent_s >= view->grace_s);
}

static Tally tally_of(const ClusterView *view) {
    Tally tally = { 0 };
    for (unsigned i = 0; i < view->n_members; i++) {
        const ClusterMember *member = &view->members[i];
        if (member->learner) {
            tally.learner = member;
            continue;
        }
        tally.voters++;
        tally.healthy += member->healthy;
        if (!member->healthy && is_lost(view, member) && !tally.lost)
            tally.lost = member;
        else if (!member->healthy && !tally.silent)
            tally.silent = member;
    }
    for (unsigned i = 0; i < view->n_hosts; i++)
        tally.spares += is_spare(view, &view->hosts[i]);
    return tally;
}

/* --- steps; each says whether it is taken */

static void wait_for(ClusterStep *step, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void wait_for(ClusterStep *step, const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)g_vsnprintf(step->why, sizeof step->why, format, list);
    va_end(list);
}

static void take(ClusterStep *step, ClusterStepKind kind, const ClusterMember *member,
                 const char *why) {
    step->kind = kind;
    step->member = member;
    wait_for(step, "%s", why);
}

static const char *why_lost(const ClusterView *view, const ClusterMember *member, char text[64]) {
    if (has_lost_data(view, member))
        return "its data are lost";
    (void)g_snprintf(text, 64, "silent for %u s", member->silent_s);
    return text;
}

static void settle_learner(const ClusterView *view, const Tally *tally, ClusterStep *step) {
    char text[64];
    const ClusterMember *learner = tally->learner;
    if (tally->voters >= view->wanted)
        take(step, CLUSTER_REMOVE, learner, "it is not wanted any more");
    else if (is_lost(view, learner))
        take(step, CLUSTER_REMOVE, learner, why_lost(view, learner, text));
    else if (learner->healthy && learner->in_sync)
        take(step, CLUSTER_PROMOTE, learner, "it has all data");
    else
        wait_for(step, "%s gets the data", name_of(view, learner));
}

/* Somebody else, or the host itself with new data. */
static bool can_be_replaced(const ClusterView *view, const Tally *tally) {
    return tally->voters > view->wanted || tally->spares > 0 || has_lost_data(view, tally->lost);
}

static void replace(const ClusterView *view, const Tally *tally, ClusterStep *step) {
    char text[64];
    const char *why = why_lost(view, tally->lost, text);
    if (!can_be_replaced(view, tally))
        wait_for(step, "%s is lost (%s) and nobody is there to take its place: let a host join",
                 name_of(view, tally->lost), why);
    else
        take(step, CLUSTER_REMOVE, tally->lost, why);
}

/* Not the leader: that would cost an election. */
static void shrink(const ClusterView *view, ClusterStep *step) {
    const ClusterMember *found = NULL;
    for (unsigned i = 0; i < view->n_members; i++) {
        const ClusterMember *member = &view->members[i];
        if (!member->leader && (!found || strcmp(member->name, found->name) > 0))
            found = member;
    }
    if (found)
        take(step, CLUSTER_REMOVE, found, "there are more than wanted");
}

static const ClusterHost *best_spare(const ClusterView *view) {
    const ClusterHost *best = NULL;
    for (unsigned i = 0; i < view->n_hosts; i++) {
        const ClusterHost *host = &view->hosts[i];
        if (is_spare(view, host) &&
            (!best || host->failures < best->failures ||
             (host->failures == best->failures && strcmp(host->name, best->name) < 0)))
            best = host;
    }
    return best;
}

/* Two members bear less than one: a pair of new ones, or none. */
static void grow(const ClusterView *view, const Tally *tally, ClusterStep *step) {
    unsigned needed = tally->voters % 2 == 1 ? 2 : 1;
    if (tally->spares < needed) {
        unsigned missing = needed - tally->spares;
        wait_for(step, "%u of %u members; waits for %u more %s to join", tally->voters,
                 view->wanted, missing, plural(missing, "host", "hosts"));
        return;
    }
    step->kind = CLUSTER_ADD;
    step->host = best_spare(view);
    wait_for(step, "%u of %u members", tally->voters, view->wanted);
}

void cluster_decide(const ClusterView *view, ClusterStep *ret_step) {
    Tally tally = tally_of(view);
    *ret_step = (ClusterStep){ .kind = CLUSTER_WAIT };
    if (tally.healthy < majority(tally.voters))
        wait_for(ret_step,
                 "no quorum: %u of %u members answer, %u are needed; nothing can be written until "
                 "more are back",
                 tally.healthy, tally.voters, majority(tally.voters));
    else if (tally.learner)
        settle_learner(view, &tally, ret_step);
    else if (tally.lost)
        replace(view, &tally, ret_step);
    else if (tally.silent)
        wait_for(ret_step, "%s is silent for %u s; after %u s it is replaced",
                 name_of(view, tally.silent), tally.silent->silent_s, view->grace_s);
    else if (tally.voters > view->wanted)
        shrink(view, ret_step);
    else if (tally.voters < view->wanted)
        grow(view, &tally, ret_step);
}
