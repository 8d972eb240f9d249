/*
 * Push: the sender writes into the receive's buffer, where only it may reach the other's memory.
 *     receiver: landing cell = cookie, GRANT      sender: cell, piece, cell, piece, ... PUSHED
 * One message of a few parts. A receive is pushed into or streamed, may end early on either path, and the
 * message goes on in the next one; a push may end part way, and goes on by another grant or by stream.
 * Shown: nothing is written into a buffer that is its owner's again, nor into another process; a receive
 * completes only with every part there, each the message's own; a message is delivered once, and its request's
 * result is true; each GRANT has one PUSHED, and no terminal frame before it; nobody waits for ever, but for
 * the one exception of a push: a receive without a deadline that was granted to a peer that is stopped.
 * The look at the cell and the write behind it are two calls. What the receiver becomes in between can't be
 * known: that hole is accepted here (`sure`), and documented. What a DATA frame is in itself has stream.pml.
 */
#ifndef RULE_CELL
#define RULE_CELL 1 /* a piece is written only if the landing cell holds the cookie */
#endif
#ifndef RULE_WIPE
#define RULE_WIPE 1 /* the landing cell lies in MADV_WIPEONFORK memory */
#endif
#ifndef RULE_DEADLINE
#define RULE_DEADLINE 1 /* a receive with a deadline is not granted */
#endif
#ifndef RULE_BUSY
#define RULE_BUSY 1 /* a grant outranks timeouts, cancels, a close: they are noted, and done when it has ended */
#endif
#ifndef RULE_DEATH
#define RULE_DEATH 1 /* ... and the end of the connection by the receiver itself */
#endif
#ifndef RULE_HALF
#define RULE_HALF 1 /* which then says no more, but listens until the sender has hung up */
#endif
#ifndef RULE_EOF
#define RULE_EOF 1 /* only an end of file that is the sender's doing ends a grant */
#endif
#ifndef RULE_EXIT
#define RULE_EXIT 1 /* ... or its exit, told by the pidfd: a stray child may hold its socket open */
#endif
#ifndef RULE_HANGUP
#define RULE_HANGUP 1 /* a sender hangs up when its last write has returned */
#endif
#ifndef RULE_DEAF
#define RULE_DEAF 1 /* ... and begins none after it */
#endif
#ifndef RULE_ANSWER
#define RULE_ANSWER 1 /* a GRANT for what the sender has ended is answered too */
#endif
#ifndef RULE_PROBE
#define RULE_PROBE 1 /* ... and by a sender that has not found the receiver in the handshake, which writes nothing */
#endif
#ifndef RULE_IGNORE
#define RULE_IGNORE 1 /* nothing is written under a GRANT for what has ended */
#endif
#ifndef RULE_KEEP
#define RULE_KEEP 1 /* a sender's abort waits for its write */
#endif
#ifndef RULE_MOVED
#define RULE_MOVED 1 /* the rest begins at the byte reached, not where the grant would have ended */
#endif
#ifndef SPARE_CLEAR
#define SPARE_CLEAR 1 /* the landing cell is cleared when the grant has ended */
#endif
#ifndef SPARE_TOLD
#define SPARE_TOLD 1 /* who can no longer reach its peer says so: spares grants that bring nothing */
#endif

#define PARTS 2
#define TRIES 2   /* matches in all */
#define GOOD 1    /* in a buffer: the message's bytes */
#define USER 7    /* what its owner wrote after getting it back */

mtype = { DESC, DATA, CANCEL, PUSHED, VERDICT };              /* what the sender writes */
mtype = { SEND, GRANT, DONE, REFUSED, CANCELED };             /* and the receiver */
mtype = { NONE, OFFERED, CANCELING, WITHDRAWN, OVER };        /* the outbound */
mtype = { WAITING, PUSHING, STREAMING, ANSWERED };            /* the inbound; the middle two are MOVING */
mtype = { IDLE, LOOK, WRITE, SAY };                           /* a grant at the sender; the middle two: busy */
mtype = { UNKNOWN, RESET };                                   /* results besides the terminal frames */
mtype = { STOP };                                             /* noted besides CANCELED, REFUSED */
mtype = { ORIGINAL, NOBODY, OTHER, CHILD };                   /* the process that the receiver's pid names */

