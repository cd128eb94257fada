#include "cli/deploy-publish.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/plural.h"
#include "bundle/sign-statement.h"
#include "cli/deploy-plan.h"
#include "cli/deploy-settings.h"
#include "cli/fleet-names.h"
#include "fleet/strategy.h"

#define KEY_VARIABLE "STEAD_DEPLOY_KEY"
#define EARLIER_MAX  100 /* deploys that are looked at for one of the same bundle */

typedef struct {
    const Arguments *arguments;
    Printer *printer;
    const HubLink *link;
    const char *directory;
    char *to, *strategy;
    char *key_file;
    SigningKey *key;
    Bundle *bundle;
    Value *newest;  /* the deploy before; NULL: none */
    Value *halted;  /* the newest deploy of this bundle, where that halted; or NULL */
    bool resumable; /* that is the newest of all, and has still halted */
    DeployInputs inputs;
    char *first_keys; /* a list of our key alone, where the fleet has none; or NULL */
    unsigned targets;
} Deploy;

static void deploy_clear(Deploy *deploy) {
    g_free(deploy->to);
    g_free(deploy->strategy);
    g_free(deploy->key_file);
    g_free(deploy->first_keys);
    signing_key_free(deploy->key);
    bundle_free(deploy->bundle);
    value_unref(deploy->newest);
    value_unref(deploy->halted);
    deploy_inputs_clear(&deploy->inputs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Deploy, deploy_clear)

static bool refuse(GError **error, const char *what) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, what);
    return false;
}

/* --- what is wanted */

static bool read_key(Deploy *deploy, GError **error) {
    const char *named = deploy->arguments->key ? deploy->arguments->key : g_getenv(KEY_VARIABLE);
    deploy->key_file = named
                           ? g_strdup(named)
                           : g_build_filename(g_get_user_config_dir(), "stead", "deploy.key", NULL);
    g_autoptr(GError) problem = NULL;
    deploy->key = signing_key_load(deploy->key_file, &problem);
    if (deploy->key)
        return true;
    if (!named && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_CONFIG,
            "a key that signs the deploy is missing: name it with --key FILE or in " KEY_VARIABLE
            ", or make one: stead key new %s",
            deploy->key_file);
    else
        g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* --- what there is */

/* Of all deploys of this bundle the newest counts: it may have been mended in between. */
static void find_halted(Deploy *deploy, const Value *rollout, const Value *deploys) {
    for (size_t i = value_size(deploys); i > 0; i--) {
        const Value *one = value_list_at(deploys, i - 1), *outcome = value_map_get(one, "outcome");
        const char *digest = value_map_string(one, "digest", "");
        if (!g_str_has_prefix(digest, BUNDLE_NAME_PREFIX) ||
            strcmp(digest + strlen(BUNDLE_NAME_PREFIX), deploy->bundle->digest) != 0)
            continue;
        int64_t record = value_map_int(one, "record", 0);
        bool stands = value_map_int(rollout, "record", 0) == record;
        const char *phase = value_map_string(rollout, "phase", "");
        if (outcome && strcmp(value_map_string(outcome, "outcome", ""), "halted") == 0 &&
            (!stands || strcmp(phase, "halted") == 0)) {
            deploy->halted = value_ref(one);
            deploy->resumable = i == value_size(deploys) && stands;
        }
        return;
    }
}

static bool read_newest(Deploy *deploy, GError **error) {
    g_autoptr(Value) rollout = hub_call(deploy->link, "GET", "/v1/rollout", NULL, error);
    if (!rollout)
        return false;
    int64_t record = value_map_int(rollout, "record", 0);
    g_autofree char *path =
        g_strdup_printf("/v1/deploys?after=%" G_GINT64_FORMAT, MAX(record - EARLIER_MAX, 0));
    g_autoptr(Value) deploys = hub_list(deploy->link, path, "deploys", error);
    if (!deploys)
        return false;
    if (value_size(deploys) > 0)
        deploy->newest = value_ref(value_list_at(deploys, value_size(deploys) - 1));
    find_halted(deploy, rollout, deploys);
    return true;
}

static uint64_t number_of(const Deploy *deploy) {
    return deploy->newest ? (uint64_t)value_map_int(deploy->newest, "record", 0) + 1 : 1;
}

/* Whether our signature will count. Of a fleet without keys ours becomes the first. */
static bool check_key(Deploy *deploy, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(Value) map = hub_call(deploy->link, "GET", "/v1/keys", NULL, &problem);
    const PublicKey *public = signing_key_public(deploy->key);
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_autofree char *who = key_comment_beside(deploy->key_file, public);
        g_autoptr(KeyList) first = key_list_add(NULL, public, who, deploy->key, error);
        deploy->first_keys = first ? g_strdup(key_list_chain(first)) : NULL;
        return first != NULL;
    }
    if (!map) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autoptr(KeyList) list = key_list_of_text(value_map_string(map, "keys", ""), error);
    if (list && key_list_accepts(list, public, number_of(deploy), "the deploy", error))
        return true;
    g_prefix_error(error, "sign with '%s': ", deploy->key_file);
    return false;
}

