/* Who asks, and what they may. */
#include <string.h>
#include <sys/random.h>

#include "base/digest.h"
#include "base/error.h"
#include "hub/gateway.h"

static const char *const role_names[] = {
    [ROLE_NONE] = "none",         [ROLE_HOST] = "host",   [ROLE_READER] = "reader",
    [ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",
};

Role role_parse(const char *name) {
    for (unsigned i = ROLE_HOST; i < G_N_ELEMENTS(role_names); i++)
        if (strcmp(role_names[i], name) == 0)
            return (Role)i;
    return ROLE_NONE;
}

const char *role_name(Role role) {
    return role_names[role];
}

/* --- guesses: a bucket for each address that sent a wrong token ------------------------------- */

#define GUESSES_AT_ONCE 10
#define GUESS_EVERY_US  (6 * (uint64_t)G_USEC_PER_SEC) /* one more is allowed after so long */
#define GUESSERS_MAX    10000u

struct Guesses {
    GHashTable *full_at; /* address -> when its bucket is as good as new, in loop time */
};

Guesses *guesses_new(void) {
    Guesses *guesses = g_new0(Guesses, 1);
    guesses->full_at = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return guesses;
}

void guesses_free(Guesses *guesses) {
    if (!guesses)
        return;
    g_hash_table_unref(guesses->full_at);
    g_free(guesses);
}

static gboolean is_forgotten(void *key, void *value, void *now) {
    return *(uint64_t *)value <= *(uint64_t *)now;
}

bool guess_allowed(Ask *ask) {
    uint64_t now = loop_now(ask->hub->loop);
    const uint64_t *full_at =
        g_hash_table_lookup(ask->hub->guesses->full_at, http_request_peer(ask->request));
    if (!full_at || *full_at <= now + (GUESSES_AT_ONCE - 1) * GUESS_EVERY_US)
        return true;
    uint64_t wait = *full_at - now - (GUESSES_AT_ONCE - 1) * GUESS_EVERY_US;
    g_autofree char *seconds = g_strdup_printf("%" G_GUINT64_FORMAT, wait / G_USEC_PER_SEC + 1);
    g_autofree char *hint = g_strdup_printf("wait %s s", seconds);
    http_set_header(ask->request, "Retry-After", seconds);
    http_answer_error(ask->request, 429, hint, "too many wrong tokens from %s",
                      http_request_peer(ask->request));
    return false;
}

void guess_failed(Ask *ask, const char *why) {
    GHashTable *table = ask->hub->guesses->full_at;
    uint64_t now = loop_now(ask->hub->loop);
    if (g_hash_table_size(table) >= GUESSERS_MAX)
        g_hash_table_foreach_remove(table, is_forgotten, &now);
    if (g_hash_table_size(table) >= GUESSERS_MAX)
        g_hash_table_remove_all(table); /* better to forget some than to grow */
    const uint64_t *old = g_hash_table_lookup(table, http_request_peer(ask->request));
    uint64_t *full_at = g_new(uint64_t, 1);
    *full_at = MAX(old ? *old : 0, now) + GUESS_EVERY_US;
    g_hash_table_replace(table, g_strdup(http_request_peer(ask->request)), full_at);
    http_set_header(ask->request, "WWW-Authenticate", "Bearer");
    http_answer_error(ask->request, 401, "'stead token new' makes another", "%s", why);
}

/* --- tokens ----------------------------------------------------------------------------------- */

#define TOKEN_PREFIX  "stead_"
#define ID_DIGITS     16
#define SECRET_DIGITS 64

static char *random_hex(unsigned bytes) {
    unsigned char buffer[32];
    g_assert(bytes <= sizeof buffer);
    g_assert(getrandom(buffer, bytes, 0) == (ssize_t)bytes); /* up to 256 bytes never fall short */
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < bytes; i++)
        g_string_append_printf(text, "%02x", buffer[i]);
    return g_string_free(text, FALSE);
}

static char *hash_of(const char *secret) {
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(secret, strlen(secret), hex);
    return g_strdup(hex);
}

char *token_new(char **ret_id, char **ret_hash) {
    g_autofree char *secret = random_hex(SECRET_DIGITS / 2);
    *ret_id = random_hex(ID_DIGITS / 2);
    *ret_hash = hash_of(secret);
    return g_strconcat(TOKEN_PREFIX, *ret_id, "_", secret, NULL);
}

bool token_parse(const char *token, char **ret_id, char **ret_hash) {
    size_t prefix = strlen(TOKEN_PREFIX);
    if (strlen(token) != prefix + ID_DIGITS + 1 + SECRET_DIGITS ||
        !g_str_has_prefix(token, TOKEN_PREFIX) || token[prefix + ID_DIGITS] != '_' ||
        strspn(token + prefix, "0123456789abcdef") != ID_DIGITS)
        return false;
    *ret_id = g_strndup(token + prefix, ID_DIGITS);
    *ret_hash = hash_of(token + prefix + ID_DIGITS + 1);
    return true;
}

