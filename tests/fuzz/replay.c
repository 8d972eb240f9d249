/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target without a fuzzer, for "make check": it gets each file of its corpus, then mutants of them, which
 * HAUL_TEST_SEED repeats and HAUL_FUZZ_RUNS counts. Files named as arguments are run instead. The input that ends it
 * is left behind in TARGET.crash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MOST = 1000, LONGEST = 8192, RUNS = 1500, PATIENCE_S = 30 };

struct file {
	char name[256];
	size_t len;
	uint8_t *bytes;
};

static struct file files[FILES_MOST];
static size_t file_count;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/* ---- running ---- */

static const uint8_t *current;
static size_t current_len;

/* Whatever ended it, the input is worth keeping. */
static void keep(int signal_number)
{
	static const char words[] = "replay: the input is in " TARGET ".crash\n";
	int fd = open(TARGET ".crash", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0 && write(fd, current, current_len) == (ssize_t)current_len &&
	    write(STDERR_FILENO, words, sizeof(words) - 1) > 0)
		close(fd);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void run(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	must(exact != NULL, "malloc");
	memcpy(exact, bytes, len);
	current = exact;
	current_len = len;
	alarm(PATIENCE_S);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

/* ---- the corpus ---- */

static void load(const char *path, const char *name)
{
	struct file *f = &files[file_count++];
	FILE *in = fopen(path, "rb");
	must(in != NULL, path);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->bytes = malloc(LONGEST);
	must(f->bytes != NULL, "malloc");
	f->len = fread(f->bytes, 1, LONGEST, in);
	fclose(in);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* In an order that doesn't depend on the directory's. */
static void load_corpus(void)
{
	DIR *dir = opendir(CORPUS);
	must(dir != NULL, CORPUS);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL && file_count < FILES_MOST;) {
		char path[sizeof(CORPUS) + 1 + sizeof(entry->d_name)];
		snprintf(path, sizeof(path), "%s/%s", CORPUS, entry->d_name);
		if (entry->d_name[0] != '.')
			load(path, entry->d_name);
	}
	closedir(dir);
	qsort(files, file_count, sizeof(files[0]), by_name);
}

/* ---- mutants ---- */

/* Somewhere in the len bytes, one of several small injuries; returns the new length. */
static size_t injure(uint8_t *to, size_t len)
{
	const struct file *other = &files[random_below(file_count)];
	size_t at = random_below(len + 1), n = random_below(16);
	switch (random_below(6)) {
	case 0: /* a bit */
		if (at < len)
			to[at] ^= (uint8_t)(1 << random_below(8));
		return len;
	case 1: /* a byte */
		if (at < len)
			to[at] = (uint8_t)random_below(256);
		return len;
	case 2: /* a piece is gone */
		n = n < len - at ? n : len - at;
		memmove(to + at, to + at + n, len - at - n);
		return len - n;
	case 3: /* or there twice */
		n = n < len - at ? n : len - at;
		n = n < LONGEST - len ? n : LONGEST - len;
		memmove(to + at + n, to + at, len - at);
		return len + n;
	case 4: /* or something else */
		n = n < LONGEST - len ? n : LONGEST - len;
		memmove(to + at + n, to + at, len - at);
		for (size_t i = 0; i < n; i++)
			to[at + i] = (uint8_t)random_below(256);
		return len + n;
	default: /* and it goes on as another does */
		n = random_below(other->len + 1);
		n = n < LONGEST - at ? n : LONGEST - at;
		memcpy(to + at, other->bytes + other->len - n, n);
		return at + n;
	}
}

static void run_mutant(void)
{
	static uint8_t bytes[LONGEST];
	const struct file *f = &files[random_below(file_count)];
	size_t len = f->len;
	memcpy(bytes, f->bytes, len);
	for (size_t times = 1 + random_below(6); times > 0; times--)
		len = injure(bytes, len);
	run(bytes, len);
}

int main(int argc, char **argv)
{
	const char *given = getenv("HAUL_FUZZ_RUNS");
	unsigned long runs = given != NULL ? strtoul(given, NULL, 0) : RUNS;
	signal(SIGABRT, keep);
	signal(SIGSEGV, keep);
	signal(SIGALRM, keep);
	for (int i = 1; i < argc && file_count < FILES_MOST; i++)
		load(argv[i], argv[i]);
	if (argc > 1)
		runs = 0;
	else
		load_corpus();
	must(file_count > 0, "no corpus");
	for (size_t i = 0; i < file_count; i++) {
		fprintf(stderr, "%s\n", files[i].name);
		run(files[i].bytes, files[i].len);
	}
	seed_random();
	for (unsigned long i = 0; i < runs; i++)
		run_mutant();
	for (size_t i = 0; i < file_count; i++)
		free(files[i].bytes);
	return 0;
}
