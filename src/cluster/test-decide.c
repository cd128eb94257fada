/* What is decided about a cluster: single cases, and random failures of a model of one. */
#include <glib.h>
#include <string.h>

#include "cluster/decide.h"

#define HOSTS   9u
#define GRACE_S 5u

/* --- single cases */

#define UP(n)                                                                                      \
    { .id = n, .name = "m" n, .peer = "p" n, .healthy = true }
#define DOWN(n)                                                                                    \
    { .id = n, .name = "m" n, .peer = "p" n, .silent_s = GRACE_S }
#define HOST(n)                                                                                    \
    { .name = "m" n, .peer = "p" n, .data = n }
#define NEW(n)                                                                                     \
    { .name = "m" n, .peer = "p" n, .data = "" }

typedef struct {
    const char *name;
    ClusterMember members[6]; /* up to the first without an id */
    ClusterHost hosts[6];     /* the same, without a name */
    unsigned wanted;
    ClusterStepKind kind;
    const char *whom; /* the peer of the step's member or host */
    const char *why;  /* a part of it; NULL: not looked at */
} Case;

static const Case cases[] = {
    { "as-wanted", { UP("1") }, { HOST("1"), NEW("2") }, 1, CLUSTER_WAIT, NULL, "" },
    { "grow", { UP("1") }, { HOST("1"), NEW("3"), NEW("2") }, 3, CLUSTER_ADD, "p2", "1 of 3" },
    /* A pair that loses one has no quorum. */
    { "no-pair", { UP("1") }, { HOST("1"), NEW("2") }, 3, CLUSTER_WAIT, NULL, "1 more host " },
    { "from-pair", { UP("1"), UP("2") }, { NEW("3") }, 3, CLUSTER_ADD, "p3", NULL },
    { "others-first",
      { UP("1"), UP("2") },
      { { .name = "a", .peer = "pa", .data = "", .failures = 1 }, NEW("3") },
      3,
      CLUSTER_ADD,
      "p3",
      NULL },
    { "learner-behind",
      { UP("1"), { .id = "2", .name = "m2", .peer = "p2", .learner = true, .healthy = true } },
      { HOST("1"), HOST("2"), NEW("3") },
      3,
      CLUSTER_WAIT,
      NULL,
      "m2 gets the data" },
    { "learner-in-sync",
      { UP("1"),
        { .id = "2",
          .name = "m2",
          .peer = "p2",
          .learner = true,
          .healthy = true,
          .in_sync = true } },
      { HOST("1"), HOST("2"), NEW("3") },
      3,
      CLUSTER_PROMOTE,
      "p2",
      NULL },
    { "learner-lost",
      { UP("1"), { .id = "2", .name = "", .peer = "p2", .learner = true, .silent_s = GRACE_S } },
      { HOST("1"), NEW("3") },
      3,
      CLUSTER_REMOVE,
      "p2",
      NULL },
    { "learner-comes",
      { UP("1"), { .id = "2", .name = "", .peer = "p2", .learner = true, .silent_s = 1 } },
      { HOST("1"), NEW("2") },
      3,
      CLUSTER_WAIT,
      NULL,
      "gets the data" },
    { "learner-unwanted",
      { UP("1"),
        { .id = "2",
          .name = "m2",
          .peer = "p2",
          .learner = true,
          .healthy = true,
          .in_sync = true } },
      { HOST("1"), HOST("2") },
      1,
      CLUSTER_REMOVE,
      "p2",
      NULL },
    { "replace",
      { UP("1"), DOWN("2"), UP("3") },
      { NEW("4") },
      3,
      CLUSTER_REMOVE,
      "p2",
      "silent for" },
    /* Its key outlives it by the time of a lease. */
    { "gone-host",
      { UP("1"), UP("3") },
      { HOST("1"), HOST("2"), HOST("3") },
      3,
      CLUSTER_WAIT,
      NULL,
      "1 more host " },
    { "nobody-there",
      { UP("1"), DOWN("2"), UP("3") },
      { HOST("1"), HOST("3") },
      3,
      CLUSTER_WAIT,
      NULL,
      "let a host join" },
    { "in-grace",
      { UP("1"), UP("2"), { .id = "3", .name = "m3", .peer = "p3", .silent_s = GRACE_S - 1 } },
      { NEW("4") },
      3,
      CLUSTER_WAIT,
      NULL,
      "m3 is silent for 4 s; after 5 s it is replaced" },
    { "no-quorum",
      { UP("1"), DOWN("2"), DOWN("3") },
      { NEW("4") },
      3,
      CLUSTER_WAIT,
      NULL,
      "no quorum" },
    /* At once: it cannot come back. */
    { "data-lost",
      { UP("1"), UP("2"), { .id = "3", .name = "m3", .peer = "p3", .silent_s = 1 } },
      { HOST("1"), HOST("2"), NEW("3") },
      3,
      CLUSTER_REMOVE,
      "p3",
      "data are lost" },
    { "broken",
      { UP("1"), UP("2"), { .id = "3", .name = "m3", .peer = "p3", .silent_s = 1 } },
      { { .name = "m3", .peer = "p3", .data = "3", .broken = true } },
      3,
      CLUSTER_REMOVE,
      "p3",
      NULL },
    { "shrink",
      { UP("1"),
        UP("2"),
        { .id = "3", .name = "m3", .peer = "p3", .healthy = true, .leader = true } },
      { HOST("1") },
      1,
      CLUSTER_REMOVE,
      "p2",
      NULL },
    { "shrink-lost",
      { UP("1"), UP("2"), DOWN("3") },
      { HOST("1") },
      1,
      CLUSTER_REMOVE,
      "p3",
      NULL },
};

