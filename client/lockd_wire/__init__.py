"""What the daemon and its clients say to each other: limits, framing, messages, codec.

Sans-I/O: bytes in, messages out, and the other way round. ``docs/protocol.md`` is the specification; this package
follows it, and knows nothing about connections, sessions or locks. The order to read it in: `limits`, `messages`,
`codec`, `framing`. `names` and `endpoints` are what else both sides have to agree on.
"""
