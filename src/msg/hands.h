/* SPDX-License-Identifier: BSD-3-Clause */
/* What both sides of a copy with two hands hold to: twohand.c, assist.c. */
#ifndef HAUL_MSG_HANDS_H
#define HAUL_MSG_HANDS_H

#include <stdint.h>

enum {
	HANDS_LEAST = 256 << 10, /* a message that is shorter is pulled alone */
	HANDS_ALIGN = 4096,      /* chunks begin at multiples of it, where the message's first byte does */
};

/* How much of what lies between the two hands one of them claims at a time. Much at first, because each claim is a
 * system call or two more; less when they come near each other, because one of them will wait for the other's last
 * chunk. What is too short for that is halved. Nobody counts on the other to do the same. */
static inline uint64_t hands_share(uint64_t between)
{
	const uint64_t least = HANDS_LEAST, most = 1 << 20;
	uint64_t share = between / 4, half = between / 2 + HANDS_ALIGN - 1;
	if (between >= least && between < 2 * least)
		return half - half % HANDS_ALIGN;
	share -= share % HANDS_ALIGN;
	return share < least ? least : share > most ? most : share;
}

#endif
