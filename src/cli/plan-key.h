#pragma once
/*
 * The random key of this state directory, with which saved plans know their secrets again: a plan
 * travels, and a plain digest of a weak secret would let whoever reads it try passwords.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint8_t bytes[32];
} PlanKey;

/* Reads DIR/plan.key; make: makes it, for root alone, when there is none. */
bool plan_key_get(const char *state_dir, bool make, PlanKey *ret_key, GError **error);
