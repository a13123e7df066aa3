"""What only this repository's pages need: the targets of HashMap, tables of docs/, text between markers."""
