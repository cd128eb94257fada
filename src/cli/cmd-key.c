/* stead key: the keys that deploys are signed with, and lists of them. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/plural.h"
#include "bundle/sign-keys.h"
#include "cli/commands.h"
#include "cli/hub-call.h"
#include "cli/printer.h"
#include "cli/verbs.h"

#define PUBLIC_SUFFIX ".pub"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
} Context;

static void tell_key(const Context *context, const char *event, const char *line,
                     const char *file) {
    if (!printer_is_json(context->printer)) {
        printer_line(context->printer, STYLE_PLAIN, "%s", line);
        return;
    }
    Value *map = value_new_map();
    value_map_set(map, "public", value_new_string(line));
    value_map_set(map, "file", value_new_string(file));
    printer_json(context->printer, event, map);
}

/* --- one key */

static char *default_comment(void) {
    return g_strdup_printf("%s@%s", g_get_user_name(), g_get_host_name());
}

static bool save_pair(const SigningKey *key, const char *file, const char *line, GError **error) {
    g_autofree char *public_file = g_strconcat(file, PUBLIC_SUFFIX, NULL);
    g_autofree char *text = g_strconcat(line, "\n", NULL);
    if (!signing_key_save(key, file, error))
        return false;
    if (disk_replace(public_file, text, strlen(text), 0644, error))
        return true;
    (void)unlink(file); /* the pair is made again */
    return false;
}

static bool new_key(const Context *context, char **words, GError **error) {
    const char *given = context->arguments->comment;
    g_autofree char *comment = given != NULL ? g_strdup(given) : default_comment();
    g_autoptr(SigningKey) key = signing_key_new(error);
    if (key == NULL)
        return false;
    g_autofree char *line = public_key_line(signing_key_public(key), comment);
    PublicKey again;
    if (!public_key_parse(line, &again, NULL, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "--comment: write one line of at most %d bytes", KEY_COMMENT_MAX);
        return false;
    }
    if (!save_pair(key, words[0], line, error))
        return false;
    tell_key(context, "key", line, words[0]);
    return true;
}

static Value *key_value(const ListedKey *key, const char *line) {
    Value *map = value_new_map();
    value_map_set(map, "public", value_new_string(line));
    value_map_set(map, "retired", value_new_bool(key->retired));
    if (key->retired)
        value_map_set(map, "last_record", value_new_int((int64_t)key->last_record));
    return map;
}

static void show_list(const Context *context, const KeyList *list) {
    Value *keys = value_new_list();
    if (key_list_number(list) > 0 && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_STRONG, "list %" G_GUINT64_FORMAT ", %u %s",
                     key_list_number(list), key_list_size(list),
                     plural(key_list_size(list), "key", "keys"));
    for (unsigned i = 0; i < key_list_size(list); i++) {
        const ListedKey *key = key_list_at(list, i);
        g_autofree char *line = public_key_line(&key->key, key->comment);
        value_list_append(keys, key_value(key, line));
        if (printer_is_json(context->printer))
            continue;
        if (key->retired)
            printer_line(context->printer, STYLE_DIM, "%s: retired after record %" G_GUINT64_FORMAT,
                         line, key->last_record);
        else
            printer_line(context->printer, STYLE_PLAIN, "%s", line);
    }
    if (!printer_is_json(context->printer)) {
        value_unref(keys);
        return;
    }
    Value *map = value_new_map();
    value_map_set(map, "number", value_new_int((int64_t)key_list_number(list)));
    value_map_set(map, "keys", keys);
    printer_json(context->printer, "keys", map);
}

static bool is_private(const char *file) {
    static const char start[] = "-----BEGIN";
    g_autoptr(GBytes) text = disk_read(file, KEY_CHAIN_MAX, NULL);
    return text != NULL && g_str_has_prefix(g_bytes_get_data(text, NULL), start);
}

static bool show(const Context *context, char **words, GError **error) {
    if (!is_private(words[0])) {
        g_autoptr(KeyList) list = key_list_load(words[0], error);
        if (list != NULL)
            show_list(context, list);
        return list != NULL;
    }
    g_autoptr(SigningKey) key = signing_key_load(words[0], error);
    if (key == NULL)
        return false;
    g_autofree char *comment = key_comment_beside(words[0], signing_key_public(key));
    g_autofree char *line = public_key_line(signing_key_public(key), comment);
    tell_key(context, "key", line, words[0]);
    return true;
}

/* --- lists */

static SigningKey *signer(const Context *context, GError **error) {
    if (context->arguments->key != NULL)
        return signing_key_load(context->arguments->key, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "--key FILE is missing: a private key of the list signs its next one");
    return NULL;
}

