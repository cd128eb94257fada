/* apt_source on the fake host; the real apt is in test/container/. */
#include <string.h>

#include "host/host-fake.h"
#include "kinds/apt-key.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define FILE_PATH "/etc/apt/sources.list.d/shop.sources"
#define KEY_PATH  "/etc/apt/keyrings/shop.asc"

/* A packet of a public key, as short as the check takes it, with its right checksum. */
#define KEY_BODY "mAECAwQ="
static const char key[] =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" KEY_BODY "\n-----END PGP PUBLIC KEY BLOCK-----\n";

static char *content(Host *host, const char *path) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, NULL);
    size_t size;
    const char *data = bytes ? g_bytes_get_data(bytes, &size) : NULL;
    return data ? g_strndup(data, size) : NULL;
}

static void expect_file(Host *host, const char *path, const char *text) {
    g_autofree char *found = content(host, path);
    g_assert_cmpstr(found, ==, text);
}

static Resource *shop(const char *more) {
    g_autofree char *with_key = g_strconcat("key=", key, NULL);
    return kind_test_resource(&kind_apt_source, "shop", "uris=https://apt.example.org/debian",
                              "suites=stable", "components:=[\"main\", \"extra\"]", with_key, more,
                              NULL);
}

static void test_added(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) resource = shop(NULL);
    kind_test_expect(test, resource, ACTION_CREATE);
    expect_file(host, FILE_PATH,
                "# Kept by stead: apt_source 'shop'\nTypes: deb\n"
                "URIs: https://apt.example.org/debian\nSuites: stable\nComponents: main extra\n"
                "Signed-By: " KEY_PATH "\n");
    expect_file(host, KEY_PATH, key);
    g_assert_cmpuint(host_fake_count(host, "package_refresh"), ==, 1);
    g_assert_true(host_fake_tamper_remove(host, KEY_PATH));
    kind_test_expect(test, resource, ACTION_CHANGE);
    expect_file(host, KEY_PATH, key);
    kind_test_undo(test, resource, ON_REMOVE_DEFAULT);
    expect_file(host, FILE_PATH, NULL);
    expect_file(host, KEY_PATH, NULL);
}

static void test_restored(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    static const char before[] = "Types: deb\nURIs: file:/srv/\nSuites: ./\n";
    g_assert_true(host_make_parents(host, FILE_PATH, NULL));
    g_assert_true(host_fake_tamper_write(host, FILE_PATH, before));
    g_autoptr(Resource) resource = shop(NULL);
    kind_test_expect(test, resource, ACTION_CHANGE);
    kind_test_undo(test, resource, ON_REMOVE_DEFAULT);
    expect_file(host, FILE_PATH, before);
    expect_file(host, KEY_PATH, NULL);
}

/* A mirror that does not answer must not be in the way of the others. */
static void test_unreachable(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) resource = shop(NULL), off = shop("enabled:=false");
    host_fake_fail_refresh(host, "fetch from 'apt.example.org': refused");
    g_autoptr(KindRound) round = kind_test_round(test, resource);
    g_assert_nonnull(round->error);
    g_assert_nonnull(strstr(round->error->message,
                            "the source is not added: fetch from 'apt.example.org': refused"));
    expect_file(host, FILE_PATH, NULL);
    expect_file(host, KEY_PATH, NULL);
    kind_test_expect(test, off, ACTION_CREATE); /* nothing to fetch */
    host_fake_fail_refresh(host, NULL);
    kind_test_expect(test, resource, ACTION_CHANGE);
}

static void test_keys(void) {
    static const struct {
        const char *text, *problem;
    } cases[] = {
        { key, NULL },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n" KEY_BODY
          "\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
          "its checksum does not fit" },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" KEY_BODY "\n", "-----END" },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\n" KEY_BODY
          "\n-----END PGP PUBLIC KEY BLOCK-----\n",
          "the empty line" },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nm!!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
          "not base64" },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAECAwQ=\n-----END PGP PUBLIC KEY BLOCK-----\n",
          "no packet" },
        { "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nlAECAwQ=\n-----END PGP PUBLIC KEY BLOCK-----\n",
          "it is a secret key" },
        { "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "it is a secret key" },
        { "\x98\x01\x02\x03", NULL },
        { "\x94\x01\x02\x03", "it is a secret key" },
        { "", "the line '-----BEGIN" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        bool armoured, ok = apt_key_check(cases[i].text, strlen(cases[i].text), &armoured, &error);
        g_assert_cmpint(ok, ==, cases[i].problem == NULL);
        if (!ok)
            g_assert_nonnull(strstr(error->message, cases[i].problem));
    }
}

static void test_refused(void) {
    static const struct {
        const char *name, *one, *two, *three, *text;
    } cases[] = {
        { "a b", "state=absent", NULL, NULL, "refuse the name 'a b'" },
        { "../x", "state=absent", NULL, NULL, "refuse the name '../x'" },
        { "x", "uris=http://h/", NULL, NULL, "'uris' and 'suites' are required" },
        { "x", "uris=http://h/", "suites=stable", NULL, "components: at least one" },
        { "x", "uris=http://h/", "suites=./", "components=main", "it has no components" },
        { "x", "uris=h", "suites=./", NULL, "begins with a scheme" },
        { "x", "uris=http://h/ evil", "suites=./", NULL, "a word without spaces" },
        { "x", "uris=http://h/", "suites=./", "types=rpm", "it is deb or deb-src" },
        { "x", "uris=http://h/", "suites=./", "options:={\"A: b\": \"c\"}", "options: refuse" },
        { "x", "uris=http://h/", "suites=./", "key=-----BEGIN PGP PUBLIC KEY BLOCK-----",
          "key: it is no OpenPGP public key" },
        { "x", "uris=http://h/", "suites=./", "text=Types: deb", "set either 'text'" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *problems = kind_test_problems(
            &kind_apt_source, cases[i].name, cases[i].one, cases[i].two, cases[i].three, NULL);
        if (!strstr(problems, cases[i].text))
            g_error("%s %s: %s", cases[i].name, cases[i].one, problems);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/apt-source/added", test_added);
    g_test_add_func("/kinds/apt-source/restored", test_restored);
    g_test_add_func("/kinds/apt-source/unreachable", test_unreachable);
    g_test_add_func("/kinds/apt-source/keys", test_keys);
    g_test_add_func("/kinds/apt-source/refused", test_refused);
    return g_test_run();
}
