#include "hub/git.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/printable.h"
#include "bundle/sign-statement.h"
#include "host/child.h"

#define REMOTE      "stead"
#define REF         "refs/heads/tip" /* of a mirror */
#define COMPLAINT   2000u            /* bytes of what git says that are kept */
#define BRANCH_MAX  255u             /* bytes */
#define URL_MAX     2000u            /* bytes */
#define MODE_LINK   "120000"
#define MODE_RUN    "100755"
#define MODE_MODULE "160000"

typedef struct {
    char mode[7];
    char id[GIT_COMMIT_SIZE];
    uint64_t size;
    char *path;
} TreeEntry;

struct GitTree {
    char *shown; /* for errors */
    GPtrArray *entries;
};

/* --- what is asked for */

static bool refuse(GError **error, const char *what, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s: %s", what, why);
    return false;
}

/* Where the part between "://" and the next slash has its "@"; NULL: it has none. */
static const char *sign_of_user(const char *url, const char **ret_user) {
    const char *start = strstr(url, "://");
    if (!start)
        return NULL;
    *ret_user = start + strlen("://");
    const char *end = *ret_user + strcspn(*ret_user, "/?#");
    const char *found = NULL;
    for (const char *c = *ret_user; c < end; c++)
        if (*c == '@')
            found = c;
    return found;
}

/* A user of http may be a token. */
char *git_mask_url(const char *url) {
    const char *user, *sign = sign_of_user(url, &user);
    if (!sign || !g_str_has_prefix(url, "http"))
        return g_strdup(url);
    return g_strdup_printf("%.*s***%s", (int)(user - url), url, sign);
}

static bool is_remote_path(const char *url) {
    const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
    return colon && colon > url && (!slash || colon < slash) && !strstr(url, "://") &&
           !strstr(url, "::");
}

bool git_check_url(const char *url, GError **error) {
    static const char *const schemes[] = { "https://", "http://", "ssh://", "git://", "file:///" };
    const char *what = "read the address of the repository";
    if (strlen(url) > URL_MAX || !g_utf8_validate(url, -1, NULL) || *url == '-')
        return refuse(error, what, "it is longer than 2000 bytes, begins with '-' or is not UTF-8");
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return refuse(error, what, "it has a space or control character");
    const char *user, *sign = sign_of_user(url, &user);
    if (sign && !g_str_has_prefix(url, "http") && memchr(user, ':', (size_t)(sign - user)))
        return refuse(error, what, "only http and https take a password; ssh uses the hub's keys");
    for (unsigned i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_str_has_prefix(url, schemes[i]) && strlen(url) > strlen(schemes[i]) &&
            url[strlen(schemes[i])] != '-')
            return true;
    if (is_remote_path(url))
        return true;
    return refuse(error, what,
                  "write https://, http://, ssh://, git://, file:///PATH or user@host:path");
}

/* The rules of git check-ref-format. */
bool git_check_branch(const char *branch, GError **error) {
    bool good = *branch && strlen(branch) <= BRANCH_MAX && *branch != '-' && *branch != '/' &&
                g_utf8_validate(branch, -1, NULL) && !g_str_has_suffix(branch, "/") &&
                !g_str_has_suffix(branch, ".") && !strstr(branch, "..") && !strstr(branch, "//") &&
                !strstr(branch, "@{") && !strpbrk(branch, " ~^:?*[\\") && strcmp(branch, "@") != 0;
    g_auto(GStrv) parts = g_strsplit(branch, "/", -1);
    for (char **part = parts; *part; part++)
        good = good && **part != '.' && !g_str_has_suffix(*part, ".lock");
    for (const char *c = branch; *c; c++)
        good = good && (unsigned char)*c > ' ' && *c != 0x7f;
    return good || refuse(error, "read the branch", "it is no name of a branch; git names 'main'");
}

bool git_check_directory(const char *directory, GError **error) {
    bool good = strlen(directory) <= BUNDLE_PATH_MAX && g_utf8_validate(directory, -1, NULL);
    g_auto(GStrv) parts = g_strsplit(directory, "/", -1);
    for (char **part = parts; *directory && *part; part++)
        good = good && **part && strcmp(*part, ".") != 0 && strcmp(*part, "..") != 0;
    for (const char *c = directory; *c; c++)
        good = good && (unsigned char)*c >= ' ' && *c != 0x7f;
    return good || refuse(error, "read the directory",
                          "write its path in the repository, as 'site' or 'fleet/site'");
}

