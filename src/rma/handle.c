/* SPDX-License-Identifier: BSD-3-Clause */
/* Handles. See handle.h. */
#include "rma/handle.h"

#include <errno.h>
#include <string.h>

#include "os/reason.h"

_Static_assert(sizeof(struct haul_handle) == WIRE_HANDLE_WORDS * sizeof(uint64_t), "as the protocol has it");
_Static_assert((int)HAUL_REGION_IOVECS == (int)WIRE_HANDLE_RANGES_MOST, "as the protocol has it");

/* Where it lies is the owner's business, but for the sums: no address of the list or of the bytes may wrap. */
int handle_check(const struct haul_handle *hd)
{
	uint64_t ranges = handle_ranges(hd), rights = hd->words[WIRE_HANDLE_RIGHTS], len = handle_len(hd);
	bool well = hd->words[WIRE_HANDLE_FORMAT] == WIRE_HANDLE_IS && handle_cookie(hd) != 0 &&
	    handle_card(hd) != 0 && handle_card(hd) % sizeof(*hd) == 0 && len <= INT64_MAX &&
	    ranges <= WIRE_HANDLE_RANGES_MOST && (ranges > 0) == (len > 0) && rights != 0 &&
	    (rights & ~(uint64_t)(HAUL_READ | HAUL_WRITE)) == 0;
	uint64_t extent = ranges > 1 ? ranges * WIRE_RANGE_SIZE : len;
	if (!well || handle_addr(hd) > UINT64_MAX - extent)
		return reason(-EINVAL, "that is no handle of a region");
	return 0;
}

int handle_allows(const struct haul_handle *hd, unsigned right, uint64_t offset, uint64_t len)
{
	if ((hd->words[WIRE_HANDLE_RIGHTS] & right) == 0)
		return reason(-EACCES, "the region was not exposed for that");
	if (offset > handle_len(hd) || len > handle_len(hd) - offset)
		return reason(-ERANGE, "the region ends before that");
	return 0;
}

int handle_compare(const struct haul_handle *hd, const uint64_t card[WIRE_HANDLE_WORDS])
{
	if (card[WIRE_HANDLE_COOKIE] != handle_cookie(hd))
		return reason(-ESTALE, "the peer has no such region, or no more");
	if (memcmp(card, hd->words, sizeof(hd->words)) != 0)
		return reason(-EINVAL, "the handle is not what the region's owner gave out");
	return 0;
}
