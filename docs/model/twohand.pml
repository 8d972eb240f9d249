/*
 * Two-handed copies: the receiver pulls a message from its beginning, the sender writes it from its end.
 *     receiver: landing cell, ASSIST; front | [hand, piece, grant cell], ...     cell cleared | [hand, grant cell]
 *     sender:   hand = next, live | [landing cell, front], chunk, hand idle, ... | [landing cell], ASSISTED
 * One message of a few parts, a piece and a chunk being one part each; two receives, which may end early, at any
 * step. Stores are delayed: each side's go through a buffer (as on x86) that only a fence (|) or a frame is sure to
 * empty, so that a look may miss what the other has just stored. Only a side's own order is kept.
 * Shown: nothing is written into a receive's buffer when it is its owner's again, nor into another process; a receive
 * completes only with every part there, each the message's own; a message is delivered once, and its request's result
 * is true; nobody waits for ever, but for a sender that is stopped between a claim and what it does after it, or that
 * has to send what can't be pulled.
 * The look at the landing cell and the write behind it are two calls, as in push.pml (`sure`).
 */
#ifndef RULE_LOOK
#define RULE_LOOK 1 /* a chunk is written only if the landing cell holds the cookie */
#endif
#ifndef RULE_COOKIE
#define RULE_COOKIE 1 /* ... that came with ASSIST; another one is about another receive */
#endif
#ifndef RULE_CLAIM
#define RULE_CLAIM 1 /* sender: a fence between its claim and its look */
#endif
#ifndef RULE_FIN
#define RULE_FIN 1 /* receiver: a fence between clearing the landing cell and its last look at hand */
#endif
#ifndef RULE_STOP
#define RULE_STOP 1 /* sender: a fence between its last store to hand and its last look at the cell */
#endif
#ifndef RULE_LIVE
#define RULE_LIVE 1 /* a receive does not end while a claim is live */
#endif
#ifndef RULE_LATE
#define RULE_LATE 1 /* ... not by a timeout, a cancel, a close either: they are noted, and done after that last look */
#endif
#ifndef RULE_VOID
#define RULE_VOID 1 /* a claim that was not written, or not whole, is taken back */
#endif
#ifndef RULE_REREAD
#define RULE_REREAD 1 /* the last look tells what was really written; what is missing is pulled */
#endif
#ifndef RULE_VOUCH
#define RULE_VOUCH 1 /* a piece, and the hand read with it, count only if the grant cell holds */
#endif
#ifndef RULE_WHOSE
#define RULE_WHOSE 1 /* the last look has the grant cell in the same call, too */
#endif
#ifndef RULE_EPOCH
#define RULE_EPOCH 1 /* a hand that names another receive says nothing: nothing is written, nothing is live */
#endif
#ifndef RULE_TELL
#define RULE_TELL 1 /* a sender that stops and finds the landing cell cleared says ASSISTED */
#endif
#ifndef RULE_UNSURE
#define RULE_UNSURE 1 /* ... or can't read it */
#endif
#ifndef RULE_LEAVE
#define RULE_LEAVE 1 /* ... also when it stops between two chunks, for other things to do */
#endif
#ifndef RULE_NOTE
#define RULE_NOTE 1 /* receiver: an ASSISTED that comes during a look is noted: it looks again before it waits */
#endif
#ifndef RULE_ASK
#define RULE_ASK 1 /* a receiver that can no longer read hand asks, by a frame */
#endif
#ifndef RULE_ANSWER
#define RULE_ANSWER 1 /* ... which is always answered by ASSISTED, by a sender that never helped as well */
#endif
#ifndef RULE_STALE
#define RULE_STALE 1 /* ... for the receive that it names: one about another may come late */
#endif
#ifndef RULE_REST
#define RULE_REST 1 /* ... and then has all that it has not pulled itself streamed */
#endif
#ifndef RULE_CROSS
#define RULE_CROSS 1 /* a terminal frame may meet a claim, one that will be void */
#endif
#ifndef RULE_KEEP
#define RULE_KEEP 1 /* a sender's abort waits for its write */
#endif
#ifndef RULE_HANGUP
#define RULE_HANGUP 1 /* a sender hangs up when its claim has ended */
#endif
#ifndef SPARE_FRONT
#define SPARE_FRONT 1 /* a chunk that the receiver has begun to pull is not written as well: spares copying it twice */
#endif
#ifndef SPARE_FENCE
#define SPARE_FENCE 1 /* receiver: a fence between front and its look at hand */
#endif

