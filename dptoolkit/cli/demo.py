"""`demo`."""
def demo() -> None:
    """Stub."""