/* One public key, from a file or as it is printed. */
static bool one_key(const char *word, PublicKey *ret_key, char **ret_comment, GError **error) {
    g_autoptr(KeyList) list = key_list_load(word, error);
    if (list == NULL)
        return false;
    if (key_list_size(list) != 1) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "'%s' has several keys; name one",
                    word);
        return false;
    }
    *ret_key = key_list_at(list, 0)->key;
    *ret_comment = g_strdup(key_list_at(list, 0)->comment);
    return true;
}

static bool save_list(const Context *context, const KeyList *list, const char *file,
                      GError **error) {
    const char *chain = key_list_chain(list);
    if (!disk_replace(file, chain, strlen(chain), 0644, error))
        return false;
    show_list(context, list);
    return true;
}

/* The chain in file; when there is no file, a first list of the signer's key alone. */
static KeyList *list_of(const char *file, const SigningKey *key, const char *key_file,
                        GError **error) {
    GError *problem = NULL;
    KeyList *list = key_list_load(file, &problem);
    if (list != NULL && key_list_number(list) == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "'%s' has public keys, but is no signed list; name a new file, and add them "
                    "to it one by one",
                    file);
        g_clear_pointer(&list, key_list_unref);
    }
    if (problem == NULL)
        return list;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, problem);
        return NULL;
    }
    g_clear_error(&problem);
    const PublicKey *public = signing_key_public(key);
    g_autofree char *comment = key_comment_beside(key_file, public);
    return key_list_add(NULL, public, comment, key, error);
}

static bool add(const Context *context, char **words, GError **error) {
    PublicKey added;
    g_autofree char *comment = NULL;
    g_autoptr(SigningKey) key = signer(context, error);
    if (key == NULL || !one_key(words[1], &added, &comment, error))
        return false;
    g_autoptr(KeyList) list = list_of(words[0], key, context->arguments->key, error);
    if (list == NULL)
        return false;
    bool first = key_list_number(list) == 1 && key_list_size(list) == 1 &&
                 public_key_equal(&key_list_at(list, 0)->key, &added) &&
                 !g_file_test(words[0], G_FILE_TEST_EXISTS);
    g_autoptr(KeyList) next =
        first ? key_list_ref(list) : key_list_add(list, &added, comment, key, error);
    return next != NULL && save_list(context, next, words[0], error);
}

static bool retire(const Context *context, char **words, GError **error) {
    PublicKey removed;
    g_autofree char *comment = NULL;
    g_autoptr(SigningKey) key = signer(context, error);
    if (key == NULL || !one_key(words[1], &removed, &comment, error))
        return false;
    g_autoptr(KeyList) list = key_list_load(words[0], error);
    g_autoptr(KeyList) next =
        list != NULL ? key_list_retire(list, &removed, (uint64_t)MAX(0, context->arguments->record),
                                       key, error)
                     : NULL;
    return next != NULL && save_list(context, next, words[0], error);
}

/* --- a hub's list */

/* NULL without an error: it has none yet. */
static KeyList *list_of_hub(const HubLink *link, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(Value) map = hub_call(link, "GET", "/v1/keys", NULL, &problem);
    if (map == NULL) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    return key_list_of_text(value_map_string(map, "keys", ""), error);
}

/* A list that the hub has not is told apart here, where the remedy is known. */
static bool goes_on(const HubLink *link, const char *chain, const char *file, GError **error) {
    GError *problem = NULL;
    g_autoptr(KeyList) known = list_of_hub(link, &problem);
    g_autoptr(KeyList) next =
        known && *chain != '\0' ? key_list_advance(known, chain, strlen(chain), &problem) : NULL;
    if (problem == NULL)
        return true;
    if (known != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "publish '%s': %s; 'stead key fetch FILE' writes the list of the hub to a new "
                    "file, to add to or retire from",
                    file, problem->message);
    else
        g_propagate_error(error, g_steal_pointer(&problem));
    g_clear_error(&problem);
    return false;
}

/* Only a list that the one of the hub goes on from makes way for it. */
static bool makes_way(const char *file, const char *chain, GError **error) {
    if (!g_file_test(file, G_FILE_TEST_EXISTS))
        return true;
    g_autoptr(KeyList) mine = key_list_load(file, error);
    if (mine != NULL && key_list_number(mine) == 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "'%s' has public keys, but is no signed list; name a new file", file);
    else if (mine != NULL) {
        g_autoptr(KeyList) next = key_list_advance(mine, chain, strlen(chain), error);
        if (next != NULL)
            return true;
    }
    g_prefix_error(error, "fetch the keys of the hub: ");
    return false;
}

