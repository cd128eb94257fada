#pragma once
/*
 * Members of a JSON object that say what JSON cannot: {"$bytes": "<base64>"}, {"$secret": "<name>"}
 * or {"$secret": null}, {"$unknown": true}, each alone in its object; and a key "$bytes:<base64>"
 * for a key that is not UTF-8. A map of somebody that has just such a key gets one more '$' in
 * front of it on the way out and loses it on the way in.
 */
#define JSON_MARK_BYTES     "$bytes"
#define JSON_MARK_SECRET    "$secret"
#define JSON_MARK_UNKNOWN   "$unknown"
#define JSON_MARK_KEY_BYTES "$bytes:"
#include <stdbool.h>

/* Whether the reader would not take key for what it is. alone: the only one of its object. */
bool json_key_is_reserved(const char *key, bool alone);
