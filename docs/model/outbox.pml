/*
 * Outbox: a stream of frames lies in a ring of its sender's memory, and the receiver reads it from there.
 *     sender:   units, tail | bell set? BELL                   full: pull head, full = tail | pull head, wait for BELL
 *     receiver: [full, tail, units], head | full? BELL         to sleep: bell = 1 | once more; wait for the socket
 *                                                              found something: bell = 0, perhaps
 * Two sides, each with a stream of a few units for the other and a ring of two; the socket between them is mostly full.
 * Stores are delayed: each side's go through a buffer (as on x86) that only a fence (|), an exchange or a frame is
 * sure to empty, so that a look may miss what the other has just stored. Only a side's own order is kept. Either
 * side may lose its right to reach the other, leave, crash, exec, at any step; then a stream goes on by socket.
 * Shown: each unit comes once, in order, whatever way it took; a crash costs what lay unread in the ring, nothing else,
 * a departure nothing; an honest peer breaks no rule; nobody sleeps while there is something for it to do.
 */
#ifndef RULE_ORDER
#define RULE_ORDER 1 /* receiver: tail is read before the units */
#endif
#ifndef RULE_TAIL
#define RULE_TAIL 1 /* sender: a fence between tail and its look at bell */
#endif
#ifndef RULE_BELL
#define RULE_BELL 1 /* receiver: a fence between bell and its last look */
#endif
#ifndef RULE_FULL
#define RULE_FULL 1 /* sender: a fence between full and its last look at head */
#endif
#ifndef RULE_HEAD
#define RULE_HEAD 1 /* receiver: a fence between head and its answer to full */
#endif
#ifndef RULE_STAYS
#define RULE_STAYS 1 /* only the receiver clears the bell */
#endif
#ifndef RULE_ANEW
#define RULE_ANEW 1 /* ... and sets it anew before it sleeps */
#endif
#ifndef RULE_AGAIN
#define RULE_AGAIN 1 /* the last look is taken before each sleep, also with the bell set already */
#endif
#ifndef RULE_EMPTY
#define RULE_EMPTY 1 /* full is answered also by a look that brings nothing */
#endif
#ifndef RULE_ANY
#define RULE_ANY 1 /* whatever comes by the socket is taken for the BELL that found no room there */
#endif
#ifndef RULE_RETRY
#define RULE_RETRY 1 /* ... for either stream */
#endif
#ifndef RULE_DEMOTE
#define RULE_DEMOTE 1 /* who can't read the other's ring says so */
#endif
#ifndef RULE_SOCKET
#define RULE_SOCKET 1 /* ... by the socket, not by its own ring */
#endif
#ifndef RULE_KEPT
#define RULE_KEPT 1 /* ... and waits for room there; only a BELL may be dropped */
#endif
#ifndef RULE_ALONE
#define RULE_ALONE 1 /* who can't read the other's head leaves the ring by itself */
#endif
#ifndef RULE_RESEND
#define RULE_RESEND 1 /* what is in the ring beyond head goes by the socket once more */
#endif
#ifndef RULE_SKIP
#define RULE_SKIP 1 /* the receiver skips what it has of that */
#endif
#ifndef RULE_CROSS
#define RULE_CROSS 1 /* DEMOTE for a stream that has left its ring has crossed RESUME */
#endif
#ifndef RULE_LEFT
#define RULE_LEFT 1 /* no ring is read after its RESUME */
#endif
#ifndef RULE_EXIT
#define RULE_EXIT 1 /* who leaves moves its stream to the socket first */
#endif
#ifndef RULE_COOKIE
#define RULE_COOKIE 1 /* what was read counts only if the ring's cookie is there, read by the same call */
#endif

#define SIZE 2     /* of a ring, in units */
#define LONG 3     /* units of side 0's stream, or one less */
#define SHORT 1    /* of side 1's */
#define ROOM 1     /* frames in the socket, each way */
#define FOREIGN 99 /* a unit of another stream */

