/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake, the same on both sides at once; nobody waits for the other to speak first.
 *
 *     us                                   them
 *     HELLO(our challenge)      -->
 *                               <--        HELLO(their challenge)
 *     their challenge's answer is in our memory, and they may read it (ptracer.h)
 *     GRANTED(where)            -->
 *                               <--        GRANTED(where)
 *     we read the answer to ours there
 *     VERDICT(could we)         -->
 *                               <--        VERDICT(could they)
 *     READY                     -->
 *                               <--        READY
 *
 * Each frame is sent on the arrival of its predecessor from the other side, so four frames each way are two
 * round trips. The answer stays as long as the link: it is by that word that the peer sees, whenever it reads our
 * memory, that it still is ours. The engine gives each handshake a deadline; a peer that is silent, slow or lying
 * costs that, and nothing else.
 */
#include <errno.h>
#include <string.h>

#include <bsd/string.h>

#include "link/identity.h"
#include "link/link.h"
#include "link/ptracer.h"
#include "link/transport.h"
#include "os/sock.h"

_Static_assert((int)WIRE_WORDS_LONGEST < (int)LINK_WORDS, "what is told can be shown");

void handshake_hello(struct link *l, const struct wire_hello *hello)
{
	if (hello->version_min > WIRE_VERSION_MAX || hello->version_max < WIRE_VERSION_MIN) {
		link_fail(l, -EPROTONOSUPPORT, "the peer speaks versions %u to %u, this library %u to %u",
		    hello->version_min, hello->version_max, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
		return;
	}
	l->theirs = *hello;
	credit_out_init(&l->out_bytes, hello->credit_bytes, WIRE_CREDIT_MOST);
	credit_out_init(&l->out_descs, hello->credit_descs, WIRE_WINDOW_MOST);
	ptracer_allow(l);
	atomic_store_explicit(l->answer, hello->challenge, memory_order_release);
	link_move(l, LINK_GRANTED);
	struct wire_frame f = { .type = WIRE_GRANTED, .granted.addr = (uintptr_t)l->answer };
	link_put(l, &f);
}

void handshake_verdict(const struct link *l, struct wire_frame *frame)
{
	*frame = (struct wire_frame){ .type = WIRE_VERDICT,
		.verdict = { .error = (uint32_t)l->in.error,
		    .words = l->in.words,
		    .words_len = strnlen(l->in.words, WIRE_WORDS_LONGEST) } };
}

static void granted(struct link *l, const struct wire_frame *frame)
{
	struct wire_frame f;
	identity_probe(l, frame->granted.addr);
	if (l->state == LINK_DOWN)
		return;
	link_move(l, LINK_VERDICT);
	handshake_verdict(l, &f);
	link_put(l, &f);
}

/* The peer's words go into logs and terminals: nothing but printable ASCII is kept. */
static void copy_words(char to[LINK_WORDS], const char *from, size_t len)
{
	size_t n = len < LINK_WORDS - 1 ? len : LINK_WORDS - 1;
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[n] = '\0';
}

static void learn_verdict(struct link *l, const struct wire_frame *frame)
{
	l->out.error = frame->verdict.error <= 4095 ? (int)frame->verdict.error : EPROTO;
	copy_words(l->out.words, frame->verdict.words, frame->verdict.words_len);
}

/* It is never taken back, and can't get worse. */
enum link_event handshake_verdict_again(struct link *l, const struct wire_frame *frame)
{
	if (frame->verdict.error == 0 || l->out.error != 0) {
		link_fail(l, -EPROTO, "the peer sent a verdict that says nothing new");
		return LINK_FAILED;
	}
	learn_verdict(l, frame);
	return LINK_DEMOTED;
}

static void verdict(struct link *l, const struct wire_frame *frame)
{
	learn_verdict(l, frame);
	link_move(l, LINK_READY);
	transport_offer(l);
	struct wire_frame f = { .type = WIRE_READY };
	link_put(l, &f);
}

static void rejected(struct link *l, const struct wire_frame *frame)
{
	uint32_t error = frame->reject.error;
	if (error == EPIPE)
		link_fail(l, -EPIPE, "the peer is leaving");
	else
		link_fail(l, error == EACCES ? -EACCES : -EPROTO, "the peer refused: %s",
		    strerror(error == EACCES ? EACCES : EPROTO));
}

enum link_event handshake_frame(struct link *l, const struct wire_frame *frame)
{
	if (frame->type == WIRE_REJECT) {
		rejected(l, frame);
	} else if (frame->type == WIRE_GRANTED && l->state == LINK_GRANTED) {
		granted(l, frame);
	} else if (frame->type == WIRE_VERDICT && l->state == LINK_VERDICT) {
		verdict(l, frame);
	} else if (frame->type == WIRE_OUTBOX && l->state == LINK_READY) {
		if (!transport_accept(l, frame))
			link_fail(l, -EPROTO, "the peer sent OUTBOX out of place");
	} else if (frame->type == WIRE_READY && l->state == LINK_READY) {
		sock_stop_creds(l->fd);
		sock_set_patience(l->fd, LINK_DOZE_MS);
		transport_begin(l);
		if (l->state == LINK_DOWN)
			return LINK_FAILED;
		link_move(l, LINK_OPEN);
		return LINK_UP;
	} else {
		link_fail(l, -EPROTO, "the peer sent %s out of its turn", wire_type_name(frame->type));
	}
	return l->state == LINK_DOWN ? LINK_FAILED : LINK_NOTHING;
}
