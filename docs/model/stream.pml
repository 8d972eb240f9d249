/*
 * The stream path of design section 4: the receiver answers DESC with SEND(from, to, epoch), the sender
 * writes DATA chunks, each in several partial writes, into a socket that may be full, and after the last an
 * empty DATA, END here, which says that all before it was good. Two messages, one after the other, under
 * one id.
 * Shown: only the message's own bytes are delivered, whole and once; the user's buffer is not read after its
 * request completed, a receive buffer not written after its receive ended; a request completes once and its
 * result is true; exactly one terminal frame per DESC; nobody waits for ever on who runs, or on the dead.
 */
#ifndef RULE_EPOCH
#define RULE_EPOCH 1 /* DATA of a stale epoch is sunk */
#endif
#ifndef RULE_SINK
#define RULE_SINK 1 /* when a receive ends, the rest of a half-read frame goes to a sink */
#endif
#ifndef RULE_IGNORE
#define RULE_IGNORE 1 /* SEND for what the sender has ended is ignored */
#endif
#ifndef RULE_FILLER
#define RULE_FILLER 1 /* when a request ends or is aborted, the rest of its half-written chunk is filler */
#endif
#ifndef RULE_END
#define RULE_END 1 /* a receive completes on END, not on the last byte */
#endif
#ifndef RULE_SETTLE
#define RULE_SETTLE 1 /* a fault is settled before anything more is said */
#endif
#ifndef RULE_FAULT
#define RULE_FAULT 1 /* a fault belongs to its chunk, and is forgotten with it */
#endif
#ifndef RULE_ABORT
#define RULE_ABORT 1 /* filler is followed by ABORT, where END would have been */
#endif
#ifndef RULE_OWED
#define RULE_OWED 1 /* a terminal frame drops the CANCEL or ABORT not yet written */
#endif

#define CHUNKS 2
#define PIECES 2  /* partial writes of a chunk's payload */
#define TRIES 3   /* matches in all */
#define USER 7    /* in a buffer: what its owner wrote after getting it back */
#define FILL 8

mtype = { DESC, DATA, BYTES, END, CANCEL, ABORT };        /* what the sender writes */
mtype = { SEND, DONE, REFUSED, CANCELED };                /* and the receiver */
mtype = { NONE, OFFERED, CANCELING, WITHDRAWN, OVER };    /* an outbound; WITHDRAWN: only its id is left */
mtype = { WAITING, MOVING, ANSWERED };                    /* an inbound */
mtype = { UNKNOWN, EFAULT };                              /* results besides the terminal frames */

chan to_r = [3] of { mtype, byte, byte }; /* DATA, END: offset, epoch; BYTES: whose; else: message */
chan to_s = [8] of { mtype, byte, byte, byte, byte };  /* kind, from, to, epoch, message */
byte buffer;                              /* whose bytes are in the sender's buffer */
mtype out[3] = NONE, result[3] = NONE;
bool delivered[3];
bool s_dead, r_stopped;
bool patient, r_patient;                  /* the sends, the receives have no timeout */
mtype in = NONE;

#define LIVE(m) (out[m] == OFFERED || out[m] == CANCELING)

inline complete(how) {
	assert(LIVE(m));
	assert(delivered[m] || how != DONE);
	assert(!delivered[m] || how == DONE || how == UNKNOWN);
	result[m] = how; buffer = USER
}

/* The link must not read the buffer any more. */
inline stop_streaming() {
	streaming = false; chunk = 0;
	if :: RULE_FILLER && left -> filler = true :: else fi;
	if :: RULE_FAULT -> fault = false :: else fi
}

#define SAYS (!s_dead && !left && nfull(to_r) && !(RULE_SETTLE && fault && chunk))

