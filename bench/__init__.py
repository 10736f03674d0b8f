"""Every speed and memory figure that the README quotes, each beside its naive rival in the same run."""