chan to_r = [2] of { mtype, byte, byte, byte };       /* DATA: from where (to the end), epoch, whose bytes;
                                                       * PUSHED: how many, epoch, for good */
chan to_s = [6] of { mtype, byte, byte, byte, byte }; /* SEND, GRANT: from, to, epoch; whose buffer, for asserts */
byte buffer = GOOD;                        /* the sender's */
byte have[PARTS];                          /* the receive's */
byte lent;                                 /* the receive, by number, whose buffer is the library's */
bool cell;                                 /* the landing cell holds the cookie */
mtype out = NONE, result = NONE, in = NONE, r_who = ORIGINAL;
bool delivered, granted, timed;            /* timed: this receive has a deadline */
bool s_dead, s_stopped, s_hung, r_ended;
bool patient, calm;                        /* the send has no timeout; a receive without a deadline gets none later */
bool r_ends, s_ends, cannot;               /* what is going to happen */

#define S_RUNS (!s_dead && !s_stopped)
#define R_RUNS (r_who == ORIGINAL)
#define BUSY (phase == LOOK || phase == WRITE)
#define SAYS (S_RUNS && !s_hung && nfull(to_r))

inline complete(how) {
	assert(out == OFFERED || out == CANCELING);
	assert(delivered || how != DONE);
	assert(!delivered || how == DONE || how == UNKNOWN);
	streaming = false; result = how; buffer = USER
}

inline abort() { out = CANCELING; streaming = false; canceled = true }

