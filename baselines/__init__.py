"""The methods Decision Flow is compared with, one file each."""
