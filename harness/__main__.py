"""``python -m harness``, and so ``torchrun -m harness``, is the command ``harness``."""

from .cli.main import main

if __name__ == "__main__":
    main()
