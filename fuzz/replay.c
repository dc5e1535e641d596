/* SPDX-License-Identifier: Apache-2.0 */
/* replay - runs a fuzz target over the files of some directories, so that what was
 * once found stays found without a fuzzer.  A directory that is absent is empty. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes are copied to a block of their exact size, for the address sanitizer. */
static int run_file(const char *path)
{
	static unsigned char text[1024 * 1024];
	FILE *f = fopen(path, "rb");
	unsigned char *exact;
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	exact = malloc(n ? n : 1);
	if (!exact)
		return 1;
	memcpy(exact, text, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

static int run_directory(const char *path, int *count)
{
	DIR *dir = opendir(path);
	int failed = 0;

	if (!dir)
		return 0;
	for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
		char file[4096];

		if (d->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		failed |= run_file(file);
		(*count)++;
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	int count = 0, failed = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		failed |= run_directory(argv[i], &count);
	printf("%d inputs\n", count);
	return failed;
}
