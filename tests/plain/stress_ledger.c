/* SPDX-License-Identifier: BSD-3-Clause */
/* The ledger's memory. See stress_ledger.h. */
#include "stress_ledger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct ledger *ledger;

static void *map(size_t size)
{
	void *at =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		fail("mmap of %zu bytes: %s", size, strerror(errno));
	return at;
}

static size_t messages_size(const struct ledger *l)
{
	return (size_t)l->config.nodes * l->config.nodes * l->config.lanes * l->sent_most *
	    sizeof(struct sent);
}

static size_t wants_size(const struct ledger *l)
{
	return (size_t)l->config.nodes * l->config.lanes * l->wants_most * sizeof(struct want);
}

/* Room for the worst; what is not used costs nothing. */
void ledger_open(const struct config *c)
{
	uint64_t each = c->ops / (c->nodes * c->lanes);
	ledger = map(sizeof(*ledger));
	ledger->config = *c;
	ledger->sent_most = (uint32_t)(each + each / 2 + 1000);
	ledger->wants_most = (uint32_t)(each * 4 + 100000);
	ledger->messages = map(messages_size(ledger));
	ledger->wanted = map(wants_size(ledger));
}

void ledger_close(void)
{
	munmap(ledger->messages, messages_size(ledger));
	munmap(ledger->wanted, wants_size(ledger));
	munmap(ledger, sizeof(*ledger));
	ledger = NULL;
}

struct sent *ledger_sent(unsigned from, unsigned to, unsigned lane, uint32_t number)
{
	const struct config *c = &ledger->config;
	if (number >= ledger->sent_most)
		fail("no room for message %u in the ledger", number);
	return &ledger->messages[(((size_t)from * c->nodes + to) * c->lanes + lane) * ledger->sent_most +
	    number];
}

struct want *ledger_want(unsigned node, unsigned lane, uint32_t number)
{
	if (number >= ledger->wants_most)
		fail("no room for receive %u in the ledger", number);
	return &ledger->wanted[((size_t)node * ledger->config.lanes + lane) * ledger->wants_most + number];
}

void ledger_begin(struct sent *s, unsigned flags)
{
	s->flags = (uint8_t)flags;
	atomic_store(&s->state, SENT_UNDER_WAY);
}

void ledger_end(struct sent *s, int outcome, bool unknown)
{
	atomic_store(&s->outcome, outcome);
	atomic_store(&s->unknown, unknown);
	atomic_store(&s->state, SENT_ENDED);
}
