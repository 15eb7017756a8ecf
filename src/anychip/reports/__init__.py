"""One page of HTML that shows what was measured and proved: it needs no network and no other file."""
