/* stead bundle: a configuration with all its files as one signed archive. */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/plural.h"
#include "bundle/sign-statement.h"
#include "cli/commands.h"
#include "cli/printer.h"
#include "cli/time-text.h"
#include "cli/verbs.h"

#define SIGNED_SUFFIX ".signed"

typedef struct {
    const Arguments *arguments;
    Printer *printer;
} Context;

static bool missing(const char *what, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s", what);
    return false;
}

/* --- what is told of a bundle */

static Value *entry_value(const BundleEntry *entry) {
    static const char *const types[] = { "file", "directory", "link" };
    Value *map = value_new_map();
    value_map_set(map, "path", value_new_string(entry->path));
    value_map_set(map, "type", value_new_string(types[entry->type]));
    if (entry->type == BUNDLE_LINK)
        value_map_set(map, "target", value_new_string(entry->target));
    if (entry->type == BUNDLE_FILE) {
        value_map_set(map, "executable", value_new_bool(entry->executable));
        value_map_set(map, "size", value_new_int((int64_t)g_bytes_get_size(entry->content)));
    }
    return map;
}

static Value *statement_value(const Statement *statement) {
    char key[PUBLIC_KEY_BASE64_SIZE];
    Value *map = value_new_map();
    public_key_base64(&statement->key, key);
    value_map_set(map, "record", value_new_int((int64_t)statement->record));
    if (*statement->previous != '\0') {
        g_autofree char *previous = g_strconcat(BUNDLE_NAME_PREFIX, statement->previous, NULL);
        value_map_set(map, "previous", value_new_string(previous));
    }
    value_map_set(map, "signed_at", value_new_int((int64_t)statement->time));
    value_map_set(map, "message", value_new_string(statement->message));
    value_map_set(map, "key", value_new_string(key));
    return map;
}

static void tell_json(const Context *context, const Bundle *bundle, const Statement *statement,
                      bool entries) {
    Value *map = value_new_map(), *list = value_new_list();
    g_autofree char *name = g_strconcat(BUNDLE_NAME_PREFIX, bundle->digest, NULL);
    for (unsigned i = 0; entries && i < bundle->entries->len; i++)
        value_list_append(list, entry_value(bundle->entries->pdata[i]));
    value_map_set(map, "bundle", value_new_string(name));
    value_map_set(map, "size", value_new_int((int64_t)bundle->size));
    if (entries)
        value_map_set(map, "entries", list);
    else
        value_unref(list);
    if (statement != NULL)
        value_map_set(map, "deploy", statement_value(statement));
    printer_json(context->printer, "bundle", map);
}

static void tell_entry(Printer *printer, const BundleEntry *entry) {
    switch (entry->type) {
    case BUNDLE_DIRECTORY:
        printer_line(printer, STYLE_DIM, "  %10s %s/", "", entry->path);
        break;
    case BUNDLE_LINK:
        printer_line(printer, STYLE_PLAIN, "  %10s %s -> %s", "", entry->path, entry->target);
        break;
    case BUNDLE_FILE:
        printer_line(printer, STYLE_PLAIN, "  %10zu %s%s", g_bytes_get_size(entry->content),
                     entry->path, entry->executable ? "*" : "");
        break;
    }
}

static void tell_statement(Printer *printer, const Statement *statement) {
    char key[PUBLIC_KEY_BASE64_SIZE];
    g_autofree char *when = time_show((int64_t)statement->time * G_USEC_PER_SEC);
    public_key_base64(&statement->key, key);
    printer_line(printer, STYLE_PLAIN, "record %" G_GUINT64_FORMAT " of %s: %s", statement->record,
                 when, statement->message);
    printer_line(printer, STYLE_PLAIN, "  after %s%s",
                 *statement->previous != '\0' ? BUNDLE_NAME_PREFIX : "no other",
                 statement->previous);
    printer_line(printer, STYLE_PLAIN, "  signed by %s", key);
}

static void tell(const Context *context, const Bundle *bundle, const Statement *statement,
                 bool entries) {
    Printer *printer = context->printer;
    if (printer_is_json(printer)) {
        tell_json(context, bundle, statement, entries);
        return;
    }
    printer_line(printer, STYLE_STRONG, BUNDLE_NAME_PREFIX "%s", bundle->digest);
    for (unsigned i = 0; entries && i < bundle->entries->len; i++)
        tell_entry(printer, bundle->entries->pdata[i]);
    if (statement != NULL)
        tell_statement(printer, statement);
}