active proctype sender()
{
	byte from, to, epoch, try, at, now;            /* now: epoch of the last SEND or GRANT */
	byte w_from, w_at, w_end, w_try;               /* the grant; its epoch is now */
	bool streaming, aborting, canceled, sure, told; /* aborting: noted; canceled: CANCEL is to be said */
	bool lost;                                      /* its probe of the receiver failed */
	mtype kind, phase = IDLE;
end_sender:
	do
	:: atomic { SAYS && out == NONE -> if :: skip :: lost = true fi; out = OFFERED; to_r!DESC(0, 0, 0) }
	:: atomic { S_RUNS && (!s_hung || (!RULE_DEAF && out == OFFERED && to_s?[GRANT(from, to, epoch, try)])) &&
		nempty(to_s) -> to_s?kind(from, to, epoch, try);
		assert(out != NONE && out != OVER);
		if
		:: kind == SEND -> assert(epoch > now && phase == IDLE); now = epoch;
			if :: out == OFFERED -> at = from; streaming = to > from :: else fi
		:: kind == GRANT -> assert(epoch > now && phase == IDLE); now = epoch;
			w_from = from; w_at = from; w_end = to; w_try = try; streaming = false;
			if
			:: lost -> phase = (RULE_PROBE -> SAY : IDLE)
			:: !lost && (out == OFFERED || !RULE_IGNORE) -> phase = LOOK
			:: !lost && out != OFFERED && RULE_IGNORE -> phase = (RULE_ANSWER -> SAY : IDLE)
			fi
		:: else ->
			assert(phase == IDLE && !aborting);
			assert(kind != CANCELED || out != OFFERED);
			if :: out != WITHDRAWN -> complete(kind) :: else fi;
			out = OVER; canceled = false; at = 0
		fi; kind = NONE; from = 0; to = 0; epoch = 0; try = 0 }
	/* the writes, outside the lock */
	:: atomic { S_RUNS && phase == LOOK ->
		if
		:: w_at == w_end || aborting -> phase = SAY
		:: else ->
			if
			:: cannot || r_who == NOBODY -> phase = SAY
			:: !cannot && r_who == ORIGINAL -> phase = (cell || !RULE_CELL -> WRITE : SAY); sure = RULE_CELL
			:: !cannot && r_who == OTHER -> phase = (RULE_CELL -> SAY : WRITE)
			:: !cannot && r_who == CHILD -> phase = (RULE_CELL && (RULE_WIPE || !cell) -> SAY : WRITE)
			fi
		fi }
	:: atomic { S_RUNS && phase == WRITE ->
		if
		:: cannot || r_who == NOBODY -> phase = SAY
		:: !cannot && r_who != NOBODY ->
			assert(r_who == ORIGINAL || sure);          /* else: another's memory */
			assert(r_who != ORIGINAL || lent == w_try); /* else: written after the receive ended */
			if :: r_who == ORIGINAL -> have[w_at] = buffer :: else fi;
			w_at++; phase = LOOK
		:: !cannot -> phase = SAY /* a page that can't be pinned, no memory */
		fi; sure = false }
	:: atomic { SAYS && phase == SAY && !aborting -> to_r!PUSHED(w_at - w_from, now, lost); /* EPERM */
		phase = IDLE; w_from = 0; w_at = 0; w_end = 0; w_try = 0 }
	:: atomic { S_RUNS && !BUSY && aborting -> aborting = false; abort() }
	/* what else it says and does */
	:: atomic { SAYS && canceled -> to_r!CANCEL(0, 0, 0); canceled = false }
	:: atomic { SAYS && SPARE_TOLD && cannot && !told -> told = true; to_r!VERDICT(0, 0, 0) }
	:: atomic { SAYS && !canceled && streaming -> assert(buffer == GOOD);
		to_r!DATA(at, now, buffer); streaming = false; at = 0 }
	:: atomic { S_RUNS && !s_hung && !patient && out == OFFERED && !aborting -> /* timeout, close */
		if :: BUSY && RULE_KEEP -> aborting = true :: else -> abort() fi }
	:: atomic { S_RUNS && !s_hung && !patient && out == CANCELING -> /* the grace is over */
		complete(UNKNOWN); out = WITHDRAWN }
	/* the end */
	:: atomic { S_RUNS && !s_hung && (!BUSY || !RULE_HANGUP) && /* by itself, or after the peer */
		(s_ends || (out != NONE && (r_ended || !R_RUNS) && empty(to_s))) -> s_hung = true }
	:: atomic { S_RUNS && s_hung && !BUSY && out != OVER ->
		if :: out == OFFERED || out == CANCELING -> complete((s_ends -> UNKNOWN : RESET)) :: else fi;
		out = OVER; canceled = false; phase = IDLE; aborting = false }
	od
}

inline ends() { lent = 0; timed = false; got = 0; upto = 0; have[0] = 0; have[1] = 0 }

inline answer(how) { in = ANSWERED; asking = false; ends(); to_s!how(0, 0, 0, 0) }

/* inbound_finish() */
inline finish() {
	assert(have[0] == GOOD && have[1] == GOOD);
	assert(!delivered && (result == NONE || result == UNKNOWN));
	delivered = true; answer(DONE)
}

inline ask() { epoch++; asking = true }

inline give_back() {
	if :: in == STREAMING -> ask() :: else -> asking = false fi;
	in = WAITING; ends()
}

#define WAITS (granted && RULE_BUSY)
#define GONE ((s_dead && RULE_EXIT) || (s_hung && (!r_ended || RULE_HALF)) || (r_ended && !RULE_EOF))

