/* The tables: a row for each Puppet type and for each of its parameters. What is in no row is
 * refused. doc/puppet.md shows the same in words; a test compares the names. */
#include "lang/puppet-types.h"

#define ROWS(params) params, G_N_ELEMENTS(params)

#define EXISTS "present>exists absent>absent true>exists false>absent"

#define OTHER_SYSTEM "it is for systems other than Linux; leave it out"
#define COMES_FROM_LEDGER                                                                          \
    "what a file was before stead changed it is kept in the ledger, and put back when the file "   \
    "leaves the configuration"
#define NO_SELINUX "stead leaves SELinux labels as they are"
#define LOCAL_ONLY NULL /* stead writes /etc/passwd itself: always local */

/* In the order of Puppet's reference. */
static const PuppetParam file_params[] = {
    { "path", puppet_set, "path" },
    { "ensure", puppet_file_ensure, "state" },
    { "backup", puppet_ignore, NULL, "false", COMES_FROM_LEDGER },
    { "checksum", puppet_refuse, NULL, "md5 md5lite sha224 sha256 sha256lite sha384 sha512",
      "stead compares the whole content, so leave it out" },
    { "checksum_value", puppet_refuse, NULL, NULL, "give the content or a local source instead" },
    { "content", puppet_set, "content" },
    { "force", puppet_set_bool, "force" },
    { "group", puppet_set, "group" },
    { "ignore", puppet_set, "ignore" },
    { "links", puppet_refuse, NULL, "manage",
      "stead manages the link itself; give the path it leads to" },
    { "max_files", puppet_ignore, NULL, "0", "stead has no such limit" },
    { "mode", puppet_file_mode, "mode" },
    { "owner", puppet_set, "owner" },
    { "provider", puppet_refuse, NULL, "posix", OTHER_SYSTEM },
    { "purge", puppet_set_bool, "purge" },
    { "recurse", puppet_file_recurse, "recurse" },
    { "recurselimit", puppet_refuse, NULL, NULL,
      "stead goes all the way down; declare the directories instead, or use ignore" },
    { "replace", puppet_set_bool, "replace" },
    { "selinux_ignore_defaults", puppet_ignore },
    { "selrange", puppet_ignore, NULL, NULL, NO_SELINUX },
    { "selrole", puppet_ignore, NULL, NULL, NO_SELINUX },
    { "seltype", puppet_ignore, NULL, NULL, NO_SELINUX },
    { "seluser", puppet_ignore, NULL, NULL, NO_SELINUX },
    { "show_diff", puppet_refuse, "content", "true false yes no", "write true or false" },
    { "source", puppet_file_source, "source" },
    { "source_permissions", puppet_refuse, NULL, "ignore",
      "give owner, group and mode, and leave it out" },
    { "sourceselect", puppet_refuse, NULL, "first", "name the one source that counts" },
    { "staging_location", puppet_ignore, NULL, NULL,
      "new content is always prepared beside the file" },
    { "target", puppet_set, "target" },
    { "validate_cmd", puppet_file_validate, "validate_cmd" },
    { "validate_replacement", puppet_refuse, NULL, "%", "write % in validate_cmd" },
};

static const PuppetParam package_params[] = {
    { "name", puppet_name },
    { "ensure", puppet_package_ensure, "state" },
    { "adminfile", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "allow_virtual", puppet_ignore },
    { "allowcdrom", puppet_refuse, NULL, "false", "take CDs out of apt's sources" },
    { "category", puppet_ignore },
    { "command", puppet_refuse, NULL, NULL, "packages come from apt" },
    { "configfiles", puppet_set_word, "configfiles", "keep>keep replace>replace" },
    { "description", puppet_ignore },
    { "enable_only", puppet_refuse, NULL, "false", OTHER_SYSTEM },
    { "flavor", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "install_only", puppet_refuse, NULL, "false", OTHER_SYSTEM },
    { "install_options", puppet_package_options, "allowdowngrade" },
    { "instance", puppet_ignore },
    { "mark", puppet_set_word, "held", "hold>true none>false",
      "manual and auto are apt-mark's matter" },
    { "package_settings", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "platform", puppet_ignore },
    { "provider", puppet_refuse, NULL, "apt dpkg",
      "packages come from apt; install it with an exec that has creates or unless" },
    { "reinstall_on_refresh", puppet_refuse, NULL, "false",
      "stead never reinstalls what is installed" },
    { "responsefile", puppet_refuse, NULL, NULL, "write the debconf answers with an exec before" },
    { "root", puppet_ignore },
    { "source", puppet_package_source, "source" },
    { "status", puppet_ignore },
    { "uninstall_options", puppet_refuse, NULL, NULL, "set options of apt in /etc/apt/apt.conf.d" },
    { "vendor", puppet_ignore },
};

