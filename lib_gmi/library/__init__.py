"""What is stored: specifications, small copies of samples, favourites, packs."""
