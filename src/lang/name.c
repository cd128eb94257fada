#include "lang/name.h"

#include <glib.h>

const char *name_refusal(const char *name, size_t size) {
    if (size == 0)
        return "is empty";
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return "has a control character in it";
    return g_utf8_validate(name, (gssize)size, NULL) ? NULL : "is not UTF-8 text";
}
