"""`python -m wsscli` is `wss` (launchers such as torchrun need a module)."""

from wsscli.cli.app import main

if __name__ == "__main__":
    main()