/* --- running git */

static void set_variable(GPtrArray *env, const char *name, const char *value) {
    g_ptr_array_add(env, g_strconcat(name, "=", value, NULL));
}

typedef struct {
    GPtrArray *env;
    unsigned n;
} Settings;

/* By the environment: others of this machine see arguments. */
static void set_setting(Settings *settings, const char *name, const char *value) {
    g_autofree char *key = g_strdup_printf("GIT_CONFIG_KEY_%u", settings->n);
    g_autofree char *text = g_strdup_printf("GIT_CONFIG_VALUE_%u", settings->n);
    set_variable(settings->env, key, name);
    set_variable(settings->env, text, value);
    settings->n++;
}

/* A password goes into a header, so that neither arguments nor complaints of git have it. */
static void set_url(Settings *settings, const char *url) {
    const char *user, *sign = sign_of_user(url, &user);
    if (!sign || !g_str_has_prefix(url, "http")) {
        set_setting(settings, "remote." REMOTE ".url", url);
        return;
    }
    g_autofree char *plain = g_strdup_printf("%.*s%s", (int)(user - url), url, sign + 1);
    g_autofree char *given = g_strndup(user, (size_t)(sign - user));
    g_autofree char *both = strchr(given, ':') ? g_strdup(given) : g_strconcat(given, ":", NULL);
    g_autofree char *words = g_uri_unescape_string(both, NULL);
    const char *login = words ? words : both;
    g_autofree char *base64 = g_base64_encode((const guchar *)login, strlen(login));
    g_autofree char *header = g_strconcat("Authorization: Basic ", base64, NULL);
    g_autofree char *name = g_strconcat("http.", plain, ".extraHeader", NULL);
    set_setting(settings, "remote." REMOTE ".url", plain);
    set_setting(settings, name, header);
}

static GPtrArray *make_environment(const GitSource *source, const char *repository) {
    static const char *const kept[] = { "PATH",          "HOME",         "SSH_AUTH_SOCK",
                                        "http_proxy",    "https_proxy",  "HTTPS_PROXY",
                                        "no_proxy",      "NO_PROXY",     "ALL_PROXY",
                                        "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO" };
    static const char *const fixed[][2] = {
        { "LC_ALL", "C" },
        { "GIT_TERMINAL_PROMPT", "0" },
        { "GIT_ASKPASS", "false" },
        { "SSH_ASKPASS", "false" },
        { "GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20" },
        { "GIT_ALLOW_PROTOCOL", "http:https:ssh:git:file" },
        { "GIT_CONFIG_NOSYSTEM", "1" },
        { "GIT_CONFIG_GLOBAL", "/dev/null" },
        { "GIT_ATTR_NOSYSTEM", "1" },
        { "GIT_NO_REPLACE_OBJECTS", "1" },
    };
    static const char *const set[][2] = {
        { "core.hooksPath", "/dev/null" },     { "gc.autoDetach", "false" },
        { "maintenance.autoDetach", "false" }, { "submodule.recurse", "false" },
        { "http.lowSpeedLimit", "1000" },      { "http.lowSpeedTime", "30" },
        { "core.fsmonitor", "false" },         { "advice.detachedHead", "false" },
    };
    GPtrArray *env = g_ptr_array_new_with_free_func(g_free);
    Settings settings = { .env = env };
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++)
        if (g_getenv(kept[i]))
            set_variable(env, kept[i], g_getenv(kept[i]));
    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++)
        set_variable(env, fixed[i][0], fixed[i][1]);
    for (unsigned i = 0; i < G_N_ELEMENTS(set); i++)
        set_setting(&settings, set[i][0], set[i][1]);
    set_url(&settings, source->url);
    g_autofree char *count = g_strdup_printf("%u", settings.n);
    set_variable(env, "GIT_CONFIG_COUNT", count);
    set_variable(env, "GIT_DIR", repository);
    g_ptr_array_add(env, NULL);
    return env;
}

typedef struct {
    const GitSource *source;
    Child child;
    const uint8_t *input;
    size_t left; /* of input */
    GByteArray *out;
    size_t limit; /* of out */
    GString *complaint;
    GError *error;
} Run;

