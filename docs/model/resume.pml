/*
 * Changes of the way in mid-transfer, design section 4: a message is pulled, the kernel refuses somewhere on the
 * way, and the message goes on from the byte reached, by stream or by push; a push may end part way, and goes on by
 * stream; the receive may end early on any path, and the next one begins again from byte 0, by whatever path is
 * left. One message of a few parts, its buffer and its grant cell.
 * Shown: a receive completes only with every part there, each the message's own; a message is delivered
 * once, and its request's result is true; nobody waits for ever.
 * What a pull is in itself has rendezvous.pml, what a DATA frame is stream.pml, what a push is push.pml.
 */
#ifndef RULE_VOUCH
#define RULE_VOUCH 1 /* what a pull brought counts only if the cell was read and holds */
#endif
#ifndef RULE_REACHED
#define RULE_REACHED 1 /* what follows begins at the byte reached, not where the pull or push would have ended */
#endif
#ifndef RULE_RESTART
#define RULE_RESTART 1 /* a message given back is moved again from byte 0 */
#endif
#ifndef RULE_EPOCH
#define RULE_EPOCH 1 /* each SEND has a new epoch, DATA of a stale one is sunk */
#endif
#ifndef RULE_REPLACE
#define RULE_REPLACE 1 /* a GRANT replaces the SEND before it: nothing more is streamed */
#endif
#ifndef RULE_CUT
#define RULE_CUT 1 /* ... and the rest of a half-written chunk is filler: its buffer is not read, nor found faulty */
#endif
#ifndef RULE_MUTE
#define RULE_MUTE 1 /* ... which no ABORT follows: the chunk is of an earlier epoch, and goes nowhere */
#endif
#ifndef SPARE_CELL
#define SPARE_CELL 1 /* a refused pull looks at the cell: gone ends the receive; else it waits for the CANCEL */
#endif
#ifndef SPARE_STOP
#define SPARE_STOP 1 /* a message given back is no longer streamed: spares the socket, nothing else */
#endif

#define PARTS 2
#define TRIES 2   /* matches in all */
#define GOOD 1    /* in a buffer: the message's bytes */
#define FILL 8
#define USER 7    /* what its owner wrote after getting it back, or what a stranger had there */

mtype = { DESC, DATA, END, CANCEL, ABORT, PUSHED };       /* what the sender writes */
mtype = { SEND, GRANT, DONE, REFUSED, CANCELED };         /* and the receiver */
mtype = { NONE, OFFERED, CANCELING, WITHDRAWN, OVER };    /* the outbound */
mtype = { WAITING, PULLING, PUSHING, STREAMING, ANSWERED }; /* the inbound; the middle three are MOVING */
mtype = { UNKNOWN, EFAULT };                              /* results besides the terminal frames */
mtype = { IDLE, WRITE, SAY };                             /* a grant at the sender */
mtype = { HOLDS, GONE, UNREAD };                          /* what the cell says */

chan to_r = [3] of { mtype, byte, byte, byte };           /* DATA, END: offset, epoch; whose bytes.
                                                           * PUSHED: how many, epoch */
chan to_s = [8] of { mtype, byte, byte, byte };           /* SEND, GRANT: from, to, epoch */
byte buffer = GOOD, have[PARTS];
bool cell, delivered, s_dead, patient, r_patient;
bool pulls;      /* the handshake found that the receiver can pull */
mtype out = NONE, result = NONE, in = NONE;

inline complete(how) {
	assert(out == OFFERED || out == CANCELING);
	assert(delivered || how != DONE);
	assert(!delivered || how == DONE || how == UNKNOWN);
	cell = false; streaming = false; filler = left; result = how; buffer = USER
}

inline abort() {
	out = CANCELING; streaming = false;
	owed = (left && !filler -> ABORT : CANCEL); filler = left
}

#define SAYS (!s_dead && !left && nfull(to_r))

