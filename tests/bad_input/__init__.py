"""Bad input: what is refused, in which words, with nothing left behind. `docs/bad-input.md` is made from it."""