static bool feed(Run *run) {
    ssize_t size = write(run->child.in_fd, run->input, run->left);
    if (size < 0 && errno != EPIPE)
        return errno == EAGAIN || errno == EINTR;
    run->input += MAX(size, 0);
    run->left = size < 0 ? 0 : run->left - (size_t)size; /* nobody reads: it says why */
    if (run->left == 0)
        child_close_input(&run->child);
    return true;
}

/* False: that was the end. */
static bool drain(Run *run, int fd, bool is_output) {
    char buffer[64 * 1024];
    ssize_t size = read(fd, buffer, sizeof buffer);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    if (is_output && run->out->len + (size_t)size > run->limit)
        g_set_error(&run->error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "it has more than %zu MiB; put the configuration into a repository or "
                    "directory of its own",
                    run->limit >> 20);
    else if (is_output)
        g_byte_array_append(run->out, (const guint8 *)buffer, (unsigned)size);
    else if (run->complaint->len < COMPLAINT)
        g_string_append_len(run->complaint, buffer, size);
    return size > 0;
}

/* Until both of its outputs have ended, or there is an error. */
static void talk(Run *run) {
    bool out = true, err = true;
    if (run->left == 0)
        child_close_input(&run->child);
    while (!run->error && (out || err)) {
        struct pollfd fds[] = { { .fd = out ? run->child.out_fd : -1, .events = POLLIN },
                                { .fd = err ? run->child.err_fd : -1, .events = POLLIN },
                                { .fd = run->left ? run->child.in_fd : -1, .events = POLLOUT },
                                { .fd = cancel_fd(run->source->cancel), .events = POLLIN } };
        int ready = poll(fds, G_N_ELEMENTS(fds), cancel_poll_timeout_ms(run->source->cancel));
        if (ready < 0 && errno != EINTR)
            set_io_error(&run->error, errno, "wait for it");
        if (!run->error && !cancel_check(run->source->cancel, &run->error))
            break;
        if (ready <= 0)
            continue;
        if (fds[0].revents)
            out = drain(run, run->child.out_fd, true);
        if (fds[1].revents)
            err = drain(run, run->child.err_fd, false);
        if (fds[2].revents && !feed(run))
            set_io_error(&run->error, errno, "write to it");
    }
}

/* One line of what git complained of: the first that says what is wrong. */
static char *complaint_of(const Run *run, const char *how) {
    g_autofree char *valid = g_utf8_make_valid(run->complaint->str, -1);
    g_auto(GStrv) lines = g_strsplit(valid, "\n", -1);
    const char *found = NULL;
    for (char **line = lines; *line; line++) {
        const char *text = g_strstrip(*line);
        if (*text && (!found || g_str_has_prefix(text, "fatal: ")))
            found = text;
        if (g_str_has_prefix(text, "fatal: "))
            break;
    }
    if (found && g_str_has_prefix(found, "fatal: "))
        found += strlen("fatal: ");
    g_autofree char *shown = found ? printable_text(found, PRINTABLE_PLAIN) : g_strdup(how);
    /* The remedy that git names is a setting, of which it gets only ours. */
    bool is_of_others = strstr(shown, "dubious ownership") != NULL;
    return g_strconcat(shown,
                       is_of_others ? "; give it to the user that the hub runs as, or name it by "
                                      "ssh or https"
                                    : "",
                       NULL);
}

static bool start(Run *run, const char *const *words, const char *repository, GError **error) {
    g_autofree char *program = g_find_program_in_path("git");
    if (!program) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "there is no program 'git' on this hub; install it");
        return false;
    }
    g_autoptr(GPtrArray) env = make_environment(run->source, repository);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, program);
    for (; *words; words++)
        g_ptr_array_add(argv, (char *)(uintptr_t)*words);
    g_ptr_array_add(argv, NULL);
    if (!child_start(&run->child, (const char *const *)argv->pdata, (const char *const *)env->pdata,
                     error))
        return false;
    struct rlimit limit = { GIT_PACK_MAX, GIT_PACK_MAX };
    (void)prlimit(run->child.pid, RLIMIT_FSIZE, &limit, NULL); /* it may be over already */
    return true;
}

