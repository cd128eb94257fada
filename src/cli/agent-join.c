#include "cli/agent-join.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "cli/agent-pin.h"
#include "cli/hub-call.h"
#include "cli/join-token.h"
#include "cli/printer.h"
#include "cli/time-text.h"
#include "pki/pki.h"

#define STATE_DEFAULT "/var/lib/stead"

bool join_write(const char *directory, const char *name, const char *text, GError **error) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    return disk_replace(path, text, strlen(text), 0644, error);
}

/* What was sent to a hub whose answer did not come. */
static char *request_path(const char *directory) {
    return g_build_filename(directory, "request.pem", NULL);
}

static void forget_request(const char *directory) {
    g_autofree char *path = request_path(directory);
    (void)unlink(path); /* mostly there is none */
}

/* The key of this machine, made when there is none. It is kept when joining fails: a later try
 * goes on with it. */
static PkiKey *host_key(const char *directory, GError **error) {
    g_autofree char *path = g_build_filename(directory, "key.pem", NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return pki_key_load(path, error);
    forget_request(directory); /* of another key */
    g_autoptr(PkiKey) key = pki_key_new(error);
    return key && pki_key_save(key, path, error) ? g_steal_pointer(&key) : NULL;
}

/* The token is sent there: not to whoever listens on the way. */
static bool check_url(const char *url, GError **error) {
    if (g_str_has_prefix(url, "https://"))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "join '%s': write the address as it is told by who gave the token: "
                "https://HOST:PORT",
                url);
    return false;
}

char *join_fetch_authority(const char *url, const char *fingerprint, GError **error) {
    if (!check_url(url, error))
        return NULL;
    g_auto(HubLink) link = { .url = g_strdup(url), .unverified = true };
    g_autoptr(Value) answer = hub_call(&link, "GET", "/v1/ca", NULL, error);
    if (!answer)
        return NULL;
    const char *pem = value_map_string(answer, "certificate", "");
    g_autoptr(PkiCertificate) authority = pki_certificate_parse(pem, strlen(pem), url, error);
    if (!authority)
        return NULL;
    g_autofree char *found = pki_certificate_fingerprint(authority);
    if (strcmp(found, fingerprint) == 0)
        return g_strdup(pem);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "join '%s': its authority is %s, not %s: it is another hub, or somebody is in "
                "between; nothing was sent to it",
                url, found, fingerprint);
    return NULL;
}

/* The same for each try, so that the hub knows us again when its answer was lost. */
static char *host_request(const char *directory, const PkiKey *key, GError **error) {
    g_autofree char *path = request_path(directory);
    g_autofree char *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL))
        return g_steal_pointer(&text);
    text = pki_request_new(key, g_get_host_name(), error);
    return text && join_write(directory, "request.pem", text, error) ? g_steal_pointer(&text)
                                                                     : NULL;
}

static Value *ask_certificate(const char *directory, const char *url, const char *authority,
                              const PkiKey *key, const char *token, GError **error) {
    g_autofree char *request = host_request(directory, key, error);
    if (!request)
        return NULL;
    g_auto(HubLink) link = { .url = g_strdup(url), .ca = g_strdup(authority) };
    g_autoptr(Value) body = value_new_map();
    value_map_set(body, "token", value_new_string(token));
    value_map_set(body, "request", value_new_string(request));
    return hub_call(&link, "POST", "/v1/join", body, error);
}

bool join_check_certificate(const char *pem, const PkiKey *key, GError **error) {
    g_autoptr(PkiCertificate) certificate =
        pki_certificate_parse(pem, strlen(pem), "the hub's answer", error);
    if (!certificate)
        return false;
    if (pki_certificate_fits_key(certificate, key))
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "the hub's answer: the certificate is not for our key");
    return false;
}

/* The certificate is written last: with it the machine is a member. */
static bool keep(const char *directory, const char *url, const char *authority, const char *pem,
                 GError **error) {
    return join_write(directory, "ca.pem", authority, error) &&
           join_write(directory, "url", url, error) &&
           join_write(directory, "certificate.pem", pem, error);
}

static const char missing[] =
    "stead agent join: --ca-fingerprint, or the token, is missing; 'stead "
    "token new --host NAME' on the hub prints the whole call";

static Value *join(const Arguments *arguments, const char *url, const char *directory,
                   GError **error) {
    if (!arguments->fingerprint) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, missing);
        return NULL;
    }
    g_autofree char *token = join_token(arguments, missing, error);
    if (!token)
        return NULL;
    g_autofree char *fingerprint = pki_fingerprint_parse(arguments->fingerprint, error);
    if (!fingerprint)
        return NULL;
    if (g_mkdir_with_parents(directory, 0700) < 0) {
        (void)set_io_error(error, errno, "make '%s' (--state DIR names another place)", directory);
        return NULL;
    }
    if (!pin_keys(directory, (const char *const *)arguments->deploy_keys, error))
        return NULL;
    g_autoptr(PkiKey) key = host_key(directory, error);
    g_autofree char *authority = key ? join_fetch_authority(url, fingerprint, error) : NULL;
    if (!authority)
        return NULL;
    g_autoptr(Value) answer = ask_certificate(directory, url, authority, key, token, error);
    if (!answer)
        return NULL;
    const char *pem = value_map_string(answer, "certificate", "");
    bool kept =
        join_check_certificate(pem, key, error) && keep(directory, url, authority, pem, error);
    if (!kept)
        return NULL;
    forget_request(directory);
    return g_steal_pointer(&answer);
}

static bool has_pinned(const char *directory) {
    g_autofree char *path = g_build_filename(directory, PIN_FILE, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

char *join_directory(const Arguments *arguments) {
    return g_build_filename(arguments->state ? arguments->state : STATE_DEFAULT, JOIN_DIRECTORY,
                            NULL);
}

int agent_join(const Arguments *arguments, const char *url) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = join_directory(arguments);
    g_autofree char *certificate = g_build_filename(directory, "certificate.pem", NULL);
    bool was_member = g_file_test(certificate, G_FILE_TEST_EXISTS);
    g_autoptr(Value) joined = join(arguments, url, directory, &error);
    if (error) {
        printer_error(printer, error);
        return hub_exit_code(error);
    }
    int64_t expires = value_map_int(joined, "expires", 0);
    g_autofree char *until = time_show(expires * G_USEC_PER_SEC);
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "host", value_new_string(value_map_string(joined, "host", "")));
        value_map_set(map, "expires", value_new_int(expires));
        printer_json(printer, "joined", map);
    } else {
        printer_line(printer, STYLE_GOOD, "joined as %s, certificate until %s",
                     value_map_string(joined, "host", ""), until);
        if (was_member)
            printer_line(printer, STYLE_PLAIN,
                         "this machine had joined before: an agent that runs goes on with the new "
                         "certificate");
        if (!has_pinned(directory))
            printer_warning(printer, "no deploy will be accepted here until a key is pinned: "
                                     "'stead agent pin KEY'");
    }
    return EXIT_DONE;
}

#define TO(member) offsetof(Arguments, member)

const Option option_ca_fingerprint = {
    "ca-fingerprint",
    0,
    G_OPTION_ARG_STRING,
    TO(fingerprint),
    "SHA256",
    "join: the fingerprint of the hub's authority, as the hub prints it",
};
