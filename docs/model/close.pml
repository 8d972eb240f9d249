/*
 * The endings of design section 4: BYE, close, linger. Each side sends one described message to the other at
 * some time, receives or not, and closes at some time (or is lazy: never); either may be stopped for ever or die.
 * Shown: both sides always get away, and without linger's help if both run; a request completes once and its
 * result is true: what ends in -EPIPE, -ECONNRESET or REFUSED was not and will not be delivered; nothing but
 * answers follows a BYE.
 * The transfer itself is one step here (rendezvous.pml and push.pml have it in full): a pull looks at the cell
 * and delivers, a push is a GRANT, a write, a PUSHED. The answer is said later.
 */
#ifndef RULE_SETTLE
#define RULE_SETTLE 1 /* BYE follows the settlement of one's own messages */
#endif
#ifndef RULE_REFUSE
#define RULE_REFUSE 1 /* the closer refuses what it has not begun to receive, and what still comes */
#endif
#ifndef RULE_BEGUN
#define RULE_BEGUN 1 /* ... and BYE waits for the end of what it has begun to receive */
#endif
#ifndef RULE_SAID
#define RULE_SAID 1 /* ... and for the answers that are owed */
#endif
#ifndef RULE_AFTER
#define RULE_AFTER 1 /* no message is sent after either BYE */
#endif
#ifndef RULE_REPLY
#define RULE_REPLY 1 /* a BYE is answered by BYE at once, whatever the application does */
#endif
#ifndef RULE_FAIL
#define RULE_FAIL 1 /* a BYE ends one's own unanswered messages with -EPIPE */
#endif
#ifndef RULE_KEEP
#define RULE_KEEP 1 /* ... but keeps their ids */
#endif
#ifndef RULE_WITHDRAW
#define RULE_WITHDRAW 1 /* linger's abort withdraws the cell */
#endif
#ifndef RULE_LINGER
#define RULE_LINGER 1 /* linger ends */
#endif
#ifndef RULE_READ
#define RULE_READ 1 /* the closer goes on reading and answering until the peer's BYE */
#endif
#ifndef RULE_BUSY
#define RULE_BUSY 1 /* linger that ends with a grant out refuses nothing and frees nothing: -EBUSY */
#endif
#ifndef RULE_WAIT
#define RULE_WAIT 1 /* ... nor does it say BYE */
#endif
#ifndef RULE_WRITE
#define RULE_WRITE 1 /* one's own write ends before linger's abort, and before the socket is closed */
#endif
#ifndef SPARE_STAY
#define SPARE_STAY 1 /* with a grant out nobody leaves, both BYEs or not; a BYE says already: no more writes */
#endif

mtype = { DESC, DONE, REFUSED, CANCEL, CANCELED, BYE };  /* frames */
mtype = { GRANT, PUSHED, NOTHING };                      /* ... of a push; NOTHING: PUSHED, of 0 bytes */
mtype = { NONE, PENDING, WITHDRAWN, OVER };              /* my own message; WITHDRAWN: only its id is left */
mtype = { WAITING, MOVING, GRANTED, ANSWERING, ANSWERED }; /* the peer's message here; ANSWERING: not yet said */
mtype = { EPIPE, RESET, UNKNOWN };                       /* results besides the terminal frames */

chan to[2] = [8] of { mtype };
mtype own[2] = NONE, result[2] = NONE, his[2] = NONE;
bool cell[2], delivered[2];                /* of the message that side i sends */
bool writing[2];                           /* side i, under a grant of the other */
bool dead[2], stopped[2], gone[2];         /* gone: closed its socket */
bool hasty[2], lazy[2]; /* hasty: linger may end any time; lazy: the application never receives nor closes */

#define RUNS (!dead[me] && !stopped[me] && !gone[me])
#define SEND(frame) if :: dead[peer] || gone[peer] :: else -> to[peer]!frame fi

#define STUCK (lazy[peer] && own[me] == PENDING && his[peer] == WAITING) /* linger is what this is for */

inline complete(how) {
	assert(own[me] == PENDING);
	assert(delivered[me] || how != DONE);
	assert(!delivered[me] || how == DONE || how == UNKNOWN || (how == RESET && dead[peer])); /* died before the answer */
	if :: how != UNKNOWN || RULE_WITHDRAW -> cell[me] = false :: else fi;
	own[me] = (how == EPIPE || how == UNKNOWN -> WITHDRAWN : OVER); result[me] = how;
	if :: own[me] == WITHDRAWN && !RULE_KEEP -> own[me] = OVER :: else fi
}
inline answer(how) { his[me] = ANSWERING; ans = how; late = NONE }
inline say() { if :: his[me] == ANSWERING -> his[me] = ANSWERED; SEND(ans); ans = NONE :: else fi }