/* What it wrote, up to limit bytes. */
static GBytes *run_git(const GitSource *source, const char *const *words, const char *repository,
                       GBytes *input, size_t limit, GError **error) {
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GString) complaint = g_string_new(NULL);
    Run run = { .source = source, .out = out, .limit = limit, .complaint = complaint };
    if (input)
        run.input = g_bytes_get_data(input, &run.left);
    if (!cancel_check(source->cancel, error) || !start(&run, words, repository, error))
        return NULL;
    talk(&run);
    if (run.error)
        child_signal(&run.child, SIGKILL);
    int ended_by;
    g_autofree char *how = child_reap(&run.child, &ended_by);
    if (!run.error && strcmp(how, "ended with status 0") != 0) {
        g_autofree char *why = complaint_of(&run, how);
        SteadError code = ended_by ? STEAD_ERROR_IO : STEAD_ERROR_FAILED; /* not its own doing */
        g_set_error(&run.error, STEAD_ERROR, (int)code, "%s", why);
    }
    if (run.error) {
        g_propagate_error(error, run.error);
        return NULL;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

/* --- commits */

/* The digits that text begins with. */
static bool read_commit(const char *text, size_t size, char ret_commit[GIT_COMMIT_SIZE]) {
    size_t digits = 0;
    while (digits < size && g_ascii_isxdigit(text[digits]))
        digits++;
    if (digits != 40 && digits != 64)
        return false;
    memcpy(ret_commit, text, digits);
    ret_commit[digits] = '\0';
    return true;
}

static bool read_commit_of(GBytes *output, char ret_commit[GIT_COMMIT_SIZE]) {
    size_t size;
    const char *text = g_bytes_get_data(output, &size);
    return text && read_commit(text, size, ret_commit);
}

/* In lines of "ID\tNAME": git lists every ref whose name ends so. */
static bool find_ref(GBytes *output, const char *ref, char ret_commit[GIT_COMMIT_SIZE]) {
    size_t size;
    const char *data = g_bytes_get_data(output, &size);
    g_autofree char *text = g_strndup(data ? data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *tab = strchr(*line, '\t');
        if (tab && strcmp(tab + 1, ref) == 0)
            return read_commit(*line, strlen(*line), ret_commit);
    }
    return false;
}

bool git_tip(const GitSource *source, char ret_commit[GIT_COMMIT_SIZE], GError **error) {
    g_autofree char *ref = g_strconcat("refs/heads/", source->branch, NULL);
    const char *const words[] = { "ls-remote", "--quiet", REMOTE, ref, NULL };
    g_autofree char *shown = git_mask_url(source->url);
    g_autoptr(GBytes) output = run_git(source, words, "/dev/null", NULL, 65536, error);
    if (!output) {
        g_prefix_error(error, "ask '%s' for its branch '%s': ", shown, source->branch);
        return false;
    }
    if (find_ref(output, ref, ret_commit))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "ask '%s' for its branch '%s': it has none of that name", shown, source->branch);
    return false;
}

static bool make_mirror(const GitSource *source, const char *commit, GError **error) {
    const char *const words[] = { "init",
                                  "--bare",
                                  "--quiet",
                                  "--template=",
                                  strlen(commit) == 64 ? "--object-format=sha256"
                                                       : "--object-format=sha1",
                                  NULL };
    g_autofree char *head = g_build_filename(source->mirror, "HEAD", NULL);
    if (g_file_test(head, G_FILE_TEST_EXISTS))
        return true;
    if (g_mkdir_with_parents(source->mirror, 0700) < 0)
        return set_io_error(error, errno, "make '%s'", source->mirror);
    g_autoptr(GBytes) output = run_git(source, words, source->mirror, NULL, 65536, error);
    if (!output)
        g_prefix_error(error, "make the mirror '%s': ", source->mirror);
    return output != NULL;
}

static bool fetch(const GitSource *source, const char *commit, char ret_commit[GIT_COMMIT_SIZE],
                  GError **error) {
    g_autofree char *refs = g_strconcat("+refs/heads/", source->branch, ":" REF, NULL);
    const char *const fetching[] = { "fetch",   "--quiet", "--no-tags", "--no-write-fetch-head",
                                     "--force", REMOTE,    refs,        NULL };
    const char *const asking[] = { "rev-parse", "--verify", "--quiet", REF "^{commit}", NULL };
    if (!make_mirror(source, commit, error))
        return false;
    g_autoptr(GBytes) fetched = run_git(source, fetching, source->mirror, NULL, 65536, error);
    g_autoptr(GBytes) output =
        fetched ? run_git(source, asking, source->mirror, NULL, 65536, error) : NULL;
    if (!output)
        return false;
    if (read_commit_of(output, ret_commit))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "the branch is no commit");
    return false;
}

