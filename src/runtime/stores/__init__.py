"""Memory of a run outside the engine's process: the cache (Redis, Valkey) and the history (SQL).

The engine's process does two cheap things: it packs books that have changed into a memory map
(`board`), and appends rows to files (`spool`). A process of its own (`shipper`) carries both to the
servers. No server is ever spoken to, or waited for, by the process that trades.
"""
