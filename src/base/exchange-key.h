#pragma once
/* Names in the exchange of a fleet, and who may publish what. Pure: the language, the agent and
 * whoever stands between it and the store decide by the same functions. */
#include <glib.h>
#include <stdbool.h>

#define EXCHANGE_LIMIT_HOST   253u          /* bytes of a host's name */
#define EXCHANGE_LIMIT_KEY    512u          /* bytes of a key */
#define EXCHANGE_LIMIT_VALUE  (256u * 1024) /* bytes of a value, as JSON */
#define EXCHANGE_LIMIT_KEYS   10000u        /* that one host publishes */
#define EXCHANGE_LIMIT_SEATS  64u           /* of a schedule */
#define EXCHANGE_MIN_TTL      2u            /* seconds */
#define EXCHANGE_MAX_TTL      86400u
#define EXCHANGE_TTL          60u /* seconds that what a host published outlives it */
#define EXCHANGE_SCHEDULE_TTL 10u /* the same of its seats */
#define EXCHANGE_PLACEHOLDER  "{host}"

/* Letters, digits, dots, dashes and underscores. */
bool exchange_host_check(const char *host, GError **error);
/* UTF-8 words between single slashes: "web/web1". */
bool exchange_key_check(const char *key, GError **error);
/* A key, or all below one: with a slash at its end; "/" is everything. */
bool exchange_path_check(const char *path, GError **error);
/* Of a schedule, an election: a key without slashes. */
bool exchange_name_check(const char *name, GError **error);

/* A host may publish its own name and all below it, and what one of grants says (NULL-terminated,
 * or NULL): a key, all below one ("web/"), or everything ("/"); "{host}" in it is the host's name.
 */
bool exchange_may_publish(const char *host, const char *const *grants, const char *key,
                          GError **error);