/* A mirror may have been left by a git that was killed, or be of another repository. */
bool git_fetch(const GitSource *source, const char *commit, char ret_commit[GIT_COMMIT_SIZE],
               GError **error) {
    g_autoptr(GError) first = NULL;
    bool was_there = g_file_test(source->mirror, G_FILE_TEST_EXISTS);
    if (fetch(source, commit, ret_commit, &first))
        return true;
    if (was_there && cancel_check(source->cancel, NULL)) {
        g_clear_error(&first);
        disk_remove_tree(source->mirror);
        if (fetch(source, commit, ret_commit, &first))
            return true;
    }
    g_autofree char *shown = git_mask_url(source->url);
    g_propagate_prefixed_error(error, g_steal_pointer(&first),
                               "fetch branch '%s' of '%s': ", source->branch, shown);
    return false;
}

/* --- trees */

static void tree_entry_free(void *data) {
    TreeEntry *entry = data;
    g_free(entry->path);
    g_free(entry);
}

void git_tree_free(GitTree *tree) {
    if (!tree)
        return;
    g_ptr_array_unref(tree->entries);
    g_free(tree->shown);
    g_free(tree);
}

/* "MODE TYPE ID SIZE\tPATH", where SIZE has spaces before it and is "-" of a submodule. */
static TreeEntry *read_entry(const char *line) {
    g_autofree TreeEntry *entry = g_new0(TreeEntry, 1);
    const char *tab = strchr(line, '\t');
    g_autofree char *head = tab ? g_strndup(line, (size_t)(tab - line)) : g_strdup("");
    g_auto(GStrv) words = g_strsplit_set(head, " ", 4);
    if (g_strv_length(words) != 4 || strlen(words[0]) != 6 ||
        !read_commit(words[2], strlen(words[2]), entry->id))
        return NULL;
    g_strlcpy(entry->mode, words[0], sizeof entry->mode);
    entry->size = g_ascii_strtoull(g_strstrip(words[3]), NULL, 10);
    entry->path = g_strdup(tab + 1);
    return g_steal_pointer(&entry);
}

static bool read_entries(GitTree *tree, GBytes *list, GError **error) {
    size_t size;
    const char *text = g_bytes_get_data(list, &size);
    for (const char *end = text + size; text && text < end; text += strlen(text) + 1) {
        TreeEntry *entry = memchr(text, '\0', (size_t)(end - text)) ? read_entry(text) : NULL;
        if (!entry) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                        "read %s: git answered what is no list of a tree", tree->shown);
            return false;
        }
        g_ptr_array_add(tree->entries, entry);
    }
    return true;
}

GitTree *git_tree_read(const GitSource *source, const char *commit, GError **error) {
    g_autofree char *name = g_strconcat(commit, ":", source->directory, NULL);
    const char *const words[] = { "ls-tree", "-r", "-z", "-l", "--full-tree", name, NULL };
    g_autoptr(GitTree) tree = g_new0(GitTree, 1);
    tree->entries = g_ptr_array_new_with_free_func(tree_entry_free);
    tree->shown = *source->directory ? g_strdup_printf("'%s' of it", source->directory)
                                     : g_strdup("its tree");
    g_autoptr(GBytes) list = run_git(source, words, source->mirror, NULL, GIT_LIST_MAX, error);
    if (!list) {
        g_prefix_error(error, "read %s: ", tree->shown);
        return NULL;
    }
    return read_entries(tree, list, error) ? g_steal_pointer(&tree) : NULL;
}