#define OWN_COMMAND                                                                                \
    "stead asks systemd; put the command into a unit (ExecStart=, ExecStop=, ExecReload=)"

static const PuppetParam service_params[] = {
    { "name", puppet_name },
    { "ensure", puppet_set_word, "state",
      "running>running stopped>stopped true>running false>stopped" },
    { "enable", puppet_service_enable, "enabled" },
    { "binary", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "control", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "flags", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "hasrestart", puppet_ignore },
    { "hasstatus", puppet_ignore, NULL, "true", "systemd always knows what runs" },
    { "logonaccount", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "logonpassword", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "manifest", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "path", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "pattern", puppet_ignore, NULL, NULL, "systemd always knows what runs" },
    { "provider", puppet_refuse, NULL, "systemd debian", "services are units of systemd" },
    { "restart", puppet_service_restart, "on_notify" },
    { "start", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "status", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "stop", puppet_refuse, NULL, NULL, OWN_COMMAND },
    { "timeout", puppet_ignore, NULL, NULL, "TimeoutStartSec= of the unit decides" },
};

static const PuppetParam user_params[] = {
    { "name", puppet_name },
    { "ensure", puppet_set_word, "state", EXISTS, "role is for Solaris" },
    { "allowdupe", puppet_set_bool, "allowduplicateuid" },
    { "attribute_membership", puppet_ignore },
    { "attributes", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "auth_membership", puppet_ignore },
    { "auths", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "comment", puppet_set, "comment" },
    { "expiry", puppet_set_word, "expiry", "absent>never *" },
    { "forcelocal", puppet_ignore, NULL, NULL, LOCAL_ONLY },
    { "gid", puppet_user_gid, "gid" },
    { "groups", puppet_set_list, "groups" },
    { "home", puppet_set, "homedir" },
    { "ia_load_module", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "iterations", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "key_membership", puppet_ignore },
    { "keys", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "loginclass", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "managehome", puppet_set_bool, "managehome" },
    { "membership", puppet_set_word, "membership", "minimum>minimum inclusive>inclusive" },
    { "password", puppet_set, "password" },
    { "password_max_age", puppet_set_int, "password_max_age" },
    { "password_min_age", puppet_set_int, "password_min_age" },
    { "password_warn_days", puppet_set_int, "password_warn_days" },
    { "profile_membership", puppet_ignore },
    { "profiles", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "project", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "provider", puppet_refuse, NULL, "useradd", "users are those of /etc/passwd" },
    { "purge_ssh_keys", puppet_refuse, NULL, "false",
      "manage authorized_keys as a file to say all of it" },
    { "role_membership", puppet_ignore },
    { "roles", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "salt", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "shell", puppet_set, "shell" },
    { "system", puppet_set_bool, "system" },
    { "uid", puppet_set_int, "uid" },
};

static const PuppetParam group_params[] = {
    { "name", puppet_name },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "allowdupe", puppet_set_bool, "allowduplicategid" },
    { "attribute_membership", puppet_ignore },
    { "attributes", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "auth_membership", puppet_set_word, "membership", "true>inclusive false>minimum" },
    { "forcelocal", puppet_ignore, NULL, NULL, LOCAL_ONLY },
    { "gid", puppet_set_int, "gid" },
    { "ia_load_module", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "members", puppet_set_list, "members" },
    { "provider", puppet_refuse, NULL, "groupadd", "groups are those of /etc/group" },
    { "system", puppet_set_bool, "system" },
};

static const PuppetParam exec_params[] = {
    { "command", puppet_exec_command, "cmd" },
    { "creates", puppet_set, "creates" },
    { "cwd", puppet_set, "cwd" },
    { "environment", puppet_exec_environment, "env" },
    { "group", puppet_set, "group" },
    { "logoutput", puppet_set_word, "logoutput", "true>always false>never on_failure>on_failure" },
    { "onlyif", puppet_exec_guard, "ifcmd" },
    { "path", puppet_exec_path, "path" },
    { "provider", puppet_refuse, NULL, "posix shell", OTHER_SYSTEM },
    { "refresh", puppet_exec_refresh, "cmd" },
    { "refreshonly", puppet_set_bool, "refreshonly" },
    { "returns", puppet_set, "returns" },
    { "timeout", puppet_exec_seconds, "timeout" },
    { "tries", puppet_exec_tries },
    { "try_sleep", puppet_exec_seconds, "delay" },
    { "umask", puppet_set, "umask" },
    { "unless", puppet_exec_guard, "nifcmd" },
    { "user", puppet_set, "user" },
};

