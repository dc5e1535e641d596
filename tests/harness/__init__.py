# SPDX-License-Identifier: Apache-2.0
"""harness - real servers and strict clients for the promises in tests/.

    gateway.py   starts Gibbon as users start it, and stops it
    origin.py    an HTTP origin that does what a script says, right or wrong
    nginx.py     Debian's nginx as a real origin
    client.py    a raw HTTP/1.1 client that refuses what is malformed
    certs.py     certificates made with the openssl command
    waits.py     waiting for conditions, and the patience of this run
    ports.py     free ports of the loopback interface
    config.py    short ways to write declarative configurations
"""
