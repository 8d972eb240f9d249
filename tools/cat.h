/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul cat: the standard input of one process becomes the standard output of another.
 *
 *   cat.c           the command: both sides, from the first word to the exit status
 *   cat_options.c   its command line
 *   cat_connect.c   how the two come together, and what they say first
 *   cat_send.c      standard input to messages
 *   cat_receive.c   messages to standard output
 *   cat_io.c        read(2) and write(2), whatever the descriptor
 *   cat_talk.c      waiting for the other side, failing, telling it
 *   cat_meter.c     the line that shows how far it is
 *   cat_sum.c       SHA-256, where libmd is
 *
 * The side that listens receives, the one that connects sends. Each has a ring of buffers, and a thread of the
 * library's that moves messages while this one reads or writes. What they say, in messages of these tags:
 *
 *     both       HELLO   struct cat_hello, first
 *     sender     DATA    1 to CAT_CHUNK bytes, any number of them
 *     sender     END     struct cat_end: there is no more, or something went wrong
 *     receiver   END     the same: all was written, or something went wrong, at any time
 */
#ifndef TOOLS_CAT_H
#define TOOLS_CAT_H

#include <haul/haul.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CAT_CHUNK = 1 << 20, /* less wakes both sides more often, more leaves caches */
	CAT_SLOTS = 4,
	CAT_SUM_SIZE = 32,
	CAT_WHY_SIZE = 256,
};

/* Exit statuses that are this command's own; the others are those of sysexits.h. */
enum { CAT_PEER_DIED = 1, CAT_TIMED_OUT = 124 };

/* ---- what is said ---- */

enum { CAT_HELLO = 1, CAT_DATA = 2, CAT_END = 3 }; /* tags */
enum { CAT_VERSION = 1, CAT_WANTS_SUM = 1 };       /* another CAT_CHUNK is another version */

#define CAT_MAGIC "haul cat"
#define CAT_SIZE_UNKNOWN UINT64_MAX

struct cat_hello {
	char magic[8];
	uint32_t version;
	uint32_t flags; /* CAT_WANTS_SUM: both sides are to make a checksum */
	uint64_t size;  /* the sender's: how many bytes it expects there to be, to show what is left */
};

struct cat_end {
	uint64_t bytes;  /* sent; written */
	uint32_t status; /* 0, or what this side exits with */
	uint32_t unused;
	unsigned char sum[CAT_SUM_SIZE]; /* of those bytes, if either side wanted it; else 0 */
	char why[CAT_WHY_SIZE];          /* if status is not 0: in words, with a 0 at the end */
};

/* ---- the command line ---- */

struct cat_options {
	const char *address;
	bool listen, wait, sum;
	int timeout_ms; /* -1: none */
	int progress;   /* 1, 0, or -1: if it is for people */
};

/* Ends the process where they make no sense. */
void cat_options_parse(struct cat_options *o, int argc, char **argv);

/* ---- the line that shows how far it is ---- */

enum { CAT_TICK_MS = 250 };

struct cat_meter {
	bool on;
	uint64_t done, size; /* size: as in cat_hello */
	int64_t started_ms, drawn_ms;
	uint64_t drawn; /* done, at that time */
	double rate;    /* bytes in a second, lately */
	int width;      /* of the line that is to be seen; 0: none is */
};

void cat_meter_start(struct cat_meter *m, bool on, uint64_t size);
void cat_meter_add(struct cat_meter *m, uint64_t bytes);
/* Draws it if it is time to. */
void cat_meter_tick(struct cat_meter *m);
/* The last line, with a newline. May be called again. */
void cat_meter_end(struct cat_meter *m);

int64_t cat_now_ms(void);

/* ---- the checksum ---- */

struct cat_sum;

/* NULL without libmd, or without memory. */
struct cat_sum *cat_sum_new(void);
void cat_sum_add(struct cat_sum *s, const void *at, size_t len);
/* Also frees it. */
void cat_sum_end(struct cat_sum *s, unsigned char digest[CAT_SUM_SIZE]);
bool cat_sum_able(void);

/* ---- buffers ---- */

/* A buffer, and the message that it is in. */
struct cat_slot {
	char *at;
	size_t len;
	struct haul_req *req; /* NULL: it is free, */
	int error;            /* and, if not 0, why that could not be changed */
};

/* The ring: CAT_SLOTS buffers of CAT_CHUNK bytes, or NULL without memory. It lasts as long as the process, as what a
 * peer may still write to can't be freed. */
struct cat_slot *cat_slots(void);

/* ---- both sides ---- */

struct cat {
	struct cat_options options;
	struct haul *h;
	struct haul_peer *peer;
	struct cat_meter meter;
	struct cat_slot *slots;
	struct cat_sum *sum;  /* NULL: nobody wants it */
	struct cat_end own;   /* what this side has to say at the end; bytes: so far */
	bool told;            /* it was said, or nobody is there to hear it */
	bool ignores_sigpipe; /* it did so from the start */
	bool by_sigpipe;      /* that is what it will end by, and says nothing */
};

/* Has this side fail: says why on standard error, and keeps it for the other side. Only the first time counts. */
void cat_fail(struct cat *c, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, of the other side's word or its silence. */
void cat_fail_as_told(struct cat *c, const struct cat_end *end);
void cat_fail_by_peer(struct cat *c, int error);
bool cat_failed(const struct cat *c);

/* Tells the other side how this one ends. */
void cat_tell(struct cat *c);

/* Waits until one of the requests is complete, and returns the lowest index. Negative: the other side has kept this
 * one waiting for too long, or something worse; cat_fail() was called. */
int cat_wait(struct cat *c, struct haul_req *const *reqs, size_t count);

/* ---- how they come together ---- */

/* c->peer; and what the other side says first. False: it has failed. */
bool cat_meet(struct cat *c);
bool cat_greet(struct cat *c, uint64_t size, struct cat_hello *theirs);

/* ---- the two sides ---- */

/* How much there is to be sent, or CAT_SIZE_UNKNOWN. */
uint64_t cat_send_size(void);
void cat_send(struct cat *c);
void cat_receive(struct cat *c);

/* ---- descriptors ---- */

/* Reads until len bytes are there or no more can be had at once, but at least one, without waiting: that many. 0 at
 * the end, -EAGAIN if there is nothing now, or what else stands in the way. */
ssize_t cat_io_read(int fd, char *at, size_t len);
/* All of them, however long it takes. 0 or a negative errno. */
int cat_io_write(int fd, const char *at, size_t len);
/* What a file system says only when a file is closed; the descriptor stays. 0 or a negative errno. */
int cat_io_settle(int fd);

#endif