mtype = { BELL, DEMOTE, RESUME, DATA };              /* frames */
mtype = { TAIL, FULL, HEAD, SET, CLEAR };            /* stores; SET, CLEAR: of the other's bell */
mtype = { RING, MOVING, SOCKET, GONE, ENDED };       /* a stream; MOVING: RESUME is to be said; GONE: no such process */
mtype = { REST, LOOK, SENDS, PULL, LAST };           /* the sending half's next step */
mtype = { WORDS, UNITS, ANSWER, SLEEP };             /* the receiving half's */
mtype = { ORIGINAL, NOBODY, OTHER };                 /* the process that a pid names */

chan sock[2] = [ROOM] of { mtype, byte };      /* by who writes it. DEMOTE: head; RESUME: position; DATA: which unit */
chan stores[2] = [3] of { mtype, byte };       /* of either side, not yet visible */
byte ring[2 * SIZE];                           /* in either's memory: the numbers of units, from 1 */
byte tail[2], filled[2], head[2];              /* filled: full; head: how far in the other's ring */
bool bell[2];
byte units[2];                                 /* of either side's stream */
byte put[2], said[2], got[2];                  /* units in the ring; by socket; received, in all. Positions, that is */
mtype who[2] = ORIGINAL;
bool started, ringless[2], cannot[2], leaves[2], left[2];
bool boxed[2]; byte boxed_head[2];             /* DEMOTE lies in the ring, wrongly */

#define HIM (1 - me)
#define RUNS (who[me] == ORIGINAL)
#define FENCED empty(stores[me])
#define SAYS (nfull(sock[me]) && FENCED)       /* a frame is a fence */
#define FITS (put[me] - head_known < SIZE)
/* There is a full to answer, and half of the ring is free */
#define ROOMY (w_full > answered && (w_tail - got[me]) * 2 <= SIZE && (found || RULE_EMPTY))
#define SLOT ring[HIM * SIZE + got[me] % SIZE]

/* What was stored becomes visible some time later. */
active [2] proctype memory()
{
	mtype what; byte v, me = _pid;
end_memory:
	do
	:: atomic { stores[me]?what(v);
		if
		:: what == TAIL -> ring[me * SIZE + (v - 1) % SIZE] = v; tail[me] = v
		:: what == FULL -> filled[me] = v
		:: what == HEAD -> head[me] = v
		:: what == SET -> bell[HIM] = true
		:: what == CLEAR -> bell[HIM] = false
		fi; what = 0; v = 0 }
	od
}

inline leave_ring(position) {
	out = MOVING; blocked = false; said[me] = (RULE_RESEND -> position : put[me])
}

/* Another's DEMOTE */
inline demoted(position) {
	if
	:: out == RING || (out == SOCKET && !ringless[me] && !RULE_CROSS) ->
		assert(position >= head_known && position <= put[me]); leave_ring(position)
	:: else
	fi
}

inline no_ring(how) {
	in = how; step = SLEEP; looking = false; found = false; armed = false;
	w_tail = 0; w_full = 0; answered = 0
}

inline take() { assert(v == got[me] + 1); got[me]++ } /* else: lost, repeated, or not the peer's at all */

inline pull_head() { assert(head[HIM] >= head_known && head[HIM] <= put[me]); head_known = head[HIM] }

inline read_words() {
	w_tail = tail[HIM];
	if :: w_full = filled[HIM] :: !looking fi; /* full need not be asked for each time */
	assert(w_tail >= got[me] && w_tail - got[me] <= SIZE)
}