/* --- files */

static GBytes *read_packed(const char *file, GError **error) {
    return disk_read(file, BUNDLE_TOTAL_MAX, error);
}

/* false without error: there is no statement beside file. */
static bool read_statement(const char *file, Statement *ret_statement, GError **error) {
    g_autofree char *path = g_strconcat(file, SIGNED_SUFFIX, NULL);
    GError *problem = NULL;
    g_autoptr(GBytes) text = disk_read(path, STATEMENT_MAX, &problem);
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_error_free(problem);
        return false;
    }
    size_t size;
    const char *data = text != NULL ? g_bytes_get_data(text, &size) : NULL;
    if (data != NULL && statement_read(data, size, ret_statement, &problem))
        return true;
    g_propagate_prefixed_error(error, problem, "'%s': ", path);
    return false;
}

/* Beside a bundle in file, whose name it must have. */
static bool check_pair(const Bundle *bundle, const Statement *statement, const char *file,
                       GError **error) {
    if (strcmp(bundle->digest, statement->digest) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "'%s" SIGNED_SUFFIX "' is about '" BUNDLE_NAME_PREFIX
                "%s', another bundle than '%s'; sign this one",
                file, statement->digest, file);
    return false;
}

static bool pack(const Context *context, char **words, GError **error) {
    const char *out = context->arguments->out;
    if (out == NULL)
        return missing("--out FILE is missing", error);
    g_autoptr(Bundle) bundle = bundle_of_directory(words[0], BUNDLE_MAIN, error);
    g_autoptr(GBytes) packed = bundle != NULL ? bundle_write(bundle, error) : NULL;
    if (packed == NULL)
        return false;
    size_t size;
    const void *data = g_bytes_get_data(packed, &size);
    if (!disk_replace(out, data, size, 0644, error))
        return false;
    tell(context, bundle, NULL, false);
    return true;
}

static bool sign(const Context *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    if (arguments->key == NULL || arguments->message == NULL)
        return missing("--key FILE and --message TEXT are missing: who deploys, and why", error);
    Statement statement = { .record = (uint64_t)MAX(0, arguments->record),
                            .time = (uint64_t)time(NULL),
                            .message = arguments->message };
    if (arguments->previous != NULL &&
        !bundle_parse_name(arguments->previous, statement.previous, error))
        return false;
    g_autoptr(SigningKey) key = signing_key_load(arguments->key, error);
    g_autoptr(GBytes) packed = key != NULL ? read_packed(words[0], error) : NULL;
    g_autoptr(Bundle) bundle = packed != NULL ? bundle_read(packed, NULL, error) : NULL;
    if (bundle == NULL || !bundle_has_main(bundle, error))
        return false;
    memcpy(statement.digest, bundle->digest, DIGEST_HEX_SIZE);
    statement.key = *signing_key_public(key);
    g_autofree char *text = statement_sign(&statement, key, error);
    g_autofree char *path = g_strconcat(words[0], SIGNED_SUFFIX, NULL);
    if (text == NULL || !disk_replace(path, text, strlen(text), 0644, error))
        return false;
    tell(context, bundle, &statement, false);
    return true;
}

static bool show(const Context *context, char **words, GError **error) {
    g_auto(Statement) statement = { 0 };
    GError *problem = NULL;
    g_autoptr(GBytes) packed = read_packed(words[0], error);
    g_autoptr(Bundle) bundle = packed != NULL ? bundle_read(packed, NULL, error) : NULL;
    if (bundle == NULL)
        return false;
    bool is_signed = read_statement(words[0], &statement, &problem);
    if (problem != NULL || (is_signed && !check_pair(bundle, &statement, words[0], &problem))) {
        g_propagate_error(error, problem);
        return false;
    }
    tell(context, bundle, is_signed ? &statement : NULL, true);
    return true;
}

/* Nothing of the archive is read before its statement counts and names it. */
static Bundle *read_verified(const Context *context, const char *file, Statement *ret_statement,
                             GError **error) {
    g_autoptr(KeyList) keys = key_list_load(context->arguments->key, error);
    GError *problem = NULL;
    if (keys == NULL)
        return NULL;
    if (!read_statement(file, ret_statement, &problem)) {
        if (problem == NULL)
            g_set_error(&problem, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "refuse '%s': it is not signed, there is no '%s" SIGNED_SUFFIX "'", file,
                        file);
        g_propagate_error(error, problem);
        return NULL;
    }
    if (!statement_is_signed_by(ret_statement, keys, error))
        return NULL;
    g_autoptr(GBytes) packed = read_packed(file, error);
    g_autoptr(Bundle) bundle =
        packed != NULL ? bundle_read(packed, ret_statement->digest, error) : NULL;
    return bundle != NULL && bundle_has_main(bundle, error) ? g_steal_pointer(&bundle) : NULL;
}

