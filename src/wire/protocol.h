/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every number of frames: types, sizes, flags, limits. docs/protocol.md has the byte tables, and a test holds the
 * two together. Numbers on the wire are little-endian. What groups, streams and regions say to each other in messages is
 * theirs: group/errand.h, group/mesh.h, stream/stream.h, rma/ask.h.
 */
#ifndef HAUL_WIRE_PROTOCOL_H
#define HAUL_WIRE_PROTOCOL_H

#include <stdint.h>

#define WIRE_VERSION_MIN 1
#define WIRE_VERSION_MAX 1

/* HELLO opens each direction, in a form that no later version changes. The magic has a byte that no
 * text protocol sends and a line end that a text-mode copy would spoil. */
#define WIRE_MAGIC "HAUL\r\n\x1a\x80"
enum {
	WIRE_MAGIC_SIZE = 8,
	WIRE_HELLO_SIZE = 64,    /* what this version sends and needs */
	WIRE_HELLO_LONGEST = 512 /* a later version may send more, which is skipped */
};

/* Every other frame: a header, a body of the type's fixed size, then what varies. */
enum { WIRE_HEADER_SIZE = 16 };

enum wire_type {
	/* handshake, in the order sent */
	WIRE_GRANTED = 1, /* the answer to your challenge lies at this address */
	WIRE_VERDICT = 2, /* whether I can read your memory, and why not */
	WIRE_READY = 3,   /* messages may follow */
	WIRE_REJECT = 4,  /* instead of any of these: I will not talk to you */
	WIRE_OUTBOX = 5,  /* before READY: what I say after it lies in my memory, there */
	/* messages */
	WIRE_EAGER = 16,    /* a message, its payload with it */
	WIRE_DESC = 17,     /* a message, its payload described */
	WIRE_SEND = 18,     /* to a DESC: write that range of it to the socket */
	WIRE_DATA = 19,     /* a part of that range */
	WIRE_DONE = 20,     /* these messages were received */
	WIRE_REFUSED = 21,  /* this one will not be, or not whole */
	WIRE_CANCEL = 22,   /* please give this one up */
	WIRE_CANCELED = 23, /* given up */
	WIRE_ABORT = 24,    /* its DATA has ended early, the rest of the chunk was filler */
	WIRE_FLUSH = 25,    /* tell me when you have finished with all before this */
	WIRE_FLUSHED = 26,
	WIRE_GRANT = 27,    /* to a DESC: write this part of it into my memory */
	WIRE_PUSHED = 28,   /* the end of a GRANT: so much was written, and no more will be */
	WIRE_ASSIST = 29,   /* to a DESC: write the end of it into my memory, while I pull its beginning */
	WIRE_ASSISTED = 30, /* nothing is written any more under that ASSIST */
	WIRE_FETCH = 31,    /* to a DESC: send me the descriptors that go with it */
	/* connection */
	WIRE_CREDIT = 32, /* nothing but the header's credits */
	WIRE_BYE = 33,    /* no more messages from me, and I want none */
	WIRE_BELL = 34,   /* there is this in my outbox, or something; or: there is room in yours */
	WIRE_DEMOTE = 35, /* I read your outbox no more: go on over the socket from this byte */
	WIRE_RESUME = 36, /* my outbox is closed: from this byte on all comes over the socket */
	WIRE_RIGHTS = 37, /* to a FETCH: these are they, attached (SCM_RIGHTS); over the socket in any case */
};

/* The fixed part of each body. */
enum {
	WIRE_GRANTED_SIZE = 8,
	WIRE_VERDICT_SIZE = 8, /* then words */
	WIRE_REJECT_SIZE = 8,
	WIRE_OUTBOX_SIZE = 40,
	WIRE_EAGER_SIZE = 24, /* then payload */
	WIRE_DESC_SIZE = 64,  /* then ranges */
	WIRE_SEND_SIZE = 32,
	WIRE_DATA_SIZE = 24, /* then payload */
	WIRE_DONE_SIZE = 0,  /* then ids */
	WIRE_REFUSED_SIZE = 24,
	WIRE_CANCEL_SIZE = 8,
	WIRE_CANCELED_SIZE = 8,
	WIRE_ABORT_SIZE = 16,
	WIRE_FLUSH_SIZE = 8,
	WIRE_FLUSHED_SIZE = 8,
	WIRE_GRANT_SIZE = 40, /* then ranges */
	WIRE_PUSHED_SIZE = 24,
	WIRE_BELL_SIZE = 8, /* then the bytes of a parcel */
	WIRE_DEMOTE_SIZE = 8,
	WIRE_RESUME_SIZE = 8,
	WIRE_ASSIST_SIZE = 48, /* then ranges */
	WIRE_ASSISTED_SIZE = 16,
	WIRE_FETCH_SIZE = 8,
	WIRE_RIGHTS_SIZE = 16,
	WIRE_RANGE_SIZE = 16, /* one range of a DESC, GRANT or ASSIST: address, length */
	WIRE_ID_SIZE = 8,     /* one id of a DONE */
};

/* Flags of a header. */
enum {
	WIRE_FLAG_SYNC = 1, /* EAGER, DESC: the sender wants to know what became of it */
	WIRE_FLAG_CALL = 2, /* EAGER, DESC, with SYNC: the sender waits for a reply */
	WIRE_FLAG_IDLE = 4, /* CANCEL: only if nobody has been given the message */
	WIRE_FLAG_FDS = 8,  /* DESC: descriptors go with it, see FETCH */
};

