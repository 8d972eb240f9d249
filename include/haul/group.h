/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul/group.h: ranks. A group is an ordered set of processes that talk by number: rank 0 to size - 1. Messages
 * within a group meet no receive outside of it, nor in another group of the same processes. Collectives are calls
 * that every member makes, in the same order, each with what fits the others'.
 *
 * haul(1) starts the members, `haul run -n 4 program`; a program started by itself is a group of 1. The conventions of
 * haul.h hold here too (results, timeouts, threads, fork, requests), and these:
 *
 *   Ranks      0 to size - 1; anything else is -EINVAL, but HAUL_ANY_RANK where a call says so.
 *   Death      what needs a member that has died ends as -ECONNRESET, at every member; what does not goes on.
 *              -EPIPE: a member has left (it freed the group, or ended well). Without a launcher nobody tells
 *              whether one that has no connection to this member is dead or not there yet: a receive goes on
 *              waiting for it, and what sends to it, or a collective, gives up after the option handshake_ms: as
 *              -ECONNREFUSED, or, where its address is a path that is not there, -ENOENT. Until then the call
 *              that starts it waits, also where it starts a request.
 *   Collective each member calls with the same root, operator and matching lengths. What can be seen here to be
 *              wrong is -EINVAL at the caller, who has then taken no part: the others wait for it. If members'
 *              arguments don't fit each other, -EINVAL or -EMSGSIZE at those that have a part left to do (after a
 *              moment, in which they ask each other, where no message shows it), and 0 at those that have done
 *              theirs. A member whose part fails tells those that wait for it, so that no other hangs, and the
 *              group can be used on. Buffers are the library's until it completes. Results are the same each time
 *              for the same size of group, count and operator. One that is started while others are under way in
 *              the group is in no one's way.
 *   Blocking   haul_<name>() waits, with a timeout (not 0: -EINVAL); haul_i<name>() is the same as a request. After
 *              a timeout the collective has failed: the others hear of it as -ECANCELED.
 *
 * Within a context that has a group of two members or more, and not more of them than CPUs, connections are made with the
 * options transport OUTBOX and two_handed, unless those were set otherwise. With more members than CPUs waiting does
 * not spin either, but yields the CPU a few times before it sleeps, unless spin_us was set.
 */
#ifndef HAUL_GROUP_H
#define HAUL_GROUP_H

#include <haul/haul.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct haul_group; /* this process's membership of a group */

enum { HAUL_ANY_RANK = -1 };

/* ---- Groups -------------------------------------------------------------------------------- */

/* Where the members are, if no launcher says so. */
struct haul_group_options {
	int rank, size;
	const char *const
	    *addresses; /* of each member, as for haul_listen(); this process listens at its own */
};

/*
 * The group of all: as `haul run` has started it, or, where HAUL_RANK, HAUL_SIZE and HAUL_JOB are not set, a group
 * of 1; or as the options say (NULL, 0: none). Never waits for the others: connections are made when they are
 * needed. A context has one such group at a time (-EBUSY); it is to be freed before the context is closed, or goes
 * with it.
 *
 * -EINVAL: some of the variables are missing or make no sense, or the option max_msg is less than 76;
 * -EADDRINUSE: another process is that rank already.
 */
int haul_group_init(struct haul *h, const struct haul_group_options *options, size_t options_size,
    struct haul_group **out);

/*
 * Leaves it: the caller's membership is over, and what is under way in it ends as -ECANCELED. Of the group of all
 * this says goodbye to the others, once what was sent has left, waiting up to linger_ms for that; others (linger_ms
 * is ignored) should be freed before. NULL does nothing. Not to be used from then on, and no other thread may be in a
 * call on it, or on a group made of it, meanwhile. -EBUSY: a member may still be writing into a receive (the options
 * push, two_handed); nothing was freed, and it can be tried again. -EDEADLK: from a callback.
 */
int haul_group_free(struct haul_group *g, int linger_ms);

int haul_group_rank(const struct haul_group *g);
int haul_group_size(const struct haul_group *g);
struct haul *haul_group_context(const struct haul_group *g);

/*
 * The connection to a member, made if there is none: waits until that has answered. It is the group's, not to be
 * closed, and can be used until the group of all is freed, though the member may have ended before.
 */
int haul_group_peer(struct haul_group *g, int rank, int timeout_ms, struct haul_peer **out);

