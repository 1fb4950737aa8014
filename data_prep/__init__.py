"""From downloads to conversations: readers, images, splits, duplicates, the authors' release, own ratings."""
