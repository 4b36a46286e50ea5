"""``python -m tb_widgets`` is ``tb-widgets``."""

from tb_widgets.cli import main

if __name__ == "__main__":
    main()