static void test_case(const void *data) {
    const Case *one = data;
    ClusterView view = { .members = one->members, .hosts = one->hosts };
    ClusterStep step;
    view.wanted = one->wanted;
    view.grace_s = GRACE_S;
    while (one->members[view.n_members].id)
        view.n_members++;
    while (one->hosts[view.n_hosts].name)
        view.n_hosts++;
    cluster_decide(&view, &step);
    g_assert_cmpint(step.kind, ==, one->kind);
    const char *whom = step.member ? step.member->peer : step.host ? step.host->peer : NULL;
    g_assert_cmpstr(whom, ==, one->whom);
    if (one->why && *one->why == '\0')
        g_assert_cmpstr(step.why, ==, "");
    else if (one->why)
        g_assert_nonnull(strstr(step.why, one->why));
}

static void test_sizes(void) {
    for (unsigned size = 0; size < 12; size++)
        g_assert_cmpint(cluster_size_is_good(size), ==,
                        size == 1 || size == 3 || size == 5 || size == 7);
}

/* --- a model: hosts that come and go and lose their data, members on some of them */

typedef struct {
    bool up, erased; /* erased: what it had is gone, and nobody has taken note yet */
    char name[8], peer[8], data[16];
    unsigned failures;
} ModelHost;

typedef struct {
    char id[16];
    unsigned host, silent_s, age_s;
    bool started, learner;
} ModelMember;

typedef struct {
    GRand *random;
    ModelHost hosts[HOSTS];
    ModelMember members[HOSTS + 1];
    unsigned n, next_id, wanted, changes;
} Model;

static bool answers(const Model *model, const ModelMember *member) {
    const ModelHost *host = &model->hosts[member->host];
    return host->up && member->started && strcmp(host->data, member->id) == 0;
}

static unsigned count(const Model *model, bool only_healthy, bool learners) {
    unsigned found = 0;
    for (unsigned i = 0; i < model->n; i++)
        found += model->members[i].learner == learners &&
                 (!only_healthy || answers(model, &model->members[i]));
    return found;
}

static bool has_quorum(const Model *model) {
    return count(model, true, false) >= count(model, false, false) / 2 + 1;
}

static void add(Model *model, unsigned host, bool learner) {
    ModelMember *member = &model->members[model->n++];
    *member = (ModelMember){ .host = host, .learner = learner, .started = !learner };
    (void)g_snprintf(member->id, sizeof member->id, "%u", ++model->next_id);
    if (!learner)
        (void)g_strlcpy(model->hosts[host].data, member->id, sizeof model->hosts[host].data);
}

/* What supervisors do in a second: a new member starts, one that was removed forgets. */
static void live(Model *model) {
    for (unsigned i = 0; i < HOSTS; i++) {
        ModelHost *host = &model->hosts[i];
        bool member_of = false;
        if (host->up && host->erased)
            host->data[0] = '\0';
        host->erased = host->erased && !host->up;
        for (unsigned j = 0; j < model->n; j++) {
            ModelMember *member = &model->members[j];
            if (member->host != i)
                continue;
            member_of = true;
            if (host->up && !member->started && has_quorum(model)) {
                (void)g_strlcpy(host->data, member->id, sizeof host->data);
                member->started = true;
            }
        }
        if (host->up && !member_of && has_quorum(model))
            host->data[0] = '\0';
    }
    for (unsigned j = 0; j < model->n; j++) {
        ModelMember *member = &model->members[j];
        member->silent_s = answers(model, member) ? 0 : member->silent_s + 1;
        member->age_s++;
    }
}