/*
 * Collective: makes groups of those members that give the same colour, ordered by key, then by rank. A negative colour
 * takes part, and becomes a member of none (*out is NULL). -EAGAIN: other threads make groups of the same members all the
 * time, and no number was found that is free at each.
 */
int haul_group_split(struct haul_group *g, int colour, int key, int timeout_ms, struct haul_group **out);
/* Collective: the same members, whose messages don't meet. */
int haul_group_dup(struct haul_group *g, int timeout_ms, struct haul_group **out);

/* The rank in `to` of a member of g; -ENOENT if it is not one of both. */
int haul_group_translate(const struct haul_group *g, int rank, const struct haul_group *to);

/* Ends this process with that exit status, at once, as _exit(2); under `haul run` all members, which says why. Does not
 * return. */
void haul_group_abort(struct haul_group *g, int status, const char *why) __attribute__((noreturn));

/*
 * Which members are known to have died: fills in up to room ranks, in rising order, and returns how many there are.
 * From the next call on, receives from any rank wait for the others again (until one more dies).
 */
int haul_group_acknowledge(struct haul_group *g, int *ranks, size_t room);

/* ---- Messages ------------------------------------------------------------------------------ */

/* From a rank, or HAUL_ANY_RANK, with a tag that equals .tag in every bit that is 0 in .ignore. NULL: anything. */
struct haul_group_match {
	int from;
	uint32_t tag, ignore;
};

/*
 * As their namesakes in haul.h, with ranks for peers, and tags of 32 bits. In a status .rank is the source's rank,
 * and .peer may be NULL. To oneself, too. Several matching messages from one member come in the order sent.
 */
int haul_group_send(struct haul_group *g, int to, uint32_t tag, const void *buf, size_t len, int timeout_ms);
int haul_group_isend(struct haul_group *g, int to, uint32_t tag, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out);
/* From any rank: -ECONNRESET also if a member has died and haul_group_acknowledge() was not called since. */
ssize_t haul_group_recv(struct haul_group *g, const struct haul_group_match *match, void *buf, size_t len,
    int timeout_ms, struct haul_status *status);
int haul_group_irecv(struct haul_group *g, const struct haul_group_match *match, const struct iovec *iov,
    size_t count, struct haul_req **out);
int haul_group_probe(struct haul_group *g, const struct haul_group_match *match, int timeout_ms,
    struct haul_status *status);
int haul_group_take(struct haul_group *g, const struct haul_group_match *match, int timeout_ms,
    struct haul_msg **out);
int haul_group_itake(struct haul_group *g, const struct haul_group_match *match, struct haul_req **out);

/* ---- Moving data --------------------------------------------------------------------------- */

/*
 * Lengths and offsets are in bytes. In the forms that end in v there is one for each member: where its block lies,
 * and how long it is; the arrays are the caller's again on return. Blocks of a result must not overlap, and no
 * buffer another: a member that gives HAUL_IN_PLACE for what it contributes has that where the result has it (says
 * each call).
 */
#define HAUL_IN_PLACE ((void *)-1)

/* Nobody leaves before everybody has come. */
int haul_barrier(struct haul_group *g, int timeout_ms);
int haul_ibarrier(struct haul_group *g, struct haul_req **out);

/* The root's bytes to everybody. */
int haul_bcast(struct haul_group *g, int root, void *buf, size_t len, int timeout_ms);
int haul_ibcast(struct haul_group *g, int root, void *buf, size_t len, struct haul_req **out);

/* Each member's len bytes to the root, in the order of ranks; into is the root's only. In place at the root: its
 * block is in into. */
int haul_gather(struct haul_group *g, int root, const void *from, size_t len, void *into, int timeout_ms);
int haul_igather(struct haul_group *g, int root, const void *from, size_t len, void *into,
    struct haul_req **out);
int haul_gatherv(struct haul_group *g, int root, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, int timeout_ms);
int haul_igatherv(struct haul_group *g, int root, const void *from, size_t len, void *into,
    const size_t *lens, const size_t *offsets, struct haul_req **out);

/* To each member its len bytes of the root's; from is the root's only. In place at the root, as into: its block
 * stays. */
int haul_scatter(struct haul_group *g, int root, const void *from, void *into, size_t len, int timeout_ms);
int haul_iscatter(struct haul_group *g, int root, const void *from, void *into, size_t len,
    struct haul_req **out);
int haul_scatterv(struct haul_group *g, int root, const void *from, const size_t *lens, const size_t *offsets,
    void *into, size_t len, int timeout_ms);
