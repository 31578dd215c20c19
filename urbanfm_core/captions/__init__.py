"""Captions of pictures: made by models, refined by rules, chosen by consensus."""