#define PARTS 2
#define TRIES 2   /* matches in all */
#define GOOD 1    /* in a buffer: the message's bytes */
#define USER 7    /* what its owner wrote after getting it back, or what a stranger has there */

mtype = { DESC, DATA, CANCEL, ASSISTED };                      /* what the sender says */
mtype = { ASSIST, ASK, SEND, DONE, REFUSED, CANCELED };        /* and the receiver; ASK is an ASSIST for nothing */
mtype = { NONE, OFFERED, CANCELING, WITHDRAWN, OVER };         /* the outbound */
mtype = { WAITING, MOVING, STREAMING, ANSWERED };              /* the inbound */
mtype = { IDLE, READY, LOOK, WRITE, WROTE, VOID, STOPS, SAY }; /* the sender's help; from LOOK to VOID: live */
mtype = { PIECE, HAND, LOAD, CELL, LAST, WHOSE, WAIT };        /* the receiver's next step */
mtype = { UNKNOWN, RESET };                                    /* results besides the terminal frames */
mtype = { STOP };                                              /* noted besides CANCELED, REFUSED */
mtype = { ORIGINAL, NOBODY, OTHER };                           /* the process that a pid names */
mtype = { FRONT, BYTES };                                      /* what is stored, besides HAND, CELL */

chan to_r = [3] of { mtype, byte };           /* ASSISTED: the receive's number, its epoch */
chan to_s = [4] of { mtype, byte };           /* ASSIST, ASK: the same, which is the cookie too */
chan stores_s = [3] of { mtype, byte, byte }; /* HAND: value; BYTES: which part, into which receive's buffer */
chan stores_r = [2] of { mtype, byte };       /* CELL, FRONT: value */
byte buffer = GOOD;                           /* the sender's */
byte hand;                                    /* the sender's: epoch, low, live */
bool grant;                                   /* the grant cell holds its cookie */
byte cell, front;                             /* the receiver's: cookie, and how far it has begun to pull */
byte have[PARTS];                             /* the receive's */
byte lent;                                    /* the receive, by number, whose buffer is the library's */
mtype out = NONE, result = NONE, in = NONE, s_who = ORIGINAL, r_who = ORIGINAL, step = NONE;
bool delivered, blind;
bool s_stopped, s_hung, s_ends, s_cannot, r_cannot;

#define HANDS(epoch, low, live) ((epoch) * 8 + (low) * 2 + (live))
#define LOW(hand) ((hand) / 2 % 4)
#define S_RUNS (s_who == ORIGINAL && !s_stopped)
#define R_RUNS (r_who == ORIGINAL)
#define SAYS (S_RUNS && !s_hung && empty(stores_s) && nfull(to_r))
#define LIVE (phase == LOOK || phase == WRITE || phase == WROTE || phase == VOID)
#define BUSY (LIVE || phase == STOPS)

/* What was stored becomes visible some time later. */
active proctype memory()
{
	mtype what; byte a, b;
end_memory:
	do
	:: atomic { stores_s?what(a, b);
		if
		:: what == HAND -> hand = a
		:: what == BYTES && r_who == ORIGINAL ->
			assert(lent == b); /* else: written after the receive ended */
			have[a] = GOOD
		:: else
		fi; what = NONE; a = 0; b = 0 }
	:: atomic { stores_r?what(a);
		if :: what == CELL -> cell = a :: else -> front = a fi; what = NONE; a = 0 }
	od
}

inline complete(how) {
	assert(out == OFFERED || out == CANCELING);
	assert(delivered || how != DONE);
	assert(!delivered || how == DONE || how == UNKNOWN);
	grant = false; streaming = false; result = how; buffer = USER
}

inline abort() { out = CANCELING; streaming = false; canceled = true }