static const PuppetParam notify_params[] = {
    { "message", puppet_set_text, "msg" },
    { "name", puppet_ignore },
    { "withpath", puppet_ignore },
};

static const PuppetParam cron_params[] = {
    { "name", puppet_set, "title" },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "command", puppet_set, "command" },
    { "environment", puppet_set_list, "environment" },
    { "hour", puppet_set_list, "hour" },
    { "minute", puppet_set_list, "minute" },
    { "month", puppet_set_list, "month" },
    { "monthday", puppet_set_list, "monthday" },
    { "provider", puppet_refuse, NULL, "crontab", "entries are those of cron's tables" },
    { "special", puppet_set_list, "special" },
    { "target", puppet_cron_target, "user" },
    { "user", puppet_set, "user" },
    { "weekday", puppet_set_list, "weekday" },
};

static const PuppetParam host_params[] = {
    { "name", puppet_set, "hostname" },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "comment", puppet_set, "comment" },
    { "host_aliases", puppet_set_list, "host_aliases" },
    { "ip", puppet_set, "ip" },
    { "provider", puppet_refuse, NULL, "parsed", "hosts are those of /etc/hosts" },
    { "target", puppet_set, "target" },
};

static const PuppetParam mount_params[] = {
    { "name", puppet_set, "path" },
    { "ensure", puppet_set_word, "state",
      "present>defined defined>defined mounted>mounted unmounted>unmounted absent>absent" },
    { "atboot", puppet_ignore, NULL, "true yes",
      "Puppet's provider for fstab does not read it either: say noauto among the options" },
    { "blockdevice", puppet_refuse, NULL, NULL, OTHER_SYSTEM },
    { "device", puppet_set, "device" },
    { "dump", puppet_set_int, "dump" },
    { "fstype", puppet_set, "fstype" },
    { "options", puppet_set, "options" },
    { "pass", puppet_set_int, "pass" },
    { "provider", puppet_refuse, NULL, "parsed", "mounts are those of /etc/fstab" },
    { "remounts", puppet_ignore, NULL, "true", "stead remounts when only options differ" },
    { "target", puppet_refuse, NULL, "/etc/fstab", "mounts are those of /etc/fstab" },
};

static const PuppetParam ssh_authorized_key_params[] = {
    { "name", puppet_set, "comment" },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "drop_privileges", puppet_ignore },
    { "key", puppet_set, "key" },
    { "options", puppet_set_list, "options" },
    { "provider", puppet_refuse, NULL, "parsed", "keys are those of authorized_keys files" },
    { "target", puppet_set, "target" },
    { "type", puppet_set, "type" },
    { "user", puppet_set, "user" },
};

/* Of the modules stdlib and inifile, whose parameters stead's own kinds have taken over. */
static const PuppetParam file_line_params[] = {
    { "name", puppet_ignore },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "after", puppet_set, "after" },
    { "append_on_no_match", puppet_set_bool, "append_on_no_match" },
    { "encoding", puppet_refuse, NULL, "UTF-8 utf-8", "files are changed byte by byte" },
    { "line", puppet_set, "content" },
    { "match", puppet_set, "match" },
    { "match_for_absence", puppet_set_bool, "match_for_absence" },
    { "multiple", puppet_set_bool, "multiple" },
    { "path", puppet_set, "file" },
    { "provider", puppet_refuse, NULL, "ruby", "there is one way only" },
    { "replace", puppet_set_bool, "replace" },
    { "replace_all_matches_not_matching_line", puppet_refuse, NULL, "false",
      "say match and multiple" },
};

