/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What haul run (tools/run.h) and a rank have between them: names, descriptors, notes. Numbers only; nothing here is
 * sent to a peer. A rank finds in its environment:
 *
 *   HAUL_RANK, HAUL_SIZE   which one it is, of how many
 *   HAUL_JOB               the name of the job: 1 to JOB_NAME_MOST letters, digits, '-', '_', '.'
 *   HAUL_LISTEN            a descriptor: a socket that listens at JOB_ADDRESS of this rank, and that no other has. All of
 *                          them listen before the first rank starts, so a connect waits in the backlog for a rank
 *                          that is not that far yet; once the rank has ended it is ECONNREFUSED
 *   HAUL_CONTROL           a descriptor: a SOCK_SEQPACKET socket to haul run, on which each packet is a struct job_note
 *                          and its text
 *   HAUL_CPUS              on how many CPUs all of them run together
 *   HAUL_STATS             1: haul run would like to have a JOB_STATS before the end; else not set
 *
 * Descriptors are inherited across execve(2): who uses one sets close-on-exec. Notes tell of each other rank once, in
 * the order of their ends, and wait in haul run until there is room for them, so a rank may read them late, or never.
 * A rank that closes its end gets none, and nothing else comes of it. Either side ignores kinds that it does not know:
 * the other may be of another version.
 */
#ifndef HAUL_WIRE_JOB_H
#define HAUL_WIRE_JOB_H

#include <stdint.h>

/* For printf(3), of a job and a rank: a name in the abstract namespace of AF_UNIX, with no byte after it. */
#define JOB_ADDRESS "haul-%s-%u"

enum {
	JOB_NAME_MOST = 64,   /* without the 0 at its end */
	JOB_TEXT_MOST = 4096, /* bytes of text with a note */
};

enum job_kind {
	/* haul run to a rank */
	JOB_DEAD = 1, /* .rank was killed, or exited with another status than 0; or it has aborted the job */
	JOB_LEFT = 2, /* .rank exited with 0 */
	/* a rank to haul run, which does not look at .rank */
	JOB_ABORT = 16, /* end the whole job, with .status (its low 8 bits); the text says why, to people */
	JOB_STATS = 17, /* lines "name value\n", names as in struct haul_stats; several notes add up */
};

struct job_note {
	uint32_t kind;
	uint32_t rank;
	int32_t status; /* as a shell would say: 128 + the signal that killed it */
	uint32_t len;   /* bytes of text, which follow, with no 0 at the end */
};

_Static_assert(sizeof(struct job_note) == 16, "without gaps");

#endif
