"""``python -m ortcam`` runs the command ``ortcam``."""

from ortcam.cli import main

if __name__ == "__main__":
    main(prog_name="ortcam")
