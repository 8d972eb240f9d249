/* SPDX-License-Identifier: BSD-3-Clause */
/* pi, as the integral of 4 / (1 + x^2) from 0 to 1: each rank adds up its strips, and a reduction the ranks' sums. */
#include "ranks.h"

#include <math.h>

enum { STRIPS = 10000000 };

int main(void)
{
	const struct haul_operator sum = { .operation = HAUL_SUM, .type = HAUL_DOUBLE };
	const double known = 3.14159265358979323846;
	double mine = 0, pi = 0;
	begin();
	for (int i = rank; i < STRIPS; i += size) {
		double x = (i + 0.5) / STRIPS;
		mine += 4 / (1 + x * x) / STRIPS;
	}
	must(haul_reduce(world, 0, &sum, &mine, &pi, 1, PATIENCE_MS));
	if (rank == 0)
		printf("pi is about %.12f, %.1e off\n", pi, fabs(pi - known));
	end();
	return rank == 0 && fabs(pi - known) > 1e-9;
}