active proctype sender()
{
	byte a, cookie, low, asked;               /* asked: the epoch of ASK */
	bool streaming, aborting, canceled, sure; /* aborting: noted; canceled: CANCEL is to be said */
	mtype kind, over = NONE, phase = IDLE;    /* over: the terminal frame that came */
end_sender:
	do
	:: atomic { SAYS && out == NONE -> out = OFFERED; grant = true; to_r!DESC(0) }
	:: atomic { S_RUNS && !s_hung && nempty(to_s) -> to_s?kind(a);
		assert(out != NONE && out != OVER && over == NONE);
		if
		:: kind == ASSIST ->
			if
			:: out == OFFERED && !aborting && !BUSY -> cookie = a; low = PARTS; phase = READY
			:: !BUSY -> phase = IDLE /* it computes; either way what was before is over */
			:: BUSY /* the same, with a claim that is void */
			fi
		:: kind == ASK ->
			if
			:: phase == IDLE -> if :: RULE_ANSWER -> phase = SAY; cookie = a :: else fi
			:: phase == READY || BUSY -> asked = a
			:: phase == SAY -> cookie = a
			fi
		:: kind == SEND -> streaming = (out == OFFERED) /* whatever the help does: a claim may be void */
		:: else ->
			assert(!LIVE || RULE_CROSS); /* else an honest peer is told -EPROTO */
			assert(kind != CANCELED || out != OFFERED);
			over = kind
		fi; kind = NONE; a = 0 }
	/* the help, outside the lock */
	:: atomic { S_RUNS && phase == READY && nfull(stores_s) ->
		if
		:: low > 0 && !aborting && !asked && over == NONE && !s_hung ->
			stores_s!HAND(HANDS(cookie, low - 1, 1), 0); phase = LOOK
		:: phase = (RULE_LEAVE || low == 0 || asked -> STOPS : IDLE)
		fi }
	:: atomic { S_RUNS && phase == LOOK && (empty(stores_s) || !RULE_CLAIM) ->
		if
		:: s_cannot || r_who == NOBODY -> phase = VOID
		:: !s_cannot && r_who == OTHER -> phase = (RULE_LOOK -> VOID : WRITE)
		:: !s_cannot && r_who == ORIGINAL -> sure = RULE_LOOK;
			phase = (!RULE_LOOK || cell == cookie || (cell && !RULE_COOKIE) -> WRITE : VOID);
			if :: front >= low && SPARE_FRONT -> phase = VOID :: else fi
		fi }
	:: atomic { S_RUNS && phase == WRITE && nfull(stores_s) ->
		if
		:: s_cannot || r_who == NOBODY -> phase = VOID
		:: !s_cannot && r_who != NOBODY ->
			assert(r_who == ORIGINAL || sure); /* else: another's memory */
			assert(buffer == GOOD);
			stores_s!BYTES(low - 1, cookie); phase = WROTE
		:: phase = VOID /* failed, or cut short */
		fi; sure = false }
	:: atomic { S_RUNS && phase == WROTE && nfull(stores_s) -> low--; stores_s!HAND(HANDS(cookie, low, 0), 0);
		phase = READY }
	:: atomic { S_RUNS && phase == VOID && nfull(stores_s) -> sure = false;
		stores_s!HAND(HANDS(cookie, (RULE_VOID -> low : low - 1), 0), 0); phase = STOPS }
	:: atomic { S_RUNS && phase == STOPS && (empty(stores_s) || !RULE_STOP) ->
		if
		:: asked -> phase = SAY; cookie = asked
		:: !asked && (s_cannot || r_who != ORIGINAL) -> phase = (RULE_UNSURE -> SAY : IDLE)
		:: !asked && !s_cannot && r_who == ORIGINAL -> phase = (cell != cookie && RULE_TELL -> SAY : IDLE)
		fi; asked = 0; low = 0; if :: phase == IDLE -> cookie = 0 :: else fi }
	:: atomic { SAYS && phase == SAY -> to_r!ASSISTED(cookie); phase = IDLE; cookie = 0 }
	/* what else it does */
	:: atomic { S_RUNS && !BUSY && over != NONE && empty(stores_s) -> phase = IDLE; aborting = false; canceled = false;
		if :: out != WITHDRAWN -> complete(over) :: else fi; out = OVER; over = NONE; cookie = 0; low = 0; asked = 0 }
	:: atomic { S_RUNS && !BUSY && phase != READY && aborting -> aborting = false; abort() }
	:: atomic { SAYS && canceled -> to_r!CANCEL(0); canceled = false }
	:: atomic { SAYS && streaming -> assert(buffer == GOOD); to_r!DATA(0); streaming = false }
	:: atomic { S_RUNS && !s_hung && out == OFFERED && !aborting && over == NONE -> /* timeout, close */
		if :: (BUSY || phase == READY) && RULE_KEEP -> aborting = true :: else -> abort() fi }
	:: atomic { S_RUNS && !s_hung && out == CANCELING && empty(stores_s) && over == NONE -> /* the grace is over */
		complete(UNKNOWN); out = WITHDRAWN }
	:: atomic { S_RUNS && !s_hung && (!LIVE || !RULE_HANGUP) && (!RULE_HANGUP || empty(stores_s)) &&
		(s_ends || (out != NONE && !R_RUNS && empty(to_s))) -> s_hung = true }
	:: atomic { S_RUNS && s_hung && !BUSY && phase != READY && over == NONE && out != OVER ->
		if :: out == OFFERED || out == CANCELING -> complete((s_ends -> UNKNOWN : RESET)) :: else fi;
		out = OVER; canceled = false; phase = IDLE; aborting = false }
	od
}