/* Contents of entries (of TreeEntry), in their order. */
static GPtrArray *read_contents(const GitSource *source, const GPtrArray *entries, uint64_t total,
                                GError **error) {
    const char *const words[] = { "cat-file", "--batch", NULL };
    g_autoptr(GString) ids = g_string_new(NULL);
    for (unsigned i = 0; i < entries->len; i++)
        g_string_append_printf(ids, "%s\n", ((TreeEntry *)entries->pdata[i])->id);
    g_autoptr(GBytes) input = g_bytes_new(ids->str, ids->len);
    g_autoptr(GBytes) output =
        run_git(source, words, source->mirror, input, total + (uint64_t)entries->len * 128, error);
    g_autoptr(GPtrArray) contents = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    size_t size = 0, at = 0;
    const char *text = output ? g_bytes_get_data(output, &size) : NULL;
    for (unsigned i = 0; output && i < entries->len; i++) {
        const TreeEntry *entry = entries->pdata[i];
        g_autofree char *head =
            g_strdup_printf("%s blob %" G_GUINT64_FORMAT "\n", entry->id, entry->size);
        size_t length = strlen(head);
        if (size - at < length + entry->size + 1 || memcmp(text + at, head, length) != 0) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                        "read '%s': git does not give what it listed", entry->path);
            return NULL;
        }
        g_ptr_array_add(contents, g_bytes_new_from_bytes(output, at + length, entry->size));
        at += length + entry->size + 1;
    }
    return output ? g_steal_pointer(&contents) : NULL;
}

GBytes *git_tree_statement(const GitSource *source, const GitTree *tree, GError **error) {
    for (unsigned i = 0; i < tree->entries->len; i++) {
        TreeEntry *entry = tree->entries->pdata[i];
        if (strcmp(entry->path, BUNDLE_STATEMENT) != 0)
            continue;
        if (entry->size > STATEMENT_MAX || !g_str_has_prefix(entry->mode, "100")) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                        "its '" BUNDLE_STATEMENT "' is no file of at most %d bytes", STATEMENT_MAX);
            return NULL;
        }
        g_autoptr(GPtrArray) one = g_ptr_array_new();
        g_ptr_array_add(one, entry);
        g_autoptr(GPtrArray) contents = read_contents(source, one, entry->size, error);
        return contents ? g_bytes_ref(contents->pdata[0]) : NULL;
    }
    return NULL;
}

static bool is_left_out(const char *path) {
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (char **part = parts; *part; part++)
        if (bundle_leaves_out(*part))
            return true;
    return false;
}

/* Those of the bundle; *ret_total: bytes of them. */
static GPtrArray *choose(const GitTree *tree, uint64_t *ret_total, GError **error) {
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();
    const char *why = NULL;
    *ret_total = 0;
    for (unsigned i = 0; i < tree->entries->len && !why; i++) {
        TreeEntry *entry = tree->entries->pdata[i];
        if (is_left_out(entry->path))
            continue;
        g_ptr_array_add(chosen, entry);
        *ret_total += entry->size;
        if (strcmp(entry->mode, MODE_MODULE) == 0)
            why = "is a submodule, which no bundle has; commit what is in it";
        else if (entry->size > BUNDLE_FILE_MAX || *ret_total > BUNDLE_TOTAL_MAX)
            why = "is too large: a file of a bundle has at most 64 MiB and all of them 256 MiB";
        else if (chosen->len > BUNDLE_ENTRIES_MAX)
            why = "is one too many: a bundle has at most 20000 files";
        if (why) {
            g_autofree char *shown = printable_text(entry->path, PRINTABLE_PLAIN);
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "'%s' %s", shown, why);
        }
    }
    return why ? NULL : g_steal_pointer(&chosen);
}

Bundle *git_tree_bundle(const GitSource *source, const GitTree *tree, GError **error) {
    uint64_t total;
    g_autoptr(GPtrArray) chosen = choose(tree, &total, error);
    g_autoptr(GPtrArray) contents = chosen ? read_contents(source, chosen, total, error) : NULL;
    if (!contents)
        return NULL;
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify)bundle_entry_free);
    for (unsigned i = 0; i < chosen->len; i++) {
        const TreeEntry *from = chosen->pdata[i];
        bool is_link = strcmp(from->mode, MODE_LINK) == 0;
        BundleEntry *entry = bundle_entry_new(is_link ? BUNDLE_LINK : BUNDLE_FILE, from->path);
        size_t size;
        const char *text = g_bytes_get_data(contents->pdata[i], &size);
        entry->executable = strcmp(from->mode, MODE_RUN) == 0;
        if (is_link)
            entry->target = g_strndup(text ? text : "", size);
        else
            entry->content = g_bytes_ref(contents->pdata[i]);
        g_ptr_array_add(files, entry);
    }
    return bundle_of_files(files, error);
}
