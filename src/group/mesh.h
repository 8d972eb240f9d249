/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mesh: connections of this process to the other members of the group of all, made when they are first needed, and
 * what is known of each member's end. One for each context that has groups, which share it.
 *
 *     reached   a member is sent something: we connect to its address, and say who we are (HELLO); messages to it
 *               queue behind that until the handshake has ended
 *     met       a member has connected to us, and said who it is
 *     ended     its last connection has ended; or it has none, and the launcher or its address says so. What it sent before
 *               may still be in a connection that is to be met; so those are first
 *
 * Should two connect to each other at once, the lower rank's connection is the one: the higher rank sends nothing
 * on its own but HELLO before it is answered (ANSWER), and moves what is queued there to the other's, if it is too
 * late. A member sends on one connection only, from the first message on, so that their order is kept.
 *
 * Who tells of a death: the end of a connection; for members without one the launcher (control.c), or the next attempt
 * to connect. Then all receives that hope for something of it end, and with them the collectives that need it.
 *
 * links.c makes connections, ends.c hears of their ends, notes.c of what members say of collectives; each by errands
 * (errand.h).
 */
#ifndef HAUL_GROUP_MESH_H
#define HAUL_GROUP_MESH_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "group/control.h"
#include "msg/context.h"
#include "msg/request.h"

enum {
	MEMBERS_MOST = 1 << 20, /* see runner.c for the tag of a collective's messages */
	MESH_RETRY_MS = 2,      /* what lacked memory is tried again then */
};

/*
 * Channels: of a group's messages, and (+ 1) of its collectives'. Group 0 is the mesh itself. Of a message the tag's
 * upper half is the source's rank in the group.
 */

static inline uint32_t channel_of(uint32_t number)
{
	return WIRE_CHANNEL_GROUPS | number << 1;
}

/* What members tell each other of a collective; rank is that of the teller in the group of all. */
enum note_kind {
	NOTE_FAILED = 1, /* it has failed here; value: with what */
	NOTE_ASK = 2,    /* I have been waiting for you; value: my check of the arguments. See inquiry.h */
	NOTE_OVER = 3,   /* the answer, where it is not "just wait"; value: OVER_* */
};

struct note {
	uint32_t group, seq, kind, rank, value;
};

enum {
	OVER_SENDS = 1, /* nothing comes any more from who says this, but what has been sent */
	OVER_RECVS = 2, /* it will receive nothing more, but what it has received */
	OVER_LEFT = 4,  /* with both: it has freed the group */
};

struct member {
	struct haul_peer *peer; /* to whom we send; NULL: not reached */
	bool crossed;           /* ... who has told us to wait for its own connection instead */
	unsigned links;         /* connections, those under handshake included */
	int last;  /* how the connection in use has ended: of those that never were nothing follows */
	int going; /* it has ended, as far as we know; but there may be a connection that was not met yet */
	uint64_t going_by; /* the launcher has so long to say how */
	int error;         /* it has ended: -ECONNRESET, or -EPIPE if that was its own will */
};

static inline void member_forget(struct member *who, const struct haul_peer *p)
{
	if (who->peer == p)
		who->peer = NULL;
}

TAILQ_HEAD(errand_list, errand);
TAILQ_HEAD(group_list, haul_group);
TAILQ_HEAD(run_list, run);
SLIST_HEAD(failure_list, failure);
SLIST_HEAD(claim_list, claim);

struct mesh {
	struct haul *haul;
	int rank, size;
	struct member *members;
	char job[JOB_NAME_MOST + 1];    /* "": members are at these addresses */
	char **addresses;               /* NULL: at the names that the launcher gives */
	struct haul_listener *listener; /* NULL: alone */
	bool accepting;                 /* ... and there is an ACCEPT */
	struct timer accept_again;      /* after a shortage of memory */
	struct timer hear_again;
	struct control control;
	bool troubled;              /* some member has ended */
	bool going;                 /* some may have: see ends.c */
	unsigned meeting;           /* connections that have not said whose they are */
	uint64_t met_by;            /* ... by then they have to; 0: any time */
	struct timer patience;      /* until then */
	struct errand_list errands; /* under way */
	struct errand_list done;    /* to be looked at */
	struct errand_list retired; /* connections that have ended, but may still be needed */
	struct group_list groups;
	int cpus;                     /* on which all members run, as each of them sees it */
	uint32_t numbers;             /* of groups: those below may be in use, or were */
	struct claim_list claims;     /* numbers for groups that are being made, see split.c */
	struct run_list due;          /* collectives that can go on */
	struct failure_list failures; /* of collectives that have not begun here */
	unsigned failure_count;
	struct timer inquiry; /* see inquiry.c */
	int inquiry_ms;
	bool closing; /* nobody new is met, nothing new is heard */
};

/* Where the members are. */
struct mesh_place {
	int rank, size;
	const char *listen; /* address at which this one listens; NULL: nobody connects */
	char own[32];       /* which may be written here */
	const char *job;    /* NULL: at these addresses */
	const char *const *addresses;
	int control; /* the launcher's descriptor, which becomes the mesh's; -1: none */
};

extern const struct above_ops mesh_ops;

/* The context's; NULL: it has none. */
static inline struct mesh *mesh_of(const struct haul *h)
{
	return h->above[ABOVE_GROUPS].what;
}

/* Makes the context's; -EBUSY if it has one. */
int mesh_open(struct haul *h, const struct mesh_place *place);
/* Says goodbye, waits up to linger for that, and ends all that the mesh has, and its groups, in which nothing is
 * under way. */
int mesh_close(struct haul *h, int linger_ms);

#endif
