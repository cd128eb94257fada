#include <crypt.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds/kinds.h"

/*
 * password: a random password that is made once and then stays.
 *
 * It is kept in STATE/password/NAME (the name percent-encoded), 0600 below a 0700 directory:
 *     line 1   the password in clear, or empty with saved = false
 *     line 2   its crypt(3) hash
 * The hash is kept as well because hashing again would give another one (random salt), and whoever
 * receives it would change at every run.
 */

enum { P_STATE, P_LENGTH, P_SAVED, P_CHECK_RECOVERY, N_PARAMS };

#define LENGTH_MAX 256 /* far below CRYPT_MAX_PASSPHRASE_SIZE */
#define FILE_MAX   4096

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
#define ALPHABET_SIZE (sizeof alphabet - 1)

static const char *const states[] = { "exists", "absent", NULL };

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY,
                  "Whether there is a password; absent forgets it.", .fallback = "exists",
                  .choices = states, .aliases = "ensure" },
    [P_LENGTH] = { "length", PARAM_INT, 0,
                   "How many characters it has, 1 to 256, out of digits and letters. Each adds "
                   "5.95 "
                   "bits.",
                   .fallback = "64" },
    [P_SAVED] = { "saved", PARAM_BOOL, PARAM_PROPERTY,
                  "Keep the password itself, readable by root only, below the state directory. "
                  "False keeps its hash only: the output `password` then exists in the run that "
                  "made "
                  "it and never again.",
                  .fallback = "true" },
    [P_CHECK_RECOVERY] = { "check_recovery", PARAM_BOOL, 0,
                           "Make a new password when the kept one is damaged or of another length, "
                           "instead of failing.",
                           .fallback = "false" },
};

static const Output outputs[] = {
    { "password", PARAM_STRING, "The password in clear; a secret." },
    { "hash", PARAM_STRING, "Its crypt(3) hash (yescrypt), as user.password wants it; a secret." },
};

/* What the file holds. */
typedef struct {
    char *password; /* NULL: not kept */
    char *hash;
} Kept;

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    g_free(text);
}

static void kept_clear(Kept *kept) {
    wipe(g_steal_pointer(&kept->password));
    wipe(g_steal_pointer(&kept->hash));
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Kept, kept_clear)

/* --- the file --- */

static char *kept_directory(const KindRun *run, GError **error) {
    if (run->state_dir)
        return g_build_filename(run->state_dir, "password", NULL);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "cannot keep a password without a state directory; give one with --state DIR");
    return NULL;
}

/* Dots are encoded too: "." and ".." are no file names, and a name with a dot is a temporary one.
 */
static char *kept_path(const KindRun *run, GError **error) {
    g_autofree char *directory = kept_directory(run, error);
    if (!directory)
        return NULL;
    g_autofree char *escaped = g_uri_escape_string(run->resource->name, NULL, false);
    g_auto(GStrv) parts = g_strsplit(escaped, ".", -1);
    g_autofree char *name = g_strjoinv("%2E", parts);
    return g_build_filename(directory, name, NULL);
}

static bool damaged(GError **error, const char *path, const char *what) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                "cannot use the kept password in '%s': %s; set check_recovery = true to make a new "
                "one",
                path, what);
    return false;
}

static bool is_password(const char *text) {
    return strspn(text, alphabet) == strlen(text);
}

/* Takes the file apart in place. */
static bool parse_kept(char *text, size_t size, const char *path, Kept *kept, GError **error) {
    char *end = memchr(text, '\n', size);
    size_t length = strlen(text);
    if (length != size || !end || length < 2 || text[length - 1] != '\n')
        return damaged(error, path, "it is cut off");
    *end = text[length - 1] = '\0';
    if (end == text + length - 1 || strchr(end + 1, '\n') || end[1] != '$')
        return damaged(error, path, "it has no hash");
    if (!is_password(text))
        return damaged(error, path, "it contains characters that stead never uses");
    kept->password = *text ? g_strdup(text) : NULL;
    kept->hash = g_strdup(end + 1);
    return true;
}

/* STEAD_ERROR_NOT_FOUND: none is kept. */
static bool read_kept(const char *path, Kept *kept, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autofree char *text = NULL;
    gsize size;
    if (!g_file_get_contents(path, &text, &size, &problem)) {
        bool missing = g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT);
        g_set_error(error, STEAD_ERROR, missing ? STEAD_ERROR_NOT_FOUND : STEAD_ERROR_IO,
                    "cannot read the kept password: %s", problem->message);
        return false;
    }
    bool good = size <= FILE_MAX ? parse_kept(text, size, path, kept, error)
                                 : damaged(error, path, "it is too long");
    explicit_bzero(text, size);
    return good;
}

