/*
 * Bell: a receiver that sleeps is told of each unit by the socket, and gets it with that.
 *     sender:   unit, tail | bell set? BELL(unit)             full: head, full = tail | head again, wait for BELL
 *     receiver: BELL alone, with the unit that is next: takes it, and looks at nothing
 *               any other: looks, until a last one brings nothing        finds some without: bell = 0, perhaps
 * One stream through a ring of a few units; long ones have a BELL without. The socket holds two frames: a BELL that it
 * has no room for is dropped, one that the kernel has no memory for is owed. What is read at a time is all there is.
 * Stores are delayed as in outbox.pml, which shows what else there is to a ring, its fences among it.
 * Shown: each unit comes once, in order, by ring or BELL; nobody sleeps while there is something for it to do.
 */
#ifndef RULE_ALONE
#define RULE_ALONE 1 /* receiver: no look is left out but after a BELL that came alone */
#endif
#ifndef RULE_LONG
#define RULE_LONG 1 /* ... nor after one that has no unit */
#endif
#ifndef RULE_LATE
#define RULE_LATE 1 /* receiver: a unit that it has is left out */
#endif
#ifndef RULE_NEXT
#define RULE_NEXT 1 /* ... one that is not the next, too, and looked for */
#endif
#ifndef RULE_PLAIN
#define RULE_PLAIN 1 /* sender: what it owes is said without a unit */
#endif
#ifndef RULE_OWED
#define RULE_OWED 1 /* ... and is not dropped */
#endif
#ifndef RULE_ANEW
#define RULE_ANEW 1 /* receiver: a bell that it has taken back is set before it sleeps */
#endif
#ifndef RULE_QUARTER
#define RULE_QUARTER 1 /* receiver: it looks now and then, too, if all that it hears is that */
#endif

#define SIZE 4    /* of the ring, in units */
#define UNITS 7   /* of the stream, or one less */
#define ROOM 2    /* frames in the socket */
#define QUARTER 3 /* units without a look; more than half of the ring would be too late */
#define LACKS 2   /* times without memory */

#define ROOMY (full_seen > answered && (full_seen - got) * 2 <= SIZE)

mtype = { TAIL, FULL, HEAD, SET, CLEAR };  /* stores */
mtype = { REST, RINGS, SENDS, PULL, LAST }; /* the sender's next step */
mtype = { LOOK, ANSWER, SLEEP };            /* the receiver's */

chan sock = [ROOM] of { byte };         /* BELL: its unit, or 0 */
chan back = [1] of { bit };             /* BELL: there is room */
chan out = [3] of { mtype, byte };      /* the sender's stores, not yet visible */
chan in = [3] of { mtype, byte };       /* the receiver's */
byte ring[SIZE], tail, filled, head, got, units;
bool bell;

active proctype memory()
{
	mtype what; byte v;
end_memory:
	do
	:: atomic { out?what(v);
		if
		:: what == TAIL -> ring[(v - 1) % SIZE] = v; tail = v
		:: what == FULL -> filled = v
		fi; what = 0; v = 0 }
	:: atomic { in?what(v);
		if
		:: what == HEAD -> head = v
		:: what == SET -> bell = true
		:: what == CLEAR -> bell = false
		fi; what = 0; v = 0 }
	od
}

active proctype sender()
{
	mtype send = REST;
	byte put, known, owed, lacks; /* owed: the unit that it was for */
	bool blocked;
	if :: units = UNITS :: units = UNITS - 1 fi;
end_sender:
	do
	:: atomic { send == REST && !blocked && put < units && nfull(out) ->
		if
		:: put - known < SIZE -> put++; out!TAIL(put); send = RINGS
		:: else -> send = PULL
		fi }
	:: atomic { send == RINGS && empty(out) -> send = (bell -> SENDS : REST) }
	:: atomic { send == SENDS && empty(out) -> send = REST;
		if
		:: owed != 0 /* as good as one more */
		:: owed == 0 && nfull(sock) -> if :: sock!put :: sock!0 fi
		:: owed == 0 && full(sock) /* dropped */
		:: owed == 0 && nfull(sock) && lacks < LACKS -> lacks++;
			if :: RULE_OWED -> owed = put :: else fi
		fi }
	:: atomic { owed != 0 && nfull(sock) && empty(out) -> if :: RULE_PLAIN -> sock!0 :: else -> sock!owed fi; owed = 0 }
	:: atomic { (send == PULL || send == LAST) && (send == PULL || empty(out)) && nfull(out) ->
		known = head;
		if
		:: put - known < SIZE -> send = REST
		:: put - known == SIZE && send == PULL -> out!FULL(put); send = LAST
		:: put - known == SIZE && send == LAST -> blocked = true; send = REST
		fi }
	:: atomic { nempty(back) && send == REST -> back?_; blocked = false }
	od
}

inline take() { assert(v == got + 1); got++; found = true }

active proctype receiver()
{
	mtype step = LOOK;
	byte v, seen, full_seen, answered;
	bool armed, last, found, due; /* last: the look before a sleep */
end_receiver:
	do
	:: atomic { step == LOOK && empty(in) ->
		if :: last || got - seen >= QUARTER -> full_seen = filled; seen = got :: else fi;
		do
		:: tail > got -> v = ring[got % SIZE]; take()
		:: tail == got || found -> break
		od;
		if :: found -> in!HEAD(got) :: else fi; v = 0; step = ANSWER }
	:: atomic { step == ANSWER && nfull(in) && (empty(in) || !ROOMY) ->
		if
		:: ROOMY && nfull(back) -> answered = full_seen; back!0
		:: ROOMY && full(back) -> answered = full_seen /* dropped */
		:: !ROOMY
		fi;
		if
		:: found && armed -> step = LOOK; last = false;
			if :: in!CLEAR(0); if :: RULE_ANEW -> armed = false :: else fi :: true fi
		:: found && !armed -> step = LOOK; last = false
		:: !found && last -> step = SLEEP; last = false
		:: !found && !last -> step = LOOK; last = true;
			if :: !armed -> armed = true; in!SET(0) :: else fi
		fi; found = false }
	:: atomic { nempty(sock) && nfull(in) && (step == SLEEP || (step == LOOK && !last)) ->
		due = (RULE_ALONE && len(sock) > 1);
		do
		:: nempty(sock) -> sock?v;
			if
			:: v == 0 -> due = due || RULE_LONG
			:: v != 0 && v <= got && RULE_LATE
			:: v > got + 1 && RULE_NEXT -> due = true
			:: else -> take()
			fi
		:: empty(sock) -> break
		od;
		if :: found -> in!HEAD(got) :: else fi;
		if :: due || (RULE_QUARTER && got - seen >= QUARTER) -> step = LOOK :: else fi;
		v = 0; due = false; found = false }
	od
}

/* When nothing moves any more, all is there. */
active proctype quiet()
{
	atomic { timeout -> assert(got == units) }
}