int haul_iscatterv(struct haul_group *g, int root, const void *from, const size_t *lens,
    const size_t *offsets, void *into, size_t len, struct haul_req **out);

/* Each member's len bytes to everybody, in the order of ranks. In place: each has its own in into. */
int haul_allgather(struct haul_group *g, const void *from, size_t len, void *into, int timeout_ms);
int haul_iallgather(struct haul_group *g, const void *from, size_t len, void *into, struct haul_req **out);
int haul_allgatherv(struct haul_group *g, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, int timeout_ms);
int haul_iallgatherv(struct haul_group *g, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, struct haul_req **out);

/* From each member a block to each. In place: what is in into goes, and what comes takes its place. */
int haul_alltoall(struct haul_group *g, const void *from, void *into, size_t len, int timeout_ms);
int haul_ialltoall(struct haul_group *g, const void *from, void *into, size_t len, struct haul_req **out);
int haul_alltoallv(struct haul_group *g, const void *from, const size_t *from_lens,
    const size_t *from_offsets, void *into, const size_t *into_lens, const size_t *into_offsets,
    int timeout_ms);
int haul_ialltoallv(struct haul_group *g, const void *from, const size_t *from_lens,
    const size_t *from_offsets, void *into, const size_t *into_lens, const size_t *into_offsets,
    struct haul_req **out);

/* ---- Reducing ------------------------------------------------------------------------------ */

enum haul_type {
	HAUL_INT8 = 1,
	HAUL_UINT8,
	HAUL_INT16,
	HAUL_UINT16,
	HAUL_INT32,
	HAUL_UINT32,
	HAUL_INT64,
	HAUL_UINT64,
	HAUL_FLOAT,
	HAUL_DOUBLE,
	HAUL_BYTES, /* elements of a size of the caller's, for HAUL_USER */
};

enum haul_operation {
	HAUL_SUM = 1, /* of integers: modulo 2^bits */
	HAUL_PROD,
	HAUL_MIN, /* of floating point numbers: as fmin(3), fmax(3) where one is not a number; -0.0 is less than 0.0 */
	HAUL_MAX,
	HAUL_LAND, /* logical: 0 or 1; all but 0 is true */
	HAUL_LOR,
	HAUL_LXOR,
	HAUL_BAND, /* bitwise; integers only */
	HAUL_BOR,
	HAUL_BXOR,
	/* Elements are struct { TYPE value; int index; }: the least value, of equal ones (as 0.0 and -0.0) the
	 * least index. What is not a number comes after all numbers, for both. */
	HAUL_MINLOC,
	HAUL_MAXLOC,
	HAUL_USER,
};

/* How two elements become one. */
struct haul_operator {
	int operation; /* a HAUL_SUM or another */
	int type;      /* a HAUL_INT8 or another */
	/* For HAUL_USER: */
	size_t size; /* of an element; type is HAUL_BYTES */
	int ordered; /* 1: not commutative, operands stay in the order of ranks. It must be associative anyway */
	/* right[i] = left[i] op right[i], for count elements. Runs in whichever thread makes progress, with the
	 * context's lock held: it must be short, and call nothing of this library. */
	void (*call)(void *arg, const void *left, void *right, size_t count);
	void *arg;
};

/* Counts are of elements. Floating point numbers are added in an order that depends on the size of the group and
 * the count only, and every member gets the same bits. That goes for NaN, too: HAUL_SUM to HAUL_MAX make one NaN
 * of all. */

/* into is the root's only. In place at the root: its contribution is in into. */
int haul_reduce(struct haul_group *g, int root, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms);
int haul_ireduce(struct haul_group *g, int root, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out);

/* In place: into has the contribution. */
int haul_allreduce(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms);
int haul_iallreduce(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out);

/* Everybody contributes size blocks, of counts[i] elements for rank i, and gets its own, reduced. In place: into
 * has all blocks, and the result at its beginning. */
int haul_reduce_scatter(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    const size_t *counts, int timeout_ms);
int haul_ireduce_scatter(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    const size_t *counts, struct haul_req **out);

/* Rank i gets the reduction of ranks 0 to i. In place: into has the contribution. */
int haul_scan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms);
int haul_iscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out);

/* Rank i gets that of ranks 0 to i - 1; into of rank 0 is left alone. */
int haul_exscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms);
int haul_iexscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