static bool write_kept(const KindRun *run, const Kept *kept, GError **error) {
    g_autofree char *directory = kept_directory(run, error);
    g_autofree char *path = directory ? kept_path(run, error) : NULL;
    if (!path)
        return false;
    if (g_mkdir_with_parents(directory, 0700) < 0)
        return set_io_error(error, errno, "cannot make directory '%s'", directory);
    bool saved = resource_bool(run->resource, P_SAVED);
    char *text = g_strdup_printf("%s\n%s\n", saved ? kept->password : "", kept->hash);
    g_autoptr(GError) problem = NULL;
    bool good = g_file_set_contents_full(
        path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
        &problem);
    wipe(text);
    if (!good)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "cannot keep the password: %s",
                    problem->message);
    return good;
}

/* --- making one --- */

/* Bytes at or above the largest multiple of the alphabet's size are thrown away, so that every
 * character is equally likely. */
static char *generate(size_t length, GError **error) {
    const unsigned limit = 256 - 256 % ALPHABET_SIZE;
    char *password = g_malloc0(length + 1);
    size_t have = 0;
    while (have < length) {
        unsigned char bytes[128]; /* getrandom(2) gives up to 256 bytes whole */
        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
            set_io_error(error, errno, "cannot get random bytes");
            wipe(password);
            return NULL;
        }
        for (size_t i = 0; i < sizeof bytes && have < length; i++)
            if (bytes[i] < limit)
                password[have++] = alphabet[bytes[i] % ALPHABET_SIZE];
        explicit_bzero(bytes, sizeof bytes);
    }
    return password;
}

static char *hash_of(const char *password, GError **error) {
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting)) {
        set_io_error(error, errno, "cannot make a salt for the password's hash");
        return NULL;
    }
    struct crypt_data data = { 0 };
    const char *hash = crypt_r(password, setting, &data);
    char *copy = hash && hash[0] == '$' ? g_strdup(hash) : NULL;
    if (!copy)
        set_io_error(error, errno, "cannot hash the password");
    explicit_bzero(&data, sizeof data);
    return copy;
}

/* --- the kind --- */

static bool wants_absent(const Resource *resource) {
    return g_str_equal(resource_string(resource, P_STATE), "absent");
}

static bool password_validate(const Resource *resource, GError **error) {
    int64_t length = resource_int(resource, P_LENGTH, 0);
    if (length >= 1 && length <= LENGTH_MAX)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse length %" G_GINT64_FORMAT ": a password has 1 to %d characters", length,
                LENGTH_MAX);
    return false;
}

static void send_secret(KindRun *run, const char *output, const char *text) {
    g_autoptr(Value) plain = value_new_string(text);
    kind_run_send(run, output, value_as_secret(plain, NULL));
}

static void send_kept(KindRun *run, const Kept *kept) {
    if (kept->password)
        send_secret(run, "password", kept->password);
    send_secret(run, "hash", kept->hash);
}

static bool check_length(const Resource *resource, const char *path, const Kept *kept,
                         GError **error) {
    size_t wanted = (size_t)resource_int(resource, P_LENGTH, 0);
    if (!kept->password || strlen(kept->password) == wanted)
        return true;
    g_autofree char *what =
        g_strdup_printf("it has %zu characters, not %zu", strlen(kept->password), wanted);
    return damaged(error, path, what);
}

/* Fills kept when there is one that can stay. Damage is an error, or with check_recovery as if
 * there was none. */
static bool load(const KindRun *run, Kept *kept, bool *ret_exists, GError **error) {
    *ret_exists = false;
    g_autofree char *path = kept_path(run, error);
    if (!path)
        return false;
    g_autoptr(GError) problem = NULL;
    if (read_kept(path, kept, &problem) &&
        (wants_absent(run->resource) || check_length(run->resource, path, kept, &problem))) {
        *ret_exists = true;
        return true;
    }
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    bool recover = resource_bool(run->resource, P_CHECK_RECOVERY) || wants_absent(run->resource);
    if (recover && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_DAMAGED)) {
        kept_clear(kept);
        *ret_exists = wants_absent(run->resource); /* there is a file to remove */
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool password_observe(KindRun *run, State *actual, GError **error) {
    g_auto(Kept) kept = { 0 };
    if (!load(run, &kept, &actual->exists, error))
        return false;
    state_set(actual, P_STATE, value_new_string(actual->exists ? "exists" : "absent"));
    if (actual->exists)
        state_set(actual, P_SAVED, value_new_bool(kept.password != NULL));
    if (actual->exists && !wants_absent(run->resource))
        send_kept(run, &kept);
    return true;
}

/* saved = true after saved = false cannot bring the old password back. */
static bool needs_new(const KindRun *run, const State *actual) {
    if (run->refresh || !actual->exists)
        return true;
    return resource_bool(run->resource, P_SAVED) && !value_bool(state_get(actual, P_SAVED));
}

static Value *new_secret(const char *text) {
    g_autoptr(Value) plain = value_new_string(text);
    return value_as_secret(plain, NULL);
}

static void diff_absent(const State *actual, Changes *changes) {
    if (!actual->exists)
        return;
    changes->action = ACTION_REMOVE;
    changes_add(changes, "state", value_new_string("exists"), value_new_string("absent"), NULL);
}

static void diff_present(KindRun *run, const State *actual, Changes *changes) {
    bool saved = resource_bool(run->resource, P_SAVED);
    if (needs_new(run, actual)) {
        changes->action = actual->exists ? ACTION_CHANGE : ACTION_CREATE;
        changes_add(changes, "password", actual->exists ? new_secret("") : NULL,
                    value_new_unknown(), NULL);
        if (run->planning) {
            kind_run_send(run, "password", value_new_unknown());
            kind_run_send(run, "hash", value_new_unknown());
        }
    } else if (value_bool(state_get(actual, P_SAVED)) != saved) {
        changes->action = ACTION_CHANGE;
        changes_add(changes, "saved", value_new_bool(!saved), value_new_bool(saved), NULL);
    }
}

static bool password_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->planning && run->reason == REASON_VERIFY)
        return true; /* a plan leaves the file as it is */
    if (wants_absent(run->resource))
        diff_absent(actual, changes);
    else
        diff_present(run, actual, changes);
    return true;
}

