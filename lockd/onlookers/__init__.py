"""Those who look on: what they learn changes nothing, and nobody waits for them."""
