"""What a profile would cost, without running it: `python -m lib.plan NAME --device h100` (`make plan`)."""
