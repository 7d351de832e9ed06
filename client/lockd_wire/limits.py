"""Every bound of the protocol, with its unit and its reason.

A bound is part of the protocol: the two sides of a connection may come from different releases, so none of these is a
setting. ``docs/protocol.md`` lists the same ones in its section 7, and a test compares the two.
"""

from __future__ import annotations

from ._typing import Final

#: The protocol that this package speaks.
VERSION: Final = 1

#: First word of a HELLO, so that a stray client of another protocol is told apart at once.
MAGIC: Final = "lockd"
ADMIN_MAGIC: Final = "lockd-admin"

#: Body of one frame. The largest request is 16 names of 255 bytes and a label, under 5 KiB. What is longer only serves
#: an attacker: a byte of msgpack becomes up to 92 bytes of Python objects, and what one frame can make a decoder
#: allocate has to stay under 1 MB (tests/wire/test_memory.py).
FRAME_BYTES_MAX: Final = 8 * 1024

#: Elements of any one array, pairs of any one map. An array takes 8 bytes for each element that it announces, before
#: the first one has come, and msgpack nests 1024 deep: with 64 elements a frame could take more than the 1 MB.
ELEMENTS_MAX: Final = 32

#: Any one string of a frame. Names of things have smaller bounds of their own, checked where a refusal can say so.
TEXT_BYTES_MAX: Final = 1024

#: A name. As long as a file name may be on Linux, so that whatever names a file can name a lock.
NAME_BYTES_MAX: Final = 255

#: A label, and what a program calls itself: enough for a line in somebody's error message, too little for a document.
LABEL_BYTES_MAX: Final = 256
PROGRAM_BYTES_MAX: Final = 64

#: Items in one request.
ITEMS_MAX: Final = 16

#: Permits of a semaphore. Nobody counts further by hand.
PERMITS_MAX: Final = 1_000_000

#: Holders that an answer to a client describes. Who waits wants to know whom to call.
HOLDERS_MAX: Final = 4

#: Steps of a deadlock in one STEPS: so many fit into a frame, however long their names, programs and labels are.
STEPS_MAX: Final = 12

#: Holders, and waiters, that SHOW describes: with the longest names and labels there can be, they fill a frame. So many
#: rows of any page fit, whatever is in them.
ROWS_MAX: Final = 8

#: Ids, tokens and counts: what a signed 64-bit column of a database can hold.
UINT_MAX: Final = 2**63 - 1

#: A longer wait is "for ever", and is said as nil. 31 years.
TIMEOUT_SECONDS_MAX: Final = 1e9

#: HELLO must have come by then: an unfinished handshake costs the daemon a descriptor.
HELLO_SECONDS_MAX: Final = 5.0