active proctype sender()
{
	byte m, k, from, to, epoch, at, end, now;  /* now: epoch of the last SEND */
	byte left, chunk;                          /* parts of the chunk still to be written; whose it is */
	bool busy, streaming, filler, fault, bad;  /* busy: the id is in use; bad: m's buffer did fault */
	mtype kind, owed = NONE;
end_sender:
	do
	:: atomic { SAYS && m < 2 && !busy -> /* isend */
		m++; busy = true; out[m] = OFFERED; buffer = m; now = 0; bad = false; to_r!DESC(m, 0) }
	:: atomic { !s_dead && nempty(to_s) -> to_s?kind(from, to, epoch, k);
		assert(busy && k == m);
		assert(kind != CANCELED || out[m] != OFFERED); /* nobody answers what was not asked */
		if
		:: kind == SEND -> assert(epoch > now); now = epoch;
			if
			:: out[m] == OFFERED || !RULE_IGNORE -> at = from; end = to; streaming = to > from
			:: else
			fi
		:: else ->
			stop_streaming(); if :: RULE_OWED -> owed = NONE :: else fi;
			if :: LIVE(m) -> complete(kind) :: else fi;
			out[m] = OVER; busy = false; at = 0; end = 0
		fi; k = 0; from = 0; to = 0; epoch = 0; kind = NONE }
	:: atomic { SAYS && owed != NONE -> to_r!owed(m, 0); owed = NONE }
	:: atomic { SAYS && owed == NONE && streaming && at < end -> /* a chunk */
		left = PIECES; chunk = m; filler = false; to_r!DATA(at, now); at++ }
	:: atomic { SAYS && owed == NONE && streaming && at == end -> streaming = false; to_r!END(at, now) }
	:: atomic { !s_dead && left && nfull(to_r) -> left--;
		if
		:: filler -> to_r!BYTES(FILL, 0)
		:: else -> assert(buffer != USER); to_r!BYTES(buffer, 0)
		fi }
	:: atomic { !s_dead && left && !filler && chunk == m && !bad -> /* the buffer faults; the link notes it */
		filler = true; fault = true; bad = true }
	:: atomic { !s_dead && fault && chunk -> /* ... and the outbound hears of it */
		fault = false; chunk = 0; streaming = false;
		assert(bad && out[m] == OFFERED); /* else it was another's */
		complete(EFAULT); out[m] = WITHDRAWN; owed = (RULE_ABORT -> ABORT : NONE) }
	:: atomic { !s_dead && !patient && out[m] == OFFERED -> /* timeout, close: abort */
		out[m] = CANCELING;
		owed = (left && !filler -> (RULE_ABORT -> ABORT : NONE) : CANCEL); stop_streaming() }
	:: atomic { !s_dead && !patient && out[m] == CANCELING -> /* the grace is over */
		complete(UNKNOWN); out[m] = WITHDRAWN }
	od
}

inline answer(how) { in = ANSWERED; into = 0; to_s!how(0, 0, 0, which) }

inline finish() {
	assert(!bad && !delivered[which]);
	assert(result[which] == NONE || result[which] == UNKNOWN);
	delivered[which] = true; answer(DONE)
}

active proctype receiver()
{
	byte which, k, a, epoch, got, tries;
	byte due, into; /* pieces still to come of a frame; the receive, by number, whose buffer takes them */
	bool bad;
	mtype kind;
end_receiver:
	do
	:: atomic { !r_stopped && nempty(to_r) -> to_r?kind(k, a);
		if
		:: kind == DESC -> assert(in == NONE || in == ANSWERED); in = WAITING; which = k; epoch = 0
		:: kind == DATA -> assert(!due); due = PIECES;
			into = (in == MOVING && (a == epoch || !RULE_EPOCH) -> tries : 0);
			assert(!into || k == got) /* else an honest peer is told -EPROTO */
		:: kind == BYTES -> due--;
			assert(!into || (in == MOVING && into == tries)); /* else: written after the receive ended */
			bad = bad || (into && k != which);
			if
			:: !due && into -> into = 0; got++;
				if :: got == CHUNKS && !RULE_END -> finish() :: else fi
			:: else
			fi
		:: kind == END ->
			if
			:: in == MOVING && (a == epoch || !RULE_EPOCH) -> assert(k == got && got == CHUNKS); finish()
			:: else /* late */
			fi
		:: kind == CANCEL || kind == ABORT ->
			if :: in != ANSWERED -> assert(k == which); answer(CANCELED) :: else fi
		fi; kind = NONE; k = 0; a = 0; if :: in != MOVING -> bad = false; got = 0 :: else fi }
	:: atomic { !r_stopped && in == WAITING && tries < TRIES -> /* match */
		in = MOVING; tries++; got = 0; bad = false; epoch++; to_s!SEND(0, CHUNKS, epoch, which) }
	:: atomic { !r_stopped && !r_patient && in == MOVING -> /* the receive times out, even in mid-frame */
		in = WAITING; epoch++; to_s!SEND(0, 0, epoch, which); if :: RULE_SINK -> into = 0 :: else fi }
	:: atomic { !r_stopped && in == WAITING -> answer(REFUSED) }
	:: atomic { !r_stopped && in == MOVING && into -> answer(REFUSED) } /* its memory can't be written */
	:: atomic { !r_stopped && s_dead && empty(to_r) && in == MOVING -> in = ANSWERED; into = 0 } /* end of file */
	od
}

active proctype fate()
{
	if :: patient = true :: skip fi;
	if :: r_patient = true :: skip fi;
	if :: skip :: s_dead = true :: r_stopped = true fi
}

/* When nothing moves any more, nobody who could have been served is left waiting. */
active proctype quiet()
{
	atomic { timeout ->
		assert(s_dead || (r_stopped && patient) || !LIVE(1) && !LIVE(2));
		assert(r_stopped || in != MOVING) }
}
