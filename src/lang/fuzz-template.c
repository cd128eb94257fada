/* The first byte chooses the format, the rest is a template. */
#include <stdint.h>
#include <string.h>

#include "lang/render.h"
#include "lang/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each piece of code keeps its line, so there are never more lines than in the template. */
static void check_lines(const char *text, size_t size, TemplateFormat format) {
    g_auto(TemplateCode) code = { .code = NULL };
    g_autoptr(GError) error = NULL;
    if (!template_translate(text, size, format, &code, &error)) {
        g_assert_nonnull(error);
        return;
    }
    size_t lines = 0, code_lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    for (size_t i = 0; i < code.code->len; i++)
        code_lines += code.code->str[i] == '\n';
    g_assert_cmpuint(code_lines, <=, lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = { "plain", "html", "ini", "json",
                                         "shell", "toml", "xml", "yaml" };
    static const KindSet no_kinds = { .kinds = NULL, .n_kinds = 0 };
    const LangInputs inputs = { .kinds = &no_kinds,
                                .max_instructions = 20000,
                                .max_memory = 4 * 1024 * 1024 };
    if (size == 0)
        return 0;
    unsigned format = data[0] % FORMATS;
    const char *text = (const char *)data + 1;
    check_lines(text, size - 1, (TemplateFormat)format);
    g_autoptr(Value) vars = value_new_map();
    value_map_set(vars, "name", value_new_string("it's \"a\" <b> $c\n"));
    value_map_set(vars, "port", value_new_int(80));
    g_autoptr(GError) error = NULL;
    g_autofree char *result =
        render_template(&inputs, text, size - 1, "fuzz.tmpl", names[format], vars, &error);
    g_assert_true((result != NULL) == (error == NULL));
    return 0;
}
