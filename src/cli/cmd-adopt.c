/* stead adopt: a configuration from what a machine is. */
#include "adopt/adopt.h"
#include "base/json.h"
#include "base/plural.h"
#include "cli/commands.h"
#include "cli/session.h"

#define DEFAULT_DIRECTORY "adopted"

static void on_progress(void *data, const char *title) {
    printer_progress(data, "reading: %s", title);
}

/* --- what was found */

static Value *texts_value(const GPtrArray *texts) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < texts->len; i++)
        value_list_append(list, value_new_string(texts->pdata[i]));
    return list;
}

static Value *section_value(const AdoptSection *section) {
    Value *map = value_new_map();
    value_map_set(map, "name", value_new_string(section->name));
    value_map_set(map, "resources", value_new_int(section->taken));
    if (section->note != NULL)
        value_map_set(map, "left_out", value_new_string(section->note));
    return map;
}

static void print_json(Printer *printer, const char *directory, const AdoptResult *result,
                       const GPtrArray *differences) {
    Value *map = value_new_map(), *list = value_new_list();
    for (unsigned i = 0; i < result->sections->len; i++)
        value_list_append(list, section_value(result->sections->pdata[i]));
    value_map_set(map, "directory", value_new_string(directory));
    value_map_set(map, "sections", list);
    value_map_set(map, "resources", value_new_int(result->taken));
    value_map_set(map, "files", value_new_int(result->files->len));
    value_map_set(map, "secrets", value_new_int(result->secrets));
    value_map_set(map, "unread", texts_value(result->unread));
    value_map_set(map, "differences", texts_value(differences));
    printer_json(printer, "adopted", map);
}

static void print_sections(Printer *printer, const AdoptResult *result) {
    for (unsigned i = 0; i < result->sections->len; i++) {
        const AdoptSection *section = result->sections->pdata[i];
        if (section->taken > 0 || section->note != NULL)
            printer_line(printer, STYLE_PLAIN, "  %-10s %4u%s%s", section->name, section->taken,
                         section->note != NULL ? "   " : "",
                         section->note != NULL ? section->note : "");
    }
}

/* Another configuration was applied here: without --replace ours would be refused. */
static bool is_kept(const Session *session) {
    return ledger_exists(session->machine->state_dir);
}

static void print_next(const Session *session, const char *directory, const AdoptResult *result) {
    const char *root = session->arguments->root;
    g_autofree char *below = root != NULL ? g_strconcat(" --root ", root, NULL) : g_strdup("");
    g_autofree char *secrets = result->secrets > 0
                                   ? g_strdup_printf(" --secrets %s/secrets.yaml", directory)
                                   : g_strdup("");
    bool kept = is_kept(session);
    printer_line(session->printer, STYLE_PLAIN, "next: stead plan %s/site.lua%s%s%s", directory,
                 secrets, below, kept ? " --replace" : "");
    if (kept)
        printer_line(session->printer, STYLE_PLAIN,
                     "stead keeps a configuration here already: the plan tells what of it this one "
                     "would undo");
}

static void print_summary(const Session *session, const char *directory, const AdoptResult *result,
                          const GPtrArray *differences) {
    Printer *printer = session->printer;
    unsigned beside = result->files->len - 1;
    print_sections(printer, result);
    for (unsigned i = 0; i < result->unread->len; i++)
        printer_warning(printer, "not read: %s", (char *)result->unread->pdata[i]);
    printer_line(printer, STYLE_PLAIN, "wrote %s/site.lua: %u %s, %u %s beside it", directory,
                 result->taken, plural(result->taken, "resource", "resources"), beside,
                 plural(beside, "file", "files"));
    for (unsigned i = 0; i < differences->len; i++)
        printer_warning(printer, "%s", (char *)differences->pdata[i]);
    if (differences->len == 0)
        printer_line(printer, STYLE_GOOD, "planned it: applying it changes nothing");
    else
        printer_line(printer, STYLE_BAD,
                     "planned it: applying it would change the %u above; look at them before you "
                     "apply, and please report them",
                     differences->len);
    print_next(session, directory, result);
}

