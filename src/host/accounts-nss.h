#pragma once
/* Names and ids as this machine's name service has them (files, LDAP, ...). May block. */
#include <stdbool.h>
#include <stdint.h>

bool nss_user_id(const char *name, uint32_t *ret_id);
bool nss_group_id(const char *name, uint32_t *ret_id);
char *nss_user_name(uint32_t id); /* NULL: nobody has it; caller frees */
char *nss_group_name(uint32_t id);
