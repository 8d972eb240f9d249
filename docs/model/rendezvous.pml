/*
 * The rendezvous of design section 4 on the pull path: two messages, which may use one grant cell, one
 * buffer and one id after the other, or travel side by side.
 *     sender: cell = cookie, DESC      receiver: match, pull in chunks, one terminal frame
 * Shown: nothing that is read after a withdrawal is ever delivered; a message is delivered whole, once, in
 * order; a request completes once and its result is true; exactly one terminal frame per DESC; nobody waits
 * for ever on a dead or, given a timeout, on a stopped peer.
 * A pull is several payload steps, then the cell; the receiver may be stopped for ever between any two.
 */
#ifndef RULE_CELL
#define RULE_CELL 1 /* bytes count only if the cell holds the cookie */
#endif
#ifndef RULE_LAST
#define RULE_LAST 1 /* the cell is the last thing read */
#endif
#ifndef RULE_WITHDRAW
#define RULE_WITHDRAW 1 /* an abort clears the cell */
#endif
#ifndef RULE_FENCE
#define RULE_FENCE 1 /* ... and only then is the buffer the user's */
#endif
#ifndef RULE_COOKIE
#define RULE_COOKIE 1 /* each use of a cell has a cookie of its own */
#endif
#ifndef RULE_GRACE
#define RULE_GRACE 1 /* the grace for the answer to an abort ends */
#endif
#ifndef RULE_ID
#define RULE_ID 1 /* an id is kept until its terminal frame */
#endif
#ifndef RULE_LATE
#define RULE_LATE 1 /* a CANCEL for what is answered is ignored */
#endif
#ifndef RULE_STOP
#define RULE_STOP 1 /* a CANCEL in mid-transfer ends the receive */
#endif
#ifndef RULE_PLACE
#define RULE_PLACE 1 /* a message given back returns to its old place */
#endif
#ifndef RULE_RESTART
#define RULE_RESTART 1 /* ... and is pulled again from byte 0 */
#endif
#ifndef RULE_DRAIN
#define RULE_DRAIN 1 /* the socket is read to its end before death fails the rest */
#endif

#define CHUNKS 2
#define STEPS 2   /* payload steps of one pull */
#define POSTS 3   /* receives that are posted in all */
#define USER 7    /* in a buffer: whatever its owner wrote after it got it back */
#define COOKIE(m) (RULE_COOKIE -> (m) : 9)

mtype = { DESC, CANCEL, DONE, REFUSED, CANCELED };  /* frames; the last three are the terminal ones */
mtype = { NONE, PENDING, CANCELING, COMPLETE };     /* a request; NONE also: no result yet; COMPLETE while its id
                                                     * is owned: its outbound is WITHDRAWN */
mtype = { UNKNOWN, RESET };                         /* results besides the terminal frames */
mtype = { QUEUED, MATCHED, ANSWERED };              /* a message at the receiver */

chan to_r = [4] of { mtype, byte, byte, byte };     /* kind, id, cell; last: message, for the asserts only */
chan to_s = [4] of { mtype, byte, byte };           /* kind, id; last: message, for the asserts only */
byte buffer[2], cell[2];                            /* the sender's memory: whose bytes; the grant cells */
mtype req[3] = NONE, result[3] = NONE;              /* indexed by message, 1 and 2 */
bool delivered[3], answered[3];
bool s_dead, r_dead, r_stopped, patient;            /* patient: the sends have no timeout */
mtype rx = NONE;                                    /* the posted receive: NONE, PENDING, MATCHED */

#define S_RUNS (!s_dead)
#define R_RUNS (!r_dead && !r_stopped)
#define ANY(state) (req[1] == state || req[2] == state)

/* Completing gives the buffer back; the owner writes to it at once. */
inline complete(m, how) {
	assert(req[m] == PENDING || req[m] == CANCELING);
	assert(how != DONE || delivered[m]);
	assert((how != REFUSED && how != CANCELED) || !delivered[m]);
	assert(how != RESET || !answered[m]); /* dead, but its answer lay in the socket */
	if :: RULE_FENCE && (how != UNKNOWN || RULE_WITHDRAW) -> cell[at[m]] = 0 :: else fi;
	req[m] = COMPLETE; result[m] = how; buffer[at[m]] = USER
}

active proctype sender()
{
	byte at[3], id_of[3], owner[3]; /* message -> cell, message -> id, id -> message */
	byte m = 1, id, k;
	mtype kind;
end_sender:
	do
	:: atomic { S_RUNS && m <= 2 -> /* isend */
		at[m] = (m == 2 && req[1] != COMPLETE -> 1 : 0);
		id_of[m] = (owner[1] -> 2 : 1); owner[id_of[m]] = m;
		buffer[at[m]] = m; cell[at[m]] = COOKIE(m); req[m] = PENDING;
		to_r!DESC, id_of[m], at[m], m; m++ }
	:: atomic { S_RUNS && nempty(to_s) -> to_s?kind, id, k;
		assert(owner[id]); assert(owner[id] == k); /* one terminal frame, and of this very message */
		assert(kind != CANCELED || req[k] != PENDING); /* nobody answers what was not asked */
		if :: req[k] != COMPLETE -> complete(k, kind) :: else fi; /* late: it only frees the id */
		owner[id] = 0; k = 0; id = 0 }
	:: atomic { S_RUNS && !patient && ANY(PENDING) -> /* timeout or close: abort */
		if :: req[1] == PENDING -> k = 1 :: req[2] == PENDING -> k = 2 fi;
		req[k] = CANCELING; to_r!CANCEL, id_of[k], 0, k; k = 0 }
	:: atomic { S_RUNS && RULE_GRACE && ANY(CANCELING) -> /* the grace is over: withdraw */
		if :: req[1] == CANCELING -> k = 1 :: req[2] == CANCELING -> k = 2 fi;
		complete(k, UNKNOWN);
		if :: !RULE_ID -> owner[id_of[k]] = 0 :: else fi };
		atomic { if :: !RULE_FENCE && S_RUNS -> cell[at[k]] = 0 :: else fi; k = 0 }
	:: atomic { S_RUNS && r_dead && (empty(to_s) || !RULE_DRAIN) && (ANY(PENDING) || ANY(CANCELING)) ->
		if :: req[1] == PENDING || req[1] == CANCELING -> k = 1
		   :: req[2] == PENDING || req[2] == CANCELING -> k = 2 fi;
		complete(k, RESET); owner[id_of[k]] = 0; k = 0 }
	od
}

