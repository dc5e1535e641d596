/* SPDX-License-Identifier: Apache-2.0 */
/* gibbon - the program: everything is a command, see cli/commands.c. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
