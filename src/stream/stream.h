/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams: one end of each is a struct haul_stream, which writes (out.c) and reads (in.c); stream.c has their
 * life, and what the two ends say to each other (say.c). All on the stream's own channel of the peer.
 *
 * How bytes travel, each way by itself:
 *
 *     pulled     the writer's ring is known to the reader, which pulls what it wants of it; no message is needed
 *     asked      the reader can't pull, and has said so (ASK): the writer sends what is in the ring as messages (DATA)
 *     direct     the writer sends each write as a message (DATA); there is no ring
 *
 *     then FIN, a message with all that the reader has not taken of the ring so far, ends either; or CUT does, where a
 *     direct write was given up
 *
 * A message that carries bytes is read in parts, and done when all of it was; so the writer's memory is its own again then.
 *
 * Who wakes a reader that sleeps: MORE, from a writer that finds its bell armed (the reader arms it by writing
 * to that word, then looks at the ring once more; where it can't write there, it says SLEEP, and the writer looks at the
 * socket after each write from then on, as it does until the bell was armed for the first time, with the ring's finding, or
 * ASK came; a reader that is known not to pull is sent DATA from the start); DATA and FIN; the peer's end. Who wakes a writer without room: ROOM, said
 * whenever a quarter of the ring has been taken; STOP; the peer's end.
 *
 * Who may touch what: the ring is its writer's; readers pull what is published, and a pull counts only if the cookie was
 * still there after it. Memory of a direct write belongs to its message.
 */
#ifndef HAUL_STREAM_STREAM_H
#define HAUL_STREAM_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "engine/timer.h"
#include "haul/stream.h"
#include "msg/context.h"
#include "msg/peer.h"
#include "stream/ring.h"

/* The tag of a stream's message: in the upper bits what it is, in the lower 56 a value. */
#define STREAM_DATA (UINT64_C(1) << 63)
#define STREAM_FIN \
	(STREAM_DATA | UINT64_C(1) << 62) /* the value: where its bytes begin in the stream, if it has any */
#define STREAM_CUT \
	(STREAM_DATA | UINT64_C(1) << 61) /* no bytes: a write was cut off, and the stream with it */
#define STREAM_KIND_AT 56
#define STREAM_VALUE ((UINT64_C(1) << STREAM_KIND_AT) - 1)

/* What is said without bytes; bit n of a stream's `owed` is kind n. In the order in which they are said. */
enum stream_kind {
	STREAM_RING = 1,   /* my ring's words lie at this address, */
	STREAM_COOKIE = 2, /* and hold this while they do. From now on you may pull */
	STREAM_ASK = 3,    /* I can't pull: send me what there is from this position on */
	STREAM_ROOM = 4,   /* I have taken all up to this position */
	STREAM_MORE = 5,   /* there is more */
	STREAM_SLEEP = 6,  /* I am about to sleep, and can't arm your bell: tell me when there is more */
	STREAM_STOP = 7,   /* I read no more */
	STREAM_KINDS,
};

/* A take that is posted for the other side's messages: control, or bytes. */
struct stream_ear {
	struct req_owner owner;
	struct haul_stream *stream;
	struct haul_req *req; /* under way; NULL: it is not posted */
	struct haul_msg *msg; /* what came */
	bool over;            /* nothing comes any more: not asked again */
};

/* A send of bytes of ours, or a read of a message's. */
struct stream_move {
	struct req_owner owner;
	struct haul_stream *stream;
	struct haul_req *req; /* under way */
	size_t len;
};

struct stream_out {
	bool direct, shut; /* shut: FIN is said, or owed */
	bool fin;          /* it is said, or CUT */
	bool asked;        /* the reader can't pull, */
	bool attentive;    /* nor arm the bell: look at the socket after each write */
	bool trusting;     /* it has armed it: until then the same */
	int error;         /* what writes end with; 0: they don't */
	size_t size;       /* of the ring, once there is one */
	struct ring ring;
	uint64_t sent;  /* asked: bytes sent so far */
	unsigned since; /* what was written since the socket was looked at */
	struct stream_move data, last;
};

