"""What an analyst does with region vectors on a map: colours and styles, search by phrase."""
