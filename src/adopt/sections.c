/* The sections, in the order of the page. */
#include "adopt/adopt-private.h"

/* Paths that no package has. What a package has and somebody changed is in "conffiles". */
static const char *const apt_paths[] = {
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*",
    "/etc/apt/keyrings/*",
    "/etc/apt/trusted.gpg.d/*",
    "/etc/apt/preferences",
    "/etc/apt/preferences.d/*",
    "/etc/apt/apt.conf",
    "/etc/apt/apt.conf.d/*",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d/*",
    NULL,
};
static const char *const locale_paths[] = {
    "/etc/localtime",  "/etc/timezone",         "/etc/default/locale", "/etc/locale.conf",
    "/etc/locale.gen", "/etc/default/keyboard", "/etc/vconsole.conf",  NULL,
};
static const char *const network_paths[] = {
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
    "/etc/systemd/network/*",
    "/etc/systemd/resolved.conf.d/*",
    "/etc/netplan/*",
    "/etc/NetworkManager/system-connections/*",
    "/etc/NetworkManager/conf.d/*",
    "/etc/wireguard/*",
    "/etc/nftables.d/*",
    "/etc/iptables/*",
    NULL,
};

const Section sections[] = {
    { "names", "Names", .write = section_names_write },
    { "locale", "Time zone and language", .patterns = locale_paths },
    { "apt", "Package sources", .patterns = apt_paths },
    { "packages", "Packages", .write = section_packages_write },
    { "users", "Users and groups", .write = section_users_write },
    { "units", "Units and services", .collect = section_units_collect,
      .write = section_units_write },
    { "cron", "Cron", "Crontabs of people are beside them, above.", .write = section_cron_write },
    { "mounts", "Mounts", .write = section_mounts_write },
    { "sysctl", "Kernel settings", .write = section_sysctl_write },
    { "network", "Network", .patterns = network_paths },
    { "conffiles", "Configuration files of packages",
      "Those that differ from what the package installed, or were added to its directories.",
      .write = section_conffiles_write },
    { "files", "Other files in /etc", .write = section_rest_write },
    { 0 },
};