active proctype sender()
{
	byte from, to, epoch, at, end, now;            /* now: epoch of the last SEND or GRANT */
	byte w_from, w_at, w_end, c_at, c_epoch;       /* the grant; the chunk that is half written */
	bool streaming, left, filler, aborting, bad;   /* left: half written; aborting: noted; bad: it did fault */
	mtype kind, owed = NONE, phase = IDLE;
end_sender:
	do
	:: atomic { !s_dead && out == NONE -> if :: pulls = true :: skip fi; out = OFFERED; cell = true; to_r!DESC(0, 0, 0) }
	:: atomic { !s_dead && nempty(to_s) -> to_s?kind(from, to, epoch);
		assert(out != OVER);
		if
		:: kind == SEND || kind == GRANT -> assert((epoch > now || !RULE_EPOCH) && phase == IDLE); now = epoch;
			if :: kind == SEND || RULE_REPLACE -> streaming = false; at = 0; end = 0 :: else fi;
			if :: kind == GRANT && left && !filler && RULE_CUT -> filler = true;
				if :: RULE_MUTE -> skip :: else -> owed = ABORT fi
			:: else
			fi;
			if
			:: kind == SEND && out == OFFERED -> at = from; end = to; streaming = to > from
			:: kind == SEND && out != OFFERED
			:: kind == GRANT -> w_from = from; w_at = from; w_end = to; phase = (out == OFFERED -> WRITE : SAY)
			fi
		:: else ->
			assert(kind != CANCELED || out != OFFERED);
			if :: out != WITHDRAWN -> complete(kind) :: else fi;
			out = OVER; owed = NONE; at = 0; end = 0
		fi; kind = NONE; from = 0; to = 0; epoch = 0 }
	:: atomic { !s_dead && phase == WRITE -> /* a piece */
		if
		:: w_at < w_end && !aborting -> have[w_at] = buffer; w_at++
		:: phase = SAY; if :: aborting -> aborting = false; abort() :: else fi /* or as far as it went */
		fi }
	:: atomic { SAYS && phase == SAY -> to_r!PUSHED(w_at - w_from, now, 0);
		phase = IDLE; w_from = 0; w_at = 0; w_end = 0 }
	:: atomic { SAYS && owed != NONE -> to_r!owed(0, 0, 0); owed = NONE }
	:: atomic { SAYS && owed == NONE && streaming && at < end -> left = true; c_at = at; c_epoch = now; at++ }
	:: atomic { SAYS && owed == NONE && streaming && at == end ->
		to_r!END(at, now, 0); streaming = false }
	:: atomic { !s_dead && left && nfull(to_r) -> assert(filler || buffer == GOOD);
		to_r!DATA(c_at, c_epoch, (filler -> FILL : buffer)); left = false; filler = false; c_at = 0; c_epoch = 0 }
	:: atomic { !s_dead && left && !filler && !bad -> bad = true; filler = true; /* the buffer faults */
		complete((pulls -> UNKNOWN : EFAULT)); out = WITHDRAWN; owed = ABORT }
	:: atomic { !s_dead && !patient && out == OFFERED ->
		if :: phase == WRITE -> aborting = true :: else -> abort() fi }
	:: atomic { !s_dead && !patient && out == CANCELING -> complete(UNKNOWN); out = WITHDRAWN }
	od
}

inline forget() {
	have[0] = 0; have[1] = 0; upto = 0;
	if :: RULE_RESTART || in == ANSWERED -> got = 0 :: else fi
}

inline answer(how) { in = ANSWERED; asking = false; forget(); to_s!how(0, 0, 0) }

/* inbound_finish() */
inline finish() {
	assert(have[0] == GOOD && have[1] == GOOD);
	assert(!delivered && (result == NONE || result == UNKNOWN));
	delivered = true; answer(DONE)
}

inline give_back() {
	if :: in == STREAMING && SPARE_STOP -> ask() :: in == PUSHING -> asking = false :: else fi;
	in = WAITING; forget()
}

inline other_way() { if :: in = STREAMING :: in = PUSHING fi; ask() }

inline ask() { if :: RULE_EPOCH -> epoch++ :: else fi; asking = true }

