/*
 * Refusals in mid-transfer, design section 4: a message is pulled, the kernel refuses somewhere on the way,
 * and the message goes on by stream from the byte reached; the receive may end early on either path, and the
 * next one begins again with a pull from byte 0. One message of a few parts, its buffer and its grant cell.
 * Shown: a receive completes only with every part there, each the message's own; a message is delivered
 * once, and its request's result is true; nobody waits for ever.
 * What a pull is in itself has rendezvous.pml, what a DATA frame is in itself stream.pml.
 */
#ifndef RULE_VOUCH
#define RULE_VOUCH 1 /* what a pull brought counts only if the cell was read and holds */
#endif
#ifndef RULE_REACHED
#define RULE_REACHED 1 /* the stream begins at the byte reached, not where the pull would have ended */
#endif
#ifndef RULE_RESTART
#define RULE_RESTART 1 /* a message given back is moved again from byte 0 */
#endif
#ifndef RULE_EPOCH
#define RULE_EPOCH 1 /* each SEND has a new epoch, DATA of a stale one is sunk */
#endif
#ifndef SPARE_CELL
#define SPARE_CELL 1 /* a refused pull looks at the cell: gone ends the receive; else it waits for the CANCEL */
#endif
#ifndef SPARE_STOP
#define SPARE_STOP 1 /* a message given back is no longer streamed: spares the socket, nothing else */
#endif

#define PARTS 3
#define TRIES 2   /* matches in all */
#define GOOD 1    /* in a buffer: the message's bytes */
#define USER 7    /* what its owner wrote after getting it back, or what a stranger had there */

mtype = { DESC, DATA, END, CANCEL };                      /* what the sender writes */
mtype = { SEND, DONE, REFUSED, CANCELED };                /* and the receiver */
mtype = { NONE, OFFERED, CANCELING, WITHDRAWN, OVER };    /* the outbound */
mtype = { WAITING, PULLING, STREAMING, ANSWERED };        /* the inbound; the middle two are MOVING */
mtype = { UNKNOWN };                                      /* a result besides the terminal frames */
mtype = { HOLDS, GONE, UNREAD };                          /* what the cell says */

chan to_r = [3] of { mtype, byte, byte, byte };           /* DATA, END: offset, epoch; whose bytes */
chan to_s = [8] of { mtype, byte, byte, byte };           /* SEND: from, to, epoch */
byte buffer = GOOD;
bool cell, delivered, s_dead, patient, r_patient;
mtype out = NONE, result = NONE, in = NONE;

inline complete(how) {
	assert(out == OFFERED || out == CANCELING);
	assert(delivered || how != DONE);
	assert(!delivered || how == DONE || how == UNKNOWN);
	cell = false; streaming = false; result = how; buffer = USER
}

active proctype sender()
{
	byte from, to, epoch, at, end, now;
	bool streaming;
	mtype kind, owed = NONE;
end_sender:
	do
	:: atomic { !s_dead && out == NONE -> out = OFFERED; cell = true; to_r!DESC(0, 0, 0) }
	:: atomic { !s_dead && nempty(to_s) -> to_s?kind(from, to, epoch);
		assert(out != OVER);
		if
		:: kind == SEND -> assert(epoch > now || !RULE_EPOCH); now = epoch;
			if :: out == OFFERED -> at = from; end = to; streaming = to > from :: else fi
		:: else ->
			assert(kind != CANCELED || out != OFFERED);
			if :: out != WITHDRAWN -> complete(kind) :: else fi;
			out = OVER; owed = NONE; at = 0; end = 0
		fi; kind = NONE; from = 0; to = 0; epoch = 0 }
	:: atomic { !s_dead && owed != NONE && nfull(to_r) -> to_r!owed(0, 0, 0); owed = NONE }
	:: atomic { !s_dead && owed == NONE && streaming && at < end && nfull(to_r) ->
		assert(buffer == GOOD); to_r!DATA(at, now, buffer); at++ }
	:: atomic { !s_dead && owed == NONE && streaming && at == end && nfull(to_r) ->
		to_r!END(at, now, 0); streaming = false }
	:: atomic { !s_dead && !patient && out == OFFERED -> out = CANCELING; streaming = false; owed = CANCEL }
	:: atomic { !s_dead && !patient && out == CANCELING -> complete(UNKNOWN); out = WITHDRAWN }
	od
}

inline answer(how) { in = ANSWERED; asking = false; to_s!how(0, 0, 0) }

/* inbound_finish() */
inline finish() {
	assert(have[0] == GOOD && have[1] == GOOD && have[2] == GOOD);
	assert(!delivered && (result == NONE || result == UNKNOWN));
	delivered = true; answer(DONE)
}

inline ask() { if :: RULE_EPOCH -> epoch++ :: else fi; asking = true }

active proctype receiver()
{
	byte have[PARTS], got, came, k, a, who, epoch = 1 - RULE_EPOCH, tries;
	bool asking, refused, demoted; /* asking: SEND is to be said */
	mtype kind, says;
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
		:: kind == CANCEL -> if :: in != ANSWERED -> answer(CANCELED) :: else fi
		fi; kind = NONE; k = 0; a = 0; who = 0 }
	:: atomic { asking && nfull(to_s) -> asking = false;
		if
		:: in == STREAMING -> to_s!SEND(got, PARTS, epoch)
		:: else -> to_s!SEND(0, 0, epoch)
		fi }
	:: atomic { in == WAITING && tries < TRIES -> tries++; /* match */
		have[0] = 0; have[1] = 0; have[2] = 0; if :: RULE_RESTART -> got = 0 :: else fi;
		if :: !demoted -> in = PULLING :: else -> in = STREAMING; ask() fi }
	:: atomic { !r_patient && (in == PULLING || in == STREAMING) -> /* the receive times out */
		if :: in == STREAMING && SPARE_STOP -> ask() :: else fi; in = WAITING }
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
				:: else -> in = STREAMING; ask(); if :: demoted = true :: skip fi
				fi
			fi; came = 0; refused = false; says = NONE
		}
	:: atomic { s_dead && empty(to_r) && (in == PULLING || in == STREAMING) -> in = ANSWERED; asking = false }
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
		assert(in != PULLING && in != STREAMING) }
}