proctype side(byte me; byte peer)
{
	mtype frame, ans = NONE, late = NONE; /* late: what is to follow the grant */
	bool closing, bye, bye_seen, failed;  /* failed: my own message, by a BYE that came while I was writing */
end_side:
	do
	:: atomic { RUNS && own[me] == NONE && !closing && !(RULE_AFTER && (bye || bye_seen)) -> /* isend */
		own[me] = PENDING; cell[me] = true; SEND(DESC) }
	:: atomic { RUNS && his[me] == WAITING && !closing && !lazy[me] -> his[me] = MOVING }
	:: atomic { RUNS && his[me] == MOVING -> /* the pull */
		if
		:: cell[peer] && !dead[peer] ->
			assert(own[peer] == PENDING && !delivered[peer]);
			delivered[peer] = true; answer(DONE)
		:: !cell[peer] && !dead[peer] -> answer(CANCELED)
		:: dead[peer] -> his[me] = ANSWERED
		fi }
	:: atomic { RUNS && his[me] == MOVING -> his[me] = GRANTED; SEND(GRANT) }
	:: atomic { !dead[me] && !stopped[me] && writing[me] -> /* all of it, in one step */
		assert(dead[peer] || (his[peer] == GRANTED && !gone[peer])); /* else: into a buffer that was given back */
		assert(own[me] == PENDING); /* else: from one */
		writing[me] = false; SEND(PUSHED);
		if :: failed && own[me] == PENDING -> complete(EPIPE) :: else fi; failed = false }
	:: atomic { RUNS && his[me] == ANSWERING -> say() }
	:: atomic { RUNS && nempty(to[me]) && !(bye && !RULE_READ && to[me]?[DESC]) -> to[me]?frame;
		if
		:: frame == DESC ->
			assert(!bye_seen); /* a message after BYE: protocol error */
			if :: closing && RULE_REFUSE -> answer(REFUSED) :: else -> his[me] = WAITING fi
		:: frame == CANCEL ->
			if
			:: his[me] == WAITING || his[me] == MOVING -> answer(CANCELED)
			:: his[me] == GRANTED -> late = CANCELED
			:: else
			fi
		:: frame == GRANT ->
			assert(own[me] == PENDING || own[me] == WITHDRAWN);
			if :: own[me] == PENDING -> writing[me] = true :: else -> SEND(NOTHING) fi
		:: frame == PUSHED -> assert(his[me] == GRANTED && !delivered[peer]); delivered[peer] = true; answer(DONE)
		:: frame == NOTHING -> assert(his[me] == GRANTED); answer((late == NONE -> CANCELED : late))
		:: frame == BYE ->
			bye_seen = true;
			if
			:: own[me] == PENDING && RULE_FAIL && !writing[me] -> complete(EPIPE)
			:: own[me] == PENDING && RULE_FAIL && writing[me] -> failed = true
			:: else
			fi;
			if :: !bye && RULE_REPLY -> say(); bye = true; SEND(BYE) :: else fi
		:: else ->
			assert(!writing[me]); /* a terminal frame before PUSHED: protocol error */
			assert(own[me] == PENDING || own[me] == WITHDRAWN); /* else: never asked, protocol error */
			if :: own[me] == PENDING -> complete(frame) :: else -> own[me] = OVER fi
		fi; frame = NONE }
	:: atomic { RUNS && !closing && !lazy[me] -> closing = true; /* haul_peer_close */
		if :: his[me] == WAITING && RULE_REFUSE -> answer(REFUSED) :: else fi }
	:: atomic { RUNS && closing && !bye && (own[me] != PENDING || !RULE_SETTLE) &&
		(his[me] != WAITING || !RULE_REFUSE) && ((his[me] != MOVING && his[me] != GRANTED) || !RULE_BEGUN) &&
		(his[me] != ANSWERING || !RULE_SAID) ->
		bye = true; SEND(BYE) }
	:: atomic { RUNS && bye && bye_seen && (his[me] != GRANTED || !SPARE_STAY) && (!writing[me] || !RULE_WRITE) ->
		gone[me] = true; /* whatever the socket still holds */
		if :: own[me] == WITHDRAWN -> own[me] = OVER :: else fi }
	:: atomic { RUNS && closing && RULE_LINGER && (hasty[me] || stopped[peer] || STUCK) && /* linger ends: abort, go */
		(!writing[me] || !RULE_WRITE) &&
		(his[me] != GRANTED || own[me] == PENDING || late == NONE || !RULE_BUSY) -> /* else: no more to do */
		if
		:: his[me] == WAITING || his[me] == MOVING || (his[me] == GRANTED && !RULE_BUSY) -> answer(REFUSED)
		:: his[me] == GRANTED && RULE_BUSY && late == NONE -> late = REFUSED
		:: else
		fi; say();
		if :: own[me] == PENDING -> SEND(CANCEL) :: else fi };
		atomic { if :: RUNS && own[me] == PENDING -> complete(UNKNOWN) :: else fi };
		atomic {
			if
			:: RUNS && (his[me] != GRANTED || !RULE_WAIT) && !bye -> bye = true; SEND(BYE)
			:: else
			fi;
			if :: RUNS && his[me] != GRANTED -> gone[me] = true :: else fi }
	:: atomic { RUNS && empty(to[me]) && (dead[peer] || gone[peer]) && (!writing[me] || !RULE_WRITE) &&
		(own[me] == PENDING || his[me] == WAITING || his[me] == GRANTED || closing) -> /* end of file, drained */
		if :: own[me] == PENDING -> complete(RESET) :: else fi;
		if :: his[me] == WAITING || his[me] == MOVING || his[me] == GRANTED -> his[me] = ANSWERED :: else fi;
		if :: closing -> gone[me] = true :: else fi }
	od
}

/* The last: the one wait for a stopped peer that nothing ends. */
#define SETTLED(i, j) (dead[i] || stopped[i] || (gone[i] && own[i] != PENDING) || \
	(lazy[i] && (own[i] != PENDING || stopped[j])) || \
	(his[i] == GRANTED && stopped[j] && own[i] != PENDING))

active proctype quiet()
{
	atomic { timeout -> assert(SETTLED(0, 1)); assert(SETTLED(1, 0)) }
}

init {
	atomic {
		if :: hasty[0] = true :: skip fi;
		if :: hasty[1] = true :: skip fi;
		if :: lazy[1] = true :: skip fi;
		run side(0, 1); run side(1, 0)
	};
	if
	:: skip
	:: dead[0] = true
	:: dead[1] = true
	:: stopped[0] = true
	:: stopped[1] = true
	:: stopped[0] = true; stopped[1] = true
	:: dead[0] = true; dead[1] = true
	fi
}
