"""What a profile would cost, without running it: `aecompanion plan NAME --device h100` (`make plan`)."""
