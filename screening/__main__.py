"""`python -m screening` is the `sorbus` command, for machines where the script is not on the PATH."""

from screening.cli import run

if __name__ == "__main__":
    run()