/* --- the command */

static int fail(const Session *session, GError *error) {
    session_explain_permission(session, error);
    printer_error(session->printer, error);
    return EXIT_REFUSED;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (session == NULL)
        return EXIT_REFUSED;
    const char *directory = arguments->out != NULL ? arguments->out : DEFAULT_DIRECTORY;
    Host *host = session->machine->host;
    AdoptOptions options = {
        .only = arguments->only,
        .except = arguments->except,
        .all_files = arguments->all_files,
        .all_packages = arguments->all_packages,
        .with_secrets = arguments->with_secrets,
        .progress = on_progress,
        .data = session->printer,
    };
    g_autoptr(GError) error = NULL;
    if (!arguments->overwrite && !adopt_check_place(directory, &error))
        return fail(session, error);
    g_autoptr(AdoptResult) result = adopt_collect(host, &options, &error);
    if (result == NULL)
        return fail(session, error);
    if (!adopt_write(result, directory, arguments->overwrite, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    g_autoptr(GPtrArray) differences = g_ptr_array_new_with_free_func(g_free);
    printer_progress(session->printer, "planning what was written");
    if (!adopt_check(host, directory, differences, &error))
        return fail(session, error);
    if (printer_is_json(session->printer))
        print_json(session->printer, directory, result, differences);
    else
        print_summary(session, directory, result, differences);
    return differences->len == 0 ? EXIT_DONE : EXIT_FAILURES;
}

#define TO(member) offsetof(Arguments, member)

static const Option option_directory = {
    "out", 'o', G_OPTION_ARG_FILENAME, TO(out), "DIR", "Write into DIR (default: adopted)",
};
static const Option option_only = {
    "only",   0,          G_OPTION_ARG_STRING,
    TO(only), "SECTIONS", "Only these sections, with commas between",
};
static const Option option_except = {
    "except", 0, G_OPTION_ARG_STRING, TO(except), "SECTIONS", "All sections but these",
};
static const Option option_all_files = {
    "all-files",   0,    G_OPTION_ARG_NONE,
    TO(all_files), NULL, "Also take files in /etc that no package has and no section knows",
};
static const Option option_all_packages = {
    "all-packages",   0,    G_OPTION_ARG_NONE,
    TO(all_packages), NULL, "Also list the packages that come with every Debian",
};
static const Option option_with_secrets = {
    "with-secrets",   0,    G_OPTION_ARG_NONE,
    TO(with_secrets), NULL, "Also take password hashes and private texts, into DIR/secrets.yaml",
};
static const Option option_overwrite = {
    "overwrite",   0,    G_OPTION_ARG_NONE,
    TO(overwrite), NULL, "Replace what an earlier run wrote into DIR",
};

static const Option *const options[] = {
    &option_directory,
    &option_only,
    &option_except,
    &option_all_files,
    &option_all_packages,
    &option_with_secrets,
    &option_overwrite,
    &option_root,
    &option_json,
    &option_no_color,
    NULL,
};

const Command command_adopt = {
    .name = "adopt",
    .arguments = "",
    .summary = "Write a configuration from what a machine is",
    .help =
        "Looks at the machine and writes DIR/site.lua: the packages somebody asked for, people's "
        "users with\n"
        "their keys and crontabs, units and services, cron, mounts, kernel and network settings, "
        "changed\n"
        "configuration files. Applying it changes nothing: each resource is checked before it is "
        "written, and\n"
        "the whole is planned at the end. Comments say what was left out. Larger files are copied "
        "into\n"
        "DIR/files. All of it is for the caller alone to read. Password hashes and private files "
        "stay where\n"
        "they are unless --with-secrets puts them into DIR/secrets.yaml.\n"
        "Sections: names, locale, apt, packages, users, units, cron, mounts, sysctl, network, "
        "conffiles, files.\n"
        "Nothing of the machine is changed. Exits with 4 when applying the result would change "
        "something.",
    .example = "stead adopt --out site",
    .options = options,
    .run = run,
};
