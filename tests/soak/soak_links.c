/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node's connections: of each two nodes one connects, and again when the connection has ended; the other accepts.
 * A connection may only end if the other node was about to be killed, or to leave.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "soak_node.h"

/* Half of them listen in the abstract namespace, the others at a socket file, which a killed one leaves behind. */
static const char *address_of(unsigned node, char *text, size_t size)
{
	if (node % 2 == 0)
		snprintf(text, size, "@haul-soak-%d-%u", (int)board->controller, node);
	else
		snprintf(text, size, "%s/%u", board->directory, node);
	return text;
}

static bool connects(const struct node *n, unsigned other)
{
	unsigned low = n->index < other ? n->index : other, high = n->index < other ? other : n->index;
	return n->index == ((low + high) % 2 == 1 ? low : high);
}

bool may_break(const struct node *n, unsigned node, uint32_t term)
{
	return n->leaving || term % 2 == 1 || board->nodes[node].term != term;
}

struct link *link_pick(struct node *n)
{
	size_t start = below(n, LINKS);
	for (size_t i = 0; i < LINKS; i++)
		if (n->links[(start + i) % LINKS].peer != NULL)
			return &n->links[(start + i) % LINKS];
	return NULL;
}

struct link *link_by_serial(struct node *n, uint32_t serial)
{
	for (size_t i = 0; i < LINKS; i++)
		if (n->links[i].peer != NULL && n->links[i].serial == serial)
			return &n->links[i];
	return NULL;
}

static void link_new(struct node *n, struct haul_peer *p)
{
	struct haul_peer_info info;
	struct link *l = n->links;
	uint32_t terms[NODES];
	unsigned node = 0;
	for (unsigned i = 0; i < NODES; i++)
		terms[i] = board->nodes[i].term;
	if (haul_peer_info(p, &info, sizeof(info)) != 0)
		fail("haul_peer_info: %s", haul_reason());
	while (node < NODES && board->nodes[node].pid != info.pid)
		node++;
	while (l < n->links + LINKS && l->peer != NULL)
		l++;
	if (node == NODES || l == n->links + LINKS) { /* it has died since */
		haul_peer_close(p, 0);
		return;
	}
	*l = (struct link){ .peer = p, .node = node, .term = terms[node], .born = n->own_ms };
	l->serial = (atomic_fetch_add(&board->connections, 1) + 1) & 0xffffff;
	haul_peer_set_user(p, l);
	int rc = haul_peer_watch(p, &l->watch);
	if (rc != 0)
		fail("haul_peer_watch: %s", strerror(-rc));
}

static void link_tend(struct node *n, struct link *l)
{
	enum { SETTLED_MS = 1000 };
	int rc = haul_req_test(l->watch);
	if (rc == -EINPROGRESS) {
		/* It began in a term that was about to begin. */
		if (l->term % 2 == 1 && n->own_ms - l->born > SETTLED_MS &&
		    board->nodes[l->node].term == l->term + 1)
			l->term++;
		return;
	}
	rc = haul_req_finish(l->watch, NULL);
	l->watch = NULL;
	if ((rc != 0 && rc != -ECONNRESET) || !may_break(n, l->node, l->term))
		fail("the connection with node %u ended: %s", l->node, rc == 0 ? "well" : strerror(-rc));
	struct haul_peer *p = l->peer;
	l->peer = NULL;
	haul_peer_close(p, chance(n, 2) ? 0 : 50);
}

/* ---- connecting ---- */

static bool is_linked(const struct node *n, unsigned node)
{
	for (size_t i = 0; i < LINKS; i++)
		if (n->links[i].peer != NULL && n->links[i].node == node)
			return true;
	return false;
}

static bool finish(struct node *n, struct haul_req **req)
{
	struct haul_status s;
	if (haul_req_test(*req) == -EINPROGRESS)
		return false;
	int rc = haul_req_finish(*req, &s);
	*req = NULL;
	if (rc == 0)
		link_new(n, s.peer);
	else if (rc == -EPROTO || rc == -EPROTONOSUPPORT || rc == -EACCES || rc == -EMFILE || rc == -ENOMEM)
		fail("no connection: %s (%s)", strerror(-rc), haul_reason());
	return true;
}

static void connect_to(struct node *n, unsigned node)
{
	char address[128];
	if (n->connect[node] != NULL) {
		if (finish(n, &n->connect[node]))
			n->connect_at[node] = n->own_ms + 10 + (int64_t)below(n, 200);
		return;
	}
	if (is_linked(n, node) || n->own_ms < n->connect_at[node])
		return;
	if (haul_iconnect(n->haul, address_of(node, address, sizeof(address)), &n->connect[node]) != 0) {
		n->connect[node] = NULL;
		n->connect_at[node] = n->own_ms + 10 + (int64_t)below(n, 200);
	}
}

void links_open(struct node *n)
{
	char address[128];
	doing("haul_listen");
	int rc = haul_listen(n->haul, address_of(n->index, address, sizeof(address)), &n->listener);
	if (rc != 0)
		fail("haul_listen: %s", haul_reason());
}

void links_tend(struct node *n)
{
	doing("haul_iaccept");
	if (n->accept == NULL && haul_iaccept(n->listener, &n->accept) != 0)
		fail("haul_iaccept: %s", haul_reason());
	finish(n, &n->accept);
	doing("haul_iconnect");
	for (unsigned i = 0; i < NODES; i++)
		if (i != n->index && connects(n, i))
			connect_to(n, i);
	doing("haul_peer_close");
	for (size_t i = 0; i < LINKS; i++)
		if (n->links[i].peer != NULL)
			link_tend(n, &n->links[i]);
}

/* The context, which frees all of it, was closed. */
void links_close(struct node *n)
{
	memset(n->links, 0, sizeof(n->links));
	memset(n->connect, 0, sizeof(n->connect));
	memset(n->connect_at, 0, sizeof(n->connect_at));
	n->listener = NULL;
	n->accept = NULL;
}
