"""Those who look on while requests come and go, and tell people about it. Nothing here changes anything, and nobody
waits for them.

The lock manager tells what becomes of requests (rule O1 of its README); the driver hands that on after each event.
"""
