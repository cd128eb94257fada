#pragma once
/* Named limits on anything sized by input. Beyond them we refuse with STEAD_ERROR_LIMIT and say the
 * name. */
#define LIMIT_RESOURCES        500000u               /* resources of one graph */
#define LIMIT_EDGES            5000000u              /* edges of one graph */
#define LIMIT_LUA_MEMORY       (1024u * 1024 * 1024) /* bytes one evaluation may hold */
#define LIMIT_LUA_INSTRUCTIONS 300000000ull /* virtual machine instructions of one evaluation */
#define LIMIT_PROBLEMS         1000u        /* of one evaluation: then it ends */
#define LIMIT_CONFIG_FILE                                                                          \
    (64u * 1024 * 1024)         /* bytes of one configuration, template or values file */
#define LIMIT_NESTING      100u /* depth of nested lists and maps in any input */
#define LIMIT_FILE_CONTENT (256u * 1024 * 1024) /* bytes a kind reads of a file into memory */
#define LIMIT_COMMAND_OUTPUT                                                                       \
    (16u * 1024 * 1024)                         /* bytes kept of a command's output, each stream   \
                                                 */
#define LIMIT_PREIMAGE      (16u * 1024 * 1024) /* bytes of a file kept to restore it later */
#define LIMIT_MOUNT_SECONDS 120                 /* that one mount or unmount may take */
