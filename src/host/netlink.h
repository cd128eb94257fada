#pragma once
/*
 * rtnetlink(7): messages made, sent, and read. Raw, without libmnl: what we need of it are the few
 * functions below, and here every reader knows the size of what it reads.
 *
 * Reading never goes beyond a span, whatever lengths are written in it. What is too short, or not
 * there, reads as zero or empty.
 */
#include "host/host.h"

typedef struct {
    const uint8_t *data; /* borrowed */
    size_t size;
} NlSpan;

typedef struct {
    uint16_t type, flags;
    NlSpan body;
} NlMessage;

/* The next message, or attribute, of *rest, which goes on behind it. False at the end, and where
 * the lengths do not fit. */
bool nl_next_message(NlSpan *rest, NlMessage *ret_message);
bool nl_next_attribute(NlSpan *rest, uint16_t *ret_type, NlSpan *ret_value);
bool nl_take(NlSpan *rest, void *ret, size_t size); /* a header; zeroed when it is too short */
NlSpan nl_find(NlSpan attributes, uint16_t type);
uint32_t nl_u32(NlSpan value);
uint16_t nl_u16(NlSpan value);
uint8_t nl_u8(NlSpan value);
/* A name, without what would be odd in it: empty when it is not a good one. */
void nl_name(NlSpan value, char *ret, size_t size);

/* --- what messages say: netlink-read.c */

typedef struct {
    unsigned index, master, link; /* interface indices; 0: none */
    bool is_elsewhere;            /* link is one of another network namespace */
    char name[NET_NAME_SIZE];
    bool promotes; /* secondary addresses, when the primary goes */
    NetInfo info;  /* without names of other links, addresses and routes */
} NlLink;

typedef struct {
    unsigned index;
    NetAddress address;
} NlAddress;

typedef struct {
    unsigned index;
    NetRoute route;
} NlRoute;

/* False: it is of another type, or says nothing that we speak of (a route of several paths). */
bool nl_read_link(const NlMessage *message, NlLink *ret_link);
bool nl_read_address(const NlMessage *message, NlAddress *ret_address);
bool nl_read_route(const NlMessage *message, NlRoute *ret_route);
/* Of the message that ends an answer: errno, 0 when all is well; *ret_words, if the kernel gives
 * some, is the caller's to free. */
int nl_read_end(const NlMessage *message, char **ret_words);
/* Which link a message of any of these types is about; 0: none. */
unsigned nl_read_index(const NlMessage *message);

/* --- making: the array grows as needed; nl_talk() writes the length */

GByteArray *nl_request(uint16_t type, uint16_t flags, const void *header, size_t size);
void nl_put(GByteArray *request, uint16_t type, const void *data, size_t size);
void nl_put_u32(GByteArray *request, uint16_t type, uint32_t number);
void nl_put_text(GByteArray *request, uint16_t type, const char *text);
void nl_put_ip(GByteArray *request, uint16_t type, const IpPrefix *ip);
guint nl_nest(GByteArray *request, uint16_t type); /* opens one; close it with what is returned */
void nl_nest_end(GByteArray *request, guint nest);

/* --- talking */

/* groups: as in nl_groups of sockaddr_nl, 0 for questions and orders. -1 with error. */
int nl_open(uint32_t groups, bool nonblocking, GError **error);
/* message NULL: the list has changed meanwhile and starts again. */
typedef void (*NlVisit)(void *data, const NlMessage *message);
/* Sends the request, shows every message of the answer, and waits for its end. On failure
 * *ret_errno tells what the kernel said; the error has its words. */
bool nl_talk(int fd, GByteArray *request, NlVisit visit, void *data, int *ret_errno,
             GError **error);
