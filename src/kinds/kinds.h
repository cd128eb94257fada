#pragma once
/*
 * kinds: one file each. Uses base, loop, host, graph; never the engine. The list is kinds.c.
 *
 * A new kind is one new file that ends with one const Kind, a line here, a line in kinds.c and a
 * line in meson.build. test-kinds.c then checks its table, and kind-test.h drives its callbacks on
 * every sort of host.
 */
#include "graph/kind.h"

extern const KindSet builtin_kinds;

extern const Kind kind_apt_source;
extern const Kind kind_augeas;
extern const Kind kind_cron;
extern const Kind kind_exec;
extern const Kind kind_exit;
extern const Kind kind_file;
extern const Kind kind_group;
extern const Kind kind_host;
extern const Kind kind_hostname;
extern const Kind kind_ini;
extern const Kind kind_kv;
extern const Kind kind_line;
extern const Kind kind_mount;
extern const Kind kind_msg;
extern const Kind kind_net;
extern const Kind kind_noop;
extern const Kind kind_password;
extern const Kind kind_pkg;
extern const Kind kind_print;
extern const Kind kind_ssh_authorized_key;
extern const Kind kind_svc;
extern const Kind kind_sysctl;
extern const Kind kind_systemd_timer;
extern const Kind kind_tar;
extern const Kind kind_test;
extern const Kind kind_timer;
extern const Kind kind_unit;
extern const Kind kind_user;
extern const Kind kind_value;
