/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A listener: connections come in, are verified, and wait to be accepted. Their number, verified or not, is
 * bounded, by the option `handshakes` or the crowd that is expected; beyond it they wait in the kernel's backlog.
 */
#ifndef HAUL_MSG_LISTENER_H
#define HAUL_MSG_LISTENER_H

#include "engine/engine.h"
#include "haul/haul.h"
#include "link/address.h"
#include "msg/context.h"

struct haul_listener {
	struct haul *haul;
	TAILQ_ENTRY(haul_listener) entry; /* in haul.listeners */
	struct listening listening;
	struct source source;
	struct timer retry;     /* after a shortage of descriptors */
	struct peer_list ready; /* verified, by haul_peer.ready */
	unsigned waiting, most; /* peers that came by here and were not accepted yet; no more than so many */
	int error;              /* of the last attempt to take a connection, reported once */
	struct request_list accepts; /* that wait for one, while none is ready */
	bool patient;                /* handshakes have no deadline as long as there are fewer than `most` */
	bool given;                  /* its socket may be others' as well */
	bool dismissed;              /* nobody is taken from its socket any more */
};

/* haul_listen() and haul_iaccept(), with the lock held. A crowd: so many may connect, and take any time to say who they
 * are, and so may we to hear it; should there be more, they have handshake_ms. 0: they always have. */
int listener_new(struct haul *h, const char *address, unsigned crowd, struct haul_listener **out);
int listener_accept_start(struct haul_listener *l, struct haul_req **out);
/* Whether there are connections that were not accepted yet, in the kernel's backlog or here. */
bool listener_is_busy(const struct haul_listener *l);
void listener_free(struct haul_listener *l);
/* Before that, of one who leaves: whoever has connected and was not accepted hears goodbye; who connects later can't. But of
 * a socket that may be others' as well nobody is taken. */
void listener_dismiss(struct haul_listener *l);
/* Whether all of them have; else it is only that their handshake is about to end. */
bool listener_is_quiet(const struct haul_listener *l);

/* An accept gives up. */
void listener_accept_abort(struct haul_req *r, int error);

/* From a peer that came by a listener: its handshake ended well; or it is no more. */
void listener_ready(struct haul_listener *l, struct haul_peer *p);
void listener_lost(struct haul_listener *l, struct haul_peer *p);

#endif
