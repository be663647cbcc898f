"""One run: the production code on a feed, orders on a virtual clock, what came of them."""
