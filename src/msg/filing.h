/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Filing: the long queues of a match (match.h) kept in bins as well (bins.h), so that nobody walks them. Says
 * which bins a receive and a message belong in, and which to look in for either. The queues themselves and
 * the decision to file one are match.c's, which alone calls this.
 */
#ifndef HAUL_MSG_FILING_H
#define HAUL_MSG_FILING_H

#include <stdbool.h>

#include "msg/match.h"

void filing_init(struct match *m);
void filing_fini(struct match *m);

/* Files the whole queue, which is not empty; false without memory. It stays filed, as long as the ones below
 * are told of all that comes and goes, until hardly any is left. */
bool filing_start_recvs(struct match *m);
bool filing_start_items(struct match *m);

/* These want a filed queue: m->recvs_filed, m->items_filed. */
void filing_add_recv(struct match *m, struct match_recv *r);
void filing_add_item(struct match *m, struct match_item *i);
void filing_remove_recv(struct match *m, struct match_recv *r);
void filing_remove_item(struct match *m, struct match_item *i);
/* The first posted that wants the message, or NULL. */
struct match_recv *filing_find_recv(const struct match *m, const struct match_item *i);
/* The first arrived that is wanted, or NULL. Wants a source or a whole tag to go by. */
struct match_item *filing_find_item(const struct match *m, const struct match_want *w);

#endif