struct stream_in {
	bool pulling;                        /* the writer's ring is known, and can be read */
	bool busy;                           /* a thread is reading, maybe outside the lock */
	bool fin;                            /* `part` is the last */
	bool armed;                          /* the writer's bell is */
	bool mute;                           /* it can't be */
	bool news;                           /* something came that a waiting reader wants to know */
	int error;                           /* what reads end with when nothing is left; 0: they don't */
	uint64_t words, bytes, size, cookie; /* the ring, in the writer's memory */
	uint64_t at;                         /* bytes taken of the stream */
	uint64_t tail;                       /* so many are known to be there */
	uint64_t told;                       /* so many are known to the writer as taken */
	struct haul_msg *part;               /* bytes that came as a message, */
	uint64_t part_from; /* the first of which has this position; those before `at` were taken */
	uint8_t *stage;     /* bytes taken ahead of small reads, */
	size_t stage_at, stage_end;
	struct stream_move ahead; /* or on their way there, of `part`, for who can't wait */
};

/* The cookie of a stdio stream over one. */
struct stream_file {
	struct haul_stream *stream; /* NULL: it is no more */
	FILE *file;
	bool flushed; /* at the end of the process */
};

struct haul_stream {
	struct haul *haul;
	struct haul_peer *peer; /* NULL: it is no more */
	uint32_t name;
	bool closed; /* by its owner; what is left goes on by itself */
	bool due;    /* in streams.due */
	unsigned owed;
	unsigned saying;          /* so much is on its way to the other side */
	struct req_owner said;    /* hears of the end of each */
	struct stream_file *file; /* NULL: none */
	struct timer retry;       /* memory was lacking to say something */
	struct stream_ear control, bytes;
	struct stream_out out;
	struct stream_in in;
	TAILQ_ENTRY(haul_stream) entry, due_entry;
};

TAILQ_HEAD(stream_list, haul_stream);
SLIST_HEAD(stream_name_list, stream_name);

/* Of a context. */
struct streams {
	struct haul *haul;
	struct stream_list all, due;
	struct stream_name_list names; /* that were used, and are closed */
};

static inline uint32_t stream_channel(const struct haul_stream *s)
{
	return WIRE_CHANNEL_STREAMS | s->name;
}

static inline struct conn *stream_conn(const struct haul_stream *s)
{
	return s->peer != NULL && !s->peer->conn.ended ? &s->peer->conn : NULL;
}

/* The next round has something to do for it. */
void stream_due(struct haul_stream *s);
/* Memory was lacking: the same, 2 ms later, since nothing tells when there is some again. */
void stream_retry(struct haul_stream *s);
/* Posts a take, if none is, and the stream still hears. */
void stream_hear(struct stream_ear *ear);
/* It goes no further, either way: the peer is gone, or has lied. */
void stream_fail(struct haul_stream *s, int error);

/* say.c: notes that a kind is to be said, with what is true then; says what is owed, but no more than a few at a time:
 * who makes this side speak may not listen. */
void say_init(struct haul_stream *s);
void say(struct haul_stream *s, enum stream_kind kind);
void say_all(struct haul_stream *s);
bool say_is_over(const struct haul_stream *s);
/* Sends bytes of ours; `what` hears of the end. 0, or why it could not be. */
int say_bytes(struct haul_stream *s, uint64_t tag, const struct iovec *iov, size_t count,
    struct stream_move *what);

/* out.c */
void out_init(struct haul_stream *s, const struct haul_stream_options *o);
void out_fini(struct haul_stream *s);
void out_asked(struct haul_stream *s, uint64_t at);
void out_room(struct haul_stream *s, uint64_t at);
/* FIN is to be said. */
void out_shut(struct haul_stream *s);
/* A send has ended, or memory may be there again: goes on. */
void out_go_on(struct haul_stream *s);
bool out_is_over(const struct haul_stream *s); /* nothing of the ring is needed any more */

/* As haul_stream_write(), with the lock held. */
ssize_t out_write(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms);

/* file.c: the stdio streams write what is in their buffers; forgets the stream's. */
void files_flush(struct haul *h, uint64_t deadline);
void file_forget(struct haul_stream *s);

/* in.c */
/* Whether it has room for a message with bytes: one at a time. */
static inline bool in_wants(const struct stream_in *in)
{
	return in->part == NULL && !in->fin && in->error == 0;
}
void pulled_told(struct haul_stream *s, uint64_t words);
void pulled_found(struct haul_stream *s, uint64_t cookie);
void part_got(struct haul_stream *s, struct haul_msg *m);
/* What was fetched ahead may have been all of a message. */
void part_go_on(struct haul_stream *s);
/* Nothing comes any more, but what is here. */
void in_fail(struct haul_stream *s, int error);
void in_close(struct haul_stream *s);
/* The same, later: true if nothing of it is under way. */
bool in_is_over(struct haul_stream *s);
void in_fini(struct haul_stream *s);

#endif
