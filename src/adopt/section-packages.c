/* Packages that somebody asked for. */
#include <string.h>

#include "adopt/adopt-private.h"
#include "base/plural.h"

typedef struct {
    GPtrArray *asked, *broken; /* of char *: ids */
    GPtrArray *held;           /* of Package */
    unsigned dependencies, base, foreign;
} Sorted;

static void sort_package(const Adopt *adopt, Package *package, Sorted *sorted) {
    char *id = package->id;
    if (!package->installed) {
        if (!package->removed)
            g_ptr_array_add(sorted->broken, id);
    } else if (package->held) {
        g_ptr_array_add(sorted->held, package);
    } else if (package->automatic) {
        sorted->dependencies++;
    } else if (package->base && !adopt->options->all_packages) {
        sorted->base++;
    } else {
        g_ptr_array_add(sorted->asked, id);
    }
}

/* Those that pkg finds to be so, in one list. */
static void take_all(Adopt *adopt, GPtrArray *ids, GPtrArray *odd) {
    g_autoptr(GPtrArray) good = g_ptr_array_new();
    for (unsigned i = 0; i < ids->len; i++) {
        g_autoptr(Form) form = form_new("pkg", ids->pdata[i]);
        bool fits = form != NULL && form_fits(form, adopt->host, NULL);
        g_ptr_array_add(fits ? good : odd, ids->pdata[i]);
    }
    if (good->len == 0)
        return;
    page_each(adopt->page, "pkg", (const char *const *)good->pdata, good->len);
    adopt->taken += good->len;
}

static void take_held(Adopt *adopt, GPtrArray *packages, GPtrArray *odd) {
    if (packages->len == 0)
        return;
    page_blank(adopt->page);
    page_comment(adopt->page, "On hold: apt does not change them.");
    for (unsigned i = 0; i < packages->len; i++) {
        const Package *package = packages->pdata[i];
        g_autoptr(Form) form = form_new("pkg", package->id);
        form_bool(form, "held", true);
        if (package->automatic)
            form_bool(form, "manual", false);
        if (!adopt_take(adopt, form))
            g_ptr_array_add(odd, package->id);
    }
}

static void tell_rest(Adopt *adopt, const Sorted *sorted) {
    if (sorted->dependencies + sorted->base > 0) {
        g_autofree char *base =
            sorted->base > 0 ? g_strdup_printf(", and %u that come with every Debian (`stead adopt "
                                               "--all-packages` lists them)",
                                               sorted->base)
                             : g_strdup("");
        page_comment(adopt->page,
                     "What somebody asked for. Left out: %u that came as dependencies%s.",
                     sorted->dependencies, base);
        adopt_note(adopt, "left out: %u %s, %u of every Debian", sorted->dependencies,
                   plural(sorted->dependencies, "dependency", "dependencies"), sorted->base);
    }
    page_comment(adopt->page,
                 "Any version will do: pin one with pkg \"NAME\" { version = \"1.2*\" }.");
    page_blank(adopt->page);
}

void section_packages_write(Adopt *adopt) {
    if (!adopt->inventory->has_dpkg) {
        page_comment(adopt->page, "There is no database of dpkg here: packages are not known.");
        return;
    }
    g_autoptr(GPtrArray) asked = g_ptr_array_new(), held = g_ptr_array_new(),
                         broken = g_ptr_array_new();
    Sorted sorted = { .asked = asked, .held = held, .broken = broken };
    for (unsigned i = 0; i < adopt->inventory->packages->len; i++)
        sort_package(adopt, adopt->inventory->packages->pdata[i], &sorted);
    tell_rest(adopt, &sorted);
    take_all(adopt, asked, broken);
    take_held(adopt, held, broken);
    if (broken->len == 0)
        return;
    page_blank(adopt->page);
    page_comment(adopt->page,
                 "Half installed, or other than dpkg has it, so not said here (`dpkg --audit`):");
    page_comment_list(adopt->page, (const char *const *)broken->pdata, broken->len);
    adopt_note(adopt, "only told: %u", broken->len);
}