active proctype receiver()
{
	byte got, upto, k, a, who, epoch, tries; /* upto: end of the grant */
	bool asking, told;                       /* asking: SEND or GRANT is to be said */
	mtype kind, late = NONE;
end_receiver:
	do
	:: atomic { R_RUNS && r_ended && nempty(to_r) -> to_r?kind(k, a, who); kind = NONE; k = 0; a = 0; who = 0 }
	:: atomic { R_RUNS && !r_ended && nempty(to_r) -> to_r?kind(k, a, who);
		if
		:: kind == DESC -> in = WAITING
		:: kind == VERDICT -> told = true
		:: kind == PUSHED ->
			assert(granted && a == epoch); /* else an honest peer is told -EPROTO */
			granted = false; if :: who -> told = true :: else fi; if :: SPARE_CLEAR -> cell = false :: else fi;
			got = (RULE_MOVED -> got + k : upto); upto = 0;
			if
			:: got == PARTS -> finish()
			:: got < PARTS && late == STOP -> give_back()
			:: got < PARTS && late != STOP && late != NONE -> answer(late)
			:: got < PARTS && late == NONE && k && !told -> ask()
			:: got < PARTS && late == NONE -> in = STREAMING; ask()
			fi; late = NONE
		:: kind == DATA ->
			if
			:: in == STREAMING && a == epoch -> assert(!asking && k == got); /* else told -EPROTO */
				do :: got < PARTS -> have[got] = who; got++ :: else -> break od; finish()
			:: else /* it goes nowhere */
			fi
		:: kind == CANCEL ->
			if
			:: in != ANSWERED && WAITS -> late = CANCELED
			:: in != ANSWERED && !WAITS -> granted = false; answer(CANCELED)
			:: else
			fi
		fi; kind = NONE; k = 0; a = 0; who = 0 }
	:: atomic { R_RUNS && !r_ended && asking && nfull(to_s) -> asking = false;
		if
		:: in == PUSHING -> if :: upto = got + 1 :: got + 2 <= PARTS -> upto = PARTS fi;
			cell = true; granted = true; to_s!GRANT(got, upto, epoch, lent)
		:: in == STREAMING -> to_s!SEND(got, PARTS, epoch, 0)
		:: else -> to_s!SEND(0, 0, epoch, 0)
		fi }
	:: atomic { R_RUNS && !r_ended && in == WAITING && tries < TRIES -> tries++; lent = tries; /* match */
		if :: timed = true :: skip fi;
		if
		:: !told && !(timed && RULE_DEADLINE) -> in = PUSHING
		:: in = STREAMING
		fi; ask() }
	:: atomic { R_RUNS && !r_ended && (in == PUSHING || in == STREAMING) && (timed || !calm) && late == NONE ->
		if :: WAITS -> late = STOP :: else -> granted = false; give_back() fi } /* it times out */
	:: atomic { R_RUNS && !r_ended && !calm && (in == PUSHING || in == STREAMING) && /* a close, after linger */
		(late == NONE || late == STOP) ->
		if :: WAITS -> late = REFUSED :: else -> granted = false; answer(REFUSED) fi }
	:: atomic { R_RUNS && !r_ended && r_ends -> r_ended = true; asking = false; late = NONE; /* a violation */
		if :: granted && RULE_DEATH :: else -> granted = false; in = ANSWERED; ends() fi }
	:: atomic { R_RUNS && GONE && empty(to_r) && in != ANSWERED && in != NONE -> /* end of file, exit */
		in = ANSWERED; asking = false; late = NONE; granted = false; ends(); cell = false }
	od
}

active proctype fate()
{
	atomic {
		if :: patient = true :: skip fi;
		if :: calm = true :: skip fi
	};
	if
	:: skip
	:: s_dead = true
	:: s_stopped = true
	:: s_ends = true
	:: r_ends = true; if :: skip :: s_dead = true fi
	:: cannot = true
	:: r_who = OTHER  /* exec */
	:: r_who = NOBODY;
		if
		:: skip
		:: r_who = OTHER
		:: r_who = CHILD /* one with a copy of the memory */
		fi
	fi
}

/* When nothing moves any more, nobody who could have been served is left waiting. */
active proctype quiet()
{
	atomic { timeout ->
		assert(!R_RUNS || lent == 0 || (s_stopped && calm && !timed) || (s_stopped && granted && !timed));
		assert(!S_RUNS || in == WAITING || out == OVER) }
}
