"""Where data come from: ours, files of this machine, uploads, addresses and datasets of the Hub."""