static bool remove_kept(const KindRun *run, GError **error) {
    g_autofree char *path = kept_path(run, error);
    if (!path)
        return false;
    if (unlink(path) < 0 && errno != ENOENT)
        return set_io_error(error, errno, "cannot remove the kept password '%s'", path);
    return true;
}

static bool password_apply(KindRun *run, const State *actual, const Changes *changes,
                           GError **error) {
    if (run->planning)
        return true; /* the file is not part of the host, so nothing may be written */
    if (wants_absent(run->resource))
        return remove_kept(run, error);
    g_auto(Kept) kept = { 0 };
    bool exists;
    if (!load(run, &kept, &exists, error))
        return false;
    if (needs_new(run, actual)) {
        kept_clear(&kept);
        kept.password = generate((size_t)resource_int(run->resource, P_LENGTH, 0), error);
        kept.hash = kept.password ? hash_of(kept.password, error) : NULL;
        if (!kept.hash)
            return false;
        kind_run_note(run, "made a new password");
    }
    if (!write_kept(run, &kept, error))
        return false;
    send_kept(run, &kept);
    return true;
}

/* GLib writes to NAME.XXXXXX first: a killed run leaves a password there. */
static bool password_clean(KindRun *run, GError **error) {
    g_autofree char *path = kept_path(run, error);
    if (!path)
        return false;
    g_autofree char *directory = g_path_get_dirname(path), *base = g_path_get_basename(path);
    g_autofree char *prefix = g_strconcat(base, ".", NULL);
    g_autoptr(GDir) names = g_dir_open(directory, 0, NULL);
    for (const char *name; names && (name = g_dir_read_name(names));) {
        g_autofree char *left = g_build_filename(directory, name, NULL);
        if (g_str_has_prefix(name, prefix) && unlink(left) < 0 && errno != ENOENT)
            return set_io_error(error, errno, "cannot remove '%s'", left);
    }
    return true;
}

static Resource *password_reverse(const Resource *resource, const State *before, OnRemove how,
                                  GError **error) {
    if (wants_absent(resource))
        return NULL; /* what is forgotten cannot be brought back */
    Resource *undo = resource_copy(resource);
    resource_put(undo, P_STATE, value_new_string("absent"));
    return undo;
}

const Kind kind_password = {
    .name = "password",
    .summary = "Make a random password once and keep it",
    .help =
        "Makes a password of `length` random digits and letters the first time, and hands out the "
        "same one from then on: in clear as the output `password`, and hashed as `hash`, which "
        "`user` takes as its `password`. Both are secrets: no plan, log or ledger shows them.\n\n"
        "A notification makes a new one. So does `saved = true` where only the hash was kept. A "
        "kept password whose length differs from `length` is an error, because a new password "
        "should be somebody's decision: say `check_recovery = true`, or notify it.\n\n"
        "The password is kept on this machine only, below the state directory. When the resource "
        "leaves the configuration, it is removed. In a plan the outputs of a password that would "
        "be "
        "made are unknown.",
    .example = "password \"ada\" { length = 32 }\n"
               "user \"ada\" { password = out(password \"ada\", \"hash\") }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .flags = KIND_REFRESHES | KIND_UNPREDICTABLE,
    .validate = password_validate,
    .observe = password_observe,
    .diff = password_diff,
    .apply = password_apply,
    .reverse = password_reverse,
    .clean = password_clean,
};
