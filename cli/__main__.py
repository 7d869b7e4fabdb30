"""python -m cli"""

from .main import cli

if __name__ == "__main__":
    cli(prog_name="whatsapp-container")