/* Channels. 0 is the program's; of the others the highest of these bits says whose they are. */
#define WIRE_CHANNEL_REPLIES UINT32_C(1)          /* replies to calls; the tag is the call's id */
#define WIRE_CHANNEL_REGIONS UINT32_C(0x20000000) /* requests about exposed regions; + 1: the bytes that answer */
#define WIRE_CHANNEL_STREAMS UINT32_C(0x40000000) /* byte streams */
#define WIRE_CHANNEL_GROUPS UINT32_C(0x80000000)

/* Features of a HELLO. */
enum {
	WIRE_FEATURE_PUSH = 1,       /* may be written to where both sides have it, and writes when asked */
	WIRE_FEATURE_OUTBOX = 2,     /* reads the other's outbox, and has one, where both sides have it */
	WIRE_FEATURE_TWO_HANDED = 4, /* assists where both sides have it, and may be assisted */
};

/* Limits that both sides rely on. */
enum {
	WIRE_EAGER_LONGEST = 65536, /* payload of an EAGER frame */
	WIRE_DATA_LONGEST = 262144, /* payload of a DATA frame: other frames get between two of them */
	WIRE_DESC_RANGES = 4,       /* ranges within a DESC; a longer list stays in the sender's memory */
	WIRE_GRANT_RANGES = 32,     /* ranges of a GRANT or ASSIST: a longer list is granted in parts */
	WIRE_RANGES_MOST = 1 << 24, /* ranges of one message */
	WIRE_RING_LEAST = 4096,     /* bytes of an outbox's ring; a power of two */
	WIRE_RING_MOST = 1 << 24,
	WIRE_PARCEL_BLANK = 4224,   /* bytes that are blank for a parcel laid on blank, and its own most */
	WIRE_BELL_LONGEST = 4160,   /* bytes of a parcel that may go with a BELL: a message of 4 KiB, say */
	WIRE_DONE_IDS = 128,        /* ids in a DONE */
	WIRE_WORDS_LONGEST = 127,   /* words of a VERDICT */
	WIRE_WINDOW_MOST = 65536,   /* messages of one side that await their terminal frame; ids' slots */
	WIRE_EAGER_OVERHEAD = 64,   /* what an eager message costs of the byte credit beyond its length */
	WIRE_RIGHTS_MOST = 253,     /* descriptors of one message: what the kernel takes at a time */
	WIRE_HAND_EPOCHS = 65535,   /* the last epoch of an ASSIST */
	WIRE_CREDIT_MOST = 1 << 30, /* unspent byte credit; counters are compared modulo 2^32 */
};

/* Room for any frame, but for payload. */
enum { WIRE_FRAME_ROOM = WIRE_HEADER_SIZE + WIRE_DONE_IDS * WIRE_ID_SIZE };

/* Room for any frame that goes beside an outbox: BELL, with payload, is the longest. */
enum { WIRE_BELL_ROOM = WIRE_HEADER_SIZE + WIRE_BELL_SIZE + WIRE_BELL_LONGEST };

/* What the reader of an outbox reads, and where it rings, at the address that OUTBOX gives: 64-bit words, as the
 * machine has them. */
enum {
	WIRE_STATE_FULL = 0,   /* the position at which there was no room, or 0 */
	WIRE_STATE_COOKIE = 8, /* as in the frame, as long as this is that process's memory */
	WIRE_STATE_READ = 16,  /* so much is read */
	WIRE_STATE_BELL = 16,  /* written by the reader: 1, say BELL for each parcel; 0: don't */
	WIRE_STATE_SIZE = 24,
};

/* What the ring holds: parcels, each of a stamp, a length, and so many bytes; each begins at a multiple. */
enum {
	WIRE_PARCEL_HEAD = 16,
	WIRE_PARCEL_ALIGN = 64,
	WIRE_STAMP_BLANK = 1, /* what the stamp of one that is laid on blank has more */
};

/* What a word of the ring holds that is blank: no stamp, wherever. */
#define WIRE_BLANK(cookie) ((uint64_t)(cookie)-1)

/* A handle of a region, and the card in its owner's memory that vouches for it: 64-bit words, as the machine has them. */
enum {
	WIRE_HANDLE_COOKIE = 0, /* first: of the card it is the cell */
	WIRE_HANDLE_CARD = 1,
	WIRE_HANDLE_ADDR = 2, /* of the bytes if they are one range, else of the list */
	WIRE_HANDLE_LEN = 3,
	WIRE_HANDLE_RANGES = 4,
	WIRE_HANDLE_RIGHTS = 5, /* 1: get, 2: put */
	WIRE_HANDLE_SLOT = 6,   /* the owner's own number for it */
	WIRE_HANDLE_FORMAT = 7, /* WIRE_HANDLE_IS */
	WIRE_HANDLE_WORDS = 8,
	WIRE_HANDLE_RANGES_MOST = 1024,
};
#define WIRE_HANDLE_IS UINT64_C(0x31736e6c75616801)

/* What asks a region's owner, by a message on WIRE_CHANNEL_REGIONS: its tag, and the size of its body. */
enum {
	WIRE_ASK_GET = 1,
	WIRE_ASK_PUT = 2,   /* then the bytes */
	WIRE_ASK_SIZE = 88, /* a handle (64), offset (8), len (8), the tag of the answer (8) */
};

/* Ids name a message of one side until its terminal frame: the slot in the low half, and in the high
 * half how often the slot was used, from 1 on. */
#define WIRE_ID(slot, use) ((uint64_t)(use) << 32 | (uint32_t)(slot))
#define WIRE_ID_SLOT(id) ((uint32_t)(id))
#define WIRE_ID_USE(id) ((uint32_t)((id) >> 32))

/* The hand, a word in a sender's memory: see wire_hand() in frame.h. Bit 0, then an offset, then an epoch. */
#define WIRE_HAND_LONGEST ((UINT64_C(1) << 47) - 1) /* message whose offsets it has room for */
#define WIRE_HAND_EPOCH_AT 48

#endif
