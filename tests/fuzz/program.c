/* SPDX-License-Identifier: BSD-3-Clause */
/* The program under attack: its requests and messages. See program.h; program_do.c has its operations. */
#include "fuzz/program_req.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

void program_init(struct program *p, struct haul *h)
{
	*p = (struct program){ .haul = h };
	p->adopt = (struct program_req){ .program = p, .finishes = true };
	for (size_t i = 0; i < PROGRAM_REQS; i++)
		p->reqs[i] = (struct program_req){ .program = p, .finishes = i % 2 == 0 };
}

/* ---- requests ---- */

struct program_req *req_place(struct program *p)
{
	for (size_t i = 0; i < PROGRAM_REQS; i++) {
		struct program_req *r = &p->reqs[p->next++ % PROGRAM_REQS];
		if (r->req == NULL && r->memory == NULL)
			return r;
	}
	return NULL;
}

static void keep_message(struct program *p, struct haul_msg *m)
{
	for (size_t i = 0; i < PROGRAM_MSGS; i++) {
		if (p->msgs[i] == NULL) {
			p->msgs[i] = m;
			return;
		}
	}
	claim(haul_msg_done(m) == 0);
}

void req_finish(struct program_req *r)
{
	struct haul_status status;
	int rc = haul_req_finish(r->req, &status);
	if (!r->complete && rc == -EINPROGRESS)
		return;
	r->req = NULL;
	r->complete = false;
	claim(rc <= 0 && rc >= -4095 && status.error == rc);
	claim(!r->receives || (status.got <= r->room && status.got <= status.len));
	if (status.msg != NULL)
		keep_message(r->program, status.msg);
	if (r == &r->program->adopt)
		r->program->peer = status.peer;
	free(r->memory);
	r->memory = NULL;
}

/* Half of them are finished right here, the others when the input says so, or by haul_close(). */
static void told(struct haul_req *req, void *arg)
{
	struct program_req *r = arg;
	claim(r->req == req && !r->complete);
	r->complete = true;
	if (r->finishes) {
		req_finish(r);
		return;
	}
	free(r->memory);
	r->memory = NULL;
}

void req_free(struct program_req *r)
{
	struct program *p = r->program;
	if (r->memory != NULL && p->orphan_count == PROGRAM_ORPHANS)
		return;
	haul_req_free(r->req);
	if (r->memory != NULL)
		p->orphans[p->orphan_count++] = r->memory;
	r->req = NULL;
	r->memory = NULL;
	r->complete = false;
}

void req_started(struct program_req *r, int rc, struct haul_req *req, bool receives)
{
	if (rc != 0) {
		free(r->memory);
		r->memory = NULL;
		return;
	}
	r->req = req;
	r->receives = receives;
	r->complete = false;
	claim(haul_req_notify(req, &(struct haul_notify){ .call = told, .arg = r }) == 0);
}

void program_adopt(struct program *p, int fd)
{
	struct haul_req *req = NULL;
	program_close_peer(p);
	claim(p->peer == NULL); /* the evil one has hung up, which ends what it was granted */
	int rc = haul_iadopt(p->haul, fd, &req);
	claim(rc == 0);
	req_started(&p->adopt, rc, req, false);
}

void program_close_peer(struct program *p)
{
	int rc = p->peer != NULL ? haul_peer_close(p->peer, 0) : 0;
	claim(rc == 0 || rc == -ETIMEDOUT || rc == -EBUSY);
	if (rc == -EBUSY) /* it may still write into a receive */
		return;
	p->peer = NULL;
	if (p->adopt.req != NULL)
		req_free(&p->adopt);
}

void program_cancel_all(struct program *p)
{
	for (size_t i = 0; i < PROGRAM_REQS; i++)
		if (p->reqs[i].req != NULL)
			haul_req_cancel(p->reqs[i].req);
}

size_t program_memory(const struct program *p)
{
	size_t sum = 0;
	for (size_t i = 0; i < PROGRAM_REQS; i++)
		sum += malloc_usable_size(p->reqs[i].memory);
	for (size_t i = 0; i < p->orphan_count; i++)
		sum += malloc_usable_size(p->orphans[i]);
	return sum;
}

void program_fini(struct program *p)
{
	for (size_t i = 0; i < PROGRAM_REQS; i++) {
		struct program_req *r = &p->reqs[i];
		claim(r->req == NULL || r->complete);
		claim(r->memory == NULL);
	}
	claim(p->adopt.req == NULL);
	for (size_t i = 0; i < p->orphan_count; i++)
		free(p->orphans[i]);
}