static bool verify(const Context *context, char **words, GError **error) {
    g_auto(Statement) statement = { 0 };
    if (context->arguments->key == NULL)
        return missing("--key PUBLIC is missing: whose signature counts", error);
    g_autoptr(Bundle) bundle = read_verified(context, words[0], &statement, error);
    if (bundle != NULL)
        tell(context, bundle, &statement, false);
    return bundle != NULL;
}

static Bundle *read_named(const Context *context, const char *file, GError **error) {
    char digest[DIGEST_HEX_SIZE];
    if (!bundle_parse_name(context->arguments->digest, digest, error))
        return NULL;
    g_autoptr(GBytes) packed = read_packed(file, error);
    return packed != NULL ? bundle_read(packed, digest, error) : NULL;
}

static bool unpack(const Context *context, char **words, GError **error) {
    const Arguments *arguments = context->arguments;
    g_auto(Statement) statement = { 0 };
    if (arguments->out == NULL)
        return missing("--out DIR is missing", error);
    if ((arguments->key == NULL) == (arguments->digest == NULL))
        return missing("say what may be unpacked: --key PUBLIC, or --digest NAME as 'stead bundle "
                       "pack' printed it",
                       error);
    g_autoptr(Bundle) bundle = arguments->key != NULL
                                   ? read_verified(context, words[0], &statement, error)
                                   : read_named(context, words[0], error);
    if (bundle == NULL || !bundle_unpack(bundle, arguments->out, false, error))
        return false;
    tell(context, bundle, arguments->key != NULL ? &statement : NULL, false);
    return true;
}

static const struct {
    Verb verb;
    bool (*run)(const Context *context, char **words, GError **error);
} verbs[] = {
    { { "pack", "DIR", 1, 1 }, pack },      { { "sign", "FILE", 1, 1 }, sign },
    { { "show", "FILE", 1, 1 }, show },     { { "verify", "FILE", 1, 1 }, verify },
    { { "unpack", "FILE", 1, 1 }, unpack },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    Context context = { arguments, printer };
    int verb = VERB_FIND("bundle", verbs, words, &error);
    if (verb >= 0 && verbs[verb].run(&context, words + 1, &error))
        return EXIT_DONE;
    printer_error(printer, error);
    return EXIT_REFUSED;
}

#define TO(member) offsetof(Arguments, member)

static const Option option_message = {
    "message", 'm', G_OPTION_ARG_STRING, TO(message), "TEXT", "Why this is deployed, in one line",
};
static const Option option_record = {
    "record",   0,   G_OPTION_ARG_INT,
    TO(record), "N", "The number of the deploy: 1, then one more each time",
};
static const Option option_previous = {
    "previous",   0,      G_OPTION_ARG_STRING,
    TO(previous), "NAME", "The bundle that the record before this one deployed",
};
static const Option option_digest = {
    "digest",   0,      G_OPTION_ARG_STRING,
    TO(digest), "NAME", "Unpack no other bundle than this, sha256:...",
};

static const Option *const options[] = {
    &option_out,    &option_key,  &option_message,  &option_record, &option_previous,
    &option_digest, &option_json, &option_no_color, NULL,
};

const Command command_bundle = {
    .name = "bundle",
    .arguments = "pack DIR | sign FILE | show FILE | verify FILE | unpack FILE",
    .min_arguments = 1,
    .max_arguments = 2,
    .summary = "Pack, sign and verify a configuration with all its files",
    .help = "pack makes one archive of DIR, which begins with main.lua; equal directories give "
            "archives of the\n"
            "same name, which it prints. sign writes FILE.signed: that this bundle is deploy "
            "--record, comes after\n"
            "--previous, and why. verify accepts only what a key of --key signed, and unpack only "
            "that or --digest.\n"
            "--out is a directory that does not exist. --key is a private key for sign; a public "
            "one, its line, or\n"
            "a list of keys for the others.",
    .example = "stead bundle pack site -o site.bundle",
    .options = options,
    .run = run,
};
