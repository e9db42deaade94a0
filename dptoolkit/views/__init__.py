"""Figures of objects: pure functions from events, read-out and fits to HoloViews elements, and to HTML."""
