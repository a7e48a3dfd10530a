"""Every method on the maps of networks for land cover."""
