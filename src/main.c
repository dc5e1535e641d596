/* SPDX-License-Identifier: Apache-2.0 */
/* gibbon - the program: everything is a command, see cli/cli.h. */
#include <stdio.h>

int main(void)
{
	puts("gibbon " GIBBON_VERSION);
	return 0;
}
