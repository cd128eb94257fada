#include "base/hash.h"

#include <string.h>

/* The multiply-and-fold step of wyhash (Wang Yi, public domain). */
uint64_t hash_word(uint64_t hash, uint64_t word) {
    unsigned __int128 product =
        (unsigned __int128)(hash ^ 0xa0761d6478bd642full) * (word ^ 0xe7037ed1a0b428dbull);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(uint64_t hash, const char *data, size_t size) {
    hash = hash_word(hash, size);
    uint64_t word;
    for (; size >= sizeof word; size -= sizeof word, data += sizeof word) {
        memcpy(&word, data, sizeof word);
        hash = hash_word(hash, word);
    }
    if (size == 0)
        return hash;
    word = 0;
    memcpy(&word, data, size);
    return hash_word(hash, word);
}

guint hash_string(gconstpointer text) {
    uint64_t hash = hash_bytes(0, text, strlen(text));
    return (guint)(hash ^ (hash >> 32));
}
