/* SPDX-License-Identifier: BSD-3-Clause */
/* UCX, by tagged messages of UCP, with the transports that it chooses. To sleep it waits for its worker's events. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <ucp/api/ucp.h>

static ucp_context_h context;
static ucp_worker_h worker;
static ucp_ep_h peer;
static ucs_status_ptr_t reqs[WINDOW_MOST];
static const ucp_request_param_t plain;

static void must(ucs_status_t status, const char *call)
{
	if (status != UCS_OK)
		errx(1, "%s: %s", call, ucs_status_string(status));
}

static void swap(struct end *e, const void *mine, void *theirs, size_t len)
{
	if (send(e->tx, mine, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    recv(e->rx, theirs, len, MSG_WAITALL) != (ssize_t)len)
		errx(1, "the other process is gone");
}

static void open_endpoint(struct end *e)
{
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES,
		.features = UCP_FEATURE_TAG | (e->spin ? 0 : UCP_FEATURE_WAKEUP) };
	ucp_worker_params_t worker_params = { .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
		.thread_mode = UCS_THREAD_MODE_SINGLE };
	ucp_address_t *mine;
	size_t len, their_len;

	must(ucp_init(&params, NULL, &context), "ucp_init");
	must(ucp_worker_create(context, &worker_params, &worker), "ucp_worker_create");
	must(ucp_worker_get_address(worker, &mine, &len), "ucp_worker_get_address");
	swap(e, &len, &their_len, sizeof(len));
	void *theirs = malloc(their_len);
	if (theirs == NULL || send(e->tx, mine, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    recv(e->rx, theirs, their_len, MSG_WAITALL) != (ssize_t)their_len)
		errx(1, "the other process is gone");
	ucp_ep_params_t ep_params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS, .address = theirs };
	must(ucp_ep_create(worker, &ep_params, &peer), "ucp_ep_create");
	ucp_worker_release_address(worker, mine);
	free(theirs);
}

static void finish(struct end *e, ucs_status_ptr_t r)
{
	if (r == NULL)
		return;
	if (UCS_PTR_IS_ERR(r))
		must(UCS_PTR_STATUS(r), "ucp_tag_send_nbx, ucp_tag_recv_nbx");
	while (ucp_request_check_status(r) == UCS_INPROGRESS)
		if (ucp_worker_progress(worker) == 0 && !e->spin)
			must(ucp_worker_wait(worker), "ucp_worker_wait");
	must(ucp_request_check_status(r), "ucp_request_check_status");
	ucp_request_free(r);
}

static void isend(struct end *e, unsigned slot, void *buf, size_t len)
{
	(void)e;
	reqs[slot] = ucp_tag_send_nbx(peer, buf, len, 0, &plain);
}

static void irecv(struct end *e, unsigned slot, void *buf, size_t len)
{
	(void)e;
	reqs[slot] = ucp_tag_recv_nbx(worker, buf, len, 0, 0, &plain);
}

static void wait_slot(struct end *e, unsigned slot)
{
	finish(e, reqs[slot]);
}

static void send_one(struct end *e, void *buf, size_t len)
{
	finish(e, ucp_tag_send_nbx(peer, buf, len, 0, &plain));
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	finish(e, ucp_tag_recv_nbx(worker, buf, len, 0, 0, &plain));
}

/* Neither leaves before both have all. */
static void close_endpoint(struct end *e)
{
	char bye = 0;
	finish(e, ucp_worker_flush_nbx(worker, &plain));
	swap(e, &bye, &bye, 1);
	finish(e, ucp_ep_close_nbx(peer, &plain));
	ucp_worker_destroy(worker);
	ucp_cleanup(context);
}

static const struct contender way_ucx = {
	.name = "ucx",
	.setup = setup_socketpair,
	.open = open_endpoint,
	.send = send_one,
	.recv = recv_one,
	.isend = isend,
	.irecv = irecv,
	.wait = wait_slot,
	.close = close_endpoint,
};

const struct contender *const contenders[] = { &way_ucx, NULL };
