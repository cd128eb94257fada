#pragma once
/* What the files of facts have in common: reading small system files. Values are new references,
 * NULL where there is nothing to tell. */
#include "base/value.h"
#include "host/host.h"

/* Content as text, without blanks at its ends; NULL when unreadable or not text. Caller frees. */
char *facts_text(Host *host, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The text after `name` and separator of the first such line. Caller frees. */
char *facts_field_of(const char *text, const char *name, char separator);
/* Both take ownership of text. NULL and empty texts give nothing. */
Value *facts_text_value(char *text);
void facts_set_text(Value *map, const char *key, char *text);
/* Takes ownership. */
Value *facts_unless_empty(Value *map);

/* facts-hardware.c */
Value *facts_cpus(Host *host);
Value *facts_cpu_model(Host *host);
Value *facts_memory(Host *host);
Value *facts_swap(Host *host);
Value *facts_disks(Host *host);
Value *facts_dmi(Host *host);
Value *facts_virtualisation(Host *host);
Value *facts_efi(Host *host);

/* facts-names.c */
Value *facts_hostname(Host *host);
Value *facts_fqdn(Host *host);
Value *facts_domain(Host *host);
Value *facts_dns_names(Host *host);
Value *facts_machine_id(Host *host);
Value *facts_timezone(Host *host);

/* facts-network.c */
Value *facts_interfaces(Host *host); /* name -> {mac, mtu, addresses} */
Value *facts_addresses(Host *host);  /* of all interfaces but loopback, without link-local ones */
