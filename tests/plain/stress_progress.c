/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that make progress, wait for what is certain to come, or just look. Who waits without end waits for higher
 * nodes only, which wait for none lower: so there is always one that goes on.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "stress_lane.h"

void call_progress(struct lane *l)
{
	l->ops++;
	int rc = haul_progress(l->node->haul);
	if (rc < 0)
		fail("haul_progress: %s", strerror(-rc));
}

/* Something to higher nodes will certainly end: they wait for none lower. */
static struct job *certain(struct lane *l)
{
	for (size_t i = 0; i < JOBS; i++)
		if (l->jobs[i].kind == JOB_SEND && l->jobs[i].sending.to > l->node->index)
			return &l->jobs[i];
	return NULL;
}

void call_wait_certain(struct lane *l)
{
	struct job *j = certain(l);
	if (j == NULL)
		return;
	l->ops++;
	int rc = haul_req_wait(j->req, -1);
	if (rc != 0)
		fail("haul_req_wait: %s", strerror(-rc));
	job_end(l, j);
}

/* As an event loop does: progress, look, arm, sleep. The descriptor belongs to one thread. */
void call_arm(struct lane *l)
{
	struct haul *h = l->node->haul;
	struct job *j = certain(l);
	struct pollfd p = { .fd = haul_fd(h), .events = POLLIN };
	if (p.fd < 0)
		fail("haul_fd: %s", strerror(-p.fd));
	int rc;
	do {
		while ((rc = haul_progress(h)) > 0)
			;
		if (rc < 0)
			fail("haul_progress: %s", strerror(-rc));
		if (j == NULL || j->kind == JOB_NONE)
			return;
		if (haul_wait_any(&j->req, 1, 0) == 0) {
			job_end(l, j);
			return;
		}
		rc = haul_arm(h);
		l->ops++;
		if (rc != 0 && rc != -EAGAIN)
			fail("haul_arm: %s", strerror(-rc));
	} while (rc != 0 || poll(&p, 1, ledger->config.patience_s * 1000) != 0);
	fail("the descriptor stayed silent");
}

void call_peer_cancel(struct lane *l)
{
	unsigned to = (unsigned)below(l, ledger->config.nodes);
	if (l->node->peers[to] == NULL)
		return;
	atomic_store(&ledger->peer_canceled[l->node->index][to], true);
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &l->jobs[i];
		if ((j->kind == JOB_RECV || j->kind == JOB_TAKE) &&
		    j->wanting.match.from == l->node->peers[to])
			wanting_ask(l, &j->wanting);
	}
	l->ops++;
	int rc = haul_peer_cancel(l->node->peers[to]);
	if (rc < 0)
		fail("haul_peer_cancel: %s", strerror(-rc));
}

/* What looks only. */
void call_look(struct lane *l)
{
	struct haul_stats stats;
	struct haul_peer_info info;
	l->ops++;
	unsigned i = (unsigned)below(l, ledger->config.nodes);
	if (haul_stats(l->node->haul, &stats, sizeof(stats)) != 0)
		fail("haul_stats: %s", haul_reason());
	if (l->node->peers[i] == NULL)
		return;
	if (haul_peer_info(l->node->peers[i], &info, sizeof(info)) != 0 ||
	    haul_peer_stats(l->node->peers[i], &stats, sizeof(stats)) != 0)
		fail("haul_peer_info: %s", haul_reason());
	if (!info.alive && !killed(i))
		fail("node %u is said not to live", i);
}