/* --- deciding */

static void show_heading(const Deploy *deploy) {
    if (deploy->newest)
        printer_line(deploy->printer, STYLE_PLAIN,
                     "deploy %" G_GUINT64_FORMAT " of %s%s, after \"%s\" by %s", number_of(deploy),
                     BUNDLE_NAME_PREFIX, deploy->bundle->digest,
                     value_map_string(deploy->newest, "message", ""),
                     value_map_string(deploy->newest, "by", ""));
    else
        printer_line(deploy->printer, STYLE_PLAIN, "deploy 1 of %s%s, the first one",
                     BUNDLE_NAME_PREFIX, deploy->bundle->digest);
}

static void warn_halted(const Deploy *deploy) {
    if (!deploy->halted)
        return;
    const Value *outcome = value_map_get(deploy->halted, "outcome");
    printer_warning(
        deploy->printer, "deploy %" G_GINT64_FORMAT " of this same bundle has halted: %s%s",
        value_map_int(deploy->halted, "record", 0), value_map_string(outcome, "why", ""),
        deploy->resumable ? "; once that is mended, 'stead deploy resume' goes on with it" : "");
}

static void warn_nobody(const Deploy *deploy) {
    g_autoptr(GError) why = NULL;
    (void)fleet_check_selector(deploy->link, deploy->to, &why);
    printer_warning(deploy->printer,
                    "no host is '%s' now: it is for those that will be, and the others get "
                    "nothing%s%s",
                    deploy->to, why ? "; " : "", why ? why->message : "");
}

/* Hosts that all have none would be one group. */
static void warn_ungrouped(const Deploy *deploy) {
    Strategy strategy;
    g_autoptr(GError) why = NULL;
    bool parsed = strategy_parse(deploy->strategy, &strategy, NULL);
    if (parsed && *strategy.by && !fleet_check_name(deploy->link, strategy.by, &why))
        printer_warning(deploy->printer, "the strategy has 'by=%s', but %s", strategy.by,
                        why->message);
}

/* Who is asked has to see what about. */
static bool is_silent(const Deploy *deploy) {
    return printer_is_quiet(deploy->printer) && deploy->arguments->yes;
}

static bool show_plan(Deploy *deploy, GError **error) {
    DeployPlanOptions options = { .link = deploy->link,
                                  .printer = deploy->printer,
                                  .bundle = deploy->bundle,
                                  .directory = deploy->directory,
                                  .to = deploy->to,
                                  .inputs = deploy->inputs };
    g_autoptr(Value) plan = deploy_plan(&options, error);
    if (!plan)
        return false;
    deploy->targets = (unsigned)value_map_int(plan, "targets", 0);
    if (printer_is_json(deploy->printer)) {
        printer_json(deploy->printer, "plan", hub_copy(plan));
    } else if (!is_silent(deploy)) {
        show_heading(deploy);
        deploy_plan_print(deploy->printer, plan);
    }
    warn_halted(deploy);
    if (deploy->targets == 0)
        warn_nobody(deploy);
    else
        warn_ungrouped(deploy);
    return true;
}

/* "Y" is no, on purpose: who means it types the word. */
static bool is_wanted(const Deploy *deploy, GError **error) {
    if (deploy->arguments->yes)
        return true;
    if (!isatty(STDIN_FILENO) || printer_is_json(deploy->printer)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "publish the deploy: nobody is there to be asked; say --yes to do it");
        return false;
    }
    char line[16] = "";
    printf("Deploy to %u %s ('%s')? Type yes: ", deploy->targets,
           plural(deploy->targets, "host", "hosts"), deploy->to);
    (void)fflush(stdout);
    if (fgets(line, sizeof line, stdin) && strcmp(g_strstrip(line), "yes") == 0)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "publish the deploy: not wanted; nothing was changed");
    return false;
}

