"""Coverage-guided fuzzing of everything that parses a file another program or a person wrote: `hatch run fuzz`."""