static bool fetch(const Context *context, char **words, GError **error) {
    GError *problem = NULL;
    g_auto(HubLink) link = { 0 };
    if (!hub_link_open(&link, context->arguments, error))
        return false;
    g_autoptr(KeyList) list = list_of_hub(&link, &problem);
    if (problem != NULL) {
        g_propagate_error(error, problem);
        return false;
    }
    if (list == NULL || *key_list_chain(list) == '\0') {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "fetch the keys of the hub: it has no signed list yet; 'stead key add' makes "
                    "one, 'stead key publish' gives it to the hub");
        return false;
    }
    return makes_way(words[0], key_list_chain(list), error) &&
           save_list(context, list, words[0], error);
}

static KeyList *list_to_publish(const char *file, GError **error) {
    GError *problem = NULL;
    KeyList *list = key_list_load(file, &problem);
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "publish '%s': there is no such file; 'stead key add %s PUBLIC --key FILE' "
                    "makes a list, 'stead key new FILE' a key",
                    file, file);
        g_error_free(problem);
    } else if (problem != NULL) {
        g_propagate_prefixed_error(error, problem, "publish '%s': ", file);
    }
    return list;
}

static bool publish(const Context *context, char **words, GError **error) {
    g_auto(HubLink) link = { 0 };
    g_autoptr(KeyList) list = list_to_publish(words[0], error);
    if (list == NULL || !hub_link_open(&link, context->arguments, error))
        return false;
    const char *chain = key_list_chain(list);
    g_autofree char *line =
        *chain == '\0' && key_list_size(list) == 1
            ? public_key_line(&key_list_at(list, 0)->key, key_list_at(list, 0)->comment)
            : NULL;
    if (*chain == '\0' && line == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "publish '%s': it has several keys, but is no signed list; 'stead key add' "
                    "writes one",
                    words[0]);
        return false;
    }
    if (!goes_on(&link, chain, words[0], error))
        return false;
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "keys", value_new_string(line != NULL ? line : chain));
    g_autoptr(Value) answer = hub_call(&link, "PUT", "/v1/keys", wish, error);
    if (answer != NULL)
        show_list(context, list);
    return answer != NULL;
}

static const struct {
    Verb verb;
    bool (*run)(const Context *context, char **words, GError **error);
} verbs[] = {
    { { "new", "FILE", 1, 1 }, new_key },     { { "show", "FILE", 1, 1 }, show },
    { { "add", "LIST PUBLIC", 2, 2 }, add },  { { "retire", "LIST PUBLIC", 2, 2 }, retire },
    { { "publish", "LIST", 1, 1 }, publish }, { { "fetch", "LIST", 1, 1 }, fetch },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    Context context = { arguments, printer };
    int verb = VERB_FIND("key", verbs, words, &error);
    if (verb >= 0 && verbs[verb].run(&context, words + 1, &error))
        return EXIT_DONE;
    printer_error(printer, error);
    return hub_exit_code(error);
}

#define TO(member) offsetof(Arguments, member)

static const Option option_comment = {
    "comment", 0, G_OPTION_ARG_STRING, TO(comment), "TEXT", "Who has the key (default: USER@HOST)",
};
static const Option option_last_record = {
    "record",   0,   G_OPTION_ARG_INT,
    TO(record), "N", "The last record for which a retired key counts (default 0: none)",
};

static const Option *const options[] = {
    &option_key, &option_comment,    &option_last_record, &option_data,     &option_hub,
    &option_ca,  &option_token_file, &option_json,        &option_no_color, NULL,
};

const Command command_key = {
    .name = "key",
    .arguments =
        "new FILE | show FILE | add LIST PUBLIC | retire LIST PUBLIC | publish LIST | fetch LIST",
    .min_arguments = 1,
    .max_arguments = 3,
    .summary = "Make keys that sign deploys, and lists of keys that count",
    .help =
        "new writes a private ed25519 key, for the caller alone to read, and FILE.pub, one "
        "line to hand out.\n"
        "show prints that line of a private key, or the keys of a list. add and retire write "
        "the next list\n"
        "of keys whose signatures count behind the earlier ones in LIST; --key signs it and "
        "must be in the\n"
        "list before it. The first add makes LIST, with the key of --key. PUBLIC is a file or "
        "the line itself.\n"
        "A retired key counts for records up to --record and never again; hosts that know any "
        "list in LIST\n"
        "follow to its end by themselves. publish gives LIST, or its first key, to the hub, which "
        "takes deploys\n"
        "of these keys alone; fetch writes the hub's list to LIST.",
    .example = "stead key new deploy.key",
    .options = options,
    .run = run,
};
