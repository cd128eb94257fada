/*
 * Hashes for tables in memory: eight bytes at a time, because paths are long. Ledger entries keep
 * hashes made of them: after a change here every entry is written once more.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

/* Folds more into a hash; start with any number. */
uint64_t hash_word(uint64_t hash, uint64_t word);
uint64_t hash_bytes(uint64_t hash, const char *data, size_t size);

/* For g_hash_table_new() beside g_str_equal(). */
guint hash_string(gconstpointer text);