static const PuppetParam ini_setting_params[] = {
    { "name", puppet_ignore },
    { "ensure", puppet_set_word, "state", EXISTS },
    { "force_new_section_creation", puppet_refuse, NULL, "true",
      "a missing section is always made" },
    { "indent_char", puppet_ignore },
    { "indent_width", puppet_ignore },
    { "key_val_separator", puppet_set, "separator" },
    { "path", puppet_set, "path" },
    { "provider", puppet_refuse, NULL, "ruby", "there is one way only" },
    { "refreshonly", puppet_refuse, NULL, "false", "stead keeps the value, always" },
    { "section", puppet_set, "section" },
    { "section_prefix", puppet_refuse, NULL, "[", "sections are in brackets" },
    { "section_suffix", puppet_refuse, NULL, "]", "sections are in brackets" },
    { "setting", puppet_set, "key" },
    { "show_diff", puppet_ignore, NULL, "true false md5" },
    { "value", puppet_set_text, "value" },
};

static const PuppetParam anchor_params[] = {
    { "name", puppet_ignore },
};

static const PuppetParam augeas_params[] = {
    { "name", puppet_ignore },
    { "changes", puppet_set, "changes" },
    { "context", puppet_augeas_context, "context" },
    { "force", puppet_refuse, NULL, "false", "stead writes a file only when something differs" },
    { "incl", puppet_set, "path" },
    { "lens", puppet_set, "lens" },
    { "load_path", puppet_augeas_load_path, "load_path" },
    { "onlyif", puppet_set, "onlyif" },
    { "provider", puppet_refuse, NULL, "augeas", "there is one way only" },
    { "returns", puppet_ignore },
    { "root", puppet_refuse, NULL, "/", "stead --root names another root" },
    { "show_diff", puppet_refuse, "changes", "true false yes no", "write true or false" },
    { "type_check", puppet_ignore },
};

const PuppetType puppet_types[] = {
    { "anchor", "noop", "name", NULL, ROWS(anchor_params), .several = true },
    { "augeas", "augeas", "name", NULL, ROWS(augeas_params), .finish = puppet_augeas_finish,
      .several = true },
    { "cron", "cron", "name", "title", ROWS(cron_params) },
    { "exec", "exec", "command", "cmd", ROWS(exec_params), .finish = puppet_exec_finish,
      .several = true },
    { "file", "file", "path", "path", ROWS(file_params), .finish = puppet_file_finish },
    { "file_line", "line", "name", NULL, ROWS(file_line_params), .several = true },
    { "filebucket" },
    { "group", "group", "name", NULL, ROWS(group_params) },
    { "host", "host", "name", "hostname", ROWS(host_params) },
    { "ini_setting", "ini", "name", NULL, ROWS(ini_setting_params), .several = true },
    { "mount", "mount", "name", "path", ROWS(mount_params), .finish = puppet_mount_finish },
    { "notify", "print", "message", "msg", ROWS(notify_params), .several = true },
    { "package", "pkg", "name", NULL, ROWS(package_params) },
    { "resources", .refusal =
                       "stead removes what left the configuration, and nothing it never managed; "
                       "declare what is to be absent" },
    { "schedule" },
    { "service", "svc", "name", NULL, ROWS(service_params), .finish = puppet_service_finish },
    { "ssh_authorized_key", "ssh_authorized_key", "name", "comment",
      ROWS(ssh_authorized_key_params) },
    { "tidy", .refusal = "write a systemd-tmpfiles entry, or a file with recurse and purge" },
    { "user", "user", "name", NULL, ROWS(user_params), .finish = puppet_user_finish },
    { "whit" },
};
const unsigned puppet_types_count = G_N_ELEMENTS(puppet_types);

const PuppetParam puppet_metaparams[] = {
    { "alias", puppet_ignore }, /* a further name: of the look-up of references */
    { "audit", puppet_ignore, NULL, NULL,
      "stead keeps the journal of what it manages: stead drift" },
    { "loglevel", puppet_ignore, NULL, "notice", "stead prints every change" },
    { "noop", puppet_meta_noop, "noop" },
    { "schedule", puppet_meta_schedule, NULL, NULL,
      "stead keeps what is declared at any time; decide by clock in a Lua configuration" },
    { "stage", puppet_ignore }, /* is in the edges of the catalog */
    { "tag", puppet_ignore },   /* is among the tags */
    { "before", puppet_ignore },
    { "notify", puppet_ignore },
    { "require", puppet_ignore },
    { "subscribe", puppet_ignore },
};
const unsigned puppet_metaparams_count = G_N_ELEMENTS(puppet_metaparams);

const PuppetType *puppet_type_find(const char *name) {
    for (unsigned i = 0; i < puppet_types_count; i++)
        if (g_ascii_strcasecmp(puppet_types[i].name, name) == 0)
            return &puppet_types[i];
    return NULL;
}