/* Answers message m and forgets it. */
inline answer(m, how) { state[m] = ANSWERED; answered[m] = true; to_s!how, id_of[m], m }

inline receive_ends() { assert(rx == MATCHED); rx = NONE; cur = 0 }

active proctype receiver()
{
	chan queue = [2] of { byte }; /* in order of arrival */
	mtype state[3] = NONE, kind;
	byte at[3], id_of[3], got[3];
	byte posts, cur, id, c, m, from, step, seen;
	bool bad, lost; /* bad: bytes in the receive buffer that were not the message's */
end_receiver:
	do
	:: atomic { R_RUNS && nempty(to_r) -> to_r?kind, id, c, m; /* dispatch */
		if
		:: kind == DESC -> id_of[m] = id; at[m] = c; state[m] = QUEUED; queue!m
		:: kind == CANCEL ->
			assert(state[m] != NONE);
			if
			:: state[m] == QUEUED -> queue??eval(m); answer(m, CANCELED)
			:: state[m] == MATCHED && RULE_STOP -> receive_ends(); answer(m, CANCELED)
			:: state[m] == MATCHED && !RULE_STOP -> to_s!CANCELED, id_of[m], m
			:: state[m] == ANSWERED && RULE_LATE
			:: state[m] == ANSWERED && !RULE_LATE -> to_s!CANCELED, id_of[m], m
			fi
		fi; id = 0; c = 0; m = 0; kind = NONE }
	:: atomic { R_RUNS && rx == NONE && posts < POSTS -> posts++; rx = PENDING }
	:: atomic { R_RUNS && rx == PENDING && nempty(queue) -> queue?cur; state[cur] = MATCHED; rx = MATCHED;
		if :: RULE_RESTART -> got[cur] = 0 :: else fi; from = got[cur]; bad = false }
	:: atomic { R_RUNS && nempty(queue) -> queue?m; answer(m, REFUSED); m = 0 }
	:: atomic { R_RUNS && rx == MATCHED -> /* the receive times out between chunks: the message goes back */
		state[cur] = QUEUED; if :: RULE_PLACE -> queue!!cur :: else -> queue!cur fi; receive_ends() }
	:: atomic { R_RUNS && rx == MATCHED && !lost && s_dead -> lost = true } /* ESRCH */
	:: atomic { R_RUNS && lost && empty(to_r) -> /* drained: fail the rest */
		if :: rx == MATCHED -> state[cur] = NONE; receive_ends() :: else fi;
		do :: queue?m -> state[m] = NONE :: empty(queue) -> break od; m = 0; break }
	:: atomic { R_RUNS && rx == MATCHED && !lost -> /* one pull; memory that is being read outlives its process */
		step = 0; if :: s_dead -> seen = 8; bad = true :: else -> seen = cell[at[cur]] fi }; /* pid reused */
		do
		:: atomic { R_RUNS && step < STEPS ->
			bad = bad || buffer[at[cur]] != cur; step++ }
		:: atomic { R_RUNS && step == STEPS ->
			if :: RULE_LAST && seen != 8 -> seen = cell[at[cur]] :: else fi;
			if
			:: RULE_CELL && seen != COOKIE(cur) -> answer(cur, CANCELED); receive_ends(); goto pulled
			:: else -> got[cur]++; if :: got[cur] < CHUNKS -> goto pulled :: else -> break fi
			fi }
		:: !R_RUNS -> goto halt
		od;
		if
		:: atomic { R_RUNS -> /* all is here: the receive completes */
			assert(!bad); assert(from == 0); assert(!delivered[cur]);
			assert(req[cur] != COMPLETE || result[cur] == UNKNOWN);
			assert(cur == 1 || state[1] != QUEUED); /* order */
			delivered[cur] = true }
		:: !R_RUNS -> goto halt
		fi;
		if :: atomic { R_RUNS -> answer(cur, DONE); receive_ends() } :: !R_RUNS -> goto halt fi;
pulled:		atomic { step = 0; seen = 0; from = (rx == MATCHED -> from : 0) }
	:: !R_RUNS -> break
	od;
halt:	skip
}

active proctype fate()
{
	if :: patient = true :: skip fi;
	if
	:: skip
	:: atomic { S_RUNS -> s_dead = true }
	:: atomic { R_RUNS -> r_dead = true }
	:: atomic { R_RUNS -> r_stopped = true }
	fi
}

/* When nothing moves any more, nobody who could have been served is left waiting. */
active proctype quiet()
{
	atomic { timeout ->
		assert(s_dead || (r_stopped && patient) || (req[1] == COMPLETE && req[2] == COMPLETE));
		assert(!R_RUNS || rx != MATCHED) }
}