/* Never so many that the quorum would be gone for good: then nobody can help. */
static void harm(Model *model) {
    unsigned i = (unsigned)g_rand_int_range(model->random, 0, HOSTS);
    ModelHost *host = &model->hosts[i], before = *host;
    unsigned what = (unsigned)g_rand_int_range(model->random, 0, 8);
    if (what < 3)
        host->up = !host->up;
    else if (what == 3)
        host->erased = true;
    else if (what == 4)
        model->wanted = 1 + 2 * (unsigned)g_rand_int_range(model->random, 0, 4);
    if (host->erased && host->up)
        host->data[0] = '\0';
    unsigned keeps = 0;
    for (unsigned j = 0; j < model->n; j++) {
        const ModelHost *one = &model->hosts[model->members[j].host];
        keeps += !model->members[j].learner && !one->erased &&
                 strcmp(one->data, model->members[j].id) == 0;
    }
    if (keeps < count(model, false, false) / 2 + 1)
        *host = before;
}

static void look(const Model *model, ClusterMember *members, ClusterHost *hosts,
                 ClusterView *view) {
    *view = (ClusterView){ .members = members, .hosts = hosts, .n_members = model->n };
    view->wanted = model->wanted;
    view->grace_s = GRACE_S;
    bool has_leader = false;
    for (unsigned i = 0; i < model->n; i++) {
        const ModelMember *member = &model->members[i];
        const ModelHost *host = &model->hosts[member->host];
        bool healthy = answers(model, member);
        members[i] = (ClusterMember){ .id = member->id,
                                      .name = member->started ? host->name : "",
                                      .peer = host->peer,
                                      .learner = member->learner,
                                      .healthy = healthy,
                                      .in_sync = member->age_s > 3,
                                      .silent_s = member->silent_s };
        members[i].leader = healthy && !member->learner && !has_leader;
        has_leader |= members[i].leader;
    }
    for (unsigned i = 0; i < HOSTS; i++)
        if (model->hosts[i].up)
            hosts[view->n_hosts++] = (ClusterHost){ .name = model->hosts[i].name,
                                                    .peer = model->hosts[i].peer,
                                                    .data = model->hosts[i].data };
}

static unsigned host_number(const Model *model, const char *peer) {
    for (unsigned i = 0; i < HOSTS; i++)
        if (strcmp(model->hosts[i].peer, peer) == 0)
            return i;
    g_assert_not_reached();
}

static void apply(Model *model, const ClusterStep *step, const ClusterMember *members) {
    unsigned at = step->member ? (unsigned)(step->member - members) : 0;
    model->changes++;
    if (step->kind == CLUSTER_ADD) {
        /* etcd's own rule. */
        g_assert_cmpuint(count(model, true, false), ==, count(model, false, false));
        add(model, host_number(model, step->host->peer), true);
    } else if (step->kind == CLUSTER_PROMOTE) {
        g_assert_true(model->members[at].learner && answers(model, &model->members[at]));
        model->members[at].learner = false;
    } else {
        bool serves = answers(model, &model->members[at]) && !model->members[at].learner;
        g_assert_true(!serves || count(model, false, false) > model->wanted);
        memmove(&model->members[at], &model->members[at + 1],
                sizeof model->members[0] * (model->n - at - 1));
        model->n--;
    }
    g_assert_true(has_quorum(model));
    g_assert_cmpuint(count(model, false, true), <=, 1);
}

static void second(Model *model) {
    ClusterMember members[HOSTS + 1];
    ClusterHost hosts[HOSTS];
    ClusterView view;
    ClusterStep step;
    live(model);
    look(model, members, hosts, &view);
    cluster_decide(&view, &step);
    if (step.kind == CLUSTER_WAIT)
        return;
    g_assert_true(has_quorum(model));
    apply(model, &step, members);
}

static void test_random(void) {
    for (unsigned seed = 0; seed < 400; seed++) {
        Model model = { .random = g_rand_new_with_seed(seed), .wanted = 3 };
        for (unsigned i = 0; i < HOSTS; i++) {
            model.hosts[i].up = true;
            (void)g_snprintf(model.hosts[i].name, sizeof model.hosts[i].name, "m%u", i);
            (void)g_snprintf(model.hosts[i].peer, sizeof model.hosts[i].peer, "p%u", i);
        }
        add(&model, 0, false);
        for (unsigned i = 0; i < 300; i++) {
            if (g_rand_int_range(model.random, 0, 4) == 0)
                harm(&model);
            second(&model);
        }
        for (unsigned i = 0; i < HOSTS; i++)
            model.hosts[i].up = true;
        for (unsigned i = 0; i < 200; i++)
            second(&model);
        g_assert_cmpuint(count(&model, true, false), ==, model.wanted);
        g_assert_cmpuint(model.n, ==, model.wanted);
        unsigned changes = model.changes;
        second(&model);
        g_assert_cmpuint(model.changes, ==, changes);
        g_rand_free(model.random);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/decide/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/decide/sizes", test_sizes);
    g_test_add_func("/decide/random", test_random);
    return g_test_run();
}
