#pragma once
/*
 * Value: the one dynamic type of stead. Parameters, observed properties, outputs, plan and ledger
 * records are values. Reference-counted (atomically) and immutable once shared: build a list or
 * map, then hand it out.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Value Value;

typedef enum {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STRING, /* any bytes, always followed by a NUL that is not counted */
    VALUE_LIST,
    VALUE_MAP,     /* string keys, iterated in byte order of the keys */
    VALUE_UNKNOWN, /* known only after apply; equal to nothing, not even itself */
} ValueType;

/* Every constructor returns a new reference. */
Value *value_new_nil(void);
Value *value_new_bool(bool b);
Value *value_new_int(int64_t i);
Value *value_new_float(double d);
Value *value_new_string(const char *text);
Value *value_new_bytes(const void *data, size_t size);
Value *value_new_list(void);
Value *value_new_map(void);
Value *value_new_unknown(void);

Value *
value_ref(const Value *value);  /* NULL gives NULL; constness is of the content, not of the count */
void value_unref(Value *value); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Value, value_unref)

/* Adds to a list or map that nobody else holds yet. Takes ownership of item (NULL adds nil), which
 * must be complete: what is added to it later is not seen as secret or unknown from here. */
void value_list_append(Value *list, Value *item);
void value_map_set(Value *map, const char *key,
                   Value *item); /* replaces an earlier item of that key */

ValueType value_type(const Value *value); /* NULL is VALUE_NIL */
const char *value_type_name(ValueType type);

/* Reading. The type must fit (asserted); what is returned is owned by value. */
bool value_bool(const Value *value);
int64_t value_int(const Value *value);
double value_float(const Value *value); /* accepts VALUE_INT too */
const char *value_string(const Value *value);
size_t value_string_size(const Value *value);
size_t value_size(const Value *value); /* number of items of a list or map */
const Value *value_list_at(const Value *list, size_t index);
const Value *value_map_get(const Value *map, const char *key); /* NULL when absent */
const Value *value_map_at(const Value *map, size_t index, const char **ret_key);

/* Optional look-ups in a map: the fallback when the key is absent or of another type. */
const char *value_map_string(const Value *map, const char *key, const char *fallback);
int64_t value_map_int(const Value *map, const char *key, int64_t fallback);
bool value_map_bool(const Value *map, const char *key, bool fallback);

/* Deep. NULL equals nil; secrecy does not matter; the integer 1 and the float 1.0 differ, NaN
 * equals NaN; whatever has an unknown in it equals nothing. value_compare() is a total order, by
 * type and then by content (unknowns are one place in it); equal values have equal hashes. */
bool value_equal(const Value *a, const Value *b);
int value_compare(const Value *a, const Value *b);
guint value_hash(const Value *value);

bool value_has_unknown(const Value *value); /* is unknown, or has an unknown item at any depth */

/* Secrets. value_as_secret() returns a copy that is masked wherever it is shown; name (may be NULL)
 * is how the saved plan refers to it. A list or map that contains a secret is secret itself. */
Value *value_as_secret(const Value *value, const char *name);
bool value_is_secret(const Value *value);          /* itself, or by an item at any depth */
bool value_is_masked(const Value *value);          /* itself: shown as (secret) as a whole */
const char *value_secret_name(const Value *value); /* NULL when not a named secret */

/* For people, one line, at most max_chars characters (0: all), secrets as "(secret)".
 * Strings are quoted and escaped, so that nothing in them reaches a terminal. Caller frees. */
char *value_show(const Value *value, size_t max_chars);
