"""The admin socket: who may ask, what can be asked, and what is answered."""
