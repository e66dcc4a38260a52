"""Parts of the benchmark of registration: cases, methods, measures, studies."""
