#include "lab/cut.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/suggest.h"
#include "host/netlink.h"
#include "lab/wires.h"

/* linux/netfilter_bridge.h and linux/netfilter.h, which do not go with net/if.h. */
enum { NF_BR_LOCAL_IN = 1, NF_BR_FORWARD = 2, NF_BR_LOCAL_OUT = 3 };
enum { NF_DROP = 0, NFPROTO_BRIDGE = 7 };

#define TABLE     "stead-lab"
#define TIMEOUT_S 10 /* the kernel answers at once; nothing waits for ever */

/* --- names ------------------------------------------------------------------------------------ */

static bool refuse_name(const Lab *lab, const char *name, bool hosts_only, GError **error) {
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < lab->hosts->len; i++)
        g_ptr_array_add(names, lab_host(lab, i)->name);
    for (unsigned i = 0; !hosts_only && i < lab->networks->len; i++)
        g_ptr_array_add(names, lab_network(lab, i)->name);
    const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "lab '%s' has no host%s '%s'%s%s%s",
                lab->name, hosts_only ? "" : " or network", name, near ? ", did you mean '" : "",
                near ? near : "", near ? "'?" : "");
    return false;
}

bool cut_parse(const Lab *lab, const char *a, const char *b, Cut *ret_cut, GError **error) {
    int host_a = lab_find_host(lab, a), host_b = lab_find_host(lab, b);
    if (host_a < 0) { /* the network may be named first */
        const char *other = a;
        a = b;
        b = other;
        host_a = host_b;
        host_b = -1;
    }
    int network = host_b < 0 ? lab_find_network(lab, b) : -1;
    if (host_a < 0)
        return refuse_name(lab, lab_find_network(lab, a) < 0 ? a : b, true, error);
    if (host_b < 0 && network < 0)
        return refuse_name(lab, b, false, error);
    if (host_a == host_b) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'%s' is one host: name two", a);
        return false;
    }
    if (network >= 0 && !lab_port_in(lab_host(lab, (unsigned)host_a), (unsigned)network)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "host '%s' is not in network '%s'",
                    a, b);
        return false;
    }
    *ret_cut = (Cut){ (unsigned)host_a, (unsigned)(network >= 0 ? network : host_b), network >= 0 };
    return true;
}

bool cut_equal(const Cut *one, const Cut *other) {
    if (one->is_network != other->is_network)
        return false;
    return (one->a == other->a && one->b == other->b) ||
           (!one->is_network && one->a == other->b && one->b == other->a);
}

/* --- messages (linux/netfilter/nf_tables.h) --------------------------------------------------- */

typedef struct {
    GByteArray *all; /* one message behind the other */
    uint32_t count;  /* the sequence number of the last */
} Batch;

/* Takes the message over. */
static void batch_add(Batch *batch, GByteArray *message) {
    uint32_t length = message->len, number = ++batch->count;
    memcpy(message->data + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof length);
    memcpy(message->data + offsetof(struct nlmsghdr, nlmsg_seq), &number, sizeof number);
    g_byte_array_append(batch->all, message->data, message->len);
    g_byte_array_unref(message);
}

static GByteArray *nft(uint16_t verb, uint16_t flags) {
    struct nfgenmsg header = { .nfgen_family = NFPROTO_BRIDGE, .version = NFNETLINK_V0 };
    return nl_request((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | verb), flags, &header, sizeof header);
}

