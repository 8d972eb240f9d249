/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest program: a parent and its child exchange a greeting. The pair is made before fork(2), as a
 * pipe would be; each side then opens a context of its own. */
#include <haul/haul.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "hello: %s: %s\n", strerror((int)-rc), haul_reason());
	exit(1);
}

int main(void)
{
	int ends[2];
	struct haul *h;
	struct haul_peer *peer;
	char text[64] = "";

	must(haul_pair(ends));
	pid_t child = fork();
	close(ends[child == 0]);
	must(haul_open(&h, NULL, 0));
	must(haul_adopt(h, ends[child != 0], 1000, &peer));
	if (child == 0) {
		must(haul_send(peer, 1, "hello from the child", 21, 1000));
	} else {
		must(haul_recv(h, NULL, text, sizeof(text), 1000, NULL));
		puts(text);
	}
	must(haul_close(h, 1000));
	return child > 0 && waitpid(child, NULL, 0) != child;
}
