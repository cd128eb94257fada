#include "kinds/host-name.h"

#include <string.h>

#define NAME_MAX_LENGTH  253
#define LABEL_MAX_LENGTH 63

static const char *label_problem(const char *label, size_t size) {
    if (size == 0)
        return "it has an empty part between dots";
    if (size > LABEL_MAX_LENGTH)
        return "a part between dots is longer than 63 characters";
    if (label[0] == '-' || label[size - 1] == '-')
        return "a part between dots starts or ends with '-'";
    for (size_t i = 0; i < size; i++)
        if (!g_ascii_isalnum(label[i]) && label[i] != '-' && label[i] != '_')
            return "only letters, digits, '-', '_' and '.' can be part of it";
    return NULL;
}

const char *host_name_problem(const char *name) {
    size_t length = strlen(name);
    if (length == 0)
        return "it is empty";
    if (length > NAME_MAX_LENGTH)
        return "it is longer than 253 characters";
    for (const char *label = name;; label++) {
        size_t size = strcspn(label, ".");
        const char *problem = label_problem(label, size);
        label += size;
        if (problem != NULL || *label == '\0')
            return problem;
    }
}