active proctype receiver()
{
	byte got, came, upto, k, a, who, epoch = 1 - RULE_EPOCH, tries; /* upto: end of the grant */
	bool asking, granted, refused, demoted; /* asking: SEND or GRANT is to be said */
	mtype kind, says, late = NONE;          /* late: what was noted while granted: WAITING, CANCELED */
end_receiver:
	do
	:: atomic { nempty(to_r) -> to_r?kind(k, a, who);
		if
		:: kind == DESC -> in = WAITING
		:: (kind == DATA || kind == END) && (in != STREAMING || (a != epoch && RULE_EPOCH)) /* it goes nowhere */
		:: (kind == DATA || kind == END) && in == STREAMING && (a == epoch || !RULE_EPOCH) ->
			assert(!asking && k == got); /* else an honest peer is told -EPROTO */
			if
			:: kind == DATA -> have[got] = who; got++
			:: else -> assert(got == PARTS); finish()
			fi
		:: kind == PUSHED -> assert(granted && a == epoch);
			granted = false; got = (RULE_REACHED -> got + k : upto); upto = 0;
			if
			:: got == PARTS -> finish()
			:: got < PARTS && late == WAITING -> give_back()
			:: got < PARTS && late == CANCELED -> answer(CANCELED)
			:: got < PARTS && late == NONE -> if :: k :: in = STREAMING fi; ask()
			fi; late = NONE
		:: kind == CANCEL || kind == ABORT ->
			if
			:: in != ANSWERED && granted -> late = CANCELED
			:: in != ANSWERED && !granted -> answer(CANCELED)
			:: else
			fi
		fi; kind = NONE; k = 0; a = 0; who = 0 }
	:: atomic { asking && nfull(to_s) -> asking = false;
		if
		:: in == PUSHING -> granted = true; upto = PARTS; to_s!GRANT(got, PARTS, epoch)
		:: in == STREAMING -> to_s!SEND(got, PARTS, epoch)
		:: else -> to_s!SEND(0, 0, epoch)
		fi }
	:: atomic { in == WAITING && tries < TRIES -> tries++; /* match */
		if :: pulls && !demoted -> in = PULLING :: else -> other_way() fi }
	:: atomic { !r_patient && (in == PULLING || in == PUSHING || in == STREAMING) -> /* the receive times out */
		if :: !granted -> give_back() :: granted && late == NONE -> late = WAITING :: else fi }
	:: in == PULLING && (!s_dead || nempty(to_r)) -> /* one call: parts, as far as the kernel likes, then the cell */
		came = 0; refused = false; says = UNREAD;
		do
		:: atomic { got + came < PARTS -> have[got + came] = (s_dead -> USER : buffer); came++ }
		:: atomic { got + came == PARTS -> break }
		:: atomic { refused = true; break }
		od;
		atomic {
			if
			:: s_dead /* nobody's memory, or a stranger's */
			:: !s_dead -> says = (cell -> HOLDS : GONE)
			:: !s_dead && refused /* the kernel refuses that, too */
			fi;
			if :: SPARE_CELL :: else -> if :: says == GONE -> says = UNREAD; refused = true :: else fi fi;
			if :: refused && !RULE_REACHED -> came = PARTS - got :: else fi;
			if :: says == HOLDS || (says == UNREAD && !RULE_VOUCH) -> got = got + came :: else fi;
			if
			:: says == GONE -> answer(CANCELED)
			:: says == UNREAD && !refused && RULE_VOUCH -> answer(CANCELED)
			:: says != GONE && (says == HOLDS || refused || !RULE_VOUCH) ->
				if
				:: got == PARTS -> finish()
				:: else -> other_way(); if :: demoted = true :: skip fi
				fi
			fi; came = 0; refused = false; says = NONE
		}
	:: atomic { s_dead && empty(to_r) && (in == PULLING || in == PUSHING || in == STREAMING) ->
		in = ANSWERED; asking = false; granted = false; late = NONE; forget() }
	od
}

active proctype fate()
{
	if :: patient = true :: skip fi;
	if :: r_patient = true :: skip fi;
	if :: skip :: s_dead = true fi
}

/* When nothing moves any more, nobody who could have been served is left waiting. */
active proctype quiet()
{
	atomic { timeout ->
		assert(s_dead || in == WAITING || out == OVER);
		assert(in != PULLING && in != PUSHING && in != STREAMING) }
}
