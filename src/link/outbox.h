/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of bytes in one process's own memory, which another process reads by process_vm_readv(2): the outbox of who
 * writes it, the inbox of who reads it. To write costs no system call; one system call of the reader brings all
 * there is. Knows nothing of frames: transport.c puts the bytes of a link in and takes them out.
 *
 * What is put in at a time is a parcel. It begins with a stamp, which is stored last and says where it
 * lies: so a reader that looks there, and finds any other value, knows that there is nothing yet. What a
 * look saw the stamp of is all there for a second pass over the ring. A small parcel needs none: it is laid
 * on blank, in whole words, and those that are not blank any more are its own.
 *
 *     writer                                    reader
 *     length, bytes; blank; stamp               [stamps;] stamps, lengths, bytes, from its head on; head
 *     fence; the bell is set? BELL, with a copy to sleep: set the bell in the writer's memory; fence; look again
 *     no room: full; fence; the head again      full, and half of the ring is free: BELL
 *
 * Who wakes the reader: BELL, for which the socket is there, since one of them sees what the other has written before
 * its fence. Who wakes a writer without room: BELL, in the same way.
 *
 * A bell stays set until the reader takes it back, which it does when it finds parcels without having slept. Until then
 * each is rung for, and what is small goes along: so a reader that sleeps each time needs no look into the ring. The
 * parcel is in the ring as ever; a BELL that has it is one more way to look, no other place for it.
 *
 * What either finds in the other's memory is not to be trusted: it is checked before it is used. The cookie
 * tells that it is that process's memory, not another program's after an exec; a forked child finds all of
 * it wiped.
 */
#ifndef HAUL_LINK_OUTBOX_H
#define HAUL_LINK_OUTBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "os/words.h"

enum {
	OUTBOX_RING = 256 << 10,
	/* Bytes of one parcel, at the most: its room is free again only when all of it was taken. */
	OUTBOX_PARCEL_MOST = 65536,
	OUTBOX_NOTE = 4352,
};

/* What a process has for one link: the words about its own ring, laid out as WIRE_STATE_* says, then how much of the
 * other's it has read; the ring is in the pages behind it. Behind the words is room for what transport.c keeps of
 * frames, which nobody else looks at. */
struct outbox_state {
	word_t full, cookie, bell;
	_Alignas(64) word_t head;
	_Alignas(64) uint8_t to_say[OUTBOX_NOTE];
	uint8_t heard[OUTBOX_NOTE];
};

/* Positions in a ring count its bytes from the beginning, those of parcels' heads and ends included; positions in the
 * stream only what was put in. None ever goes back. */
struct outbox {
	struct outbox_state *state; /* NULL: never opened */
	uint8_t *ring;
	bool due;       /* to be opened when what is before READY is with the kernel, and READY */
	bool open;      /* what is sent is put in here */
	bool refused;   /* the reader said DEMOTE */
	uint64_t tail;  /* in the ring: where the next parcel goes, */
	uint64_t last;  /* and where the last one is */
	uint64_t blank; /* in the ring: what is from the tail up to here is blank */
	uint64_t head;  /* in the ring: the reader is known to have taken what is before it */
	uint64_t least; /* room for so much is waited for */
	uint64_t sent;  /* in the stream: bytes that were ever put in, */
	uint64_t known; /* and those that are before head */
	uint64_t again; /* in the ring, when it is closed: parcels from here on are to be sent otherwise, */
	uint64_t skip;  /* without so many bytes of the first */
	uint64_t head_addr;           /* where the reader's head lies in its memory, */
	uint64_t cookie_addr, cookie; /* and what tells that it is that memory */
};

/* Makes one, still not open; false without memory. */
bool outbox_init(struct outbox *o, uint64_t cookie);
void outbox_fini(struct outbox *o);

