"""Sources: what happens in a detector, from a track to a cloud of segments."""
