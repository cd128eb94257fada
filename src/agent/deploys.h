#pragma once
/*
 * The deploys of this machine below its state directory, verified each time they are taken up, and
 * unpacked to be run. All of it blocks: it is for a worker, one call at a time.
 *
 *   kept/           what was accepted: bundle/keep.h
 *   keys            the list of keys that is followed, once there is one: a chain
 *   run/12.XXXXXX/  record 12 unpacked; nothing there is believed after a restart
 *   current         link to the one that is run; none when nothing is
 *
 * The list begins with the keys that somebody pinned on this machine, lines or a list,
 * and goes on only as one of its own keys signs.
 */
#include "bundle/keep.h"

typedef struct Deploys Deploys;

/* A deploy that can be run. */
typedef struct {
    uint64_t record; /* 0: none */
    char digest[DIGEST_HEX_SIZE];
    uint64_t time; /* when it was signed, by the clock of who did */
    char *message; /* why */
    char *directory, *file;
} Placed;

void placed_clear(Placed *placed); /* the directory stays */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Placed, placed_clear)

/* What a hub says about a deploy: nothing of it is believed. */
typedef struct {
    uint64_t record;
    char digest[DIGEST_HEX_SIZE];
    GBytes *statement, *packed;
} DeployOffer;

#define DEPLOYS_CURRENT "current"

/* directory: made when it is not there. pinned: a file, which need not be there. What was
 * unpacked before is removed. */
Deploys *deploys_open(const char *directory, const char *pinned, GError **error);
void deploys_free(Deploys *deploys); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Deploys, deploys_free)

bool deploys_has_keys(const Deploys *deploys); /* else nothing is accepted */
uint64_t deploys_last(const Deploys *deploys); /* the newest record that was accepted; 0: none */
uint64_t deploys_left(const Deploys *deploys); /* keep_left() */

/* Follows the list of the fleet, a chain or lines, durably. Lines say nothing about who may add to
 * them, and are passed over. */
bool deploys_follow_keys(Deploys *deploys, const char *text, size_t size, GError **error);
/* What a start goes on with. False: there is none, and problems (of GError) say what was passed
 * over. */
bool deploys_load(Deploys *deploys, Placed *ret_placed, GPtrArray *problems);
bool deploys_accept(Deploys *deploys, const DeployOffer *offer, Placed *ret_placed, GError **error);
bool deploys_go_back(Deploys *deploys, uint64_t record, const char *digest, Placed *ret_placed,
                     GError **error);
bool deploys_set_good(Deploys *deploys, uint64_t record, GError **error);
/* Makes `current` lead to this directory, that of a Placed; NULL: to nothing. Does not block. */
bool deploys_point(const Deploys *deploys, const char *directory, GError **error);
/* Removes what is unpacked besides these directories; either may be NULL. */
void deploys_tidy(Deploys *deploys, const char *current, const char *previous);