active [2] proctype side()
{
	byte me = _pid - 2;
	byte head_known, w_tail, w_full, answered, skips, v;
	bool blocked, armed, looking, found, owed, resumed, leaving; /* looking: the last look; owed: DEMOTE is to be said */
	mtype kind, out, in, send = REST, step = WORDS;
	atomic { started ->
		out = (ringless[me] -> SOCKET : RING);
		if :: ringless[HIM] -> resumed = true; no_ring(SOCKET) :: else -> in = RING fi }
end_side:
	do
	/* sends */
	:: atomic { RUNS && send == REST && out == RING && !blocked && !leaving && put[me] < units[me] && nfull(stores[me]) ->
		if :: FITS -> put[me]++; stores[me]!TAIL(put[me]); send = LOOK :: else -> send = PULL fi }
	:: atomic { RUNS && send == LOOK && (FENCED || !RULE_TAIL) ->
		send = (bell[me] -> SENDS : REST) }
	:: atomic { RUNS && send == SENDS && (SAYS || full(sock[me])) -> send = REST;
		if :: SAYS -> sock[me]!BELL(0) :: full(sock[me]) /* dropped */ fi;
		if :: RULE_STAYS :: else -> bell[me] = false fi }
	:: atomic { RUNS && (send == PULL || send == LAST) && nfull(stores[me]) && (send == PULL || FENCED || !RULE_FULL) ->
		if
		:: out != RING -> send = REST
		:: out == RING && cannot[me] -> send = REST;
			if :: RULE_ALONE -> leave_ring(head_known) :: else -> blocked = true fi
		:: out == RING && !cannot[me] && who[HIM] != ORIGINAL -> send = REST; blocked = true
		:: out == RING && !cannot[me] && who[HIM] == ORIGINAL -> pull_head();
			if
			:: FITS -> send = REST
			:: !FITS && send == PULL -> stores[me]!FULL(put[me]); send = LAST
			:: !FITS && send == LAST -> blocked = true; send = REST
			fi
		fi }
	:: atomic { RUNS && out == MOVING && SAYS -> sock[me]!RESUME(said[me]); out = SOCKET }
	:: atomic { RUNS && out == SOCKET && said[me] < (leaving -> put[me] : units[me]) && SAYS ->
		said[me]++; sock[me]!DATA(said[me]) }
	:: atomic { RUNS && owed && (RULE_SOCKET || out == SOCKET) && (SAYS || (full(sock[me]) && !RULE_KEPT)) -> owed = false;
		if :: SAYS -> sock[me]!DEMOTE(got[me]) :: full(sock[me]) fi }
	:: atomic { RUNS && owed && !RULE_SOCKET && out == RING -> owed = false; boxed[me] = true; boxed_head[me] = got[me] }
	/* receives by ring: one call: words, units */
	:: atomic { RUNS && in == RING && step == WORDS && (!looking || FENCED || !RULE_BELL) ->
		if
		:: cannot[me] -> no_ring(SOCKET); owed = RULE_DEMOTE
		:: !cannot[me] && who[HIM] == NOBODY -> no_ring(GONE)
		:: !cannot[me] && who[HIM] == OTHER ->
			if :: RULE_COOKIE -> no_ring(GONE) :: else -> v = FOREIGN; take() fi
		:: !cannot[me] && who[HIM] == ORIGINAL -> step = UNITS;
			if :: RULE_ORDER -> read_words() :: else -> v = SLOT fi
		fi }
	:: atomic { RUNS && step == UNITS && nfull(stores[me]) ->
		if :: RULE_ORDER -> skip :: else -> read_words() fi;
		do /* one, or all */
		:: w_tail > got[me] && (RULE_ORDER || !found) -> if :: RULE_ORDER -> v = SLOT :: else fi; take(); found = true
		:: w_tail == got[me] || found -> break
		od;
		if :: found -> stores[me]!HEAD(got[me]) :: else fi; v = 0; step = ANSWER }
	:: atomic { RUNS && step == ANSWER && nfull(stores[me]) &&
		(FENCED || !RULE_HEAD) && (!ROOMY || FENCED || full(sock[me])) ->
		if
		:: ROOMY && SAYS -> sock[me]!BELL(0); answered = w_full
		:: ROOMY && full(sock[me]) -> answered = w_full /* dropped */
		:: !ROOMY
		fi; w_tail = 0; w_full = 0; step = WORDS;
		if
		:: !found && (looking || (armed && !RULE_AGAIN)) -> step = SLEEP; looking = false
		:: !found && !looking && armed && RULE_AGAIN -> looking = true
		:: !found && !looking && !armed && !cannot[me] && who[HIM] == ORIGINAL -> looking = true;
			armed = true; stores[me]!SET(0)
		:: else -> looking = false;
			if
			:: found && armed && !cannot[me] && who[HIM] == ORIGINAL && nfull(stores[me]) -> stores[me]!CLEAR(0);
				if :: RULE_ANEW -> armed = false :: else fi
			:: true
			fi
		fi; found = false }
	/* receives by socket */
	:: atomic { RUNS && nempty(sock[HIM]) && (step == SLEEP || (step == WORDS && !looking)) -> sock[HIM]?kind(v);
		if
		:: in == RING && (kind == BELL || RULE_ANY) -> step = WORDS
		:: else
		fi;
		if :: kind == BELL || RULE_RETRY -> blocked = false :: else fi;
		if
		:: kind == BELL
		:: kind == DEMOTE -> demoted(v)
		:: kind == RESUME -> assert(!resumed && v <= got[me]); resumed = true; skips = got[me] - v;
			if :: RULE_LEFT && in != GONE -> no_ring(SOCKET) :: else fi
		:: kind == DATA -> assert(resumed);
			if
			:: skips > 0 && RULE_SKIP -> skips--
			:: else -> take()
			fi
		fi; kind = 0; v = 0 }
	:: atomic { RUNS && boxed[HIM] && in == RING && !cannot[me] -> boxed[HIM] = false; demoted(boxed_head[HIM]) }
	/* the end */
	:: atomic { RUNS && leaves[me] && !leaving -> leaving = true }
	:: atomic { RUNS && leaving && out == RING && send == REST ->
		if :: !cannot[me] && who[HIM] == ORIGINAL -> pull_head() :: else fi;
		if :: RULE_EXIT -> leave_ring(head_known) :: else -> out = SOCKET; said[me] = put[me] fi }
	:: atomic { RUNS && leaving && out == SOCKET && said[me] >= put[me] && send == REST && FENCED ->
		who[me] = NOBODY; left[me] = true }
	:: atomic { RUNS && who[HIM] != ORIGINAL && empty(sock[HIM]) && in != ENDED -> /* end of file */
		no_ring(ENDED); out = ENDED; send = REST; blocked = false; owed = false }
	od
}

