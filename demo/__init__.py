"""A small text-to-image base model and its LoRAs, trained from nothing by the code in this folder."""
