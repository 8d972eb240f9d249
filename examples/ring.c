/* SPDX-License-Identifier: BSD-3-Clause */
/* A token goes round: each rank adds one to what comes from the left, and sends it on to the right. */
#include "ranks.h"

enum { TAG_TOKEN = 1, ROUNDS = 1000 };

int main(void)
{
	long token = 0;
	begin();
	int left = (rank + size - 1) % size, right = (rank + 1) % size;
	struct haul_group_match from_left = { .from = left, .tag = TAG_TOKEN };
	for (int i = 0; i < ROUNDS; i++) {
		if (rank != 0) {
			must(haul_group_recv(world, &from_left, &token, sizeof(token), PATIENCE_MS, NULL));
			token++;
		}
		must(haul_group_send(world, right, TAG_TOKEN, &token, sizeof(token), PATIENCE_MS));
		if (rank == 0) {
			must(haul_group_recv(world, &from_left, &token, sizeof(token), PATIENCE_MS, NULL));
			token++;
		}
	}
	if (rank == 0)
		printf("%d rounds of %d ranks: the token is %ld\n", ROUNDS, size, token);
	end();
	return rank == 0 && token != (long)ROUNDS * size;
}
