/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An implementation of MPI, started by its own launcher with 2 ranks. It waits by polling, whatever it is told.
 *
 *     mpirun -n 2 via_mpi --contender mpi ...
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <mpi.h>

/* An error ends all, which is MPI's default. */

static MPI_Request reqs[WINDOW_MOST];

static void send_one(struct end *e, void *buf, size_t len)
{
	MPI_Send(buf, (int)len, MPI_BYTE, 1 - e->rank, 0, MPI_COMM_WORLD);
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	MPI_Recv(buf, (int)len, MPI_BYTE, 1 - e->rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void isend(struct end *e, unsigned slot, void *buf, size_t len)
{
	MPI_Isend(buf, (int)len, MPI_BYTE, 1 - e->rank, 0, MPI_COMM_WORLD, &reqs[slot]);
}

static void irecv(struct end *e, unsigned slot, void *buf, size_t len)
{
	MPI_Irecv(buf, (int)len, MPI_BYTE, 1 - e->rank, 0, MPI_COMM_WORLD, &reqs[slot]);
}

static void wait_slot(struct end *e, unsigned slot)
{
	(void)e;
	MPI_Wait(&reqs[slot], MPI_STATUS_IGNORE);
}

static const struct contender way_mpi = {
	.name = "mpi",
	.no_sleep = "waits by polling only",
	.send = send_one,
	.recv = recv_one,
	.isend = isend,
	.irecv = irecv,
	.wait = wait_slot,
};

const struct contender *const contenders[] = { &way_mpi, NULL };

int main(int argc, char **argv)
{
	struct options o;
	struct end e = { .rx = -1, .tx = -1 };
	const struct contender *c = options_parse(&o, &e.spin, argc, argv);

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &e.rank);
	bind_to_cpu(&o, e.rank);
	jobs_run(c, &e, &o);
	MPI_Finalize();
	return 0;
}