/* --- publishing */

/* All that --quiet leaves of a success: for scripts. */
static void print_number(const Deploy *deploy, int64_t record) {
    printer_line(deploy->printer, STYLE_PLAIN, "%" G_GINT64_FORMAT, record);
}

static char *sign(const Deploy *deploy, GError **error) {
    Statement statement = { .record = number_of(deploy),
                            .time = (uint64_t)time(NULL),
                            .message = deploy->arguments->message,
                            .key = *signing_key_public(deploy->key) };
    memcpy(statement.digest, deploy->bundle->digest, DIGEST_HEX_SIZE);
    const char *previous = deploy->newest ? value_map_string(deploy->newest, "digest", "") : "";
    if (*previous && !bundle_parse_name(previous, statement.previous, error))
        return NULL;
    return statement_sign(&statement, deploy->key, error);
}

static bool give_keys(const Deploy *deploy, GError **error) {
    if (!deploy->first_keys)
        return true;
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "keys", value_new_string(deploy->first_keys));
    g_autoptr(Value) answer = hub_call(deploy->link, "PUT", "/v1/keys", wish, error);
    if (!answer) {
        g_prefix_error(error, "give this fleet its first list of keys: ");
        return false;
    }
    if (!printer_is_json(deploy->printer) && !printer_is_quiet(deploy->printer))
        printer_line(deploy->printer, STYLE_PLAIN,
                     "this fleet had no list of keys; '%s' is the first: keep it safe, and away "
                     "from the hub; a machine that joined without its public half (--deploy-key) "
                     "refuses deploys until 'stead agent pin' is run there",
                     deploy->key_file);
    return true;
}

static bool send_bundle(const Deploy *deploy, GError **error) {
    g_autofree char *path = g_strconcat("/v1/bundles/", deploy->bundle->digest, NULL);
    g_autoptr(GBytes) packed = bundle_write(deploy->bundle, error);
    g_autoptr(Value) answer = packed ? hub_send_bytes(deploy->link, path, packed, error) : NULL;
    return answer != NULL;
}

static bool publish(const Deploy *deploy, GError **error) {
    g_autofree char *statement = sign(deploy, error);
    if (!statement || !give_keys(deploy, error) || !send_bundle(deploy, error))
        return false;
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "statement", value_new_string(statement));
    value_map_set(wish, "to", value_new_string(deploy->to));
    value_map_set(wish, "strategy", value_new_string(deploy->strategy));
    g_autoptr(Value) answer = hub_call(deploy->link, "POST", "/v1/deploys", wish, error);
    if (answer && printer_is_json(deploy->printer))
        printer_json(deploy->printer, "published", hub_copy(answer));
    else if (answer && printer_is_quiet(deploy->printer))
        print_number(deploy, value_map_int(answer, "record", 0));
    else if (answer)
        printer_line(deploy->printer, STYLE_GOOD,
                     "published deploy %" G_GINT64_FORMAT
                     "; 'stead deploy status --watch' shows how it goes",
                     value_map_int(answer, "record", 0));
    return answer != NULL;
}

int deploy_publish_directory(const Arguments *arguments, Printer *printer, const HubLink *link,
                             const char *directory, GError **error) {
    g_auto(Deploy) deploy = {
        .arguments = arguments, .printer = printer, .link = link, .directory = directory
    };
    if (!arguments->message || !*arguments->message) {
        (void)refuse(error, "stead deploy: say why with -m \"why\"; others read it later");
        return EXIT_REFUSED;
    }
    deploy.bundle = bundle_of_directory(directory, BUNDLE_MAIN, error);
    if (!deploy.bundle ||
        !deploy_settings_read(arguments, directory, &deploy.to, &deploy.strategy, error) ||
        !deploy_inputs_read(&deploy.inputs, arguments, error) || !read_key(&deploy, error) ||
        !read_newest(&deploy, error) || !check_key(&deploy, error) || !show_plan(&deploy, error) ||
        !is_wanted(&deploy, error) || !publish(&deploy, error))
        return EXIT_REFUSED;
    return EXIT_DONE;
}

/* --- signing alone ---------------------------------------------------------------------------- */

