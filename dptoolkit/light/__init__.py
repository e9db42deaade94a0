"""Light: Cherenkov emission, its way through a medium, photosensors."""
