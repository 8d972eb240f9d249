/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The heat equation on a square plate whose left edge is hot: each rank has some rows of it, and in each step exchanges
 * its outermost ones, the halo, with its neighbours, while it works on the rows within.
 *
 *     haul run -n 4 heat2d [width [steps [picture.png]]]
 *
 * Rank 0 gathers the plate, solves the same serially, compares every bit, and draws the picture.
 */
#include "ranks.h"

#include <png.h>

enum { TAG_UP = 1, TAG_DOWN = 2 };

static int width = 512, steps = 500;

struct plate {
	int rows; /* without the halo: row 0, and row rows + 1 */
	float *now, *next;
};

static float *row(float *cells, int y)
{
	return cells + (size_t)y * (size_t)width;
}

static void plate_init(struct plate *p, int rows)
{
	p->rows = rows;
	p->now = calloc((size_t)(rows + 2) * (size_t)width, sizeof(float));
	p->next = calloc((size_t)(rows + 2) * (size_t)width, sizeof(float));
	if (p->now == NULL || p->next == NULL)
		must(-ENOMEM);
	for (int y = 0; y < rows + 2; y++)
		row(p->now, y)[0] = row(p->next, y)[0] = 1;
}

static void plate_fini(struct plate *p)
{
	free(p->now);
	free(p->next);
}

static void work(struct plate *p, int first, int last)
{
	for (int y = first; y <= last; y++) {
		const float *up = row(p->now, y - 1), *here = row(p->now, y), *down = row(p->now, y + 1);
		float *to = row(p->next, y);
		for (int x = 1; x < width - 1; x++)
			to[x] = here[x] + 0.2f * (up[x] + down[x] + here[x - 1] + here[x + 1] - 4 * here[x]);
	}
}

static void turn(struct plate *p)
{
	float *was = p->now;
	p->now = p->next;
	p->next = was;
}

/* The halo of one side comes, and our row beside it goes. */
static int exchange(struct plate *p, int neighbour, int inner, int halo, uint32_t out, uint32_t in,
    struct haul_req *reqs[2])
{
	struct iovec from = { row(p->now, inner), (size_t)width * sizeof(float) };
	struct iovec into = { row(p->now, halo), (size_t)width * sizeof(float) };
	if (neighbour < 0 || neighbour >= size)
		return 0;
	struct haul_group_match match = { .from = neighbour, .tag = in };
	must(haul_group_irecv(world, &match, &into, 1, &reqs[0]));
	must(haul_group_isend(world, neighbour, out, &from, 1, 0, &reqs[1]));
	return 2;
}

static void step(struct plate *p)
{
	struct haul_req *reqs[4];
	int count = exchange(p, rank - 1, 1, 0, TAG_UP, TAG_DOWN, reqs);
	count += exchange(p, rank + 1, p->rows, p->rows + 1, TAG_DOWN, TAG_UP, reqs + count);
	work(p, 2, p->rows - 1);
	must(haul_wait_all(reqs, (size_t)count, PATIENCE_MS));
	for (int i = 0; i < count; i++)
		must(haul_req_finish(reqs[i], NULL));
	work(p, 1, 1);
	if (p->rows > 1)
		work(p, p->rows, p->rows);
	turn(p);
}

static int rows_of(int r)
{
	return width / size + (r < width % size);
}

/* The whole plate, at rank 0. */
static float *gather(const struct plate *p)
{
	size_t *lens = calloc((size_t)size, sizeof(*lens)), *offsets = calloc((size_t)size, sizeof(*offsets));
	float *all = rank == 0 ? calloc((size_t)width * (size_t)width, sizeof(float)) : NULL;
	if (lens == NULL || offsets == NULL || (rank == 0 && all == NULL))
		must(-ENOMEM);
	for (int r = 0; r < size; r++) {
		lens[r] = (size_t)rows_of(r) * (size_t)width * sizeof(float);
		offsets[r] = r == 0 ? 0 : offsets[r - 1] + lens[r - 1];
	}
	must(haul_gatherv(world, 0, row(p->now, 1), lens[rank], all, lens, offsets, PATIENCE_MS));
	free(lens);
	free(offsets);
	return all;
}

static int differences(const float *all)
{
	struct plate p;
	int count = 0;
	plate_init(&p, width);
	for (int i = 0; i < steps; i++) {
		work(&p, 1, width);
		turn(&p);
	}
	for (int y = 0; y < width; y++)
		for (int x = 0; x < width; x++)
			count += memcmp(&all[(size_t)y * (size_t)width + (size_t)x], &row(p.now, y + 1)[x],
			             sizeof(float)) != 0;
	plate_fini(&p);
	return count;
}

static int draw(const float *all, const char *file)
{
	png_image image = { .version = PNG_IMAGE_VERSION,
		.width = (png_uint_32)width,
		.height = (png_uint_32)width,
		.format = PNG_FORMAT_GRAY };
	unsigned char *grey = malloc((size_t)width * (size_t)width);
	if (grey == NULL)
		must(-ENOMEM);
	for (size_t i = 0; i < (size_t)width * (size_t)width; i++)
		grey[i] = (unsigned char)(all[i] * 255);
	int drawn = png_image_write_to_file(&image, file, 0, grey, 0, NULL);
	if (!drawn)
		fprintf(stderr, "heat2d: %s: %s\n", file, image.message);
	free(grey);
	return drawn;
}

int main(int argc, char **argv)
{
	struct plate p;
	int bad = 0;
	begin();
	if (argc > 1)
		width = atoi(argv[1]);
	if (argc > 2)
		steps = atoi(argv[2]);
	if (width < size || width < 3 || width > 16384 || steps < 0) {
		fprintf(stderr,
		    "heat2d: the plate has to be 3 to 16384 cells wide, and a row for each rank\n");
		return 2;
	}
	plate_init(&p, rows_of(rank));
	for (int i = 0; i < steps; i++)
		step(&p);
	float *all = gather(&p);
	if (rank == 0) {
		bad = differences(all);
		printf("%d steps on %d x %d cells by %d ranks: %d cells differ from the serial result\n",
		    steps, width, width, size, bad);
		if (argc > 3 && !draw(all, argv[3]))
			bad = 1;
	}
	free(all);
	plate_fini(&p);
	end();
	return bad != 0;
}