inline ends() {
	lent = 0; got = 0; end = 0; have[0] = 0; have[1] = 0; step = NONE; seen = 0; two = false; blind = false;
	late = NONE; told = false
}

inline answer(how) { in = ANSWERED; asking = false; ends(); to_s!how(0) }

/* inbound_finish() */
inline finish() {
	assert(have[0] == GOOD && have[1] == GOOD);
	assert(!delivered && (result == NONE || result == UNKNOWN));
	delivered = true; answer(DONE)
}

/* The receive's buffers are its owner's: do what was noted. */
inline settle() {
	if
	:: late == STOP -> in = WAITING; ends()
	:: late == CANCELED -> answer(CANCELED)
	:: late == REFUSED -> answer(REFUSED)
	fi
}

inline stream() { in = STREAMING; asking = true; step = NONE; seen = 0; two = false; blind = false }

/* Never to be read again, for want of permission or a process; for all that a call can tell, that is. */
#define REFUSES (r_cannot || s_who == NOBODY)
#define HIS(what, other) (s_who == ORIGINAL -> what : other)

inline read_hand() {
	seen = HIS(hand, HANDS(tries, 0, 0)); /* a stranger's says the worst it can */
	if :: seen / 8 != tries && RULE_EPOCH -> seen = HANDS(0, PARTS, 0) :: else fi
}

