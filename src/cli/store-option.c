#include "cli/store-option.h"

#include "base/error.h"

static bool read_file(const char *path, char **ret_text, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (path == NULL || g_file_get_contents(path, ret_text, NULL, &problem))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "read '%s': %s", path, problem->message);
    return false;
}

Store *store_open_named(Loop *loop, const char *where, const Arguments *arguments, GError **error) {
    g_autofree char *ca = NULL, *certificate = NULL, *key = NULL, *password = NULL;
    if (!read_file(arguments->store_ca, &ca, error) ||
        !read_file(arguments->store_cert, &certificate, error) ||
        !read_file(arguments->store_key, &key, error) ||
        !read_file(arguments->store_password_file, &password, error))
        return NULL;
    StoreEtcdOptions etcd = { .ca = ca,
                              .certificate = certificate,
                              .key = key,
                              .user = arguments->store_user,
                              .password = password != NULL ? g_strchomp(password) : NULL };
    return store_open(loop, where, &etcd, error);
}

#define TO(member) offsetof(Arguments, member)

const Option option_store = {
    "store",
    0,
    G_OPTION_ARG_STRING,
    TO(store),
    "STORE",
    "The store: sqlite=FILE or etcd=URL[,URL...] (also: STEAD_STORE in the environment)",
};
const Option option_store_ca = {
    "store-ca",
    0,
    G_OPTION_ARG_FILENAME,
    TO(store_ca),
    "FILE",
    "Who may sign the certificates of etcd, PEM (default: whom this machine trusts)",
};
const Option option_store_cert = {
    "store-cert",   0,      G_OPTION_ARG_FILENAME,
    TO(store_cert), "FILE", "Certificate that etcd knows us by, PEM",
};
const Option option_store_key = {
    "store-key", 0, G_OPTION_ARG_FILENAME, TO(store_key), "FILE", "Its private key, PEM",
};
const Option option_store_user = {
    "store-user", 0, G_OPTION_ARG_STRING, TO(store_user), "NAME", "User of etcd",
};
const Option option_store_password_file = {
    "store-password-file",   0,      G_OPTION_ARG_FILENAME,
    TO(store_password_file), "FILE", "Password of that user",
};
