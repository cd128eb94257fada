#pragma once
/*
 * What is done next so that a cluster has the members that are wanted: one step, from how it is
 * now. Pure. Rules that hold after each step: most voting members answer; there is at most one
 * learner; a member that answers is removed only when there are more than are wanted.
 *
 * etcd refuses to add anybody while a voting member is out of reach. So one that is lost is removed
 * first, when somebody is there to take its place: of n members with n - 1 in reach, that loses
 * nothing, as the others are then all that there are.
 */
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *id;   /* as etcd writes it, decimal */
    const char *name; /* "": it was added and has not started yet */
    const char *peer; /* its address among members, by which a host is known too */
    bool learner;     /* does not vote yet */
    bool healthy;     /* it answers, and knows a leader */
    bool leader;
    bool in_sync;      /* a learner that has nearly all */
    unsigned silent_s; /* for how long it has not been healthy */
} ClusterMember;

/* A host whose supervisor is there. */
typedef struct {
    const char *name, *peer;
    const char *data;  /* the member whose data it has; "": none */
    bool broken;       /* etcd does not run on these */
    unsigned failures; /* how often it was a member in vain: others come first */
} ClusterHost;

typedef struct {
    const ClusterMember *members;
    unsigned n_members;
    const ClusterHost *hosts;
    unsigned n_hosts;
    unsigned wanted;  /* voting members */
    unsigned grace_s; /* a member that is silent for so long is lost */
} ClusterView;

typedef enum { CLUSTER_WAIT, CLUSTER_ADD, CLUSTER_PROMOTE, CLUSTER_REMOVE } ClusterStepKind;

typedef struct {
    ClusterStepKind kind;
    const ClusterMember *member; /* promote, remove */
    const ClusterHost *host;     /* add: as a learner */
    char why[192];               /* for people; "": all is as it is wanted */
} ClusterStep;

void cluster_decide(const ClusterView *view, ClusterStep *ret_step);

/* Sizes that make sense: odd, as one more of an even number bears no more losses. */
#define CLUSTER_SIZE_MAX 7u
bool cluster_size_is_good(unsigned size);
