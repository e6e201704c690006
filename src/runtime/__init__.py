"""Everything that connects, blocks, waits or writes. Installed as `fastbook.runtime`."""

if __name__ != "fastbook.runtime":
    # src/ is on the path of an editable install; a second copy under another name
    # would have its own classes, and isinstance() would fail far from here.
    raise ImportError(f"import fastbook.runtime, not {__name__}")