/* Puts in what there is room for, all or much of it: bytes, or -EAGAIN: not enough, and the reader will ring;
 * -EFAULT: the memory can't be read; -EPROTO: the reader lies; else it can't be asked how far it has come (-ESTALE:
 * there is no such memory, it may have closed). The memory is this library's own (`ours`), or else it may be bad. */
ssize_t outbox_write(struct outbox *o, pid_t reader, const struct iovec *iov, size_t count, bool ours);
/* Asks the reader whether there is enough room by now: 0, or as above. */
int outbox_ask_room(struct outbox *o, pid_t reader);
/* Asks it how far it has come: 0, or as above. */
int outbox_ask_head(struct outbox *o, pid_t reader);
/* Whether the reader is to be rung for. To be asked after every write. */
bool outbox_rings(struct outbox *o);
/* What was put in last, if it is not longer than that and lies in one piece: its bytes, where they lie, and the parcel's
 * position; else 0. */
size_t outbox_last(const struct outbox *o, size_t most, const uint8_t **bytes, uint64_t *position);

/* It is closed: all from a position of the stream on, which must be within [known, sent], is to go another way. */
void outbox_leave(struct outbox *o, uint64_t from);
/* The next piece of that, as at most two iovecs; 0: that was all. */
size_t outbox_next(struct outbox *o, struct iovec iov[2]);
static inline bool outbox_has_next(const struct outbox *o)
{
	return o->again < o->tail && !o->open;
}

struct inbox {
	bool open;             /* what comes is to be found there, */
	bool demoted;          /* but not by us: DEMOTE is said, RESUME is to come */
	bool none;             /* the peer has none, and reads none */
	uint64_t ring, state;  /* addresses in the writer's memory */
	uint64_t cookie, size; /* size: of the ring */
	uint64_t head;         /* in the ring: the parcel that is next, or in part taken */
	uint64_t at, rest;     /* in the ring: where it goes on, if so many bytes of it are left */
	uint64_t got;          /* in the stream: bytes taken */
	bool more;             /* the last look ended where there could be more */
	bool thorough;         /* the next look is to see the words, too */
	uint64_t seen;         /* the head when one last did */
	uint64_t full;         /* as last seen, */
	uint64_t rung;         /* and the one that was rung for */
	size_t window;         /* how much is asked for at a time */
	bool was_long;         /* the last parcel */
	bool armed;            /* the bell is set */
	unsigned awake;        /* looks that brought something since the last sleep, with the bell set */
	word_t *told;          /* where the writer reads our head */
};

/* Opens it: what is known of the writer's has been filled in; told is where it finds our head. */
void inbox_begin(struct inbox *in, word_t *told);
/* Takes what is there, up to the iovecs' lengths. -EAGAIN: nothing; -EFAULT: the iovecs' memory can't be
 * written, which is found out only if it is the user's; -EPROTO: the writer lies; -ESTALE: it is not that
 * program any more; else it can't be read (-EPERM, -ESRCH, -ENOMEM and the like). */
ssize_t inbox_read(struct inbox *in, pid_t writer, const struct iovec *iov, size_t count, bool users);
/* Before a sleep: sets the bell, unless there is something: 0, or an error of inbox_read(), or -EFAULT: it can't be
 * written. A look must follow. It is not written to another program's memory, as far as a look right before can
 * tell. */
int inbox_arm(struct inbox *in, pid_t writer);
/* After a look that brought something: takes the bell back if that was so a few times in a row. */
void inbox_calm(struct inbox *in, pid_t writer);
/* What a BELL says of a parcel: 1: it is the next one, and taken by that, all of it. 0: it was taken already. -EAGAIN:
 * it is to be looked for; so is the next one if it is not to be taken from here. -EPROTO: there can be no such parcel. */
int inbox_hear(struct inbox *in, uint64_t position, uint64_t len, bool take);
/* Whether a look at the words is due, bell or not: who waits for room is found by that. */
bool inbox_is_due(const struct inbox *in);
/* Whether the writer waits for the room that is there now; once. */
bool inbox_rings(struct inbox *in);

#endif