active proctype fate()
{
	atomic {
		units[1] = SHORT; if :: units[0] = LONG :: units[0] = LONG - 1 fi;
		if :: skip :: ringless[1] = true fi; started = true
	};
	if
	:: !ringless[1] ->
		if :: skip :: cannot[0] = true :: atomic { cannot[0] = true; cannot[1] = true } fi
	:: ringless[1] -> /* fewer states: all the rest */
		if :: skip :: cannot[0] = true :: cannot[1] = true fi;
		if
		:: skip
		:: leaves[0] = true
		:: leaves[1] = true
		:: atomic { who[0] == ORIGINAL && empty(stores[0]) -> who[0] = NOBODY }; if :: skip :: who[0] = OTHER fi
		fi
	fi
}

/* When nothing moves any more, all is there that was not lost in a crash. */
active proctype quiet()
{
	atomic { timeout ->
		assert(who[0] != ORIGINAL || who[1] != ORIGINAL || (got[1] == units[0] && got[0] == units[1]));
		assert(who[1] != ORIGINAL || who[0] == ORIGINAL || (got[1] >= said[0] && (got[1] >= put[0] || !left[0])));
		assert(who[0] != ORIGINAL || who[1] == ORIGINAL || (got[0] >= said[1] && (got[0] >= put[1] || !left[1]))) }
}