static void batch_mark(Batch *batch, uint16_t type) {
    struct nfgenmsg header = { .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
    batch_add(batch, nl_request(type, 0, &header, sizeof header));
}

static guint nest(GByteArray *message, uint16_t type) {
    return nl_nest(message, type | NLA_F_NESTED);
}

static void add_table(Batch *batch, uint16_t verb, uint16_t flags) {
    GByteArray *message = nft(verb, flags);
    nl_put_text(message, NFTA_TABLE_NAME, TABLE);
    batch_add(batch, message);
}

static void add_chain(Batch *batch, const char *name, uint32_t hook) {
    GByteArray *message = nft(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    nl_put_text(message, NFTA_CHAIN_TABLE, TABLE);
    nl_put_text(message, NFTA_CHAIN_NAME, name);
    guint where = nest(message, NFTA_CHAIN_HOOK);
    nl_put_u32(message, NFTA_HOOK_HOOKNUM, htonl(hook));
    nl_put_u32(message, NFTA_HOOK_PRIORITY, htonl(0));
    nl_nest_end(message, where);
    nl_put_text(message, NFTA_CHAIN_TYPE, "filter");
    batch_add(batch, message);
}

static guint open_expression(GByteArray *message, const char *name, guint *ret_data) {
    guint element = nest(message, NFTA_LIST_ELEM);
    nl_put_text(message, NFTA_EXPR_NAME, name);
    *ret_data = nest(message, NFTA_EXPR_DATA);
    return element;
}

/* The frame came in, or goes out, by that end. */
static void put_match(GByteArray *message, uint32_t key, const char *end) {
    char name[IF_NAMESIZE] = { 0 };
    guint data, element = open_expression(message, "meta", &data);
    g_strlcpy(name, end, sizeof name);
    nl_put_u32(message, NFTA_META_KEY, htonl(key));
    nl_put_u32(message, NFTA_META_DREG, htonl(NFT_REG_1));
    nl_nest_end(message, data);
    nl_nest_end(message, element);
    element = open_expression(message, "cmp", &data);
    nl_put_u32(message, NFTA_CMP_SREG, htonl(NFT_REG_1));
    nl_put_u32(message, NFTA_CMP_OP, htonl(NFT_CMP_EQ));
    guint value = nest(message, NFTA_CMP_DATA);
    nl_put(message, NFTA_DATA_VALUE, name, sizeof name);
    nl_nest_end(message, value);
    nl_nest_end(message, data);
    nl_nest_end(message, element);
}

static void put_drop(GByteArray *message) {
    guint data, element = open_expression(message, "immediate", &data);
    nl_put_u32(message, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
    guint value = nest(message, NFTA_IMMEDIATE_DATA), verdict = nest(message, NFTA_DATA_VERDICT);
    nl_put_u32(message, NFTA_VERDICT_CODE, htonl(NF_DROP));
    nl_nest_end(message, verdict);
    nl_nest_end(message, value);
    nl_nest_end(message, data);
    nl_nest_end(message, element);
}

/* in, out: NULL matches any. */
static void add_rule(Batch *batch, const char *chain, const char *in, const char *out) {
    GByteArray *message = nft(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nl_put_text(message, NFTA_RULE_TABLE, TABLE);
    nl_put_text(message, NFTA_RULE_CHAIN, chain);
    guint list = nest(message, NFTA_RULE_EXPRESSIONS);
    if (in)
        put_match(message, NFT_META_IIFNAME, in);
    if (out)
        put_match(message, NFT_META_OIFNAME, out);
    put_drop(message);
    nl_nest_end(message, list);
    batch_add(batch, message);
}

/* --- rules ------------------------------------------------------------------------------------ */

static void add_network_cut(Batch *batch, const Lab *lab, const Cut *cut) {
    char end[IF_NAMESIZE];
    wires_port_name(lab_host(lab, cut->a)->slot, cut->b, end);
    add_rule(batch, "forward", end, NULL);
    add_rule(batch, "forward", NULL, end);
    add_rule(batch, "input", end, NULL);
    add_rule(batch, "output", NULL, end);
}

static void add_host_cut(Batch *batch, const Lab *lab, const Cut *cut) {
    const LabHost *a = lab_host(lab, cut->a), *b = lab_host(lab, cut->b);
    for (unsigned i = 0; i < a->ports->len; i++) {
        char end_a[IF_NAMESIZE], end_b[IF_NAMESIZE];
        unsigned network = lab_port(a, i)->network;
        if (!lab_port_in(b, network))
            continue;
        wires_port_name(a->slot, network, end_a);
        wires_port_name(b->slot, network, end_b);
        add_rule(batch, "forward", end_a, end_b);
        add_rule(batch, "forward", end_b, end_a);
    }
}

/* The table is made anew: made if need be, so that it can be deleted, then filled. The last message
 * but the end asks for an answer. */
static void make_rules(Batch *batch, const Lab *lab, const GArray *cuts) {
    batch_mark(batch, NFNL_MSG_BATCH_BEGIN);
    add_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    add_table(batch, NFT_MSG_DELTABLE, 0);
    add_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    add_chain(batch, "forward", NF_BR_FORWARD);
    add_chain(batch, "input", NF_BR_LOCAL_IN);
    add_chain(batch, "output", NF_BR_LOCAL_OUT);
    for (unsigned i = 0; i < cuts->len; i++) {
        const Cut *cut = &g_array_index(cuts, Cut, i);
        if (cut->is_network)
            add_network_cut(batch, lab, cut);
        else
            add_host_cut(batch, lab, cut);
    }
    add_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
    batch_mark(batch, NFNL_MSG_BATCH_END);
}

static int open_netfilter(GError **error) {
    const struct timeval timeout = { .tv_sec = TIMEOUT_S };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        set_io_error(error, errno, "talk to the kernel's packet filter (module nfnetlink)");
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout); /* known to all */
    return fd;
}

/* The first thing that went wrong, or the answer to the message that asked for one: 0. */
static bool hear(int fd, GError **error) {
    uint8_t buffer[8192];
    ssize_t size;
    do
        size = recv(fd, buffer, sizeof buffer, 0);
    while (size < 0 && errno == EINTR);
    NlSpan rest = { buffer, (size_t)MAX(size, 0) };
    NlMessage message;
    if (size < 0 || !nl_next_message(&rest, &message) || message.type != NLMSG_ERROR)
        return set_io_error(error, size < 0 ? errno : EPROTO, "hear the kernel's packet filter");
    g_autofree char *words = NULL;
    int number = nl_read_end(&message, &words);
    return number == 0 ||
           set_io_error(error, number,
                        "set the rules of the bridges (nftables for bridges: NF_TABLES_BRIDGE)");
}

bool cut_apply(const Lab *lab, const GArray *cuts, GError **error) {
    Batch batch = { .all = g_byte_array_new() };
    make_rules(&batch, lab, cuts);
    int fd = open_netfilter(error);
    bool ok = fd >= 0;
    if (ok && send(fd, batch.all->data, batch.all->len, 0) < 0)
        ok = set_io_error(error, errno, "tell the kernel's packet filter");
    ok = ok && hear(fd, error);
    if (fd >= 0)
        (void)close(fd);
    g_byte_array_unref(batch.all);
    return ok;
}