static bool knows_hub(const Arguments *arguments) {
    const char *data = arguments->data ? arguments->data : HUB_DATA_DEFAULT;
    g_autofree char *url = g_build_filename(data, "url", NULL);
    return arguments->hub || arguments->data || g_getenv("STEAD_HUB") ||
           g_file_test(url, G_FILE_TEST_EXISTS);
}

/* Without a hub, the deploy before is the one that was signed here last; none is fine. */
static bool read_signed(Deploy *deploy, const char *path, GError **error) {
    g_auto(Statement) last = { 0 };
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return true;
    g_autoptr(GBytes) text = disk_read(path, STATEMENT_MAX, error);
    size_t size = 0;
    const char *data = text ? g_bytes_get_data(text, &size) : NULL;
    if (!text || !statement_read(data ? data : "", size, &last, error)) {
        g_prefix_error(error, "read '%s': ", path);
        return false;
    }
    deploy->newest = value_new_map();
    value_map_set(deploy->newest, "record", value_new_int((int64_t)last.record));
    value_map_set(deploy->newest, "digest", value_new_string(last.digest));
    return true;
}

/* With a hub it is tried there as any deploy is. */
static bool prepare(Deploy *deploy, const char *path, GError **error) {
    if (!deploy->link)
        return read_signed(deploy, path, error);
    if (!read_newest(deploy, error) || !check_key(deploy, error))
        return false;
    if (!deploy->first_keys)
        return show_plan(deploy, error);
    return refuse(error, "stead deploy --sign-only: this fleet has no list of keys, so the hub "
                         "would refuse it; an admin gives it one: 'stead key publish KEY.pub'");
}

static bool is_signed_already(const Deploy *deploy) {
    g_autofree char *name = g_strconcat(BUNDLE_NAME_PREFIX, deploy->bundle->digest, NULL);
    const char *digest = deploy->newest ? value_map_string(deploy->newest, "digest", "") : "";
    return strcmp(digest, name) == 0 || strcmp(digest, deploy->bundle->digest) == 0;
}

static bool write_signed(const Deploy *deploy, const char *path, GError **error) {
    if (is_signed_already(deploy)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "stead deploy --sign-only: deploy %" G_GUINT64_FORMAT
                    " is this bundle already, so there is nothing to sign",
                    number_of(deploy) - 1);
        return false;
    }
    g_autofree char *text = sign(deploy, error);
    if (!text || !disk_replace(path, text, strlen(text), 0644, error))
        return false;
    if (printer_is_json(deploy->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "record", value_new_int((int64_t)number_of(deploy)));
        value_map_set(map, "digest", value_new_string(deploy->bundle->digest));
        value_map_set(map, "file", value_new_string(path));
        printer_json(deploy->printer, "signed", map);
    } else if (printer_is_quiet(deploy->printer)) {
        print_number(deploy, (int64_t)number_of(deploy));
    } else {
        printer_line(deploy->printer, STYLE_GOOD,
                     "signed deploy %" G_GUINT64_FORMAT " in %s; commit it with the rest of '%s'",
                     number_of(deploy), path, deploy->directory);
    }
    return true;
}

static bool sign_with(Deploy *deploy, GError **error) {
    g_autofree char *path = g_build_filename(deploy->directory, BUNDLE_STATEMENT, NULL);
    g_autoptr(Bundle) all = bundle_of_directory(deploy->directory, BUNDLE_MAIN, error);
    deploy->bundle = all ? bundle_without_empty(all, error) : NULL;
    return deploy->bundle &&
           deploy_settings_read(deploy->arguments, deploy->directory, &deploy->to,
                                &deploy->strategy, error) &&
           read_key(deploy, error) && prepare(deploy, path, error) &&
           write_signed(deploy, path, error);
}

int deploy_sign_directory(const Arguments *arguments, Printer *printer, const char *directory,
                          GError **error) {
    g_auto(HubLink) link = { 0 };
    g_auto(Deploy) deploy = { .arguments = arguments, .printer = printer, .directory = directory };
    if (!arguments->message || !*arguments->message) {
        (void)refuse(error, "stead deploy: say why with -m \"why\"; others read it later");
        return EXIT_REFUSED;
    }
    if (knows_hub(arguments)) {
        if (!hub_link_open(&link, arguments, error))
            return EXIT_REFUSED;
        deploy.link = &link;
    }
    return sign_with(&deploy, error) ? EXIT_DONE : EXIT_REFUSED;
}
