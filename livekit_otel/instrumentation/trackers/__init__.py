"""One tracker for each stage: it knows what is open and makes the spans, with the scope and peers that it is given."""
