/*
 * The handshake of design section 4, both sides at once:
 *     HELLO(challenge) -> GRANTED(address) -> probe -> VERDICT -> READY -> open
 * Shown: a side that runs ends open or failed, never stuck; a verdict is "pull" only if the process that
 * wrote the answer to my challenge is the one that pid and pidfd name; whatever the verdict, the pidfd of an
 * open peer is the peer's; two healthy sides always open, with the verdict that the kernel allows; no honest
 * peer ever sees a frame out of turn.
 * A side may be killed, exec or be stopped for ever at any step, and its pid may be reused.
 * -DRULE_X=0 removes a rule and must be rejected; what is SPARE_X can be removed. See README.md.
 */
#ifndef RULE_SYMMETRIC
#define RULE_SYMMETRIC 1 /* HELLO is sent at once, waiting for nobody */
#endif
#ifndef RULE_CHALLENGE
#define RULE_CHALLENGE 1 /* the verifier chooses the challenge, anew for each connection */
#endif
#ifndef RULE_ANSWER
#define RULE_ANSWER 1 /* the answer lies in memory before GRANTED says so */
#endif
#ifndef RULE_WIPE
#define RULE_WIPE 1 /* the answer lies in MADV_WIPEONFORK memory */
#endif
#ifndef RULE_KEEP
#define RULE_KEEP 1 /* the answer stays until READY */
#endif
#ifndef RULE_PIDFD
#define RULE_PIDFD 1 /* the pidfd is opened at the peer's first bytes, before GRANTED and the probe */
#endif
#ifndef SPARE_POLL
#define SPARE_POLL 1 /* the pidfd is looked at after the probe; a second wall, holds without */
#endif
#ifndef SPARE_READY
#define SPARE_READY 1 /* open only when the peer has answered my VERDICT; a second wall, holds without */
#endif
#ifndef RULE_OPEN
#define RULE_OPEN 1 /* messages only when open */
#endif
#ifndef RULE_DEADLINE
#define RULE_DEADLINE 1 /* each side has its own */
#endif

mtype = { HELLO, GRANTED, VERDICT, READY, MESSAGE };
mtype = { ORIGINAL, NOBODY, OTHER };  /* the process that a pid names */
#define OLD 9                         /* an answer left from some earlier handshake */
#define CHALLENGE(i) (RULE_CHALLENGE -> 1 + (i) : OLD)

chan to[2] = [5] of { mtype, byte };
mtype who[2] = ORIGINAL; /* whom pid i names now */
bool execed[2];          /* the same process, another program: memory and socket are gone */
bool stopped[2], closed[2];
byte word[2];            /* what lies at the answer's address in the memory of whom pid i names */
bool allowed[2];         /* the kernel lets the other side read side i */
bool hasty;              /* deadlines may come early, not only when all else stands still */
bool sick;               /* something went wrong with somebody: no claim to a perfect ending */

#define DEAD(i) (who[i] != ORIGINAL || execed[i])
#define RUNS(i) (!DEAD(i) && !stopped[i])
#define STEP(what) if :: atomic { RUNS(me) -> what } :: !RUNS(me) -> goto halt fi

proctype side(byte me; byte peer)
{
	mtype expect = HELLO, frame, pidfd = NOBODY, probed = NOBODY;
	bool hello, match, pull;
	byte value;
	do
	:: !RUNS(me) -> goto halt
	:: atomic { RUNS(me) && !hello && (RULE_SYMMETRIC || expect != HELLO) ->
		hello = true; to[peer]!HELLO(CHALLENGE(me)) }
	:: atomic { RUNS(me) && hello && nempty(to[me]) ->
		to[me]?frame, value; assert(frame == expect) } /* else an honest peer is told -EPROTO */
		if
		:: frame == HELLO ->
			expect = GRANTED; /* its first bytes name its pid */
			if
			:: RULE_PIDFD -> STEP(pidfd = who[peer]); if :: pidfd == NOBODY -> goto failed :: else fi
			:: else
			fi;
			if
			:: RULE_ANSWER -> STEP(word[me] = value); STEP(to[peer]!GRANTED(0))
			:: else -> STEP(to[peer]!GRANTED(0)); STEP(word[me] = value)
			fi
		:: frame == GRANTED ->
			expect = VERDICT;
			STEP(match = allowed[peer] && who[peer] != NOBODY && word[peer] == CHALLENGE(me);
				probed = (execed[peer] -> OTHER : who[peer]));
			if :: !RULE_PIDFD -> STEP(pidfd = who[peer]) :: else fi;
			STEP(pull = match && pidfd != NOBODY && !(SPARE_POLL && pidfd != who[peer]);
				assert(!pull || (probed == ORIGINAL && pidfd == ORIGINAL));
				assert(sick || pull == allowed[peer]);
				to[peer]!VERDICT(pull));
			if :: !RULE_KEEP -> STEP(word[me] = 0) :: else fi
		:: frame == VERDICT ->
			expect = READY;
			if :: !RULE_OPEN -> STEP(to[peer]!MESSAGE(0)) :: else fi;
			STEP(to[peer]!READY(0));
			if :: !SPARE_READY -> break :: else fi
		:: frame == READY -> STEP(word[me] = 0); break
		fi
	:: atomic { RUNS(me) && empty(to[me]) && (DEAD(peer) || closed[peer]) -> goto failed } /* EOF */
	:: atomic { RUNS(me) && RULE_DEADLINE && hasty -> sick = true; goto failed }
	:: atomic { timeout && RUNS(me) && RULE_DEADLINE -> assert(sick); goto failed }
	od;
	assert(pidfd == ORIGINAL); /* open, by whatever path: it is the peer's death that will be seen */
	if :: RULE_OPEN -> STEP(to[peer]!MESSAGE(0)) :: else fi;
end_open:
	do
	:: atomic { RUNS(me) && nempty(to[me]) -> to[me]?frame, value; 
		assert(frame == MESSAGE || (frame == READY && !SPARE_READY)) }
	:: !RUNS(me) -> break
	od;
	goto halt;
failed:
	closed[me] = true; word[me] = (DEAD(me) -> word[me] : 0);
halt:	skip
}

/* What happens to processes: each once, at any time or never. */
proctype fate(byte i)
{
	if
	:: skip
	:: atomic { RUNS(i) -> stopped[i] = true; sick = true }
	:: atomic { RUNS(i) -> execed[i] = true; sick = true; if :: word[i] = 0 :: word[i] = OLD fi }
	:: atomic { RUNS(i) -> who[i] = NOBODY; sick = true };
		if
		:: skip
		:: atomic { who[i] = OTHER; /* a stranger, a haul process at work, or a grandchild born of the dead */
			if :: word[i] = 0 :: word[i] = OLD :: word[i] = (RULE_WIPE -> 0 : word[i]) fi }
		fi
	fi
}

init {
	atomic {
		if :: hasty = true :: skip fi;
		if :: allowed[0] = true :: skip fi;
		if :: allowed[1] = true :: skip fi;
		run side(0, 1); run side(1, 0); run fate(0); run fate(1)
	}
}
