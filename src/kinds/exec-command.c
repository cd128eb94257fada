/* Command lines of an exec resource, and the environment they run in. */
#include <string.h>

#include "host/accounts.h"
#include "kinds/exec.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* mgmt writes parameters that are not wanted as empty strings. */
const char *exec_text(const Resource *resource, unsigned param) {
    const char *text = resource_string(resource, param);
    return text != NULL && *text != '\0' ? text : NULL;
}

bool exec_has_list(const Resource *resource, unsigned param) {
    const Value *list = resource_get(resource, param);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++)
        if (*value_string(value_list_at(list, i)) != '\0')
            return true;
    return false;
}

char **exec_argv(const char *line, const char *shell, const Value *args, GError **error) {
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    if (shell != NULL) {
        g_ptr_array_add(argv, g_strdup(shell));
        g_ptr_array_add(argv, g_strdup("-c"));
        g_ptr_array_add(argv, g_strdup(line));
    } else if (args != NULL && value_size(args) > 0) {
        g_ptr_array_add(argv, g_strdup(line));
        for (size_t i = 0; i < value_size(args); i++)
            g_ptr_array_add(argv, g_strdup(value_string(value_list_at(args, i))));
    } else {
        char **words = NULL;
        g_autoptr(GError) problem = NULL;
        if (!g_shell_parse_argv(line, NULL, &words, &problem))
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "split into words: %s",
                        problem->message);
        return words;
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
}

bool exec_returns(const Resource *resource, int status) {
    const Value *codes = resource_get(resource, EXEC_RETURNS);
    if (codes == NULL)
        return status == 0;
    for (size_t i = 0; i < value_size(codes); i++)
        if (status == (int)g_ascii_strtoll(value_string(value_list_at(codes, i)), NULL, 10))
            return true;
    return false;
}

static char *search_path(const Resource *resource) {
    const Value *path = resource_get(resource, EXEC_PATH);
    if (path == NULL || value_size(path) == 0)
        return g_strdup(DEFAULT_PATH);
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < value_size(path); i++) {
        if (i > 0)
            g_string_append_c(text, ':');
        g_string_append(text, value_string(value_list_at(path, i)));
    }
    return g_string_free(text, FALSE);
}

static char *home_of(Host *host, const char *user) {
    g_autoptr(User) account =
        host != NULL && user != NULL ? accounts_find_user(host, user, NULL) : NULL;
    return account != NULL ? g_strdup(account->home) : NULL;
}

/* NULL: the host's default will do. */
static char **environment(Host *host, const Resource *resource) {
    const Value *map = resource_get(resource, EXEC_ENV);
    const char *user = exec_text(resource, EXEC_USER);
    bool has_map = map != NULL && value_size(map) > 0;
    if (!has_map && !exec_has_list(resource, EXEC_PATH) && user == NULL)
        return NULL;
    g_autofree char *path = search_path(resource);
    g_autofree char *home = home_of(host, user);
    char **env = g_environ_setenv(NULL, "LANG", "C.UTF-8", TRUE);
    env = g_environ_setenv(env, "PATH", path, TRUE);
    env = g_environ_setenv(env, "HOME", home != NULL ? home : user != NULL ? "/" : "/root", TRUE);
    for (size_t i = 0; has_map && i < value_size(map); i++) {
        const char *name;
        const Value *value = value_map_at(map, i, &name);
        env = g_environ_setenv(env, name, value_string(value), TRUE);
    }
    return env;
}

bool exec_command_init(ExecCommand *command, Host *host, const Resource *resource, const char *line,
                       const char *shell, const char *cwd, GError **error) {
    bool is_main = line == resource_string(resource, EXEC_CMD);
    *command = (ExecCommand){ 0 };
    command->argv =
        exec_argv(line, shell, is_main ? resource_get(resource, EXEC_ARGS) : NULL, error);
    if (command->argv == NULL)
        return false;
    command->env = environment(host, resource);
    command->command = (HostCommand){
        .argv = (const char *const *)command->argv,
        .env = (const char *const *)command->env,
        .cwd = cwd,
        .user = exec_text(resource, EXEC_USER),
        .group = exec_text(resource, EXEC_GROUP),
    };
    const char *mask = resource_string(resource, EXEC_UMASK);
    if (mask != NULL) {
        command->command.has_umask = true;
        command->command.umask = (mode_t)strtoul(mask, NULL, 8);
    }
    return true;
}

void exec_command_clear(ExecCommand *command) {
    g_clear_pointer(&command->argv, g_strfreev);
    g_clear_pointer(&command->env, g_strfreev);
}

/* Where a word begins that only a shell understands and that is not quoted; NULL: nowhere. A ';'
 * of its own is not one: find(1) takes it. */
static const char *find_shell_word(const char *line, size_t *ret_size) {
    static const char *const words[] = { "|", "||", "&&", "&", "<" }; /* as a whole */
    static const char *const starts[] = { ">", "1>", "2>", "&>" };
    char quote = '\0';
    bool begins = true;
    for (const char *at = line; *at != '\0'; at++) {
        size_t size = strcspn(at, " \t\n");
        for (size_t i = 0; begins && quote == '\0' && i < G_N_ELEMENTS(words); i++)
            if (size == strlen(words[i]) && strncmp(at, words[i], size) == 0) {
                *ret_size = size;
                return at;
            }
        for (size_t i = 0; begins && quote == '\0' && i < G_N_ELEMENTS(starts); i++)
            if (g_str_has_prefix(at, starts[i])) {
                *ret_size = size;
                return at;
            }
        begins = size == 0;
        if (*at == '\\' && quote != '\'' && at[1] != '\0')
            at++;
        else if (quote != '\0')
            quote = *at == quote ? '\0' : quote;
        else if (*at == '"' || *at == '\'')
            quote = *at;
    }
    return NULL;
}

bool exec_check_words(const char *param, const char *line, const char *remedy, GError **error) {
    size_t size;
    const char *word = find_shell_word(line, &size);
    if (word == NULL)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "%s: '%.*s' means nothing without a shell, and would be an argument: %s, or quote "
                "it",
                param, (int)size, word, remedy);
    return false;
}
