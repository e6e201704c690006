"""`fastbook bench`: what the path from wire to signal costs on this machine, peers beside it.

The suite in `bench/` builds on the same frames, servers and clock and adds the peers that
need packages of their own. Nothing else of the runtime imports this.
"""
