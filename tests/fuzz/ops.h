/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a script of fuzz_peer and fuzz_handshake is made of: a byte of these, its upper two bits ignored, then what
 * the operation takes. Numbers stay what they are, for the sake of the corpus; one that is free does nothing.
 * tests/fuzz/corpus/make reads the names from here, and those of frames from wire/protocol.h.
 */
#ifndef HAUL_TESTS_FUZZ_OPS_H
#define HAUL_TESTS_FUZZ_OPS_H

enum op {
	/* the peer: bytes */
	OP_PROGRESS = 0, /* rounds */
	OP_FRAME = 1,    /* type, then its fields: evil_frame() */
	OP_RAW = 2,      /* how many, then the bytes */
	OP_REPEAT = 3,   /* times: the next FRAME so often */
	OP_FLIP = 4,     /* place, bits: in the next FRAME, one byte altered */
	OP_HOLD = 5,     /* what is said gathers */
	OP_DRIP = 6,     /* how many bytes of it go, one at a time */
	OP_LET_GO = 7,   /* all of it, and no more gathering */
	OP_FDS = 8,      /* how many descriptors go with what is said next */
	OP_DEAF = 9,     /* stops reading, or reads again */
	/* the peer: its memory and life */
	OP_CELL = 10,   /* which cell, what: it changes */
	OP_LIST = 11,   /* place, range: a range of the long list changes */
	OP_CREDIT = 12, /* bytes, messages: the counters of all headers to come grow by so much */
	OP_SHUT = 13,   /* half of the socket */
	OP_HANG_UP = 14,
	OP_CONNECT = 15, /* how much of the handshake: a new connection in place of the old */
	OP_REFUSE = 16,  /* which errno, how often: its memory can't be reached */
	/* the peer: its outbox */
	OP_VIA = 17,      /* what is said goes: where it belongs, beside the outbox, into it */
	OP_PARCEL = 18,   /* what length: the head of a parcel, with whatever is behind it */
	OP_FULL = 19,     /* by how much it is more than the tail */
	OP_COOKIE = 26,   /* what is added to it; 0: it is right again */
	OP_HEAD = 27,     /* the same, for the word that tells how much of the context's was read */
	OP_SCRIBBLE = 28, /* how far behind the tail, how many: bytes in the ring change */
	OP_UNMAP = 29,    /* which part of it can't be reached any more, or written; 0: all is well again */
	OP_ARM = 35,      /* what: the bell of the context's */
	OP_RESUME = 36,   /* what is added to the position: leaves it for the socket */
	OP_UNREAD = 37,   /* stops reading the context's, or goes on */
	OP_BLANK = 38,    /* says that its parcels are laid on blank, or no more */
	/* the program: sends and receives */
	OP_RECV = 20,     /* match, lengths */
	OP_SEND = 21,     /* tag, flags, lengths */
	OP_TAKE = 22,     /* match */
	OP_NOW = 23,      /* match, how: a call that doesn't wait */
	OP_SENDRECV = 24, /* tag, length */
	OP_BATCH = 25,    /* lengths */
	OP_CALL = 39,     /* tag, lengths */
	/* the program: requests */
	OP_CANCEL = 30,   /* which */
	OP_DEADLINE = 31, /* which, when */
	OP_FREE = 32,     /* which */
	OP_FINISH = 33,   /* which */
	OP_TEST = 34,     /* which */
	/* the program: messages it has taken */
	OP_MSG_IREAD = 40,  /* which, offset, lengths */
	OP_MSG_READ = 41,   /* which, offset, length */
	OP_MSG_DONE = 42,   /* which */
	OP_MSG_REFUSE = 43, /* which, error */
	OP_MSG_REPLY = 44,  /* which, lengths */
	OP_SEND_FDS = 45,   /* tag, how many */
	OP_MSG_FDS = 46,    /* which, room */
	/* the program: peers */
	OP_PEER_FLUSH = 50,
	OP_PEER_WATCH = 51,
	OP_PEER_CANCEL = 52,
	OP_PEER_INFO = 53,
	OP_PEER_CLOSE = 54,
};

enum { OP_MASK = 63 };

#endif