active proctype receiver()
{
	byte a, got, end, seen, tries;
	bool two, asking, told; /* two: with help; asking: SEND is to be said; told: ASSISTED has come */
	mtype kind, late = NONE;
end_receiver:
	do
	:: atomic { R_RUNS && nempty(to_r) -> to_r?kind(a);
		if
		:: kind == DESC -> in = WAITING
		:: kind == ASSISTED && a != tries && RULE_STALE
		:: kind == ASSISTED && (a == tries || !RULE_STALE) ->
			if
			:: step == WAIT && !blind -> step = LAST
			:: step == WAIT && blind && late != NONE -> settle()
			:: step == WAIT && blind && late == NONE ->
				if :: !RULE_REST && got >= end -> finish() :: else -> stream() fi
			:: else -> told = RULE_NOTE
			fi
		:: kind == DATA ->
			if
			:: in == STREAMING -> do :: got < PARTS -> have[got] = GOOD; got++ :: else -> break od; finish()
			:: else
			fi
		:: kind == CANCEL ->
			if
			:: in == MOVING -> if :: late != REFUSED -> late = CANCELED :: else fi
			:: in == WAITING || in == STREAMING -> answer(CANCELED)
			:: in == ANSWERED
			fi
		fi; kind = NONE; a = 0 }
	:: atomic { R_RUNS && in == WAITING && tries < TRIES && empty(stores_r) -> /* match */
		tries++; lent = tries; in = MOVING; end = PARTS; step = PIECE;
		two = true; cell = tries; front = 0; to_s!ASSIST(tries) }
	/* one call: hand, a piece, the grant cell */
	:: atomic { R_RUNS && step == PIECE && nfull(stores_r) ->
		if
		:: !two && late != NONE -> settle()
		:: !two && late == NONE && got >= end -> finish()
		:: !two && late == NONE && got < end -> step = LOAD
		:: two && (late != NONE || got >= end) -> stores_r!CELL(0); step = LAST
		:: two && late == NONE && got < end -> stores_r!FRONT(got + 1); step = HAND
		fi }
	:: atomic { R_RUNS && step == HAND && (empty(stores_r) || !SPARE_FENCE) ->
		read_hand(); step = LOAD }
	:: atomic { R_RUNS && step == LOAD ->
		have[got] = (REFUSES -> USER : HIS(buffer, USER)); step = CELL }
	:: atomic { R_RUNS && step == CELL && nfull(stores_r) ->
		if
		:: REFUSES && RULE_VOUCH ->
			if
			:: two -> stores_r!CELL(0); step = LAST
			:: !two && late != NONE -> settle()
			:: !two && late == NONE -> stream()
			fi
		:: (!REFUSES && s_who == ORIGINAL && grant) || !RULE_VOUCH -> got++; step = PIECE;
			if
			:: two && LOW(seen) < end -> end = (LOW(seen) > got -> LOW(seen) : got)
			:: else
			fi
		:: !REFUSES && !(s_who == ORIGINAL && grant) && RULE_VOUCH -> step = PIECE;
			if :: late == NONE -> late = CANCELED :: else fi
		fi; seen = 0 }
	/* the landing cell is cleared: one call: hand, the grant cell */
	:: atomic { R_RUNS && step == LAST && (empty(stores_r) || !RULE_FIN) -> read_hand(); step = WHOSE }
	:: atomic { R_RUNS && step == WHOSE && empty(stores_r) ->
		if
		:: REFUSES -> blind = true; step = WAIT; if :: RULE_ASK -> to_s!ASK(tries) :: else fi
		:: !REFUSES && RULE_WHOSE && !(s_who == ORIGINAL && grant) -> /* withdrawn, or not the program it was */
			if :: late == NONE -> late = CANCELED :: else fi; settle()
		:: !REFUSES && (!RULE_WHOSE || (s_who == ORIGINAL && grant)) ->
			if
			:: seen % 2 && RULE_LIVE -> if :: step = LAST :: !told -> step = WAIT fi; told = false
			:: (seen % 2 == 0 || !RULE_LIVE) && late != NONE -> settle()
			:: (seen % 2 == 0 || !RULE_LIVE) && late == NONE -> two = false; step = PIECE;
				end = (RULE_REREAD -> LOW(seen) : end)
			fi
		fi; seen = 0 }
	:: atomic { R_RUNS && asking -> asking = false; to_s!SEND(got) }
	/* it times out, is canceled; or a close, after linger */
	:: atomic { R_RUNS && in == MOVING && late == NONE -> late = STOP; if :: RULE_LATE -> skip :: else -> settle() fi }
	:: atomic { R_RUNS && in == MOVING && (late == NONE || late == STOP) -> late = REFUSED }
	:: atomic { R_RUNS && (s_hung || s_who != ORIGINAL) && empty(to_r) && empty(stores_r) &&
		in != ANSWERED && in != NONE -> in = ANSWERED; asking = false; ends(); cell = 0 } /* end of file, exit */
	od
}

active proctype fate()
{
	if
	:: skip
	:: s_stopped = true; if :: skip :: r_cannot = true fi
	:: s_ends = true
	:: s_cannot = true; if :: skip :: r_cannot = true fi
	:: r_cannot = true
	:: atomic { empty(stores_s) -> s_who = OTHER } /* exec; what it had stored is there */
	:: atomic { empty(stores_s) -> s_who = NOBODY }; if :: skip :: s_who = OTHER fi
	:: r_who = OTHER
	:: r_who = NOBODY; if :: skip :: r_who = OTHER fi
	fi
}

/* When nothing moves any more, nobody who could have been served is left waiting. */
active proctype quiet()
{
	atomic { timeout ->
		assert(!R_RUNS || lent == 0 || (s_stopped && (in == STREAMING || step == WAIT)));
		assert(!S_RUNS || in == WAITING || out == OVER) }
}
