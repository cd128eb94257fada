#pragma once
/*
 * Shortest edit script between two sequences of numbers, in linear space: Eugene W. Myers, "An
 * O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986). Sequences that differ very
 * much are cut where the search has come farthest (as GNU diff does), which bounds the time and may
 * miss the very shortest script.
 */
#include <stdbool.h>
#include <stddef.h>

/* Sets a_changed[i] for each item of a to delete and b_changed[j] for each item of b to insert;
 * what stays false is the same in both, in order. */
void myers_compare(const unsigned *a, size_t a_size, const unsigned *b, size_t b_size,
                   bool *a_changed, bool *b_changed);