/* Takes as long whatever differs; the lengths are no secret. */
static bool same_text(const char *a, const char *b) {
    size_t size = strlen(a);
    if (size != strlen(b))
        return false;
    unsigned char difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

bool token_fits(const Value *record, const char *hash, int64_t now, const char **ret_why) {
    if (!record || !same_text(value_map_string(record, "hash", ""), hash)) {
        *ret_why = "the token is not known: it was used or removed, or is mistyped";
        return false;
    }
    int64_t expires = value_map_int(record, "expires", 0);
    if (expires > 0 && now > expires) {
        *ret_why = "the token has expired";
        return false;
    }
    return true;
}

/* --- who -------------------------------------------------------------------------------------- */

/* Whether one of the names in wanted, separated by spaces, is a role that role has the rights of.
 */
static bool role_suffices(Role role, const char *wanted) {
    g_auto(GStrv) names = g_strsplit(wanted, " ", -1);
    for (char **name = names; *name; name++) {
        Role one = role_parse(*name);
        if (one == ROLE_HOST ? role == ROLE_HOST : role >= one)
            return true;
    }
    return false;
}

static void admit(Ask *ask) {
    const HttpRoute *route = http_request_route(ask->request);
    if (role_suffices(ask->role, route->role)) {
        http_route_handle(ask->request);
        return;
    }
    http_answer_error(ask->request, 403, NULL,
                      "%s may not do this: it takes the role '%s', not '%s'", ask->who, route->role,
                      role_name(ask->role));
}

static void on_token(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) record = entry_value(store_answer_entry(answer));
    const char *why;
    if (!token_fits(record, ask->text, wall_seconds(ask->hub), &why)) {
        guess_failed(ask, why);
        return;
    }
    ask->role = role_parse(value_map_string(record, "role", ""));
    if (ask->role < ROLE_READER) {
        guess_failed(ask, "this token is for joining only: 'stead agent join'");
        return;
    }
    ask->who = g_strconcat("token:", value_map_string(record, "name", "?"), NULL);
    g_clear_pointer(&ask->text, g_free);
    admit(ask);
}

static void identify_token(Ask *ask, const char *token) {
    g_autofree char *id = NULL;
    if (!guess_allowed(ask))
        return;
    if (!token_parse(token, &id, &ask->text)) {
        guess_failed(ask, "this is no token of stead");
        return;
    }
    ask->credential = g_strconcat(KEY_TOKENS, id, NULL);
    ask_get(ask, ask->credential, on_token);
}

static void on_certificate(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) record = entry_value(store_answer_entry(answer));
    if (!record || value_map_bool(record, "revoked", true)) {
        http_answer_error(ask->request, 403, "join again with a new token: 'stead agent join'",
                          "the certificate of %s was revoked", ask->who);
        return;
    }
    ask->role = role_parse(value_map_string(record, "role", ""));
    admit(ask);
}

static void identify_certificate(Ask *ask, GBytes *der) {
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiCertificate) certificate = pki_certificate_parse_der(der, &error);
    PkiRole role = PKI_SERVER;
    g_autofree char *name = NULL;
    if (!certificate ||
        !pki_verify_client(ask->hub->authority, certificate, wall_seconds(ask->hub), &error)) {
        http_answer_error(ask->request, 401, NULL, "%s", error->message);
        return;
    }
    name = pki_certificate_name(certificate, &role);
    g_autofree char *serial = pki_certificate_serial(certificate);
    ask->who = g_strconcat(role == PKI_HOST ? "host:" : "person:", name ? name : "?", NULL);
    if (role == PKI_HOST)
        ask->host = g_strdup(name);
    ask->credential = g_strconcat(KEY_CERTIFICATES, serial, NULL);
    ask_get(ask, ask->credential, on_certificate);
}

void hub_dispatch(void *data, HttpRequest *request) {
    Ask *ask = ask_new(data, request);
    if (g_str_has_prefix(http_request_path(request), GATEWAY_PATH))
        ask->failed = gateway_refuse;
    const char *authorization = http_request_header(request, "Authorization");
    GBytes *certificate = http_request_certificate(request);
    if (!http_request_route(request)->role) {
        ask->who = g_strdup("anonymous");
        http_route_handle(request);
    } else if (authorization && g_ascii_strncasecmp(authorization, "Bearer ", 7) == 0) {
        identify_token(ask, authorization + 7);
    } else if (certificate) {
        identify_certificate(ask, certificate);
    } else {
        http_set_header(request, "WWW-Authenticate", "Bearer");
        http_answer_error(request, 401,
                          "send 'Authorization: Bearer TOKEN', or a client certificate of this hub",
                          "say who you are");
    }
}
